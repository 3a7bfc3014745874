//! The values of one column on their way from text into an array. A value is the one that stands there, or an error.

mod typed;

use crate::fault::shortened;
use crate::moment::{self, Why};
use crate::number::{self, Exact, Misfit};
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    IntervalMonthDayNanoBuilder, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{IntervalMonthDayNano, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, FieldRef};
use ematix_flow_arrow::CopyType;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Why a value is none of the column's, before its place is known.
pub type Misread = String;

/// The values gathered so far.
pub struct Cells {
    data_type: CopyType,
    values: Values,
}

enum Values {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric(u8, u8, Decimal128Builder),
    LongNumeric(u8, u8, Decimal256Builder),
    NumericText(StringBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
    Bytea(BinaryBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampTz(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    List { field: FieldRef, lengths: Vec<usize>, present: NullBufferBuilder, items: Box<Cells> },
}

impl Cells {
    /// None yet.
    pub fn new(data_type: &CopyType) -> Cells {
        let arrow = data_type.arrow();
        let values = match data_type {
            CopyType::Bool => Values::Bool(BooleanBuilder::new()),
            CopyType::Int2 => Values::Int2(Int16Builder::new()),
            CopyType::Int4 => Values::Int4(Int32Builder::new()),
            CopyType::Int8 => Values::Int8(Int64Builder::new()),
            CopyType::Float4 => Values::Float4(Float32Builder::new()),
            CopyType::Float8 => Values::Float8(Float64Builder::new()),
            CopyType::Numeric(precision @ ..=38, scale) => {
                Values::Numeric(*precision, *scale, Decimal128Builder::new().with_data_type(arrow))
            }
            CopyType::Numeric(precision, scale) => {
                Values::LongNumeric(*precision, *scale, Decimal256Builder::new().with_data_type(arrow))
            }
            CopyType::NumericText => Values::NumericText(StringBuilder::new()),
            // As labels and lengths values are read by a database alone.
            CopyType::Text | CopyType::Enum(_) => Values::Text(StringBuilder::new()),
            CopyType::Json | CopyType::Jsonb => Values::Json(StringBuilder::new()),
            CopyType::Bytea => Values::Bytea(BinaryBuilder::new()),
            CopyType::Uuid => Values::Uuid(FixedSizeBinaryBuilder::new(16)),
            CopyType::Date => Values::Date(Date32Builder::new()),
            CopyType::Time => Values::Time(Time64MicrosecondBuilder::new()),
            CopyType::Timestamp => {
                Values::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(arrow))
            }
            CopyType::TimestampTz => {
                Values::TimestampTz(TimestampMicrosecondBuilder::new().with_data_type(arrow))
            }
            CopyType::Interval | CopyType::Length => Values::Interval(IntervalMonthDayNanoBuilder::new()),
            CopyType::Array(element, _) => {
                let DataType::List(field) = arrow else { unreachable!("an array arrives as a list") };
                Values::List {
                    field,
                    lengths: Vec::new(),
                    present: NullBufferBuilder::new(0),
                    items: Box::new(Cells::new(element)),
                }
            }
        };
        Cells { data_type: data_type.clone(), values }
    }

    /// Takes a value as text has it.
    ///
    /// # Errors
    /// One that is no value of the column.
    pub fn push(&mut self, text: &str) -> Result<(), Misread> {
        let bare = text.trim();
        let told = &self.data_type;
        let no = |why: Why| misread(text, told, Some(why));
        match &mut self.values {
            Values::Text(into) => into.append_value(checked(text)?),
            Values::Json(into) => {
                serde_json::from_str::<IgnoredAny>(text)
                    .map_err(|error| misread(text, told, Some(&error.to_string())))?;
                into.append_value(checked(bare)?);
            }
            Values::Bool(into) => into.append_value(boolean(bare).ok_or_else(|| misread(text, told, None))?),
            Values::Int2(into) => into.append_value(whole(bare, text, told)?),
            Values::Int4(into) => into.append_value(whole(bare, text, told)?),
            Values::Int8(into) => into.append_value(whole(bare, text, told)?),
            Values::Float4(into) => {
                into.append_value(float(bare, f32::is_finite).ok_or_else(|| misread(text, told, None))?);
            }
            Values::Float8(into) => {
                into.append_value(float(bare, f64::is_finite).ok_or_else(|| misread(text, told, None))?);
            }
            Values::Numeric(precision, scale, into) => into.append_value(
                number::decimal(bare, *precision, *scale).map_err(|misfit| not_fit(misfit, text, told))?,
            ),
            Values::LongNumeric(precision, scale, into) => into.append_value(
                number::long_decimal(bare, *precision, *scale)
                    .map_err(|misfit| not_fit(misfit, text, told))?,
            ),
            Values::NumericText(into) => match (Exact::parse(bare), bare) {
                (Some(exact), _) => into.append_value(exact.text()),
                (None, "NaN" | "Infinity" | "-Infinity") => into.append_value(bare),
                (None, _) => return Err(misread(text, told, None)),
            },
            Values::Bytea(into) => into.append_value(
                bare.strip_prefix("\\x")
                    .and_then(hexadecimal)
                    .ok_or_else(|| no("bytes are written as \\x00ff"))?,
            ),
            Values::Uuid(into) => {
                let bytes = uuid(bare).ok_or_else(|| misread(text, told, None))?;
                into.append_value(bytes).expect("sixteen bytes");
            }
            Values::Date(into) => into.append_value(moment::date(bare).map_err(no)?),
            Values::Time(into) => into.append_value(moment::time(bare).map_err(no)?),
            Values::Timestamp(into) => into.append_value(moment::timestamp(bare).map_err(no)?),
            Values::TimestampTz(into) => into.append_value(moment::instant(bare).map_err(no)?),
            Values::Interval(into) => into.append_value(
                interval(bare).ok_or_else(|| no("it is not written as P1DT2H or 1 day 2 hours"))?,
            ),
            Values::List { .. } => match serde_json::from_str::<&RawValue>(bare) {
                Ok(raw) if bare.starts_with('[') => return self.push_json(raw.get()),
                _ => return Err(misread(text, told, Some("a list is written as JSON: [1, 2]"))),
            },
        }
        Ok(())
    }

    /// Takes a value as JSON has it: the text of one value, without blanks around it.
    ///
    /// # Errors
    /// One that is no value of the column.
    pub fn push_json(&mut self, raw: &str) -> Result<(), Misread> {
        if raw == "null" {
            self.push_null();
            return Ok(());
        }
        if let Values::Json(into) = &mut self.values {
            into.append_value(raw);
            return Ok(());
        }
        match (raw.as_bytes().first(), &mut self.values) {
            (Some(b'['), Values::List { lengths, present, items, .. }) => {
                let elements: Vec<&RawValue> =
                    serde_json::from_str(raw).map_err(|error| error.to_string())?;
                for element in &elements {
                    items.push_json(element.get())?;
                }
                lengths.push(elements.len());
                present.append_non_null();
                Ok(())
            }
            (_, Values::List { .. }) => Err(misread(raw, &self.data_type, Some("it is no list"))),
            (Some(b'"'), _) => match &raw[1..raw.len() - 1] {
                plain if !plain.contains('\\') => self.push(plain),
                _ => {
                    let text: String = serde_json::from_str(raw).map_err(|error| error.to_string())?;
                    self.push(&text)
                }
            },
            (Some(b'[' | b'{'), values) if !matches!(values, Values::Text(_)) => {
                Err(misread(raw, &self.data_type, None))
            }
            _ => self.push(raw),
        }
    }

    /// Takes a NULL.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(into) => into.append_null(),
            Values::Int2(into) => into.append_null(),
            Values::Int4(into) => into.append_null(),
            Values::Int8(into) => into.append_null(),
            Values::Float4(into) => into.append_null(),
            Values::Float8(into) => into.append_null(),
            Values::Numeric(_, _, into) => into.append_null(),
            Values::LongNumeric(_, _, into) => into.append_null(),
            Values::NumericText(into) | Values::Text(into) | Values::Json(into) => into.append_null(),
            Values::Bytea(into) => into.append_null(),
            Values::Uuid(into) => into.append_null(),
            Values::Date(into) => into.append_null(),
            Values::Time(into) => into.append_null(),
            Values::Timestamp(into) | Values::TimestampTz(into) => into.append_null(),
            Values::Interval(into) => into.append_null(),
            Values::List { lengths, present, .. } => {
                lengths.push(0);
                present.append_null();
            }
        }
    }

