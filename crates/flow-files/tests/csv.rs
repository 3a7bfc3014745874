//! CSV: what stands there is what arrives, or an error that says where.

mod support;

use ematix_flow_arrow::{Column, CopyType};
use ematix_flow_files::{Compression, CsvOptions, Files, Format};
use support::{Content, Folder, gzip, read, refused, refused_with, zstd};

fn content(columns: &[&str], rows: &[&str]) -> Content {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Content { columns: owned(columns), rows: owned(rows), notes: Vec::new() }
}

#[tokio::test]
async fn text_stays_text_where_no_type_is_wanted() {
    let folder = Folder::default();
    folder.put("a.csv", "id,name\r\n007,\"a \"\"b\"\"\nc\"\r\n,\"\"\r\n 1 , x ");
    let expected = content(&["id Utf8", "name Utf8"], &["007|a \"b\"\nc", "NULL|", " 1 | x "]);
    assert_eq!(read(&folder.files("a.csv"), &[]).await.unwrap(), expected);
}

#[tokio::test]
async fn every_type_is_read_from_its_text() {
    use CopyType::*;
    let columns = [
        ("bool", Bool, "t", "true"),
        ("int2", Int2, "-32768", "-32768"),
        ("int4", Int4, " 1.0 ", "1"),
        ("int8", Int8, "9223372036854775807", "9223372036854775807"),
        ("float4", Float4, "0.1", "0.1"),
        ("float8", Float8, "-Infinity", "-inf"),
        ("numeric", Numeric(12, 2), "1234567890.5", "1234567890.50"),
        (
            "long",
            Numeric(60, 1),
            "123456789012345678901234567890123456789012345678.9",
            "123456789012345678901234567890123456789012345678.9",
        ),
        (
            "any",
            NumericText,
            "1234567890123456789012345678901234567890.5e-3",
            "1234567890123456789012345678901234567.8905",
        ),
        ("text", Text, "x", "x"),
        ("json", Json, "\"{\"\"a\"\": 1.10}\"", "{\"a\": 1.10}"),
        ("jsonb", Jsonb, "[1]", "[1]"),
        ("bytea", Bytea, "\\x00ff", "00ff"),
        ("uuid", Uuid, "00010203-0405-0607-0809-0a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f"),
        ("date", Date, "1970-01-02", "day 1"),
        ("time", Time, "00:00:01.5", "1500000us"),
        ("timestamp", Timestamp, "1970-01-01 00:00:00.000001", "1us"),
        ("timestamptz", TimestampTz, "1970-01-01T02:00:00+02:00", "0us"),
        ("interval", Interval, "P1M2DT1S", "1m2d1000000000ns"),
        ("list", Array(Box::new(Int4), 23), "\"[1, null]\"", "[1 NULL]"),
    ];
    let (mut names, mut values, mut wanted, mut expected) = (vec![], vec![], vec![], vec![]);
    for (name, data_type, value, read) in columns {
        names.push(name);
        values.push(value);
        wanted.push(Column::new(name, data_type));
        expected.push(read);
    }
    let text = format!("{}\n{}\n{}\n", names.join(";"), values.join(";"), ";".repeat(names.len() - 1));
    let folder = Folder::default();
    folder.put("a.csv", text);
    let mut files = folder.files("a.csv");
    files.csv.delimiter = Some(';');
    let found = read(&files, &wanted).await.unwrap();
    let types: Vec<String> = wanted
        .iter()
        .map(|column| {
            let field = column.field();
            let extension = field.extension_type_name().map_or(String::new(), |name| format!(" {name}"));
            format!("{} {}{extension}", field.name(), field.data_type())
        })
        .collect();
    assert_eq!(found.columns, types);
    assert_eq!(found.rows, [expected.join("|"), vec!["NULL"; names.len()].join("|")]);
}

