//! A crontab line as sets of numbers. Strict: what crontab(5) does not know is refused, not guessed.

use jiff::civil::{Date, Time};

/// A checked line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cron {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    /// Sunday is 0.
    weekdays: Field,
}

/// The numbers that a field names, as bits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Field {
    bits: u64,
    /// Whether it begins with `*`, by which cron knows what restricts nothing, whatever the manual says of "contain".
    star: bool,
}

impl Field {
    fn has(self, number: i8) -> bool {
        self.bits >> number & 1 == 1
    }

    fn numbers(self) -> impl Iterator<Item = i8> {
        (0..60).filter(move |number| self.has(*number))
    }
}

/// What numbers and names a field takes.
struct Range {
    what: &'static str,
    first: u32,
    last: u32,
    /// The names of the numbers from `first` on.
    names: &'static [&'static str],
}

const MINUTES: Range = Range { what: "minute", first: 0, last: 59, names: &[] };
const HOURS: Range = Range { what: "hour", first: 0, last: 23, names: &[] };
const DAYS: Range = Range { what: "day of month", first: 1, last: 31, names: &[] };
const MONTHS: Range = Range {
    what: "month",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Range = Range {
    what: "day of week",
    first: 0,
    last: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Cron {
    /// Reads minute, hour, day of month, month, day of week, or a word that stands for them; or says why not.
    pub(super) fn parse(line: &str) -> Result<Cron, String> {
        let line = match line.trim() {
            word if word.starts_with('@') => meant_by(word)?,
            line => line,
        };
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("it has {} fields, not 5", fields.len()));
        };
        let mut weekdays = field(weekdays, &WEEKDAYS)?;
        // Sunday is 0 and 7.
        weekdays.bits = (weekdays.bits | weekdays.bits >> 7) & 0x7f;
        let cron = Cron {
            minutes: field(minutes, &MINUTES)?,
            hours: field(hours, &HOURS)?,
            days: field(days, &DAYS)?,
            months: field(months, &MONTHS)?,
            weekdays,
        };
        if cron.fires() { Ok(cron) } else { Err("it never fires: no such month has such a day".to_owned()) }
    }

    /// Whether there is a day of the calendar, leap years among them, on which it fires.
    fn fires(&self) -> bool {
        const LENGTHS: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let by_weekday_alone = !self.days.star && !self.weekdays.star;
        by_weekday_alone
            || (1..=12)
                .zip(LENGTHS)
                .any(|(month, length)| self.months.has(month) && (1..=length).any(|day| self.days.has(day)))
    }

    /// Whether it fires on a day.
    pub(super) fn fires_on(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        // "If both fields are restricted (i.e., do not contain the * character)", either will do: crontab(5).
        let matches = if self.days.star || self.weekdays.star { day && weekday } else { day || weekday };
        self.months.has(date.month()) && matches
    }

    /// The times of a day at which it fires, in their order.
    pub(super) fn times(&self) -> impl Iterator<Item = Time> {
        let minutes = self.minutes;
        self.hours.numbers().flat_map(move |hour| {
            minutes.numbers().filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        })
    }

    /// Whether it goes by elapsed time where clocks change: cron's wildcard jobs, whose minute or hour begins with `*`.
    pub(super) fn goes_by_elapsed_time(&self) -> bool {
        self.minutes.star || self.hours.star
    }
}

/// The line that a word stands for: crontab(5), "special strings".
fn meant_by(word: &str) -> Result<&'static str, String> {
    Ok(match word {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => return Err("a start of the machine is no point in time".to_owned()),
        _ => {
            return Err("the words are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
                .to_owned());
        }
    })
}

fn field(text: &str, range: &Range) -> Result<Field, String> {
    let mut bits = 0;
    for item in text.split(',') {
        bits |= self::item(item, range).ok_or_else(|| {
            format!("`{item}` is no {} between {} and {}", range.what, range.first, range.last)
        })?;
    }
    Ok(Field { bits, star: text.starts_with('*') })
}

/// `*`, `a` or `a-b`, the first and the last with `/step` after it.
fn item(text: &str, range: &Range) -> Option<u64> {
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => (span, Some(digits(step).filter(|step| *step > 0)?)),
        None => (text, None),
    };
    let (first, last) = match span.split_once('-') {
        _ if span == "*" => (range.first, range.last),
        Some((first, last)) => (number(first, range)?, number(last, range)?),
        None if step.is_none() => (number(span, range)?, number(span, range)?),
        None => return None,
    };
    let numbers = (first..=last).step_by(step.unwrap_or(1) as usize);
    (first <= last).then(|| numbers.fold(0, |bits, number| bits | 1 << number))
}

fn number(text: &str, range: &Range) -> Option<u32> {
    let named = range.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let number = match named {
        Some(index) => range.first + index as u32,
        None => digits(text)?,
    };
    (range.first..=range.last).contains(&number).then_some(number)
}

fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
