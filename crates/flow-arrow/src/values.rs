//! The values of one column on their way into an array.

use crate::fault::Fault;
use crate::labels::Labels;
use crate::numeric::{self, Number};
use crate::types::CopyType;
use arrow_array::builder::{
    BinaryBuilder, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    DurationMicrosecondBuilder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, StringBuilder, StringViewBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{Array, ArrayRef, ListArray, new_empty_array};
use arrow_buffer::{IntervalMonthDayNano, NullBufferBuilder, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::{DataType, FieldRef};
use std::sync::Arc;

/// Days from 1970 to 2000, where Postgres begins to count.
pub const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// A day in microseconds.
pub const DAY: i64 = 86_400_000_000;

/// What becomes of dates, times and intervals that are infinite, of which Arrow has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Infinity {
    /// They are an error.
    #[default]
    Refuse,
    /// They arrive as NULL.
    Null,
    /// They arrive as DuckDB writes them: the greatest number, and its negative. Of intervals it has none.
    Extreme,
}

/// The values gathered so far.
pub enum Values {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric { scale: u8, bound: i128, into: Decimal128Builder },
    LongNumeric { scale: u8, bound: i256, into: Decimal256Builder },
    NumericText(String, StringBuilder),
    Text(StringBuilder),
    TextView(StringViewBuilder),
    Jsonb(StringBuilder),
    JsonbView(StringViewBuilder),
    Bytea(BinaryBuilder),
    ByteaView(BinaryViewBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Length(DurationMicrosecondBuilder),
    Enum(Labels),
    List(Box<List>),
}

/// Lists gathered so far.
pub struct List {
    field: FieldRef,
    ends: Vec<i32>,
    present: NullBufferBuilder,
    items: Values,
}

/// How much room an array takes: that of the batch before tells that of the next. An array that grows is copied, and its
/// memory touched twice.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    /// That of an array, with a little more for the bytes of a next one of so many rows at most.
    fn of(array: &dyn Array, rows: usize) -> Room {
        let data = array.to_data();
        let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::Binary);
        let bytes = if is_text { data.buffers()[1].len() } else { 0 };
        Room { rows: (array.len() + array.len() / 8).min(rows), bytes: bytes + bytes / 16 }
    }
}

impl Values {
    /// None yet.
    pub fn new(data_type: &CopyType) -> Values {
        Values::with_room(data_type, Room::default())
    }

    /// None yet, as views where it is text or bytes: short values stand in the array itself.
    pub fn viewed(data_type: &CopyType) -> Values {
        match data_type {
            CopyType::Text | CopyType::Json => Values::TextView(StringViewBuilder::new()),
            CopyType::Jsonb => Values::JsonbView(StringViewBuilder::new()),
            CopyType::Bytea => Values::ByteaView(BinaryViewBuilder::new()),
            other => Values::new(other),
        }
    }

    /// Makes room for as many values as an array had that was finished, and so many rows at most. What has numbers of its
    /// own for all batches, or values within values, grows by itself, as views do, which are never copied.
    pub fn make_room(&mut self, data_type: &CopyType, array: &dyn Array, rows: usize) {
        let grows = matches!(
            self,
            Values::Enum(_)
                | Values::List(_)
                | Values::TextView(_)
                | Values::JsonbView(_)
                | Values::ByteaView(_)
        );
        if !grows {
            *self = Values::with_room(data_type, Room::of(array, rows));
        }
    }