#[tokio::test]
async fn a_value_that_is_none_of_its_type_is_told_with_its_place() {
    let folder = Folder::default();
    folder.put("a.csv", "id,paid\n1,2.50\n2,2.505\n");
    let wanted = [Column::new("paid", CopyType::Numeric(6, 2))];
    assert_eq!(
        refused(&folder.files("a.csv"), &wanted).await,
        "cast_failed: a.csv, row 2, column `paid`: \"2.505\" is no numeric(6,2): it has more than 2 digits behind the point"
    );
    let (_, context) = refused_with(&folder.files("a.csv"), &wanted).await;
    assert_eq!(context, serde_json::json!({"file": "a.csv", "column": "paid", "row": 2}));

    use CopyType::*;
    let wrong = [
        (Int4, "12x", "\"12x\" is no integer"),
        (Int4, "1.5", "\"1.5\" is no integer: it would be rounded"),
        (Int2, "40000", "\"40000\" is no smallint: it is too large"),
        (Int8, "9223372036854775808", "\"9223372036854775808\" is no bigint: it is too large"),
        (Float8, "1e999", "\"1e999\" is no double precision"),
        (Bool, "maybe", "\"maybe\" is no boolean"),
        (Numeric(4, 2), "100", "\"100\" is no numeric(4,2): it is too large"),
        (Numeric(4, 2), "NaN", "\"NaN\" is no numeric(4,2)"),
        (Date, "31.01.2026", "\"31.01.2026\" is no date: it is not written as 2026-01-31"),
        (
            TimestampTz,
            "2026-01-01 00:00:00",
            "\"2026-01-01 00:00:00\" is no timestamptz: it has no zone, as 2026-01-31 13:45:00Z has: declare it timestamp",
        ),
        (Uuid, "1", "\"1\" is no uuid"),
        (Bytea, "ff", "\"ff\" is no bytea: bytes are written as \\x00ff"),
        (Text, "a\0b", "\"a\\0b\" has a NUL character, which no text of Postgres holds"),
    ];
    for (data_type, value, why) in wrong {
        folder.put("b.csv", format!("v\n{value}\n"));
        let found = refused(&folder.files("b.csv"), &[Column::new("v", data_type)]).await;
        assert_eq!(found, format!("cast_failed: b.csv, row 1, column `v`: {why}"));
    }
    folder.put("b.csv", format!("v\n{}\n", "é".repeat(1000)));
    let found = refused(&folder.files("b.csv"), &[Column::new("v", Int4)]).await;
    assert_eq!(
        found,
        format!("cast_failed: b.csv, row 1, column `v`: \"{}\"… is no integer", "é".repeat(60))
    );
}

#[tokio::test]
async fn what_is_no_csv_is_told_with_its_row_and_line() {
    let folder = Folder::default();
    let cases: [(&[u8], &str); 12] = [
        (
            b"a,b\n1,\"x\ny\"\n2\n",
            "invalid_value: a.csv, row 2: it has 1 value, and the file has 2 columns (line 4)",
        ),
        (
            b"a,b\n1,2,3\n",
            "invalid_value: a.csv, row 1: it has 3 values, and the file has 2 columns (line 2)",
        ),
        (
            b"a,b\n\n1,2\n",
            "invalid_value: a.csv, row 1: it has 0 values, and the file has 2 columns (line 3)",
        ),
        (b"a,b\n1,x\"y\n", "invalid_value: a.csv, row 1: a quote stands within a value (line 2)"),
        (
            b"a,b\n1,\"x\"y\n",
            "invalid_value: a.csv, row 1: something follows the quote that closes a value (line 2)",
        ),
        (
            b"a,b\n1,\"x\n",
            "invalid_value: a.csv, row 1: a quote is not closed until the end of the file (line 2)",
        ),
        (b"a,b\n1,\xff\n", "invalid_value: a.csv, row 1: the text of the 2. value is not UTF-8 (line 2)"),
        (b"a,a\n1,2\n", "duplicate_name: a.csv: two columns have the name `a`"),
        (b"a,\n1,2\n", "source_failed: a.csv: the 2. column has no name"),
        (
            b"a,b\n1,x\ry\n",
            "invalid_value: a.csv, row 1: a carriage return stands outside of quotes (line 2)",
        ),
        (b"\xff\xfea\0", "source_failed: a.csv: the text is UTF-16"),
        (b"", "source_failed: a.csv: its first line has no names"),
    ];
    for (text, expected) in cases {
        folder.put("a.csv", text);
        assert_eq!(refused(&folder.files("a.csv"), &[]).await, expected);
    }
}

