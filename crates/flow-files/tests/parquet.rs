//! Parquet: its own types, and JSON for what Postgres has no columns for.

mod support;

use arrow_array::builder::{
    Decimal128Builder, FixedSizeBinaryBuilder, ListBuilder, StringBuilder, StructBuilder,
};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int32Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use ematix_flow_arrow::{Column, CopyType};
use parquet::basic::{Compression, Repetition, Type as Physical};
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::sync::Arc;
use support::{Folder, parquet, read, refused};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn types_are_the_files_own() {
    let mut decimals = Decimal128Builder::new().with_precision_and_scale(30, 4).unwrap();
    decimals.append_value(123_456_789_012_345_678_901_234_567_890);
    decimals.append_null();
    let mut uuids = FixedSizeBinaryBuilder::new(16);
    uuids.append_value((0..16).collect::<Vec<u8>>()).unwrap();
    uuids.append_null();
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    let dictionary: DictionaryArray<arrow_array::types::Int32Type> =
        vec![Some("x"), None].into_iter().collect();
    let data = batch(vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("unsigned", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("float", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("decimal", Arc::new(decimals.finish())),
        ("bytes", Arc::new(uuids.finish())),
        ("date", Arc::new(Date32Array::from(vec![Some(1), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(5), None]).with_timezone("Europe/Berlin"))),
        ("naive", Arc::new(TimestampMicrosecondArray::from(vec![Some(5), None]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("l"), None]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("v"), None]))),
        ("dictionary", Arc::new(dictionary)),
        ("list", Arc::new(lists.finish())),
    ]);
    let folder = Folder::default();
    folder.put("a.parquet", parquet(&[data], WriterProperties::new()));
    let found = read(&folder.files("a.parquet"), &[Column::new("float", CopyType::Text)]).await.unwrap();
    let columns = [
        "bool Boolean",
        "unsigned UInt64",
        "float Float64",
        "decimal Decimal128(30, 4)",
        "bytes FixedSizeBinary(16)",
        "date Date32",
        "at Timestamp(µs, \"Europe/Berlin\")",
        "naive Timestamp(µs)",
        "large Utf8",
        "view Utf8",
        "dictionary Utf8",
        "list List(Utf8)",
    ];
    assert_eq!(found.columns, columns);
    let first = "true|18446744073709551615|0.1|12345678901234567890123456.7890|000102030405060708090a0b0c0d0e0f|day 1|5us|5us|l|v|x|[a NULL]";
    assert_eq!(found.rows, [first.to_owned(), ["NULL"; 12].join("|")]);
}

#[tokio::test]
async fn nested_types_are_json() {
    let fields: Fields =
        vec![Field::new("city", DataType::Utf8, true), Field::new("lat", DataType::Float64, true)].into();
    let mut rows = StructBuilder::from_fields(fields.clone(), 2);
    rows.field_builder::<StringBuilder>(0).unwrap().append_value("a\"b");
    rows.field_builder::<arrow_array::builder::Float64Builder>(1).unwrap().append_value(0.1);
    rows.append(true);
    rows.field_builder::<StringBuilder>(0).unwrap().append_null();
    rows.field_builder::<arrow_array::builder::Float64Builder>(1).unwrap().append_null();
    rows.append(false);
    let rows = rows.finish();
    let mut lists = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    lists.values().append_value([Some("x")]);
    lists.append(true);
    lists.append(true);
    let data = batch(vec![("place", Arc::new(rows)), ("deep", Arc::new(lists.finish()))]);
    let folder = Folder::default();
    folder.put("a.parquet", parquet(&[data], WriterProperties::new()));
    let found = read(&folder.files("a.parquet"), &[]).await.unwrap();
    assert_eq!(found.columns, ["place Utf8 arrow.json", "deep Utf8 arrow.json"]);
    assert_eq!(found.rows, ["{\"city\":\"a\\\"b\",\"lat\":0.1}|[[\"x\"]]", "NULL|[]"]);
}

#[tokio::test]
async fn a_number_that_json_has_not_is_told_with_its_place() {
    let fields: Fields = vec![Field::new("n", DataType::Float64, true)].into();
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let rows = arrow_array::StructArray::new(fields, vec![numbers], None);
    let folder = Folder::default();
    folder.put("a.parquet", parquet(&[batch(vec![("s", Arc::new(rows))])], WriterProperties::new()));
    assert_eq!(
        refused(&folder.files("a.parquet"), &[]).await,
        "cast_failed: a.parquet, row 2, column `s`: JSON has no number NaN"
    );
}

#[tokio::test]
async fn every_codec_and_every_row_group_is_read() {
    let folder = Folder::default();
    let numbers = |from: i32| batch(vec![("n", Arc::new(Int32Array::from_iter_values(from..from + 1000)))]);
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4_RAW,
    ];
    for codec in codecs {
        let properties =
            WriterProperties::builder().set_compression(codec).set_max_row_group_row_count(Some(300)).build();
        folder.put("a.parquet", parquet(&[numbers(0), numbers(1000)], properties));
        let found = read(&folder.files("a.parquet"), &[]).await.unwrap();
        let expected: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        assert_eq!(found.rows, expected, "{codec}");
    }
}

