//! What of a watermark SQLite is asked: rows that are surely too old stay there, and nothing else does. Numbers come
//! before texts and texts before bytes, whatever the column is declared as
//! (<https://www.sqlite.org/datatype3.html#comparison_expressions>).

use crate::mark::{Mark, floor};
use ematix_flow_arrow::CopyType;
use rusqlite::types::Value;

/// A condition over a column, `quoted` as SQL has it, with its parameter; none where the type has an order of its own in
/// every database. `is_filled`: it never is NULL.
pub fn pushed(quoted: &str, data_type: &CopyType, is_filled: bool, mark: &Mark) -> Option<(String, Value)> {
    let (value, is_time) = parameter(data_type, mark)?;
    let condition = match is_time {
        // Before the digits lie numbers, signs and blanks: what the reading judges must come.
        true => format!("{quoted} >= ? OR {quoted} < '0'"),
        // The cast makes numbers of both sides, also where the column has the affinity of text.
        false => format!("{quoted} >= CAST(? AS NUMERIC)"),
    };
    let or_null = if is_filled { String::new() } else { format!(" OR {quoted} IS NULL") };
    Some((condition + &or_null, value))
}

/// The value of a mark, and whether it is the beginning of a text.
fn parameter(data_type: &CopyType, mark: &Mark) -> Option<(Value, bool)> {
    match (data_type, mark) {
        (
            CopyType::Int2
            | CopyType::Int4
            | CopyType::Int8
            | CopyType::Float8
            | CopyType::Float4
            | CopyType::Numeric(..)
            | CopyType::NumericText,
            Mark::Number(digits),
        ) => {
            let value = match digits.parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Text(digits.clone()),
            };
            Some((value, false))
        }
        (CopyType::Date | CopyType::Timestamp | CopyType::TimestampTz, mark) => {
            let day = mark.first_day().filter(|day| day.year() >= 0)?;
            Some((Value::Text(day.to_string()), true))
        }
        _ => None,
    }
}

/// The value of `:watermark`: a step before the watermark, and before the first one the least that there is.
pub fn said(data_type: &CopyType, mark: Option<&Mark>) -> Value {
    match (mark, data_type) {
        (Some(Mark::Number(digits)), _) => {
            match floor(digits).and_then(|whole| i64::try_from(whole - 1).ok()) {
                Some(number) => Value::Integer(number),
                None => Value::Text(digits.clone()),
            }
        }
        (Some(mark @ (Mark::Instant(_) | Mark::Local(_) | Mark::Day(_))), _) => {
            let day = mark.first_day().and_then(|day| day.yesterday().ok());
            Value::Text(day.map(|day| day.to_string()).unwrap_or_default())
        }
        (Some(Mark::Text(text)), _) => Value::Text(text.clone()),
        (
            None,
            CopyType::Int2
            | CopyType::Int4
            | CopyType::Int8
            | CopyType::Float4
            | CopyType::Float8
            | CopyType::Numeric(..)
            | CopyType::NumericText,
        ) => Value::Real(f64::NEG_INFINITY),
        (None, _) => Value::Text(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_never_less_than_what_is_wanted() {
        let pushed = |data_type, text: &str| pushed("\"c\"", &data_type, false, &Mark::read(text));
        let number = "\"c\" >= CAST(? AS NUMERIC) OR \"c\" IS NULL".to_owned();
        assert_eq!(pushed(CopyType::Int8, "41"), Some((number.clone(), Value::Integer(41))));
        assert_eq!(pushed(CopyType::NumericText, "4.5"), Some((number, Value::Text("4.5".to_owned()))));
        let text = "\"c\" >= ? OR \"c\" < '0' OR \"c\" IS NULL".to_owned();
        let day = Value::Text("2026-01-01".to_owned());
        assert_eq!(pushed(CopyType::TimestampTz, "2026-01-02T01:00:00Z"), Some((text, day)));
        assert_eq!(pushed(CopyType::Text, "abc"), None);
        assert_eq!(pushed(CopyType::Text, "41"), None);
        assert_eq!(pushed(CopyType::Timestamp, "-000001-01-01"), None);
    }

    #[test]
    fn a_query_gets_what_lies_a_step_before_the_watermark() {
        assert_eq!(said(&CopyType::Int8, Some(&Mark::read("41"))), Value::Integer(40));
        assert_eq!(
            said(&CopyType::Timestamp, Some(&Mark::read("2026-01-02T01:00:00"))),
            Value::Text("2026-01-01".to_owned())
        );
        assert_eq!(said(&CopyType::Int8, None), Value::Real(f64::NEG_INFINITY));
        assert_eq!(said(&CopyType::Timestamp, None), Value::Text(String::new()));
    }
}
