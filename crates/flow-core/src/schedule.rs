//! When a pipeline is due: crontab lines and intervals, in a time zone. Pure: the present is a value.
//!
//! Cron lines mean what crontab means: five fields, Sunday is 0 or 7, and a line that restricts both
//! day-of-month and day-of-week fires when either matches.

use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use crate::spec::options::FirstRun;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A schedule whose words have been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    text: String,
    beat: Beat,
    timezone_name: String,
    timezone: TimeZone,
    /// When a pipeline that never ran is due.
    pub first_run: FirstRun,
}

#[derive(Clone, Debug, PartialEq)]
enum Beat {
    Cron(Box<Cron>),
    /// Seconds; counted from local midnight where they divide the day, else from 1970.
    Every(i64),
}

impl Schedule {
    /// A crontab line in a time zone.
    ///
    /// # Errors
    /// `invalid_schedule` for a line that crontab would not take, or an unknown time zone.
    pub fn cron(line: &str, timezone: &str, first_run: FirstRun) -> Result<Schedule> {
        let invalid = |why: String| {
            FlowError::new(ErrorCode::InvalidSchedule, format!("`{line}` is not a cron line: {why}")).hint(
                "write minute, hour, day of month, month, day of week: \"5 * * * *\" is five past every hour",
            )
        };
        let fields = line.split_whitespace().count();
        if fields != 5 {
            return Err(invalid(format!("it has {fields} fields, not 5")));
        }
        if let Some(letter) = line.chars().find(|c| matches!(c, 'L' | 'W' | '#' | '?' | '+')) {
            let word = line.split_whitespace().find(|word| word.contains(letter)).unwrap_or(line);
            if !word.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | ',')) || word.len() == 1 {
                return Err(invalid(format!("`{letter}` is not known to crontab")));
            }
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(line)
            .map_err(|error| invalid(error.to_string().to_lowercase()))?;
        let schedule = Schedule {
            text: line.to_owned(),
            beat: Beat::Cron(Box::new(cron)),
            timezone_name: timezone.to_owned(),
            timezone: zone(timezone)?,
            first_run,
        };
        let from = Timestamp::from_second(1_700_000_000).expect("a fixed instant");
        if schedule.next_after(from).is_none() {
            return Err(invalid("it never fires".to_owned()));
        }
        Ok(schedule)
    }

    /// An interval; where it divides the day it is counted from midnight in the time zone.
    ///
    /// # Errors
    /// `invalid_schedule` below one second, or for an unknown time zone.
    pub fn every(every: &Duration, timezone: &str, first_run: FirstRun) -> Result<Schedule> {
        let seconds = (every.milliseconds() / 1000) as i64;
        if seconds < 1 || !every.milliseconds().is_multiple_of(1000) {
            return Err(FlowError::new(
                ErrorCode::InvalidSchedule,
                format!("every = \"{every}\" is not a whole number of seconds"),
            )
            .hint("write \"15m\", \"1h\", \"1d\""));
        }
        Ok(Schedule {
            text: format!("every {every}"),
            beat: Beat::Every(seconds),
            timezone_name: timezone.to_owned(),
            timezone: zone(timezone)?,
            first_run,
        })
    }

    /// As it was written: the cron line, or `every 15m`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone's name.
    pub fn timezone(&self) -> &str {
        &self.timezone_name
    }

    /// The first slot after an instant.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        match &self.beat {
            Beat::Cron(cron) => {
                let local = instant.to_zoned(self.timezone.clone());
                cron.find_next_occurrence(&local, false).ok().map(|next| next.timestamp())
            }
            Beat::Every(seconds) => {
                let start = self.interval_start(instant, *seconds);
                let steps = (instant.as_second() - start.as_second()).div_euclid(*seconds) + 1;
                let next = Timestamp::from_second(start.as_second() + steps * seconds).ok()?;
                if 86_400 % seconds != 0 {
                    return Some(next);
                }
                // A day begins its own count: the last interval before midnight may be shorter or longer.
                let tomorrow =
                    instant.to_zoned(self.timezone.clone()).tomorrow().ok()?.start_of_day().ok()?.timestamp();
                Some(next.min(tomorrow))
            }
        }
    }

    /// The last slot at or before an instant.
    pub fn last_until(&self, instant: Timestamp) -> Option<Timestamp> {
        match &self.beat {
            Beat::Cron(cron) => {
                let local = instant.to_zoned(self.timezone.clone());
                cron.find_previous_occurrence(&local, true).ok().map(|slot| slot.timestamp())
            }
            Beat::Every(seconds) => {
                let start = self.interval_start(instant, *seconds);
                let steps = (instant.as_second() - start.as_second()).div_euclid(*seconds);
                Timestamp::from_second(start.as_second() + steps * seconds).ok()
            }
        }
    }

    fn interval_start(&self, instant: Timestamp, seconds: i64) -> Timestamp {
        if 86_400 % seconds != 0 {
            return Timestamp::UNIX_EPOCH;
        }
        let midnight = instant.to_zoned(self.timezone.clone()).start_of_day();
        midnight.map_or(Timestamp::UNIX_EPOCH, |midnight| midnight.timestamp())
    }

    /// The slot that is due now: the last one, if it lies after the last recorded slot or, without
    /// one, if the first run is to happen at once.
    pub fn due(&self, last_slot: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let slot = self.last_until(now)?;
        match last_slot {
            Some(last) => (slot > last).then_some(slot),
            None => (self.first_run == FirstRun::Now).then_some(slot),
        }
    }
}

fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        FlowError::new(ErrorCode::InvalidSchedule, format!("there is no time zone `{name}`"))
            .hint("write an IANA name: \"UTC\", \"Europe/Paris\", \"America/New_York\"")
    })
}
