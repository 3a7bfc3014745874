//! How far the last run came, and what of it a database can be asked: never less than the load itself asks of the rows.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

/// From where on rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The column that only grows.
    pub column: String,
    /// The least value that is wanted, as the target wrote it: RFC 3339 of a time, digits of a number. None where every
    /// row is.
    pub from: Option<String>,
}

/// A watermark by what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// An instant.
    Instant(Timestamp),
    /// A time without a zone.
    Local(DateTime),
    /// A day.
    Day(Date),
    /// A number, by its digits.
    Number(String),
    /// Text, which every database puts into an order of its own.
    Text(String),
}

impl Mark {
    /// What a text says.
    pub fn read(text: &str) -> Mark {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(is_digit);
        if is_number(whole) && is_number(fraction) {
            return Mark::Number(text.to_owned());
        }
        if let Ok(instant) = text.parse() {
            return Mark::Instant(instant);
        }
        if text.len() > 10
            && let Ok(local) = text.parse()
        {
            return Mark::Local(local);
        }
        match text.parse() {
            Ok(day) => Mark::Day(day),
            Err(_) => Mark::Text(text.to_owned()),
        }
    }

    /// One step before it: whoever asks for what is greater gets what is equal, too.
    pub fn before(&self) -> Mark {
        let step = SignedDuration::from_micros(1);
        match self {
            Mark::Instant(instant) => Mark::Instant(instant.checked_sub(step).unwrap_or(Timestamp::MIN)),
            Mark::Local(local) => Mark::Local(local.checked_sub(step).unwrap_or(DateTime::MIN)),
            Mark::Day(day) => Mark::Day(day.yesterday().unwrap_or(Date::MIN)),
            Mark::Number(digits) => match floor(digits) {
                Some(whole) => Mark::Number((whole - 1).to_string()),
                None => self.clone(),
            },
            Mark::Text(_) => self.clone(),
        }
    }

    /// The day with which texts begin that are wanted, whatever zone an instant is written in.
    pub fn first_day(&self) -> Option<Date> {
        match self {
            // Zones reach from 12 hours behind to 14 hours before.
            Mark::Instant(instant) => instant
                .checked_sub(SignedDuration::from_hours(12))
                .ok()
                .map(|first| jiff::tz::TimeZone::UTC.to_datetime(first).date()),
            Mark::Local(local) => Some(local.date()),
            Mark::Day(day) => Some(*day),
            Mark::Number(_) | Mark::Text(_) => None,
        }
    }
}

/// The greatest whole number that is not greater.
pub fn floor(digits: &str) -> Option<i128> {
    match digits.split_once('.') {
        None => digits.parse().ok(),
        Some((whole, fraction)) => {
            let cut: i128 = whole.parse().ok()?;
            let is_whole = fraction.bytes().all(|byte| byte == b'0');
            Some(if digits.starts_with('-') && !is_whole { cut - 1 } else { cut })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_is_known_by_its_form() {
        assert_eq!(Mark::read("20260102"), Mark::Number("20260102".to_owned()));
        assert_eq!(Mark::read("-1.50"), Mark::Number("-1.50".to_owned()));
        assert!(matches!(Mark::read("2026-01-02T03:04:05.000006Z"), Mark::Instant(_)));
        assert!(matches!(Mark::read("2026-01-02T03:04:05"), Mark::Local(_)));
        assert!(matches!(Mark::read("2026-01-02"), Mark::Day(_)));
        assert_eq!(Mark::read("abc"), Mark::Text("abc".to_owned()));
        assert_eq!(Mark::read("1e3"), Mark::Text("1e3".to_owned()));
    }

    #[test]
    fn what_lies_before_a_watermark_is_less_by_the_smallest_step() {
        let before = |text: &str| Mark::read(text).before();
        assert_eq!(before("41"), Mark::read("40"));
        assert_eq!(before("41.5"), Mark::read("40"));
        assert_eq!(before("-1.5"), Mark::read("-3"));
        assert_eq!(before("2026-01-02"), Mark::read("2026-01-01"));
        assert_eq!(before("2026-01-02T00:00:00Z"), Mark::read("2026-01-01T23:59:59.999999Z"));
        assert_eq!(before("abc"), Mark::read("abc"));
    }

    #[test]
    fn the_first_day_of_an_instant_is_that_of_the_zone_farthest_behind() {
        let day = |text: &str| Mark::read(text).first_day().map(|day| day.to_string());
        assert_eq!(day("2026-01-02T11:00:00Z").as_deref(), Some("2026-01-01"));
        assert_eq!(day("2026-01-02T12:00:00Z").as_deref(), Some("2026-01-02"));
        assert_eq!(day("2026-01-02T12:00:00").as_deref(), Some("2026-01-02"));
        assert_eq!(day("5"), None);
    }
}
