//! Dates and times as ISO 8601 and Postgres write them, and nothing that must be guessed. Pure.

const DAY: i64 = 86_400_000_000;

/// Why a text is no date or time.
pub type Why = &'static str;

const NO_DATE: Why = "it is not written as 2026-01-31";
const NO_TIME: Why = "it is not written as 13:45:00";
const NO_MOMENT: Why = "it is not written as 2026-01-31 13:45:00";
const INFINITE: Why = "no date or time of Arrow is infinite: leave it empty";
const FINER: Why = "Postgres keeps microseconds, and it has more digits";

/// Days since 1970.
pub fn date(text: &str) -> Result<i32, Why> {
    let (days, rest) = head(text).ok_or(if is_infinite(text) { INFINITE } else { NO_DATE })?;
    let days = i32::try_from(days).map_err(|_| NO_DATE)?;
    if rest.is_empty() {
        return Ok(days);
    }
    match moment(text)? {
        (microseconds, None | Some(0)) if microseconds.rem_euclid(DAY) == 0 => Ok(days),
        _ => Err("it has a time, and the column is a date"),
    }
}

/// Microseconds since midnight.
pub fn time(text: &str) -> Result<i64, Why> {
    match clock(text)? {
        (microseconds, "") => Ok(microseconds),
        _ => Err(NO_TIME),
    }
}

/// Microseconds since 1970, of a moment without a zone. That of UTC is the same.
pub fn timestamp(text: &str) -> Result<i64, Why> {
    match moment(text)? {
        (microseconds, None | Some(0)) => Ok(microseconds),
        _ => Err("it has a zone, and the column has none: declare it timestamptz"),
    }
}

/// Microseconds since 1970, of an instant.
pub fn instant(text: &str) -> Result<i64, Why> {
    match moment(text)? {
        (microseconds, Some(offset)) => microseconds.checked_sub(offset * 1_000_000).ok_or(NO_MOMENT),
        (_, None) => Err("it has no zone, as 2026-01-31 13:45:00Z has: declare it timestamp"),
    }
}

/// Microseconds, and seconds of the offset from UTC.
fn moment(text: &str) -> Result<(i64, Option<i64>), Why> {
    let (days, rest) = head(text).ok_or(if is_infinite(text) { INFINITE } else { NO_MOMENT })?;
    let midnight = days.checked_mul(DAY).ok_or(NO_MOMENT)?;
    let (clocked, rest) = match rest.as_bytes().first() {
        None => (0, ""),
        Some(b'T' | b't' | b' ') => {
            clock(&rest[1..]).map_err(|why| if why == FINER { FINER } else { NO_MOMENT })?
        }
        Some(_) => return Err(NO_MOMENT),
    };
    let offset = match rest.trim_start_matches(' ') {
        "" => None,
        "Z" | "z" | "UTC" | "GMT" => Some(0),
        offset => Some(zone(offset).ok_or(NO_MOMENT)?),
    };
    Ok((midnight.checked_add(clocked).ok_or(NO_MOMENT)?, offset))
}

fn is_infinite(text: &str) -> bool {
    text.trim_start_matches(['-', '+']).eq_ignore_ascii_case("infinity")
}

/// Days since 1970 of the date that a text begins with, and what follows it.
fn head(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = number(text, 4, 6)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 2, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) || year == 0 {
        return None;
    }
    // Howard Hinnant, days_from_civil: years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some((era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468, rest))
}

