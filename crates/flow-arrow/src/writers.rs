//! The values of one array as Postgres receives them, for each pair of types that loses nothing or can say where.

use crate::fault::Fault;
use crate::numeric::{Declared, write_digits, write_small, write_text};
use crate::types::CopyType;
use crate::values::{DAY, EPOCH_DAYS, EPOCH_MICROSECONDS};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, OffsetSizeTrait, PrimitiveArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use std::fmt::Display;

type Outcome = Result<(), Fault>;
/// Writes the value of a row that is not NULL, without its length.
type Put<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Outcome + 'a>;

/// Writes the values of one array.
pub struct Writer<'a> {
    nulls: Option<NullBuffer>,
    put: Put<'a>,
}

impl<'a> Writer<'a> {
    /// For a column of the type; `None` where values of the array are no values of it.
    pub fn new(array: &'a dyn Array, to: &'a CopyType) -> Option<Writer<'a>> {
        Some(Writer { nulls: array.logical_nulls(), put: put(array, to)? })
    }

    /// Writes the value of a row after its length.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Outcome {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend((-1_i32).to_be_bytes());
            return Ok(());
        }
        let start = out.len();
        out.extend([0; 4]);
        (self.put)(row, out)?;
        let Ok(length) = i32::try_from(out.len() - start - 4) else {
            return Err(Fault::not_held("the value is longer than 2 GB"));
        };
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// An expression over the values of an array of one of several types.
macro_rules! one_of {
    ($array:expr, $typed:ident, [$($of:pat => $as:ty),* $(,)?], $put:expr) => {
        match $array.data_type() {
            $($of => {
                let $typed = $array.as_primitive::<$as>();
                Some($put)
            })*
            _ => None,
        }
    };
}

macro_rules! integers {
    ($array:expr, $typed:ident, $put:expr) => {
        one_of!(
            $array,
            $typed,
            [
                DataType::Int8 => Int8Type,
                DataType::Int16 => Int16Type,
                DataType::Int32 => Int32Type,
                DataType::Int64 => Int64Type,
                DataType::UInt8 => UInt8Type,
                DataType::UInt16 => UInt16Type,
                DataType::UInt32 => UInt32Type,
                DataType::UInt64 => UInt64Type,
            ],
            $put
        )
    };
}

fn put<'a>(array: &'a dyn Array, to: &'a CopyType) -> Option<Put<'a>> {
    if *array.data_type() == DataType::Null {
        return Some(Box::new(|_, _| unreachable!("every value is NULL")));
    }
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        // A key of a NULL is any number.
        let keys = if dictionary.values().is_empty() { Vec::new() } else { dictionary.normalized_keys() };
        let value = put(dictionary.values().as_ref(), to)?;
        return Some(Box::new(move |row, out| value(keys[row], out)));
    }
    match to {
        CopyType::Bool => {
            let typed = array.as_boolean_opt()?;
            Some(Box::new(move |row, out| {
                out.push(u8::from(typed.value(row)));
                Ok(())
            }))
        }
        CopyType::Int2 => integers!(array, typed, converted(typed, "smallint", i16::to_be_bytes)),
        CopyType::Int4 => integers!(array, typed, converted(typed, "integer", i32::to_be_bytes)),
        CopyType::Int8 => integers!(array, typed, converted(typed, "bigint", i64::to_be_bytes)),
        CopyType::Float4 => real(array),
        CopyType::Float8 => one_of!(
            array,
            typed,
            [
                DataType::Float16 => Float16Type,
                DataType::Float32 => Float32Type,
                DataType::Float64 => Float64Type,
            ],
            converted(typed, "double precision", f64::to_be_bytes)
        ),
        CopyType::Numeric(precision, scale) => numeric(array, Some((*precision, *scale))),
        CopyType::NumericText => numeric(array, None),
        CopyType::Text | CopyType::Json | CopyType::Enum(_) => text(array, &[]),
        CopyType::Jsonb => text(array, &[1]),
        CopyType::Bytea => binary(array),
        CopyType::Uuid => match array.data_type() {
            DataType::FixedSizeBinary(16) => binary(array),
            _ => None,
        },
        CopyType::Date => date(array),
        CopyType::Time => time(array),
        CopyType::Timestamp => match array.data_type() {
            DataType::Timestamp(_, None) => timestamp(array),
            _ => None,
        },
        // Whatever the zone's name, the number is that of the instant.
        CopyType::TimestampTz => match array.data_type() {
            DataType::Timestamp(_, Some(_)) => timestamp(array),
            _ => None,
        },
        CopyType::Interval | CopyType::Length => interval(array),
        CopyType::Array(element, oid) => match array.data_type() {
            DataType::List(_) => list::<i32>(array, element, *oid),
            DataType::LargeList(_) => list::<i64>(array, element, *oid),
            _ => None,
        },
    }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) -> Outcome {
    out.extend_from_slice(value);
    Ok(())
}