#[tokio::test]
async fn empty_lines_are_nothing_at_the_end_and_null_in_a_single_column() {
    let folder = Folder::default();
    folder.put("a.csv", "a,b\n1,2\n\n\n").put("b.csv", "a\n1\n\n\"\"\n");
    assert_eq!(read(&folder.files("a.csv"), &[]).await.unwrap().rows, ["1|2"]);
    assert_eq!(read(&folder.files("b.csv"), &[]).await.unwrap().rows, ["1", "NULL", ""]);
}

#[tokio::test]
async fn the_marks_are_options() {
    let folder = Folder::default();
    folder.put("a.tsv", "\u{feff}a\tb\n1,5\tx\n").put("b.txt", "1|'it\\'s'|NA\n2|''|'NA'\n");
    assert_eq!(read(&folder.files("a.tsv"), &[]).await.unwrap(), content(&["a Utf8", "b Utf8"], &["1,5|x"]));
    let files = Files {
        format: Some(Format::Csv),
        csv: CsvOptions {
            delimiter: Some('|'),
            header: false,
            columns: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            quote: '\'',
            escape: Some('\\'),
            null: vec!["NA".to_owned()],
        },
        ..folder.files("b.txt")
    };
    let expected = content(&["a Utf8", "b Utf8", "c Utf8"], &["1|it's|NULL", "2||NA"]);
    assert_eq!(read(&files, &[]).await.unwrap(), expected);
    let without = Files { csv: CsvOptions { columns: Vec::new(), ..files.csv.clone() }, ..files };
    assert!(refused(&without, &[]).await.starts_with("missing_option: "));
}

#[tokio::test]
async fn it_is_read_within_its_compression() {
    let (folder, text) = (Folder::default(), b"a\n1\n2\n");
    let two = [gzip(b"a\n1\n"), gzip(b"2\n")].concat();
    folder
        .put("a.csv.gz", gzip(text))
        .put("a.csv.zst", zstd(text))
        .put("two.csv.gz", two)
        .put("b.csv", gzip(text));
    for path in ["a.csv.gz", "a.csv.zst", "two.csv.gz"] {
        assert_eq!(
            read(&folder.files(path), &[]).await.unwrap(),
            content(&["a Utf8"], &["1", "2"]),
            "{path}"
        );
    }
    let said = Files { compression: Some(Compression::Gzip), ..folder.files("b.csv") };
    assert_eq!(read(&said, &[]).await.unwrap().rows, ["1", "2"]);
    let cut = gzip(&b"a,b\n".repeat(50_000));
    folder.put("cut.csv.gz", &cut[..cut.len() - 9]);
    assert_eq!(
        refused(&folder.files("cut.csv.gz"), &[]).await,
        "source_failed: cut.csv.gz: the file is cut off"
    );
    folder.put("no.csv.gz", b"a\n1\n");
    assert!(refused(&folder.files("no.csv.gz"), &[]).await.starts_with("source_failed: no.csv.gz: "));
}

#[tokio::test]
async fn batches_are_bounded_and_no_row_is_lost_between_them() {
    let folder = Folder::default();
    let text: String = (0..150_000).map(|row| format!("{row},\"v\n{row}\"\n")).collect();
    folder.put("a.csv", format!("id,v\n{text}"));
    let rows = read(&folder.files("a.csv"), &[Column::new("id", CopyType::Int4)]).await.unwrap().rows;
    assert_eq!(rows.len(), 150_000);
    assert!(rows.iter().enumerate().all(|(at, row)| *row == format!("{at}|v\n{at}")));
}