#[tokio::test]
async fn int96_reaches_the_last_year() {
    let column = Type::primitive_type_builder("at", Physical::INT96).with_repetition(Repetition::REQUIRED);
    let schema = Type::group_type_builder("schema")
        .with_fields(vec![Arc::new(column.build().unwrap())])
        .build()
        .unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    // Julian days: 1970-01-01 is 2,440,588, 9999-12-31 is 5,373,484.
    let moments = [Int96::from(vec![1000, 0, 2_440_588]), Int96::from(vec![0, 0, 5_373_484])];
    column.typed::<Int96Type>().write_batch(&moments, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    let folder = Folder::default();
    folder.put("a.parquet", writer.into_inner().unwrap());
    let found = read(&folder.files("a.parquet"), &[]).await.unwrap();
    assert_eq!(found.columns, ["at Timestamp(µs)"]);
    assert_eq!(found.rows, ["1us", "253402214400000000us"]);
}

#[tokio::test]
async fn a_logical_uuid_and_json_keep_their_meaning() {
    use parquet::basic::LogicalType;
    use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType};
    let uuid = Type::primitive_type_builder("id", Physical::FIXED_LEN_BYTE_ARRAY)
        .with_length(16)
        .with_logical_type(Some(LogicalType::Uuid))
        .with_repetition(Repetition::REQUIRED);
    let json = Type::primitive_type_builder("doc", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::Json))
        .with_repetition(Repetition::REQUIRED);
    let fields = vec![Arc::new(uuid.build().unwrap()), Arc::new(json.build().unwrap())];
    let schema = Type::group_type_builder("schema").with_fields(fields).build().unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let id = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
    column.typed::<FixedLenByteArrayType>().write_batch(&[id], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("{\"a\": 1}")], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    let folder = Folder::default();
    folder.put("a.parquet", writer.into_inner().unwrap());
    let found = read(&folder.files("a.parquet"), &[]).await.unwrap();
    assert_eq!(found.columns, ["id FixedSizeBinary(16) arrow.uuid", "doc Utf8 arrow.json"]);
    assert_eq!(found.rows, ["000102030405060708090a0b0c0d0e0f|{\"a\": 1}"]);
}

#[tokio::test]
async fn what_is_no_parquet_is_told() {
    let folder = Folder::default();
    let whole = parquet(&[batch(vec![("n", Arc::new(Int64Array::from(vec![1])))])], WriterProperties::new());
    folder.put("a.parquet", "id,name\n1,2\n").put("cut.parquet", &whole[..whole.len() - 5]);
    for path in ["a.parquet", "cut.parquet"] {
        let found = refused(&folder.files(path), &[]).await;
        assert!(found.starts_with(&format!("source_failed: {path}: ")), "{found}");
    }
    let duration = arrow_array::DurationMicrosecondArray::from(vec![5]);
    let nested: Fields = vec![Field::new("d", duration.data_type().clone(), true)].into();
    let data = arrow_array::StructArray::new(nested, vec![Arc::new(duration)], None);
    folder.put("a.parquet", parquet(&[batch(vec![("s", Arc::new(data))])], WriterProperties::new()));
    let found = refused(&folder.files("a.parquet"), &[]).await;
    assert!(
        found.starts_with("invalid_value: a.parquet, column `s`: Postgres has no type for Struct("),
        "{found}"
    );
}

use arrow_array::Array;

#[tokio::test]
async fn columns_of_several_files_go_together_by_name() {
    let folder = Folder::default();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let one = batch(vec![("id", Arc::new(Int32Array::from(vec![1]))), ("name", Arc::clone(&texts))]);
    let two = batch(vec![("more", texts), ("id", Arc::new(Int64Array::from(vec![i64::MAX])))]);
    folder.put("1.parquet", parquet(std::slice::from_ref(&one), WriterProperties::new()));
    folder.put("2.parquet", parquet(&[two], WriterProperties::new()));
    let found = read(&folder.files("*.parquet"), &[]).await.unwrap();
    assert_eq!(found.columns, ["id Int64", "name Utf8", "more Utf8"]);
    assert_eq!(found.rows, ["1|x|NULL", "9223372036854775807|NULL|x"]);
    assert_eq!(
        found.notes,
        [
            "column `id` is Int32 in 1.parquet and Int64 in 2.parquet: it is read as Int64",
            "column `name` is not in 2.parquet: it is NULL there",
            "column `more` is not in 1.parquet: it is NULL there",
        ]
    );
    let three = batch(vec![("id", Arc::new(StringArray::from(vec!["x"])))]);
    folder.put("3.parquet", parquet(&[three], WriterProperties::new()));
    assert_eq!(
        refused(&folder.files("{1,3}.parquet"), &[]).await,
        "invalid_value: column `id` is Int32 (integer) in 1.parquet and Utf8 (text) in 3.parquet, and no type holds both"
    );
    let empty = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true)])));
    folder.put("4.parquet", parquet(&[empty], WriterProperties::new()));
    assert_eq!(read(&folder.files("4.parquet"), &[]).await.unwrap().rows, Vec::<String>::new());
}