    fn with_room(data_type: &CopyType, Room { rows, bytes }: Room) -> Values {
        let arrow = data_type.arrow();
        match data_type {
            CopyType::Bool => Values::Bool(BooleanBuilder::with_capacity(rows)),
            CopyType::Int2 => Values::Int2(Int16Builder::with_capacity(rows)),
            CopyType::Int4 => Values::Int4(Int32Builder::with_capacity(rows)),
            CopyType::Int8 => Values::Int8(Int64Builder::with_capacity(rows)),
            CopyType::Float4 => Values::Float4(Float32Builder::with_capacity(rows)),
            CopyType::Float8 => Values::Float8(Float64Builder::with_capacity(rows)),
            CopyType::Numeric(precision @ ..=38, scale) => Values::Numeric {
                scale: *scale,
                bound: 10_i128.pow(u32::from(*precision)),
                into: Decimal128Builder::with_capacity(rows).with_data_type(arrow),
            },
            CopyType::Numeric(precision, scale) => Values::LongNumeric {
                scale: *scale,
                bound: i256::from_i128(10).wrapping_pow(u32::from(*precision)),
                into: Decimal256Builder::with_capacity(rows).with_data_type(arrow),
            },
            CopyType::NumericText => {
                Values::NumericText(String::new(), StringBuilder::with_capacity(rows, bytes))
            }
            CopyType::Text | CopyType::Json => Values::Text(StringBuilder::with_capacity(rows, bytes)),
            CopyType::Jsonb => Values::Jsonb(StringBuilder::with_capacity(rows, bytes)),
            CopyType::Bytea => Values::Bytea(BinaryBuilder::with_capacity(rows, bytes)),
            CopyType::Uuid => Values::Uuid(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
            CopyType::Date => Values::Date(Date32Builder::with_capacity(rows)),
            CopyType::Time => Values::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            CopyType::Timestamp | CopyType::TimestampTz => {
                Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(arrow))
            }
            CopyType::Interval => Values::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            CopyType::Length => Values::Length(DurationMicrosecondBuilder::with_capacity(rows)),
            CopyType::Enum(labels) => Values::Enum(Labels::new(labels)),
            CopyType::Array(element, _) => {
                let DataType::List(field) = arrow else { unreachable!("an array arrives as a list") };
                Values::List(Box::new(List {
                    field,
                    ends: Vec::new(),
                    present: NullBufferBuilder::new(0),
                    items: Values::new(element),
                }))
            }
        }
    }

    /// Takes one more.
    pub fn push(&mut self, field: Option<&[u8]>, infinity: Infinity) -> Result<(), Fault> {
        let Some(bytes) = field else {
            self.push_null();
            return Ok(());
        };
        match self.push_value(bytes, infinity) {
            Err(fault) if fault.is_infinite() && infinity == Infinity::Null => {
                self.push_null();
                Ok(())
            }
            Err(fault) if fault.is_infinite() && infinity == Infinity::Extreme => match self {
                Values::Date(into) => {
                    let days = i32::from_be_bytes(exactly(bytes)?);
                    into.append_value(days.max(-i32::MAX));
                    Ok(())
                }
                Values::Timestamp(into) => {
                    let microseconds = i64::from_be_bytes(exactly(bytes)?);
                    into.append_value(microseconds.max(-i64::MAX));
                    Ok(())
                }
                _ => Err(fault),
            },
            pushed => pushed,
        }
    }

