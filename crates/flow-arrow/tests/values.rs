//! What the values of each type become, and what is refused because it would change.

#[allow(dead_code)] // each test file uses a part
mod support;

use arrow_array::builder::{Int32Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::{IntervalMonthDayNano, i256};
use arrow_schema::{DataType, Field, Schema};
use ematix_flow_arrow::{BatchSize, Column, CopyType, Decoder, Encoder, Infinity, UnscaledNumeric};
use ematix_flow_core::dialect::{Dialect, postgres::Postgres};
use ematix_flow_core::error::Result;
use ematix_flow_core::hash::Normal;
use ematix_flow_core::types::{DataType as Declared, TypeFacts, Wire};
use std::sync::Arc;
use support::{moods, stream};

fn sent(array: ArrayRef, data_type: CopyType) -> Result<Vec<u8>> {
    let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).expect("one column");
    let mut encoder = Encoder::new(vec![Column::new("c", data_type)], &schema)?;
    let mut out = Vec::new();
    encoder.encode(&batch, &mut out)?;
    encoder.finish(&mut out);
    Ok(out)
}

fn received(bytes: &[u8], data_type: CopyType) -> Result<ArrayRef> {
    let mut decoder = Decoder::new(vec![Column::new("c", data_type)], BatchSize::default());
    assert_eq!(decoder.decode(bytes)?, []);
    let batch = decoder.finish()?.expect("rows");
    Ok(Arc::clone(batch.column(0)))
}

/// An array goes into a column and comes back as the column's own type.
fn becomes(array: ArrayRef, data_type: CopyType, expected: ArrayRef) {
    let bytes = sent(array, data_type.clone()).expect("every value is one of the column's");
    let found = received(&bytes, data_type.clone()).expect("what was sent is received");
    assert_eq!(&found, &expected, "{}", data_type.name());
}

fn refusal(outcome: Result<impl std::fmt::Debug>) -> String {
    let error = outcome.expect_err("it is refused");
    format!("{}: {}", error.code, error.message)
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn values_of_related_types_go_into_a_column() {
    let whole = || array(Int64Array::from(vec![Some(-3), None, Some(7)]));
    becomes(array(Int8Array::from(vec![Some(-3), None, Some(7)])), CopyType::Int8, whole());
    becomes(whole(), CopyType::Int2, array(Int16Array::from(vec![Some(-3), None, Some(7)])));
    becomes(array(UInt64Array::from(vec![7])), CopyType::Int4, array(Int32Array::from(vec![7])));
    becomes(
        array(Float32Array::from(vec![0.5, f32::NAN])),
        CopyType::Float8,
        array(Float64Array::from(vec![0.5, f64::NAN])),
    );
    becomes(
        array(Float64Array::from(vec![0.5, f64::INFINITY])),
        CopyType::Float4,
        array(Float32Array::from(vec![0.5, f32::INFINITY])),
    );
    let text = || array(StringArray::from(vec![Some("é"), None, Some("")]));
    becomes(array(LargeStringArray::from(vec![Some("é"), None, Some("")])), CopyType::Text, text());
    becomes(array(StringViewArray::from(vec![Some("é"), None, Some("")])), CopyType::Jsonb, text());
    becomes(
        array(DictionaryArray::<Int8Type>::from_iter([Some("é"), None, Some("")])),
        CopyType::Text,
        text(),
    );
    let none = DictionaryArray::<Int8Type>::from_iter([None::<&str>, None]);
    becomes(array(none), CopyType::Text, array(StringArray::from(vec![None::<&str>, None])));
    becomes(array(NullArray::new(2)), CopyType::Int4, array(Int32Array::from(vec![None, None])));
    becomes(
        array(LargeBinaryArray::from(vec![&b"\0"[..]])),
        CopyType::Bytea,
        array(BinaryArray::from(vec![&b"\0"[..]])),
    );
    becomes(
        array(BinaryViewArray::from(vec![&b"\0"[..]])),
        CopyType::Bytea,
        array(BinaryArray::from(vec![&b"\0"[..]])),
    );
    becomes(array(Date64Array::from(vec![-86_400_000])), CopyType::Date, array(Date32Array::from(vec![-1])));
    becomes(
        array(Time32SecondArray::from(vec![61])),
        CopyType::Time,
        array(Time64MicrosecondArray::from(vec![61_000_000])),
    );
    becomes(
        array(Time64NanosecondArray::from(vec![61_000])),
        CopyType::Time,
        array(Time64MicrosecondArray::from(vec![61])),
    );
    let moment = || TimestampMicrosecondArray::from(vec![-1_000_000]);
    becomes(array(TimestampSecondArray::from(vec![-1])), CopyType::Timestamp, array(moment()));
    let paris = TimestampNanosecondArray::from(vec![-1_000_000_000]).with_timezone("Europe/Paris");
    becomes(array(paris), CopyType::TimestampTz, array(moment().with_timezone("UTC")));
    let span = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, 5_000_000_000)]);
    becomes(array(DurationMillisecondArray::from(vec![5000])), CopyType::Interval, array(span));
}

