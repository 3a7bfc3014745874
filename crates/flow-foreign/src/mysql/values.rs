//! A value of MySQL, as a value of the type that its column is read as.

use super::types::Kind;
use ematix_flow_arrow::CopyType;
use ematix_flow_files::{Cells, Misread};
use mysql_async::Value;

/// How many bytes a value has, for the size of a batch.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len() + 8,
        _ => 8,
    }
}

/// Takes a value, or says why it is none of the column's.
pub fn take(value: &Value, kind: Kind, data_type: &CopyType, cells: &mut Cells) -> Result<(), Misread> {
    match value {
        Value::NULL => {
            cells.push_null();
            Ok(())
        }
        Value::Int(number) => cells.push_whole(*number),
        Value::UInt(number) => match i64::try_from(*number) {
            Ok(number) => cells.push_whole(number),
            Err(_) => cells.push(&number.to_string()),
        },
        Value::Float(number) => cells.push_float(f64::from(*number)),
        Value::Double(number) => cells.push_float(*number),
        Value::Bytes(bytes) => match (kind, data_type) {
            (Kind::Bits(_), CopyType::Bool) => cells.push_whole(number_of(bytes)?),
            (Kind::Bits(_), CopyType::Int2 | CopyType::Int4 | CopyType::Int8) => {
                cells.push_whole(number_of(bytes)?)
            }
            (Kind::Bits(_) | Kind::Bytes, _) => cells.push_bytes(bytes),
            _ => cells.push(std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())?),
        },
        Value::Date(year, month, day, hour, minute, second, micros) => {
            if *year == 0 || *month == 0 || *day == 0 {
                return Err(format!(
                    "{year:04}-{month:02}-{day:02} is no date: NULLIF(…, '0000-00-00') in the query makes it NULL"
                ));
            }
            let date = format!("{year:04}-{month:02}-{day:02}");
            let clock = format!("{hour:02}:{minute:02}:{second:02}.{micros:06}");
            match kind {
                Kind::Date => cells.push(&date),
                Kind::Timestamp => cells.push(&format!("{date} {clock}Z")),
                _ => cells.push(&format!("{date} {clock}")),
            }
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if *negative { "-" } else { "" };
            let hours = u64::from(*days) * 24 + u64::from(*hours);
            match data_type {
                CopyType::Time => {
                    cells.push(&format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}"))
                }
                _ => cells.push(&format!("{sign}PT{hours}H{minutes}M{seconds}.{micros:06}S")),
            }
        }
    }
}

/// Bits as a number, the first the greatest.
fn number_of(bytes: &[u8]) -> Result<i64, Misread> {
    let number = bytes.iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    i64::try_from(number).map_err(|_| format!("{number} is too large"))
}