/// Numbers of another type, where they are numbers of this one.
fn converted<'a, T: ArrowPrimitiveType, N: TryFrom<T::Native> + 'a, const SIZE: usize>(
    typed: &'a PrimitiveArray<T>,
    what: &'static str,
    sent: fn(N) -> [u8; SIZE],
) -> Put<'a>
where
    T::Native: Display,
{
    Box::new(move |row, out| match N::try_from(typed.value(row)) {
        Ok(value) => bytes(&sent(value), out),
        Err(_) => Err(Fault::not_held(format!("{} is no {what}", typed.value(row)))),
    })
}

/// Numbers that are counted from elsewhere or in another unit.
fn counted<'a, T: ArrowPrimitiveType>(
    typed: &'a PrimitiveArray<T>,
    put: impl Fn(i64, &mut Vec<u8>) -> Outcome + 'a,
) -> Put<'a>
where
    i64: From<T::Native>,
{
    Box::new(move |row, out| put(i64::from(typed.value(row)), out))
}

fn real(array: &dyn Array) -> Option<Put<'_>> {
    match array.data_type() {
        DataType::Float64 => {
            let typed = array.as_primitive::<Float64Type>();
            Some(Box::new(move |row, out| {
                let value = typed.value(row);
                let rounded = value as f32;
                if f64::from(rounded) != value && !value.is_nan() {
                    return Err(Fault::not_held(format!("{value} would be rounded to a real")));
                }
                bytes(&rounded.to_be_bytes(), out)
            }))
        }
        _ => one_of!(
            array,
            typed,
            [DataType::Float16 => Float16Type, DataType::Float32 => Float32Type],
            converted(typed, "real", f32::to_be_bytes)
        ),
    }
}

fn numeric(array: &dyn Array, declared: Declared) -> Option<Put<'_>> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let (typed, scale) = (array.as_primitive::<Decimal128Type>(), *scale);
            // The common case: nothing is scaled, and the number is no longer than a machine's.
            let small = match declared {
                Some((precision, column_scale)) if i8::try_from(column_scale) == Ok(scale) => {
                    Some(u64::try_from(10_u128.pow(u32::from(precision.min(38)))).unwrap_or(u64::MAX))
                }
                _ => None,
            };
            Some(Box::new(move |row, out| {
                let value = typed.value(row);
                match (u64::try_from(value.unsigned_abs()), small) {
                    (Ok(unsigned), Some(bound)) if unsigned < bound => {
                        write_small(value < 0, unsigned, scale as u8, out);
                        Ok(())
                    }
                    _ => digits(value, scale, declared, out),
                }
            }))
        }
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale, declared),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale, declared),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale, declared),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if declared.is_none() => {
            let value = strings(array)?;
            Some(Box::new(move |row, out| write_text(value(row), out)))
        }
        _ => integers!(array, typed, Box::new(move |row, out| digits(typed.value(row), 0, declared, out))),
    }
}

fn decimal<T: ArrowPrimitiveType>(array: &dyn Array, scale: i8, declared: Declared) -> Option<Put<'_>>
where
    T::Native: Display,
{
    let typed = array.as_primitive::<T>();
    Some(Box::new(move |row, out| digits(typed.value(row), scale, declared, out)))
}

fn digits(value: impl Display, scale: i8, declared: Declared, out: &mut Vec<u8>) -> Outcome {
    let text = value.to_string();
    match text.strip_prefix('-') {
        Some(unsigned) => write_digits(true, unsigned, i32::from(scale), declared, out),
        None => write_digits(false, &text, i32::from(scale), declared, out),
    }
}