#[test]
fn numbers_go_into_a_numeric_of_their_digits() {
    let numeric = |values: Vec<i128>, precision, scale| {
        array(Decimal128Array::from(values).with_precision_and_scale(precision, scale).expect("a decimal"))
    };
    becomes(array(Int64Array::from(vec![-12, 0])), CopyType::Numeric(5, 2), numeric(vec![-1200, 0], 5, 2));
    becomes(numeric(vec![-120, 5000], 10, 1), CopyType::Numeric(5, 2), numeric(vec![-1200, 50_000], 5, 2));
    becomes(numeric(vec![-1200, 99_990], 10, 3), CopyType::Numeric(4, 2), numeric(vec![-120, 9999], 4, 2));
    becomes(numeric(vec![12], 10, -2), CopyType::Numeric(4, 0), numeric(vec![1200], 4, 0));
    let small = Decimal32Array::from(vec![-1234]).with_precision_and_scale(5, 3).expect("a decimal");
    becomes(array(small), CopyType::Numeric(9, 4), numeric(vec![-12_340], 9, 4));
    let long = i256::from_string(&"9".repeat(76)).expect("76 digits");
    let long =
        || array(Decimal256Array::from(vec![long]).with_precision_and_scale(76, 5).expect("a decimal"));
    becomes(long(), CopyType::Numeric(76, 5), long());
    let text =
        ["-0.00120", "12000000.5", "0", "NaN", "-Infinity", "100000000000000000000000000000000000000000.1"];
    becomes(
        array(StringArray::from(text.to_vec())),
        CopyType::NumericText,
        array(StringArray::from(text.to_vec())),
    );
    becomes(
        numeric(vec![-1200, 7], 9, 3),
        CopyType::NumericText,
        array(StringArray::from(vec!["-1.200", "0.007"])),
    );
}

#[test]
fn lists_go_into_arrays_of_one_dimension() {
    let mut numbers = ListBuilder::new(Int32Builder::new());
    numbers.append_value([Some(1), None]);
    numbers.append_null();
    numbers.append_value([]);
    let numbers = array(numbers.finish());
    becomes(Arc::clone(&numbers), CopyType::Array(Box::new(CopyType::Int4), 23), Arc::clone(&numbers));
    becomes(numbers.slice(1, 2), CopyType::Array(Box::new(CopyType::Int4), 23), numbers.slice(1, 2));
    let mut words = builder::LargeListBuilder::new(StringBuilder::new());
    words.append_value([Some("a")]);
    let bytes = sent(array(words.finish()), CopyType::Array(Box::new(CopyType::Text), 25)).expect("a text[]");
    let found = received(&bytes, CopyType::Array(Box::new(CopyType::Text), 25)).expect("a list");
    assert_eq!(found.as_list::<i32>().value(0).as_string::<i32>().value(0), "a");
}

