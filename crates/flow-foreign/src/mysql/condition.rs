//! What of a watermark MySQL is asked: rows that are surely too old stay there, and nothing else does.

use super::types::Kind;
use crate::mark::{Mark, floor};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mysql_async::Value;

/// The most digits behind the point that a decimal of MySQL has.
const MOST_DIGITS: usize = 30;

/// A condition over a column, `quoted` as SQL has it, with its parameter; none where the type has an order of its own in
/// every database.
pub fn pushed(quoted: &str, kind: Kind, mark: &Mark) -> Option<(String, Value)> {
    let plain = |value| Some((format!("{quoted} >= ? OR {quoted} IS NULL"), value));
    match (kind, mark) {
        (Kind::Whole { .. }, Mark::Number(digits)) => plain(whole(digits)?),
        (Kind::Decimal { .. }, Mark::Number(digits)) => {
            let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let digits = match fraction <= MOST_DIGITS {
                true => digits.clone(),
                false => floor(digits)?.to_string(),
            };
            let condition = format!("{quoted} >= CAST(? AS DECIMAL(65,{MOST_DIGITS})) OR {quoted} IS NULL");
            Some((condition, Value::Bytes(digits.into_bytes())))
        }
        // As the server compares it: as a double, to which the value of four bytes is widened.
        (Kind::Float, Mark::Number(digits)) => plain(Value::Double(f64::from(digits.parse::<f32>().ok()?))),
        (Kind::Double, Mark::Number(digits)) => plain(Value::Double(digits.parse().ok()?)),
        (Kind::Date, mark) => plain(day(mark.first_day()?)?),
        (Kind::DateTime | Kind::Timestamp, mark) => plain(moment(local(kind, mark)?)?),
        _ => None,
    }
}

/// The value of `:watermark`: a step before the watermark, and before the first one the least that there is. None where
/// the type has no watermark that a database could be asked for.
pub fn said(kind: Kind, mark: Option<&Mark>) -> Option<Value> {
    match (kind, mark.map(Mark::before)) {
        (Kind::Whole { .. } | Kind::Decimal { .. }, Some(Mark::Number(digits))) => whole(&digits),
        (Kind::Float | Kind::Double, Some(Mark::Number(digits))) => digits.parse().ok().map(Value::Double),
        (Kind::Whole { unsigned: true, .. }, None) => Some(Value::Int(-1)),
        (Kind::Whole { .. } | Kind::Decimal { .. }, None) => Some(Value::Int(i64::MIN)),
        (Kind::Float | Kind::Double, None) => Some(Value::Double(f64::MIN)),
        (Kind::Date, Some(mark)) => day(mark.first_day()?),
        (Kind::DateTime | Kind::Timestamp, Some(mark)) => moment(local(kind, &mark)?),
        (Kind::Date, None) => Some(Value::Date(1, 1, 1, 0, 0, 0, 0)),
        (Kind::DateTime | Kind::Timestamp, None) => Some(Value::Date(1, 1, 1, 0, 0, 0, 0)),
        (Kind::Text, Some(Mark::Text(text) | Mark::Number(text))) => Some(Value::Bytes(text.into_bytes())),
        (Kind::Text, None) => Some(Value::Bytes(Vec::new())),
        _ => None,
    }
}

fn whole(digits: &str) -> Option<Value> {
    let number = floor(digits)?;
    match i64::try_from(number) {
        Ok(number) => Some(Value::Int(number)),
        Err(_) => u64::try_from(number).ok().map(Value::UInt),
    }
}

/// A watermark as the clock of the session has it, which is that of UTC.
fn local(kind: Kind, mark: &Mark) -> Option<DateTime> {
    let of = |instant: Timestamp| TimeZone::UTC.to_datetime(instant);
    match (kind, mark) {
        (Kind::Timestamp, Mark::Instant(instant)) => Some(of(*instant)),
        // In which zone its clock goes the column does not say.
        (_, Mark::Instant(instant)) => instant.checked_sub(SignedDuration::from_hours(14)).ok().map(of),
        (_, Mark::Local(local)) => Some(*local),
        (_, Mark::Day(day)) => Some(day.to_datetime(jiff::civil::Time::midnight())),
        (_, Mark::Number(_) | Mark::Text(_)) => None,
    }
}

fn day(day: Date) -> Option<Value> {
    moment(day.to_datetime(jiff::civil::Time::midnight()))
}

/// A moment of the years that MySQL has.
fn moment(at: DateTime) -> Option<Value> {
    let year = u16::try_from(at.year()).ok().filter(|year| *year > 0)?;
    let part = |number: i8| number.unsigned_abs();
    let micros = u32::try_from(at.subsec_nanosecond() / 1000).ok()?;
    Some(Value::Date(
        year,
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
        micros,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIGINT: Kind = Kind::Whole { bytes: 8, unsigned: false, tiny: false };

    #[test]
    fn what_is_asked_for_is_never_less_than_what_is_wanted() {
        let value = |kind, text: &str| pushed("`c`", kind, &Mark::read(text)).map(|(_, value)| value);
        assert_eq!(
            pushed("`c`", BIGINT, &Mark::read("41")),
            Some(("`c` >= ? OR `c` IS NULL".to_owned(), Value::Int(41)))
        );
        assert_eq!(value(BIGINT, "41.5"), Some(Value::Int(41)));
        assert_eq!(value(BIGINT, "18446744073709551615"), Some(Value::UInt(u64::MAX)));
        let decimal = Kind::Decimal { precision: 38, scale: 2 };
        assert_eq!(value(decimal, "-1.50"), Some(Value::Bytes(b"-1.50".to_vec())));
        let long = format!("-1.{}", "1".repeat(31));
        assert_eq!(value(decimal, &long), Some(Value::Bytes(b"-2".to_vec())));
        // The next number of four bytes below 0.7 is what 0.7 is there.
        assert_eq!(value(Kind::Float, "0.7"), Some(Value::Double(f64::from(0.7_f32))));
        assert_eq!(
            value(Kind::Timestamp, "2026-01-02T03:04:05.000006Z"),
            Some(Value::Date(2026, 1, 2, 3, 4, 5, 6))
        );
        assert_eq!(value(Kind::DateTime, "2026-01-02T03:04:05"), Some(Value::Date(2026, 1, 2, 3, 4, 5, 0)));
        assert_eq!(value(Kind::DateTime, "2026-01-02T03:04:05Z"), Some(Value::Date(2026, 1, 1, 13, 4, 5, 0)));
        assert_eq!(value(Kind::Date, "2026-01-02"), Some(Value::Date(2026, 1, 2, 0, 0, 0, 0)));
        assert_eq!(value(Kind::DateTime, "-000001-01-01T00:00:00"), None);
        assert_eq!(value(Kind::Text, "abc"), None);
        assert_eq!(value(Kind::Time, "5"), None);
    }

    #[test]
    fn a_query_gets_what_lies_a_step_before_the_watermark() {
        let value = |kind, text: &str| said(kind, Some(&Mark::read(text)));
        assert_eq!(value(BIGINT, "41"), Some(Value::Int(40)));
        assert_eq!(value(Kind::Date, "2026-01-01"), Some(Value::Date(2025, 12, 31, 0, 0, 0, 0)));
        assert_eq!(
            value(Kind::Timestamp, "2026-01-01T00:00:00Z"),
            Some(Value::Date(2025, 12, 31, 23, 59, 59, 999_999))
        );
        assert_eq!(said(BIGINT, None), Some(Value::Int(i64::MIN)));
        assert_eq!(said(Kind::Json, None), None);
    }
}
