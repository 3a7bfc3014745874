//! Times that are written in a declaration, as a text that every session reads alike.

use super::family::{Families, Family};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The families whose values are read here.
pub const READ: [Family; 3] = [Family::TimestampTz, Family::Timestamp, Family::Date];

/// Whether values of that family are read here.
pub fn is_read(family: Family) -> bool {
    READ.contains(&family)
}

/// Whether values of all of them are.
pub fn all_read(families: Families) -> bool {
    let read = Families::any_of(&READ);
    families.meets(read) && families.both(read) == families
}

/// ISO 8601 as a value of that family, in UTC where it has a zone; a time that names no zone is one of `zone`. `None`
/// for anything else.
pub fn normal(text: &str, family: Family, zone: &str) -> Option<String> {
    let text = text.trim();
    let word = text.to_ascii_lowercase();
    if matches!(word.as_str(), "infinity" | "-infinity" | "epoch") {
        return Some(word);
    }
    if family == Family::Date {
        // A time of the day would be thrown away.
        let date: Date = text.parse().ok().filter(|_| text.len() <= "2026-01-31".len())?;
        return Some(date.to_string());
    }
    let zone = TimeZone::get(zone).ok()?;
    const FORM: &str = "%Y-%m-%d %H:%M:%S%.f";
    let local = |time: DateTime| time.strftime(FORM).to_string();
    let instant: Option<Timestamp> = text.parse().ok();
    match (family, instant) {
        (Family::TimestampTz, Some(instant)) => Some(format!("{}+00", instant.strftime(FORM))),
        (Family::TimestampTz, None) => {
            let time: Zoned = text.parse::<DateTime>().ok()?.to_zoned(zone).ok()?;
            Some(format!("{}+00", time.timestamp().strftime(FORM)))
        }
        (_, Some(instant)) => Some(local(instant.to_zoned(zone).datetime())),
        (_, None) => text.parse().ok().map(local),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_every_session_reads_it() {
        use Family::{Date, Timestamp, TimestampTz};
        for (text, family, zone, expected) in [
            ("2026-07-01", TimestampTz, "UTC", Some("2026-07-01 00:00:00+00")),
            ("2026-07-01T12:00:00.5Z", TimestampTz, "UTC", Some("2026-07-01 12:00:00.5+00")),
            ("2026-07-01 12:00", TimestampTz, "Europe/Berlin", Some("2026-07-01 10:00:00+00")),
            ("2026-07-01 12:00+02", TimestampTz, "UTC", Some("2026-07-01 10:00:00+00")),
            ("2026-07-01 12:00+02:00", Timestamp, "UTC", Some("2026-07-01 10:00:00")),
            ("2026-07-01 12:00", Timestamp, "Europe/Berlin", Some("2026-07-01 12:00:00")),
            ("2026-07-01", Date, "UTC", Some("2026-07-01")),
            (" Infinity", TimestampTz, "UTC", Some("infinity")),
            ("01/07/2026", Date, "UTC", None),
            ("2026-07-01 12:00", Date, "UTC", None),
            ("2026-02-30", Timestamp, "UTC", None),
            ("now", TimestampTz, "UTC", None),
        ] {
            assert_eq!(normal(text, family, zone).as_deref(), expected, "{text} as {family:?}");
        }
    }
}