#[test]
fn values_that_would_change_are_refused_with_their_row_and_column() {
    let text = |text: &str| array(StringArray::from(vec![text]));
    let decimal = |value, scale| {
        array(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).expect("a decimal"))
    };
    let late = TimestampSecondArray::from(vec![i64::MAX]);
    let cases: Vec<(ArrayRef, CopyType, &str)> = vec![
        (
            array(UInt64Array::from(vec![0, u64::MAX])),
            CopyType::Int8,
            "row 2, column `c`: 18446744073709551615 is no bigint",
        ),
        (array(Int32Array::from(vec![70_000])), CopyType::Int2, "row 1, column `c`: 70000 is no smallint"),
        (
            array(Float64Array::from(vec![0.1])),
            CopyType::Float4,
            "row 1, column `c`: 0.1 would be rounded to a real",
        ),
        (text("a\0"), CopyType::Text, "row 1, column `c`: no text of Postgres has a zero byte"),
        (text("1e5"), CopyType::NumericText, "row 1, column `c`: the text is no number"),
        (
            decimal(1205, 3),
            CopyType::Numeric(9, 2),
            "row 1, column `c`: the number has more than 2 digits behind the point",
        ),
        (
            decimal(100_000, 2),
            CopyType::Numeric(5, 2),
            "row 1, column `c`: the number does not fit numeric(5,2)",
        ),
        (
            array(Int64Array::from(vec![1000])),
            CopyType::Numeric(5, 2),
            "row 1, column `c`: the number does not fit numeric(5,2)",
        ),
        (array(Date64Array::from(vec![1])), CopyType::Date, "row 1, column `c`: the date has a time of day"),
        (
            array(Date32Array::from(vec![i32::MIN])),
            CopyType::Date,
            "row 1, column `c`: the date lies outside of those of Postgres",
        ),
        (
            array(Time64MicrosecondArray::from(vec![-1])),
            CopyType::Time,
            "row 1, column `c`: the time lies outside of a day",
        ),
        (
            array(Time64NanosecondArray::from(vec![1])),
            CopyType::Time,
            "row 1, column `c`: the value has nanoseconds, and Postgres keeps microseconds",
        ),
        (array(late), CopyType::Timestamp, "row 1, column `c`: the value is too large"),
        (
            array(TimestampMicrosecondArray::from(vec![i64::MIN])),
            CopyType::Timestamp,
            "row 1, column `c`: the timestamp lies outside of those of Postgres",
        ),
    ];
    for (values, data_type, expected) in cases {
        assert_eq!(refusal(sent(values, data_type)), format!("cast_failed: {expected}"));
    }
}

#[test]
fn types_that_are_no_pair_are_refused_before_a_row_is_read() {
    let found = refusal(sent(array(Float64Array::from(vec![1.0])), CopyType::Int4));
    assert_eq!(found, "invalid_value: values of the type Float64 do not go into the column `c`, integer");
    let moment = TimestampMicrosecondArray::from(vec![0]);
    let found = refusal(sent(array(moment.clone()), CopyType::TimestampTz));
    assert_eq!(
        found,
        "invalid_value: values of the type Timestamp(µs) do not go into the column `c`, timestamptz"
    );
    let found = refusal(sent(array(moment.with_timezone("UTC")), CopyType::Timestamp));
    assert_eq!(
        found,
        "invalid_value: values of the type Timestamp(µs, \"UTC\") do not go into the column `c`, timestamp"
    );
    let schema = Schema::new(vec![Field::new("c", DataType::Int64, true)]);
    let found = refusal(Encoder::new(Vec::new(), &schema));
    assert_eq!(found, "invalid_value: the rows have 1 columns, and the table takes 0");
}

