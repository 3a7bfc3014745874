//! Answers of statements as texts, in the form that Python's module gives them.

use super::super::library::Fault;
use super::said;
use crate::session::ResultSet;
use adbc_core::{Connection as _, Statement as _};
use adbc_driver_manager::{ManagedConnection, ManagedStatement};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, downcast_dictionary_array};
use arrow_schema::{DataType, TimeUnit};
use jiff::civil::{DateTime, Time, date};
use jiff::{SignedDuration, ToSpan};
use std::fmt::Write;

/// So DuckDB answers a statement that writes, and no other of ours.
const COUNT: &str = "Count";

/// A statement, ready to be run.
///
/// # Errors
/// What the library says of its text.
pub(super) fn statement(connection: &mut ManagedConnection, sql: &str) -> Result<ManagedStatement, Fault> {
    let mut statement = connection.new_statement().map_err(said)?;
    statement.set_sql_query(sql).map_err(said)?;
    Ok(statement)
}

/// Runs one statement. An error may come with its last batch: all of them are taken.
///
/// # Errors
/// What the library says.
pub(super) fn answer(connection: &mut ManagedConnection, sql: &str) -> Result<ResultSet, Fault> {
    let mut statement = statement(connection, sql)?;
    let reader = statement.execute().map_err(said)?;
    let columns: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for batch in reader {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|column| text(column.as_ref(), row)).collect());
        }
    }
    if columns == [COUNT] {
        let affected = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0);
        return Ok(ResultSet { columns: Vec::new(), rows: Vec::new(), affected });
    }
    let affected = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    Ok(ResultSet { columns, rows, affected })
}

/// A value as text; `None` for NULL.
fn text(column: &dyn Array, row: usize) -> Option<String> {
    let is_null = column.is_null(row) || *column.data_type() == DataType::Null;
    (!is_null).then(|| written(column, row))
}

fn written(column: &dyn Array, row: usize) -> String {
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(column.as_binary_view().value(row)),
        DataType::Date32 => day(column.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            time(column.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(unit, zone) => {
            let microseconds = match unit {
                TimeUnit::Second => {
                    column.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000)
                }
                TimeUnit::Millisecond => {
                    column.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1000)
                }
                TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().value(row),
                TimeUnit::Nanosecond => {
                    column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000)
                }
            };
            // Every session of ours has the zone UTC.
            let zone = if zone.is_some() { "+00:00" } else { "" };
            format!("{}{zone}", moment(microseconds))
        }
        DataType::Dictionary(..) => of_enum(column, row),
        _ => nested(column, row),
    }
}

/// A number as Python writes it.
fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "nan".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        value if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) => {
            let short = format!("{value:e}");
            let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
            let (sign, power) = match exponent.strip_prefix('-') {
                Some(power) => ('-', power),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{power:0>2}")
        }
        value => format!("{value:?}"),
    }
}

/// Bytes in hexadecimal digits.
fn bytes(value: &[u8]) -> String {
    value.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A day since 1970; far ones, which the calendar here does not have, as their number.
fn day(days: i32) -> String {
    let found = date(1970, 1, 1).checked_add(i64::from(days).days());
    found.map_or_else(|_| days.to_string(), |day| day.to_string())
}

/// A time of the day; the end of one is no time.
fn time(microseconds: i64) -> String {
    let since = SignedDuration::from_micros(microseconds);
    match Time::midnight().checked_add(since) {
        Ok(time) if microseconds < 86_400_000_000 => {
            fraction(time.strftime("%H:%M:%S").to_string(), microseconds)
        }
        _ => "24:00:00".to_owned(),
    }
}

fn moment(microseconds: i64) -> String {
    let since = SignedDuration::from_micros(microseconds);
    match DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(since) {
        Ok(at) => fraction(at.strftime("%Y-%m-%d %H:%M:%S").to_string(), microseconds),
        Err(_) => microseconds.to_string(),
    }
}

/// With six digits of a second, unless they are zeros.
fn fraction(text: String, microseconds: i64) -> String {
    match microseconds.rem_euclid(1_000_000) {
        0 => text,
        rest => format!("{text}.{rest:06}"),
    }
}

fn of_enum(column: &dyn Array, row: usize) -> String {
    downcast_dictionary_array!(
        column => match column.key(row) {
            Some(key) => written(column.values().as_ref(), key),
            None => String::new(),
        },
        _ => nested(column, row)
    )
}

/// A list, a struct or what else there is. No question of ours asks for one.
fn nested(column: &dyn Array, row: usize) -> String {
    let value = |column: &dyn Array, row| text(column, row).unwrap_or_else(|| "None".to_owned());
    match column.data_type() {
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|at| value(items.as_ref(), at)).collect();
            format!("[{}]", items.join(", "))
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let parts = fields.iter().zip(columns);
            let parts: Vec<String> = parts
                .map(|(field, column)| format!("'{}': {}", field.name(), value(column.as_ref(), row)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        _ => format!("{:?}", column.slice(row, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.0, "0.0"),
            (123_456_789.0, "123456789.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, said) in cases {
            assert_eq!(float(value), said);
        }
    }

    #[test]
    fn moments_are_written_as_python_writes_them() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(moment(1_700_000_000_500_000), "2023-11-14 22:13:20.500000");
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(time(36_000_000_000), "10:00:00");
        assert_eq!(time(86_400_000_000), "24:00:00");
        assert_eq!(bytes(&[0, 255]), "00ff");
    }
}