    fn push_value(&mut self, bytes: &[u8], infinity: Infinity) -> Result<(), Fault> {
        match self {
            Values::Bool(into) => into.append_value(boolean(bytes)?),
            Values::Int2(into) => into.append_value(i16::from_be_bytes(exactly(bytes)?)),
            Values::Int4(into) => into.append_value(i32::from_be_bytes(exactly(bytes)?)),
            Values::Int8(into) => into.append_value(i64::from_be_bytes(exactly(bytes)?)),
            Values::Float4(into) => into.append_value(f32::from_be_bytes(exactly(bytes)?)),
            Values::Float8(into) => into.append_value(f64::from_be_bytes(exactly(bytes)?)),
            Values::Numeric { scale, bound, into } => match numeric::parse(bytes)? {
                Number::Finite(groups) => into.append_value(groups.unscaled(*scale, *bound)?),
                Number::Other(name) => return Err(no_decimal(name)),
            },
            Values::LongNumeric { scale, bound, into } => match numeric::parse(bytes)? {
                Number::Finite(groups) => into.append_value(groups.unscaled(*scale, *bound)?),
                Number::Other(name) => return Err(no_decimal(name)),
            },
            Values::NumericText(text, into) => match numeric::parse(bytes)? {
                Number::Finite(groups) => {
                    text.clear();
                    groups.text(text);
                    into.append_value(&text);
                }
                Number::Other(name) => into.append_value(name),
            },
            Values::Text(into) => into.append_value(utf8(bytes)?),
            Values::TextView(into) => into.append_value(utf8(bytes)?),
            Values::Jsonb(into) => into.append_value(jsonb(bytes)?),
            Values::JsonbView(into) => into.append_value(jsonb(bytes)?),
            Values::Bytea(into) => into.append_value(bytes),
            Values::ByteaView(into) => into.append_value(bytes),
            Values::Uuid(into) => into.append_value(exactly::<16>(bytes)?).expect("sixteen bytes"),
            Values::Date(into) => into.append_value(date(bytes)?),
            Values::Time(into) => into.append_value(time(bytes)?),
            Values::Timestamp(into) => into.append_value(moment(bytes)?),
            Values::Interval(into) => into.append_value(interval(bytes)?),
            Values::Length(into) => into.append_value(length(bytes)?),
            Values::Enum(labels) => labels.push(utf8(bytes)?)?,
            Values::List(list) => list.push(bytes, infinity)?,
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match self {
            Values::Bool(into) => into.append_null(),
            Values::Int2(into) => into.append_null(),
            Values::Int4(into) => into.append_null(),
            Values::Int8(into) => into.append_null(),
            Values::Float4(into) => into.append_null(),
            Values::Float8(into) => into.append_null(),
            Values::Numeric { into, .. } => into.append_null(),
            Values::LongNumeric { into, .. } => into.append_null(),
            Values::NumericText(_, into) | Values::Text(into) | Values::Jsonb(into) => into.append_null(),
            Values::TextView(into) | Values::JsonbView(into) => into.append_null(),
            Values::Bytea(into) => into.append_null(),
            Values::ByteaView(into) => into.append_null(),
            Values::Uuid(into) => into.append_null(),
            Values::Date(into) => into.append_null(),
            Values::Time(into) => into.append_null(),
            Values::Timestamp(into) => into.append_null(),
            Values::Interval(into) => into.append_null(),
            Values::Length(into) => into.append_null(),
            Values::Enum(labels) => labels.push_null(),
            Values::List(list) => {
                list.ends.push(list.ends.last().copied().unwrap_or(0));
                list.present.append_null();
            }
        }
    }

    /// The array of the values, of which none are left.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Bool(from) => Arc::new(from.finish()),
            Values::Int2(from) => Arc::new(from.finish()),
            Values::Int4(from) => Arc::new(from.finish()),
            Values::Int8(from) => Arc::new(from.finish()),
            Values::Float4(from) => Arc::new(from.finish()),
            Values::Float8(from) => Arc::new(from.finish()),
            Values::Numeric { into, .. } => Arc::new(into.finish()),
            Values::LongNumeric { into, .. } => Arc::new(into.finish()),
            Values::NumericText(_, from) | Values::Text(from) | Values::Jsonb(from) => {
                Arc::new(from.finish())
            }
            Values::TextView(from) | Values::JsonbView(from) => Arc::new(from.finish()),
            Values::Bytea(from) => Arc::new(from.finish()),
            Values::ByteaView(from) => Arc::new(from.finish()),
            Values::Uuid(from) => Arc::new(from.finish()),
            Values::Date(from) => Arc::new(from.finish()),
            Values::Time(from) => Arc::new(from.finish()),
            Values::Timestamp(from) => Arc::new(from.finish()),
            Values::Interval(from) => Arc::new(from.finish()),
            Values::Length(from) => Arc::new(from.finish()),
            Values::Enum(labels) => labels.finish(),
            Values::List(list) => list.finish(),
        }
    }
}