#[test]
fn what_arrow_does_not_hold_is_refused_with_its_row_and_column() {
    let two_dimensions = [&2_i32.to_be_bytes()[..], &[0; 8], &[0; 16]].concat();
    let from_zero =
        [&1_i32.to_be_bytes()[..], &[0; 8], &1_i32.to_be_bytes(), &[0; 4], &(-1_i32).to_be_bytes()].concat();
    let numbers = || CopyType::Array(Box::new(CopyType::Int4), 23);
    let infinite = [&i64::MAX.to_be_bytes()[..], &i32::MAX.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    let cases: Vec<(CopyType, Vec<u8>, &str)> = vec![
        (
            CopyType::Date,
            i32::MAX.to_be_bytes().to_vec(),
            "cast_failed: row 1, column `c`: no date of Arrow is infinite",
        ),
        (
            CopyType::TimestampTz,
            i64::MIN.to_be_bytes().to_vec(),
            "cast_failed: row 1, column `c`: no timestamp of Arrow is infinite",
        ),
        (
            CopyType::Timestamp,
            9_223_371_331_199_999_999_i64.to_be_bytes().to_vec(),
            "cast_failed: row 1, column `c`: a timestamp of Arrow ends in the year 294247",
        ),
        (CopyType::Interval, infinite, "cast_failed: row 1, column `c`: no interval of Arrow is infinite"),
        (
            CopyType::Interval,
            [&i64::MIN.to_be_bytes()[..], &[0; 8]].concat(),
            "cast_failed: row 1, column `c`: the hours of an interval of Arrow end after 292 years",
        ),
        (
            CopyType::Time,
            86_400_000_000_i64.to_be_bytes().to_vec(),
            "cast_failed: row 1, column `c`: a time of Arrow lies before 24:00:00",
        ),
        (
            CopyType::Numeric(9, 2),
            vec![0, 0, 0, 0, 0xc0, 0, 0, 0],
            "cast_failed: row 1, column `c`: no decimal is NaN",
        ),
        (
            CopyType::Numeric(3, 2),
            support::numeric(false, "1000", 2),
            "cast_failed: row 1, column `c`: the number has more digits than the column",
        ),
        (
            CopyType::Numeric(9, 2),
            support::numeric(false, "1001", 3),
            "cast_failed: row 1, column `c`: the number has more digits than the column",
        ),
        (
            numbers(),
            two_dimensions,
            "cast_failed: row 1, column `c`: the array has 2 dimensions, and a list has one",
        ),
        (
            numbers(),
            from_zero,
            "cast_failed: row 1, column `c`: the array begins at 0, and a list has no such beginning",
        ),
        (
            CopyType::Int4,
            vec![0; 8],
            "invalid_value: row 1, column `c`: the value has another length than its type",
        ),
        (CopyType::Text, vec![0xff], "invalid_value: row 1, column `c`: the text is not UTF-8"),
        (
            CopyType::Jsonb,
            vec![2, b'1'],
            "invalid_value: row 1, column `c`: the bytes are no jsonb of version 1",
        ),
    ];
    for (data_type, value, expected) in cases {
        assert_eq!(refusal(received(&stream(&[vec![Some(value)]]), data_type)), expected);
    }
    let found = refusal(received(&stream(&[vec![None], vec![None, None]]), CopyType::Int4));
    assert_eq!(found, "invalid_value: row 2 has 2 fields, and there are 1 columns");
}

/// An interval as Postgres sends it.
fn interval(microseconds: i64, days: i32, months: i32) -> Vec<u8> {
    [&microseconds.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat()
}

#[test]
fn infinite_values_arrive_as_null_where_that_is_said_also_in_a_list() {
    let list = |item: &[u8]| {
        let head = [1_i32, 0, 1082, 2, 1].map(i32::to_be_bytes).concat();
        let framed = |bytes: &[u8]| [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat();
        [head, framed(item), framed(&1_i32.to_be_bytes())].concat()
    };
    let columns = [
        ("day", CopyType::Date, i32::MAX.to_be_bytes().to_vec(), 0_i32.to_be_bytes().to_vec()),
        ("seen", CopyType::TimestampTz, i64::MIN.to_be_bytes().to_vec(), 0_i64.to_be_bytes().to_vec()),
        ("span", CopyType::Interval, interval(i64::MIN, i32::MIN, i32::MIN), interval(1, 0, 0)),
        ("length", CopyType::Length, interval(i64::MAX, i32::MAX, i32::MAX), interval(1, 0, 0)),
        (
            "days",
            CopyType::Array(Box::new(CopyType::Date), 1082),
            list(&i32::MIN.to_be_bytes()),
            list(&0_i32.to_be_bytes()),
        ),
    ];
    let infinite: Vec<_> = columns.iter().map(|column| Some(column.2.clone())).collect();
    let finite: Vec<_> = columns.iter().map(|column| Some(column.3.clone())).collect();
    let bytes = stream(&[infinite, finite]);
    let declared = columns.iter().map(|column| Column::new(column.0, column.1.clone())).collect();
    let mut decoder = Decoder::new(declared, BatchSize::default()).infinity(Infinity::Null);
    decoder.decode(&bytes).expect("nothing is refused");
    let batch = decoder.finish().expect("a whole stream").expect("two rows");
    for column in &batch.columns()[..4] {
        assert_eq!((column.is_null(0), column.is_null(1)), (true, false), "{}", column.data_type());
    }
    let lists = batch.column(4).as_list::<i32>();
    let dates = |row| lists.value(row).as_primitive::<Date32Type>().iter().collect::<Vec<_>>();
    assert_eq!((dates(0), dates(1)), (vec![None, Some(10_958)], vec![Some(10_957), Some(10_958)]));
}

#[test]
fn an_interval_without_months_has_a_length() {
    let length = |bytes| received(&stream(&[vec![Some(bytes)]]), CopyType::Length);
    let of = |microseconds| array(DurationMicrosecondArray::from(vec![microseconds]));
    assert_eq!(&length(interval(-1, 2, 0)).expect("two days"), &of(2 * 86_400_000_000 - 1));
    assert_eq!(
        refusal(length(interval(0, 0, 1))),
        "cast_failed: row 1, column `c`: the interval has months or years, which have no length"
    );
    assert_eq!(
        refusal(length(interval(0, i32::MAX, 0))),
        "cast_failed: row 1, column `c`: a duration of Arrow ends after 292,000 years"
    );
}

#[test]
fn the_dictionary_of_an_enum_has_its_labels_in_order_in_every_batch() {
    let columns = vec![Column::new("mood", CopyType::Enum(moods()))];
    let size = BatchSize { rows: 1, bytes: 1000 };
    let mut decoder = Decoder::new(columns.clone(), size);
    let rows = [Some("été"), None].map(|mood| vec![mood.map(|mood| mood.as_bytes().to_vec())]);
    let batches = decoder.decode(&stream(&rows)).expect("labels");
    let expected = |key| {
        let labels = StringArray::from_iter_values(moods().iter());
        array(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![key]), Arc::new(labels)))
    };
    let found: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(0)).collect();
    assert_eq!(found, [&expected(Some(2)), &expected(None)]);
    assert_eq!(decoder.schema().field(0).dict_is_ordered(), Some(true));
    let mut decoder = Decoder::new(columns, size);
    assert_eq!(
        refusal(decoder.decode(&stream(&[vec![Some(b"new".to_vec())]]))),
        "cast_failed: row 1, column `mood`: the value is none of the labels that the type had when the reading began"
    );
}

