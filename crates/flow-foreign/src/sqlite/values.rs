//! A value of SQLite, as a value of the type that its column is read as.

use ematix_flow_arrow::CopyType;
use ematix_flow_files::{Cells, Misread};
use rusqlite::types::ValueRef;

/// How many bytes a value has, for the size of a batch.
pub fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() + 8,
        _ => 8,
    }
}

/// Takes a value, or says why it is none of the column's.
pub fn take(value: ValueRef<'_>, data_type: &CopyType, cells: &mut Cells) -> Result<(), Misread> {
    match value {
        ValueRef::Null => {
            cells.push_null();
            Ok(())
        }
        ValueRef::Integer(number) => match no_number(data_type) {
            Some(why) => Err(format!("{number} is a number, and the column is {}: {why}", data_type.name())),
            None => cells.push_whole(number),
        },
        ValueRef::Real(number) => match (no_number(data_type), data_type) {
            (Some(why), _) => {
                Err(format!("{number} is a number, and the column is {}: {why}", data_type.name()))
            }
            (None, CopyType::Text) => Err(format!(
                "{number} is a number, and the column is text: of several texts say which, as printf('%.2f', …)"
            )),
            (None, _) => cells.push_float(number),
        },
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| "the text is not UTF-8: read its bytes, CAST(… AS BLOB)".to_owned())?;
            match data_type {
                CopyType::Bytea => Err(format!(
                    "a text of {} characters stands in a column of bytes: CAST(… AS BLOB) takes its bytes",
                    text.chars().count()
                )),
                _ => cells.push(text),
            }
        }
        ValueRef::Blob(bytes) => cells.push_bytes(bytes).map_err(|why| match data_type {
            CopyType::Text | CopyType::Json | CopyType::Jsonb => {
                format!("{why}: CAST(… AS TEXT) reads it as text")
            }
            _ => why,
        }),
    }
}

/// Why a number is no value of the type, where it is none: which moment it means is a guess.
fn no_number(data_type: &CopyType) -> Option<&'static str> {
    match data_type {
        CopyType::Date => Some("date(…, 'unixepoch') of seconds, date(…) of a Julian day"),
        CopyType::Timestamp => Some("datetime(…, 'unixepoch') of seconds, datetime(…) of a Julian day"),
        CopyType::TimestampTz => {
            Some("datetime(…, 'unixepoch') || 'Z' of seconds, datetime(…) || 'Z' of a Julian day")
        }
        CopyType::Time => Some("time(…, 'unixepoch') of seconds"),
        CopyType::Interval | CopyType::Length => Some("write its unit: … || ' seconds'"),
        CopyType::Bytea | CopyType::Uuid => Some("it is no bytes"),
        _ => None,
    }
}