impl List {
    /// Dimensions, whether there is a NULL, the element's type; length and lower bound; the elements.
    fn push(&mut self, bytes: &[u8], infinity: Infinity) -> Result<(), Fault> {
        let malformed = || Fault::malformed("the bytes are no array");
        let mut rest = bytes;
        let number = |rest: &mut &[u8]| {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
            *rest = tail;
            Ok::<i32, Fault>(i32::from_be_bytes(*head))
        };
        let dimensions = number(&mut rest)?;
        let (_null_flag, _element) = (number(&mut rest)?, number(&mut rest)?);
        let length = match dimensions {
            0 => 0,
            1 => {
                let (length, lower) = (number(&mut rest)?, number(&mut rest)?);
                if lower != 1 && length != 0 {
                    return Err(Fault::not_held(format!(
                        "the array begins at {lower}, and a list has no such beginning"
                    )));
                }
                length
            }
            2.. => {
                return Err(Fault::not_held(format!(
                    "the array has {dimensions} dimensions, and a list has one"
                ))
                .hint("send it as text or as JSON: to_json(…)"));
            }
            _ => return Err(malformed()),
        };
        for _ in 0..length {
            let size = number(&mut rest)?;
            if size == -1 {
                self.items.push(None, infinity)?;
                continue;
            }
            let (item, tail) = usize::try_from(size)
                .ok()
                .and_then(|size| rest.split_at_checked(size))
                .ok_or_else(malformed)?;
            self.items.push(Some(item), infinity)?;
            rest = tail;
        }
        if length < 0 || !rest.is_empty() {
            return Err(malformed());
        }
        let end = self.ends.last().copied().unwrap_or(0).checked_add(length);
        self.ends.push(end.ok_or_else(|| Fault::not_held("the lists have too many elements"))?);
        self.present.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        if self.ends.is_empty() {
            return new_empty_array(&DataType::List(Arc::clone(&self.field)));
        }
        let offsets: Vec<i32> = std::iter::once(0).chain(std::mem::take(&mut self.ends)).collect();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Arc::new(ListArray::new(Arc::clone(&self.field), offsets, self.items.finish(), self.present.finish()))
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::malformed("the value has another length than its type"))
}

fn boolean(bytes: &[u8]) -> Result<bool, Fault> {
    match bytes {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Fault::malformed("the byte is no boolean")),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::malformed("the text is not UTF-8"))
}

fn jsonb(bytes: &[u8]) -> Result<&str, Fault> {
    match bytes {
        [1, text @ ..] => utf8(text),
        _ => Err(Fault::malformed("the bytes are no jsonb of version 1")),
    }
}

#[cold]
fn no_decimal(name: &str) -> Fault {
    Fault::not_held(format!("no decimal is {name}"))
        .hint("send NULL instead, nullif(…, 'NaN'), or the number as text")
}

fn date(bytes: &[u8]) -> Result<i32, Fault> {
    match i32::from_be_bytes(exactly(bytes)?) {
        i32::MIN | i32::MAX => Err(Fault::infinite("date")),
        days => {
            days.checked_add(EPOCH_DAYS).ok_or_else(|| Fault::malformed("the date lies after every other"))
        }
    }
}

fn time(bytes: &[u8]) -> Result<i64, Fault> {
    match i64::from_be_bytes(exactly(bytes)?) {
        DAY => Err(Fault::not_held("a time of Arrow lies before 24:00:00")),
        time @ 0..DAY => Ok(time),
        _ => Err(Fault::malformed("the time lies outside of a day")),
    }
}

fn moment(bytes: &[u8]) -> Result<i64, Fault> {
    match i64::from_be_bytes(exactly(bytes)?) {
        i64::MIN | i64::MAX => Err(Fault::infinite("timestamp")),
        microseconds => microseconds
            .checked_add(EPOCH_MICROSECONDS)
            .ok_or_else(|| Fault::not_held("a timestamp of Arrow ends in the year 294247")),
    }
}

/// Microseconds, days and months.
fn parts(bytes: &[u8]) -> Result<(i64, i32, i32), Fault> {
    let sent = exactly::<16>(bytes)?;
    let microseconds = i64::from_be_bytes(*sent.first_chunk().expect("sixteen bytes"));
    let (days, months) = sent[8..].split_at(4);
    let number = |bytes: &[u8]| i32::from_be_bytes(bytes.try_into().expect("four bytes"));
    match (microseconds, number(days), number(months)) {
        (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN) => Err(Fault::infinite("interval")),
        parts => Ok(parts),
    }
}

fn interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, Fault> {
    let (microseconds, days, months) = parts(bytes)?;
    match microseconds.checked_mul(1000) {
        Some(nanoseconds) => Ok(IntervalMonthDayNano::new(months, days, nanoseconds)),
        None => Err(Fault::not_held("the hours of an interval of Arrow end after 292 years")),
    }
}

fn length(bytes: &[u8]) -> Result<i64, Fault> {
    let (microseconds, days, months) = parts(bytes)?;
    if months != 0 {
        return Err(Fault::not_held("the interval has months or years, which have no length")
            .hint("send it as text, or justify it in the query: extract(epoch FROM …)"));
    }
    let length = i64::from(days).checked_mul(DAY).and_then(|days| days.checked_add(microseconds));
    length.ok_or_else(|| Fault::not_held("a duration of Arrow ends after 292,000 years"))
}