/// How the text of a row is had.
fn strings<'a>(array: &'a dyn Array) -> Option<Box<dyn Fn(usize) -> &'a str + 'a>> {
    Some(match array.data_type() {
        DataType::Utf8 => {
            let typed = array.as_string::<i32>();
            Box::new(move |row| typed.value(row))
        }
        DataType::LargeUtf8 => {
            let typed = array.as_string::<i64>();
            Box::new(move |row| typed.value(row))
        }
        DataType::Utf8View => {
            let typed = array.as_string_view();
            Box::new(move |row| typed.value(row))
        }
        _ => return None,
    })
}

fn text<'a>(array: &'a dyn Array, head: &'static [u8]) -> Option<Put<'a>> {
    let value = strings(array)?;
    Some(Box::new(move |row, out| {
        let value = value(row).as_bytes();
        if value.contains(&0) {
            return Err(Fault::not_held("no text of Postgres has a zero byte"));
        }
        out.extend_from_slice(head);
        bytes(value, out)
    }))
}

fn binary(array: &dyn Array) -> Option<Put<'_>> {
    Some(match array.data_type() {
        DataType::Binary => {
            let typed = array.as_binary::<i32>();
            Box::new(move |row, out| bytes(typed.value(row), out))
        }
        DataType::LargeBinary => {
            let typed = array.as_binary::<i64>();
            Box::new(move |row, out| bytes(typed.value(row), out))
        }
        DataType::BinaryView => {
            let typed = array.as_binary_view();
            Box::new(move |row, out| bytes(typed.value(row), out))
        }
        DataType::FixedSizeBinary(_) => {
            let typed = array.as_fixed_size_binary();
            Box::new(move |row, out| bytes(typed.value(row), out))
        }
        _ => return None,
    })
}

/// The days of Postgres, from 2000: the first is 24 November 4714 before Christ.
const FIRST_DAY: i64 = -2_451_545;
const LAST_DAY: i64 = 2_145_031_948;
/// Its microseconds likewise.
const FIRST_MOMENT: i64 = -211_813_488_000_000_000;
const END_OF_MOMENTS: i64 = 9_223_371_331_200_000_000;

fn date(array: &dyn Array) -> Option<Put<'_>> {
    // So DuckDB writes what is infinite; no date of Postgres is as late.
    const LAST: i64 = i32::MAX as i64;
    let day = |days: i64, out: &mut Vec<u8>| match days.saturating_sub(i64::from(EPOCH_DAYS)) {
        _ if days == LAST => bytes(&i32::MAX.to_be_bytes(), out),
        _ if days == -LAST => bytes(&i32::MIN.to_be_bytes(), out),
        days @ FIRST_DAY..=LAST_DAY => bytes(&(days as i32).to_be_bytes(), out),
        _ => Err(Fault::not_held("the date lies outside of those of Postgres")),
    };
    match array.data_type() {
        DataType::Date64 => {
            const MILLISECONDS: i64 = DAY / 1000;
            let typed = array.as_primitive::<Date64Type>();
            Some(Box::new(move |row, out| match typed.value(row) {
                value if value % MILLISECONDS == 0 => day(value / MILLISECONDS, out),
                _ => Err(Fault::not_held("the date has a time of day")),
            }))
        }
        _ => one_of!(array, typed, [DataType::Date32 => Date32Type], counted(typed, day)),
    }
}

/// A number of some unit in microseconds.
fn microseconds(value: i64, unit: TimeUnit) -> Result<i64, Fault> {
    let factor = match unit {
        TimeUnit::Second => 1_000_000,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => return Ok(value),
        TimeUnit::Nanosecond if value % 1000 == 0 => return Ok(value / 1000),
        TimeUnit::Nanosecond => {
            return Err(Fault::not_held("the value has nanoseconds, and Postgres keeps microseconds"));
        }
    };
    value.checked_mul(factor).ok_or_else(|| Fault::not_held("the value is too large"))
}