    /// The array of the values, of which none are left.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Bool(from) => Arc::new(from.finish()),
            Values::Int2(from) => Arc::new(from.finish()),
            Values::Int4(from) => Arc::new(from.finish()),
            Values::Int8(from) => Arc::new(from.finish()),
            Values::Float4(from) => Arc::new(from.finish()),
            Values::Float8(from) => Arc::new(from.finish()),
            Values::Numeric(_, _, from) => Arc::new(from.finish()),
            Values::LongNumeric(_, _, from) => Arc::new(from.finish()),
            Values::NumericText(from) | Values::Text(from) | Values::Json(from) => Arc::new(from.finish()),
            Values::Bytea(from) => Arc::new(from.finish()),
            Values::Uuid(from) => Arc::new(from.finish()),
            Values::Date(from) => Arc::new(from.finish()),
            Values::Time(from) => Arc::new(from.finish()),
            Values::Timestamp(from) | Values::TimestampTz(from) => Arc::new(from.finish()),
            Values::Interval(from) => Arc::new(from.finish()),
            Values::List { field, lengths, present, items } => {
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                Arc::new(ListArray::new(Arc::clone(field), offsets, items.finish(), present.finish()))
            }
        }
    }
}

#[cold]
fn misread(text: &str, told: &CopyType, why: Option<&str>) -> Misread {
    match why {
        Some(why) => format!("{} is no {}: {why}", shortened(text), told.name()),
        None => format!("{} is no {}", shortened(text), told.name()),
    }
}