#[test]
fn text_and_bytes_arrive_as_views_where_they_are_asked_for() {
    let types = [
        CopyType::Text,
        CopyType::Json,
        CopyType::Jsonb,
        CopyType::Bytea,
        CopyType::NumericText,
        CopyType::Int2,
    ];
    let columns: Vec<Column> = types.into_iter().map(|of| Column::new(of.name(), of)).collect();
    let mut decoder = Decoder::new(columns, BatchSize { rows: 2, ..BatchSize::default() }).views();
    let long = "long enough that it stands beside the view, not in it";
    let row = |text: &str| {
        let fields = [text.to_owned(), text.to_owned(), format!("\u{1}{text}"), text.to_owned()];
        let fields = fields.into_iter().map(|field| Some(field.into_bytes()));
        // The number zero.
        fields.chain([Some(vec![0; 8]), Some(vec![0, 7])]).collect::<Vec<_>>()
    };
    let batches = decoder.decode(&stream(&[row("short"), vec![None; 6], row(long)])).expect("values");
    let last = decoder.finish().expect("a whole stream").expect("a row");
    let texts = |values: Vec<Option<&str>>| array(StringViewArray::from(values));
    let bytes = |values: Vec<Option<&[u8]>>| array(BinaryViewArray::from(values));
    let expected = |values: Vec<Option<&str>>| {
        let there: Vec<bool> = values.iter().map(Option::is_some).collect();
        let zeros: Vec<_> = there.iter().map(|there| there.then_some("0")).collect();
        let sevens: Vec<_> = there.iter().map(|there| there.then_some(7)).collect();
        vec![
            texts(values.clone()),
            texts(values.clone()),
            texts(values.clone()),
            bytes(values.iter().map(|value| value.map(str::as_bytes)).collect()),
            array(StringArray::from(zeros)),
            array(Int16Array::from(sevens)),
        ]
    };
    assert_eq!(batches[0].columns(), expected(vec![Some("short"), None]));
    assert_eq!(last.columns(), expected(vec![Some(long)]));
    // To polars JSON is text.
    assert!(last.schema().fields().iter().all(|field| field.metadata().is_empty()));
}

