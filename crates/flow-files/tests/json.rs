//! JSON: lines and arrays, every digit and every key, or an error that says where.

mod support;

use ematix_flow_arrow::{Column, CopyType};
use support::{Content, Folder, gzip, read, refused, zstd};

fn content(columns: &[&str], rows: &[&str], notes: &[&str]) -> Content {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Content { columns: owned(columns), rows: owned(rows), notes: owned(notes) }
}

const ROWS: &str = r#"{"id": 1, "name": "Z\u00fcrich \"x\"", "ok": true, "price": 12.50, "tags": ["a", "b"], "more": {"n": 1.10}}
{"name": null, "id": 9223372036854775807, "price": 12345678901234567890.123456789, "late": false}
"#;

#[tokio::test]
async fn lines_and_an_array_are_read_alike_compressed_or_not() {
    let columns = [
        "id Int64",
        "name Utf8",
        "ok Boolean",
        "price Utf8",
        "tags Utf8 arrow.json",
        "more Utf8 arrow.json",
        "late Boolean",
    ];
    let rows = [
        "1|Zürich \"x\"|true|12.50|[\"a\", \"b\"]|{\"n\": 1.10}|NULL",
        "9223372036854775807|NULL|NULL|12345678901234567890.123456789|NULL|NULL|false",
    ];
    let notes = ["column `price` has numbers and no type is declared: it is read as text"];
    let expected = content(&columns, &rows, &notes);
    let array = format!(" [ {} ]\n", ROWS.trim().replace("}\n{", "}\n,\n{"));
    let folder = Folder::default();
    folder
        .put("a.jsonl", ROWS)
        .put("a.json", &array)
        .put("a.ndjson.gz", gzip(ROWS.as_bytes()))
        .put("b.json.zst", zstd(array.as_bytes()));
    for path in ["a.jsonl", "a.json", "a.ndjson.gz", "b.json.zst"] {
        assert_eq!(read(&folder.files(path), &[]).await.unwrap(), expected, "{path}");
    }
    folder.put("empty.json", "[]").put("empty.jsonl", "\n");
    for path in ["empty.json", "empty.jsonl"] {
        assert_eq!(read(&folder.files(path), &[]).await.unwrap(), content(&[], &[], &[]), "{path}");
    }
}

#[tokio::test]
async fn wanted_types_are_read_without_passing_a_float() {
    use CopyType::*;
    let folder = Folder::default();
    folder.put("a.jsonl", ROWS);
    let wanted = [
        Column::new("price", Numeric(38, 9)),
        Column::new("tags", Array(Box::new(Text), 25)),
        Column::new("id", Text),
        Column::new("more", Jsonb),
        Column::new("name", Json),
        Column::new("elsewhere", Int4),
    ];
    let found = read(&folder.files("a.jsonl"), &wanted).await.unwrap();
    let rows = [
        "1|\"Z\\u00fcrich \\\"x\\\"\"|true|12.500000000|[a b]|{\"n\": 1.10}|NULL",
        "9223372036854775807|NULL|NULL|12345678901234567890.123456789|NULL|NULL|false",
    ];
    assert_eq!(found.rows, rows);
    assert_eq!(found.notes, Vec::<String>::new());
}

#[tokio::test]
async fn values_of_several_kinds_are_text_and_lists_of_wanted_types_are_lists() {
    use CopyType::*;
    let folder = Folder::default();
    folder.put(
        "a.jsonl",
        "{\"a\": 1, \"l\": [1, null]}\n{\"a\": \"x\", \"l\": []}\n{\"a\": {\"b\": [2]}, \"l\": null}\n",
    );
    let found = read(&folder.files("a.jsonl"), &[Column::new("l", Array(Box::new(Int8), 20))]).await.unwrap();
    assert_eq!(found.rows, ["1|[1 NULL]", "x|[]", "{\"b\": [2]}|NULL"]);
    assert_eq!(
        found.notes,
        ["column `a` has values of several kinds and no type is declared: it is read as text"]
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_row() {
    let folder = Folder::default();
    let cases = [
        ("{\"a\": 1}\n[2]\n", "invalid_value: a.json, row 2: it is no object"),
        ("[{\"a\": 1} {\"a\": 2}]", "invalid_value: a.json, row 2: no comma stands before it"),
        ("[{\"a\": 1},]", "invalid_value: a.json, row 2: it is no object"),
        ("[{\"a\": 1}", "invalid_value: a.json, row 2: the file ends within its array"),
        ("[{\"a\": 1}] {", "invalid_value: a.json, row 2: something follows the end of the array"),
        ("{\"a\": 1}\n{\"a\": ", "invalid_value: a.json, row 2: the file ends within it"),
        ("{\"a\": 01}", "invalid_value: a.json, row 1: it is no JSON: invalid number at line 1 column 8"),
        ("{\"a\": 1, \"a\": 2}", "invalid_value: a.json, row 1: it has the key `a` twice"),
        (
            "{\"a\": \"b\\u0000\"}",
            "cast_failed: a.json, row 1, column `a`: \"b\\0\" has a NUL character, which no text of Postgres holds",
        ),
        ("true", "invalid_value: a.json, row 1: it is no object"),
    ];
    for (text, expected) in cases {
        folder.put("a.json", text);
        assert_eq!(refused(&folder.files("a.json"), &[]).await, expected, "{text}");
    }
    folder.put("a.json", "{\"a\": {\"b\": 1}}\n");
    assert_eq!(
        refused(&folder.files("a.json"), &[Column::new("a", CopyType::Int4)]).await,
        "cast_failed: a.json, row 1, column `a`: \"{\\\"b\\\": 1}\" is no integer"
    );
}

#[tokio::test]
async fn a_key_that_comes_late_is_an_error_and_never_dropped() {
    let folder = Folder::default();
    let text: String = (0..1000).map(|row| format!("{{\"a\": {row}}}\n")).collect();
    folder.put("a.jsonl", format!("{text}{{\"a\": 1, \"b\": 2}}\n"));
    let mut files = folder.files("a.jsonl");
    assert_eq!(
        refused(&files, &[]).await,
        "invalid_value: a.jsonl, row 1001: it has a key `b` that is no column"
    );
    files.json.sample_rows = 2000;
    let found = read(&files, &[]).await.unwrap();
    assert_eq!((found.rows.len(), found.rows[1000].as_str()), (1001, "1|2"));

    folder.put("a.jsonl", format!("{text}{{\"a\": 1.5}}\n"));
    files.json.sample_rows = 1000;
    assert_eq!(
        refused(&files, &[]).await,
        "cast_failed: a.jsonl, row 1001, column `a`: \"1.5\" is no bigint: it would be rounded"
    );
}