/// A number of so many digits, and what follows it.
fn number(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if length < least {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    Some((digits.parse().ok()?, rest))
}

/// Microseconds of the time of day that a text begins with, and what follows it.
fn clock(text: &str) -> Result<(i64, &str), Why> {
    let read = || {
        let (hour, rest) = number(text, 2, 2)?;
        let (minute, rest) = number(rest.strip_prefix(':')?, 2, 2)?;
        let (second, rest) = match rest.strip_prefix(':') {
            Some(rest) => number(rest, 2, 2)?,
            None => (0, rest),
        };
        (hour < 24 && minute < 60 && second < 60).then_some(((hour * 60 + minute) * 60 + second, rest))
    };
    let (seconds, rest) = read().ok_or(NO_TIME)?;
    let Some(fraction) = rest.strip_prefix(['.', ',']) else { return Ok((seconds * 1_000_000, rest)) };
    let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = fraction.split_at(length);
    if length == 0 {
        return Err(NO_TIME);
    }
    let (kept, cut) = digits.split_at(length.min(6));
    if cut.bytes().any(|digit| digit != b'0') {
        return Err(FINER);
    }
    let fraction: i64 = format!("{kept:0<6}").parse().map_err(|_| NO_TIME)?;
    Ok((seconds * 1_000_000 + fraction, rest))
}

/// Seconds of `+02`, `+0230`, `-02:30`, `+02:30:15`.
fn zone(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = number(&text[1..], 2, 2)?;
    let part = |rest| -> Option<(i64, &str)> {
        match rest {
            "" => Some((0, "")),
            rest => number(rest.strip_prefix(':').unwrap_or(rest), 2, 2),
        }
    };
    let (minutes, rest) = part(rest)?;
    let (seconds, rest) = part(rest)?;
    (rest.is_empty() && hours < 16 && minutes < 60 && seconds < 60)
        .then_some(sign * ((hours * 60 + minutes) * 60 + seconds))
}

/// A date as ISO 8601 writes it.
pub fn date_text(days: i64) -> String {
    // Howard Hinnant, civil_from_days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time of day as ISO 8601 writes it, of nanoseconds.
pub fn time_text(nanoseconds: i64) -> String {
    let (seconds, fraction) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => whole,
        _ => format!("{whole}.{}", format!("{fraction:09}").trim_end_matches('0')),
    }
}

/// A moment as ISO 8601 writes it, of nanoseconds since 1970.
pub fn moment_text(nanoseconds: i128) -> String {
    const LONG_DAY: i128 = DAY as i128 * 1000;
    let days = nanoseconds.div_euclid(LONG_DAY) as i64;
    format!("{}T{}", date_text(days), time_text(nanoseconds.rem_euclid(LONG_DAY) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_written_and_read_alike() {
        for days in (-719_162..4_000_000).step_by(137) {
            assert_eq!(date(&date_text(days)), Ok(days as i32), "{days}");
        }
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date("2024-02-29T00:00:00.000Z"), Ok(19_782));
        for wrong in
            ["2023-02-29", "2026-13-01", "26-01-01", "01/31/2026", "2026-1-1", "20260131", "0000-01-01"]
        {
            assert_eq!(date(wrong), Err(NO_DATE), "{wrong}");
        }
        assert_eq!(date("infinity"), Err(INFINITE));
        assert!(date("2026-01-01 10:00").is_err());
    }

    #[test]
    fn a_moment_is_read_with_its_zone_or_without_as_the_column_has_it() {
        let noon = 19_782 * DAY + DAY / 2;
        assert_eq!(timestamp("2024-02-29 12:00:00"), Ok(noon));
        assert_eq!(timestamp("2024-02-29T12:00Z"), Ok(noon));
        assert_eq!(timestamp("2024-02-29"), Ok(19_782 * DAY));
        assert!(timestamp("2024-02-29 12:00:00+02").is_err());
        assert_eq!(instant("2024-02-29 14:00:00.000001+02"), Ok(noon + 1));
        assert_eq!(instant("2024-02-29T06:30:00.000000000-05:30"), Ok(noon));
        assert_eq!(instant("2024-02-29 12:00:00 UTC"), Ok(noon));
        assert!(instant("2024-02-29 12:00:00").is_err());
        assert_eq!(instant("2024-02-29 12:00:00.0000001Z"), Err(FINER));
        assert_eq!(moment_text(i128::from(noon) * 1000 + 500), "2024-02-29T12:00:00.0000005");
        assert_eq!(time("23:59:59.5"), Ok(DAY - 500_000));
        assert_eq!(time("24:00:00"), Err(NO_TIME));
    }
}
