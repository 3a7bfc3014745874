//! Values of nested types as JSON: what Postgres has no columns for is kept as its text.

use crate::moment::{date_text, moment_text, time_text};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, StringArray};
use arrow_schema::{DataType, TimeUnit};
use std::fmt::Write;

/// The texts of an array's values, or why one has none: its row, and what is wrong.
pub fn texts(array: &dyn Array) -> Result<StringArray, (usize, String)> {
    let mut text = String::new();
    let mut out = arrow_array::builder::StringBuilder::with_capacity(array.len(), array.len() * 32);
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        value(array, row, &mut text).map_err(|why| (row, why))?;
        out.append_value(&text);
    }
    Ok(out.finish())
}

/// Whether values of a type have a form in JSON.
pub fn has_form(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|field| has_form(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_form(item.data_type()),
        DataType::Dictionary(_, value) => has_form(value),
        DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => false,
        _ => true,
    }
}

/// Writes the primitive value of a row.
macro_rules! plain {
    ($array:expr, $row:expr, $out:expr, $as:ty) => {
        write!($out, "{}", $array.as_primitive::<$as>().value($row)).expect("a string takes text")
    };
}

fn value(array: &dyn Array, row: usize, out: &mut String) -> Result<(), String> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => plain!(array, row, out, Int8Type),
        DataType::Int16 => plain!(array, row, out, Int16Type),
        DataType::Int32 => plain!(array, row, out, Int32Type),
        DataType::Int64 => plain!(array, row, out, Int64Type),
        DataType::UInt8 => plain!(array, row, out, UInt8Type),
        DataType::UInt16 => plain!(array, row, out, UInt16Type),
        DataType::UInt32 => plain!(array, row, out, UInt32Type),
        DataType::UInt64 => plain!(array, row, out, UInt64Type),
        DataType::Float16 => {
            let number = array.as_primitive::<Float16Type>().value(row).to_f32();
            float(f64::from(number), number, out)?;
        }
        DataType::Float32 => {
            let number = array.as_primitive::<Float32Type>().value(row);
            float(f64::from(number), number, out)?;
        }
        DataType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            float(number, number, out)?;
        }
        DataType::Decimal32(..) => out.push_str(&array.as_primitive::<Decimal32Type>().value_as_string(row)),
        DataType::Decimal64(..) => out.push_str(&array.as_primitive::<Decimal64Type>().value_as_string(row)),
        DataType::Decimal128(..) => {
            out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        DataType::Decimal256(..) => {
            out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        DataType::Utf8 => quoted(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => quoted(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => quoted(array.as_string_view().value(row), out),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => bytes(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row), out),
        DataType::Date32 => {
            quoted(&date_text(i64::from(array.as_primitive::<Date32Type>().value(row))), out);
        }
        DataType::Date64 => {
            let milliseconds = array.as_primitive::<Date64Type>().value(row);
            quoted(&date_text(milliseconds.div_euclid(86_400_000)), out);
        }
        DataType::Time32(_) | DataType::Time64(_) => quoted(&time_text(of_day(array, row)), out),
        DataType::Timestamp(_, zone) => {
            let z = if zone.is_some() { "Z" } else { "" };
            quoted(&format!("{}{z}", moment_text(moment(array, row))), out);
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.keys().slice(row, 1);
            let taken = arrow_select::take::take(dictionary.values(), &key, None);
            value(taken.map_err(|error| error.to_string())?.as_ref(), 0, out)?;
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            out.push('{');
            for (at, (field, column)) in fields.iter().zip(columns).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                quoted(field.name(), out);
                out.push(':');
                value(column.as_ref(), row, out)?;
            }
            out.push('}');
        }
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref(), out)?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref(), out)?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row).as_ref(), out)?,
        DataType::Map(..) => map(&array.as_map().value(row), out)?,
        other => return Err(format!("a value of the type {other} has no form in JSON")),
    }
    Ok(())
}

fn list(items: &dyn Array, out: &mut String) -> Result<(), String> {
    out.push('[');
    for row in 0..items.len() {
        if row > 0 {
            out.push(',');
        }
        value(items, row, out)?;
    }
    out.push(']');
    Ok(())
}

/// An object where the keys are texts, else a list of pairs.
fn map(entries: &arrow_array::StructArray, out: &mut String) -> Result<(), String> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let is_text = matches!(keys.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    out.push(if is_text { '{' } else { '[' });
    for row in 0..entries.len() {
        if row > 0 {
            out.push(',');
        }
        if !is_text {
            out.push('[');
        }
        value(keys.as_ref(), row, out)?;
        out.push(if is_text { ':' } else { ',' });
        value(values.as_ref(), row, out)?;
        if !is_text {
            out.push(']');
        }
    }
    out.push(if is_text { '}' } else { ']' });
    Ok(())
}

fn float(number: f64, shown: impl std::fmt::Display, out: &mut String) -> Result<(), String> {
    if !number.is_finite() {
        return Err(format!("JSON has no number {number}"));
    }
    write!(out, "{shown}").expect("a string takes text");
    Ok(())
}

/// As JSON quotes a text.
fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// As Postgres writes bytea in JSON.
fn bytes(bytes: &[u8], out: &mut String) {
    out.push_str("\"\\\\x");
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a string takes text");
    }
    out.push('"');
}

/// Nanoseconds since midnight.
fn of_day(array: &dyn Array, row: usize) -> i64 {
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1_000_000_000
        }
        DataType::Time32(_) => {
            i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            array.as_primitive::<Time64MicrosecondType>().value(row) * 1000
        }
        _ => array.as_primitive::<Time64NanosecondType>().value(row),
    }
}

/// Nanoseconds since 1970.
fn moment(array: &dyn Array, row: usize) -> i128 {
    let (number, unit) = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            (array.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (array.as_primitive::<TimestampMicrosecondType>().value(row), 1000)
        }
        _ => (array.as_primitive::<TimestampNanosecondType>().value(row), 1),
    };
    i128::from(number) * unit
}
