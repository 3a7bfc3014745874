//! Numbers and instants as people read them. JSON never passes through here.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1234567` as `1,234,567`.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds as `0.11 s`, `4.2 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match milliseconds {
        0..10 => format!("{seconds}.{milliseconds:03} s"),
        10..10_000 => format!("{:.2} s", milliseconds as f64 / 1000.0),
        10_000..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Milliseconds of a step: `0.4 ms`, `210 ms`, then as [`duration`].
pub fn step_duration(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => duration(ms as u64),
    }
}

/// `812 bytes`, `1.1 MB`, `24 GB`: thousands, as disks and networks count.
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut number = bytes as f64 / 1000.0;
    let mut unit = 0;
    while number >= 999.5 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(number < 9.95);
    format!("{number:.digits$} {}", units[unit])
}

/// `1 row`, `5,000 rows`.
pub fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// An RFC 3339 instant as `2026-03-01 14:05:09` in a zone; anything else as it is.
pub fn instant(text: &str, zone: &TimeZone) -> String {
    match text.parse::<Timestamp>() {
        Ok(instant) => instant.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// An RFC 3339 instant without the seconds, which a list of slots does not need.
pub fn minute(text: &str, zone: &TimeZone) -> String {
    let instant = instant(text, zone);
    match instant.len() {
        19 => instant[..16].to_owned(),
        _ => instant,
    }
}

/// How long ago something was, in its largest unit.
pub fn age(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_separators() {
        let text = |number| thousands(number);
        assert_eq!([text(0), text(999), text(1000), text(-1_234_567)], ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!(thousands(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn sizes_get_the_unit_that_fits() {
        let all = [0, 999, 1_100_000, 9_990_000, 145_000_000, 24_000_000_000].map(size);
        assert_eq!(all, ["0 bytes", "999 bytes", "1.1 MB", "10 MB", "145 MB", "24 GB"]);
        assert_eq!([999_499, 999_500].map(size), ["999 kB", "1.0 MB"]);
    }

    #[test]
    fn durations_get_the_unit_that_fits() {
        let all = [4, 110, 9_990, 12_340, 125_000, 7_800_000, 273_600_000].map(duration);
        assert_eq!(all, ["0.004 s", "0.11 s", "9.99 s", "12.3 s", "2 min 05 s", "2 h 10 min", "3 d 4 h"]);
        assert_eq!([0.42, 21.7, 2100.0].map(step_duration), ["0.4 ms", "22 ms", "2.10 s"]);
    }
}