fn time(array: &dyn Array) -> Option<Put<'_>> {
    let (DataType::Time32(unit) | DataType::Time64(unit)) = array.data_type() else { return None };
    let unit = *unit;
    let put = move |value: i64, out: &mut Vec<u8>| match microseconds(value, unit)? {
        time @ 0..DAY => bytes(&time.to_be_bytes(), out),
        _ => Err(Fault::not_held("the time lies outside of a day")),
    };
    one_of!(
        array,
        typed,
        [
            DataType::Time32(TimeUnit::Second) => Time32SecondType,
            DataType::Time32(TimeUnit::Millisecond) => Time32MillisecondType,
            DataType::Time64(TimeUnit::Microsecond) => Time64MicrosecondType,
            DataType::Time64(TimeUnit::Nanosecond) => Time64NanosecondType,
        ],
        counted(typed, put)
    )
}

fn timestamp(array: &dyn Array) -> Option<Put<'_>> {
    let DataType::Timestamp(unit, _) = array.data_type() else { return None };
    let unit = *unit;
    let put = move |value: i64, out: &mut Vec<u8>| match microseconds(value, unit)?
        .checked_sub(EPOCH_MICROSECONDS)
    {
        // So DuckDB writes what is infinite, in microseconds.
        _ if value == i64::MAX && unit == TimeUnit::Microsecond => bytes(&i64::MAX.to_be_bytes(), out),
        _ if value == -i64::MAX && unit == TimeUnit::Microsecond => bytes(&i64::MIN.to_be_bytes(), out),
        Some(moment @ FIRST_MOMENT..END_OF_MOMENTS) => bytes(&moment.to_be_bytes(), out),
        _ => Err(Fault::not_held("the timestamp lies outside of those of Postgres")),
    };
    one_of!(
        array,
        typed,
        [
            DataType::Timestamp(TimeUnit::Second, _) => TimestampSecondType,
            DataType::Timestamp(TimeUnit::Millisecond, _) => TimestampMillisecondType,
            DataType::Timestamp(TimeUnit::Microsecond, _) => TimestampMicrosecondType,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimestampNanosecondType,
        ],
        counted(typed, put)
    )
}

fn interval(array: &dyn Array) -> Option<Put<'_>> {
    let put = |value: i64, unit: TimeUnit, days: i32, months: i32, out: &mut Vec<u8>| {
        let sent = (microseconds(value, unit)?, days, months);
        if matches!(sent, (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN)) {
            return Err(Fault::not_held("Postgres takes the interval for an infinite one"));
        }
        out.extend(sent.0.to_be_bytes());
        out.extend(days.to_be_bytes());
        bytes(&months.to_be_bytes(), out)
    };
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let typed = array.as_primitive::<IntervalMonthDayNanoType>();
            Some(Box::new(move |row, out| {
                let value = typed.value(row);
                put(value.nanoseconds, TimeUnit::Nanosecond, value.days, value.months, out)
            }))
        }
        DataType::Duration(unit) => {
            let unit = *unit;
            one_of!(
                array,
                typed,
                [
                    DataType::Duration(TimeUnit::Second) => DurationSecondType,
                    DataType::Duration(TimeUnit::Millisecond) => DurationMillisecondType,
                    DataType::Duration(TimeUnit::Microsecond) => DurationMicrosecondType,
                    DataType::Duration(TimeUnit::Nanosecond) => DurationNanosecondType,
                ],
                counted(typed, move |value, out| put(value, unit, 0, 0, out))
            )
        }
        _ => None,
    }
}

fn list<'a, O: OffsetSizeTrait>(array: &'a dyn Array, element: &'a CopyType, oid: u32) -> Option<Put<'a>> {
    let typed = array.as_list::<O>();
    let items: &ArrayRef = typed.values();
    let writer = Writer::new(items.as_ref(), element)?;
    Some(Box::new(move |row, out| {
        let offsets = typed.value_offsets();
        let (from, to) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
        let Ok(length) = i32::try_from(to - from) else {
            return Err(Fault::not_held("the list is too long"));
        };
        let dimensions = i32::from(length > 0);
        let nulls = writer.nulls.as_ref().is_some_and(|nulls| (from..to).any(|item| nulls.is_null(item)));
        out.extend(dimensions.to_be_bytes());
        out.extend(i32::from(nulls).to_be_bytes());
        out.extend(oid.to_be_bytes());
        if dimensions > 0 {
            out.extend(length.to_be_bytes());
            out.extend(1_i32.to_be_bytes());
        }
        (from..to).try_for_each(|item| writer.write(item, out))
    }))
}