#[test]
fn the_catalogue_says_which_type_arrives() {
    let of = |name: &str| {
        let data_type = Declared::parse(name).expect("a type");
        let facts = Postgres.type_facts(&data_type).expect("a named type");
        CopyType::of("c", &facts, UnscaledNumeric::Refuse)
    };
    let array_of = |name: &str, oid: u32| {
        let facts = TypeFacts {
            wire: Wire { name: name.to_owned(), oid: Some(oid) },
            ..TypeFacts::assumed(name.to_owned())
        };
        CopyType::of("c", &facts, UnscaledNumeric::Text)
    };
    let pairs = [
        ("integer", CopyType::Int4),
        ("string(5)", CopyType::Text),
        ("numeric(12,2)", CopyType::Numeric(12, 2)),
        ("jsonb", CopyType::Jsonb),
        ("bytes", CopyType::Bytea),
        ("timestamptz", CopyType::TimestampTz),
    ];
    for (name, expected) in pairs {
        assert_eq!(of(name).expect(name), expected);
    }
    let list = |element, oid| CopyType::Array(Box::new(element), oid);
    assert_eq!(array_of("numeric(12,2)[]", 1231).expect("an array"), list(CopyType::Numeric(12, 2), 1700));
    assert_eq!(array_of("character varying(4)[]", 1015).expect("an array"), list(CopyType::Text, 1043));
    // Digits before the point that are always 0, and digits behind it that are.
    assert_eq!(array_of("numeric(3,-2)", 1700).expect("a numeric"), CopyType::Numeric(5, 0));
    assert_eq!(array_of("numeric(2,5)", 1700).expect("a numeric"), CopyType::Numeric(5, 5));
    assert_eq!(array_of("numeric", 1700).expect("a numeric"), CopyType::NumericText);
    assert_eq!(array_of("numeric(100,2)", 1700).expect("a numeric"), CopyType::NumericText);
    let mood = TypeFacts { normal: Some(Normal::Enum), ..TypeFacts::assumed("mood".to_owned()) };
    assert_eq!(CopyType::of("c", &mood, UnscaledNumeric::Refuse).expect("an enum"), CopyType::Text);
    let refused = refusal(of("numeric"));
    assert_eq!(
        refused,
        "invalid_value: the column `c` of type numeric does not come as Arrow: a decimal of Arrow has a precision and a scale"
    );
    let refused = refusal(array_of("inet", 869));
    assert_eq!(
        refused,
        "invalid_value: the column `c` of type inet does not come as Arrow: Arrow has no type for it"
    );
}