#[cold]
fn not_fit(misfit: Misfit, text: &str, told: &CopyType) -> Misread {
    let why = match (misfit, told) {
        (Misfit::NoNumber, _) => None,
        (Misfit::Rounded, CopyType::Numeric(_, scale)) => {
            return misread(text, told, Some(&format!("it has more than {scale} digits behind the point")));
        }
        (Misfit::Rounded, _) => Some("it would be rounded"),
        (Misfit::TooLarge, _) => Some("it is too large"),
    };
    misread(text, told, why)
}

/// No text of Postgres holds the character 0.
fn checked(text: &str) -> Result<&str, Misread> {
    match text.contains('\0') {
        true => Err(format!("{} has a NUL character, which no text of Postgres holds", shortened(text))),
        false => Ok(text),
    }
}

fn whole<N: TryFrom<i64>>(bare: &str, text: &str, told: &CopyType) -> Result<N, Misread> {
    let number = number::whole(bare).map_err(|misfit| not_fit(misfit, text, told))?;
    N::try_from(number).map_err(|_| not_fit(Misfit::TooLarge, text, told))
}

/// The words that Postgres takes.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A number that is too large for the type is none of it.
fn float<F: std::str::FromStr + Copy>(text: &str, is_finite: fn(F) -> bool) -> Option<F> {
    let number: F = text.parse().ok()?;
    let is_word = text.bytes().any(|byte| matches!(byte, b'n' | b'N'));
    (is_finite(number) || is_word).then_some(number)
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let digits = match bare.split('-').map(str::len).collect::<Vec<_>>().as_slice() {
        [32] => bare.to_owned(),
        [8, 4, 4, 4, 12] => bare.replace('-', ""),
        _ => return None,
    };
    hexadecimal(&digits)
}

fn interval(text: &str) -> Option<IntervalMonthDayNano> {
    // As Postgres writes months.
    let words = text.replace("mons", "months").replace("mon ", "month ");
    let words = words.strip_suffix("mon").map(|rest| format!("{rest}month")).unwrap_or(words);
    let span: jiff::Span = words.parse().ok()?;
    let months = i32::from(span.get_years()).checked_mul(12)?.checked_add(span.get_months())?;
    let days = span.get_weeks().checked_mul(7)?.checked_add(span.get_days())?;
    let seconds =
        i64::from(span.get_hours()).checked_mul(60)?.checked_add(span.get_minutes())?.checked_mul(60)?;
    let nanoseconds = [
        seconds.checked_add(span.get_seconds())?.checked_mul(1_000_000_000)?,
        span.get_milliseconds().checked_mul(1_000_000)?,
        span.get_microseconds().checked_mul(1000)?,
        span.get_nanoseconds(),
    ];
    let nanoseconds = nanoseconds.into_iter().try_fold(0_i64, i64::checked_add)?;
    Some(IntervalMonthDayNano::new(months, days, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_read_as_iso_and_as_postgres_write_it() {
        let parts = |text| interval(text).map(|found| (found.months, found.days, found.nanoseconds));
        let second = 1_000_000_000;
        assert_eq!(parts("P1Y2M3DT4H5M6.5S"), Some((14, 3, (4 * 3600 + 5 * 60 + 6) * second + second / 2)));
        assert_eq!(parts("1 year 2 mons 3 days 04:05:06"), Some((14, 3, (4 * 3600 + 5 * 60 + 6) * second)));
        assert_eq!(parts("1 mon"), Some((1, 0, 0)));
        assert_eq!(parts("-P1D"), Some((0, -1, 0)));
        assert_eq!(parts("yesterday"), None);
    }

    #[test]
    fn a_uuid_and_bytes_have_their_digits() {
        let bytes: Vec<u8> = (0..16).collect();
        for text in [
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
            "000102030405060708090A0B0C0D0E0F",
            "{00010203-0405-0607-0809-0a0b0c0d0e0f}",
        ] {
            assert_eq!(uuid(text), Some(bytes.clone()), "{text}");
        }
        assert_eq!(uuid("0001020304050607080-90a0b0c0d0e0f"), None);
        assert_eq!(hexadecimal("0g"), None);
        assert_eq!(hexadecimal("0"), None);
    }
}
