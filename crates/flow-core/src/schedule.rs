//! When a pipeline is due: crontab lines and intervals, in a time zone. Pure: the present is a value.
//!
//! Cron lines mean what Debian's cron makes of them: five fields, Sunday is 0 or 7, and a line whose day-of-month and
//! day-of-week both do not begin with `*` fires when either matches. Where clocks change, a line at fixed times fires
//! once: at the end of the hour that is skipped, at the first of the hour that comes twice; a line whose minute or hour
//! begins with `*` goes by elapsed time.

mod cron;
pub mod slots;

use crate::declare::options::FirstRun;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use cron::Cron;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

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
    /// Seconds that pass; within an hour they are counted from local midnight, otherwise from 1970.
    Elapsed(i64),
    /// Seconds on the clock, longer than an hour, which divide the day.
    OnTheClock(i64),
}

const DAY: i64 = 86_400;

impl Schedule {
    /// A crontab line in a time zone.
    ///
    /// # Errors
    /// `invalid_schedule` for a line that crontab would not take, or an unknown time zone.
    pub fn cron(line: &str, timezone: &str, first_run: FirstRun) -> Result<Schedule> {
        let cron = Cron::parse(line).map_err(|why| {
            FlowError::new(ErrorCode::InvalidSchedule, format!("`{line}` is not a cron line: {why}")).hint(
                "write minute, hour, day of month, month, day of week: \"5 * * * *\" is five past every hour",
            )
        })?;
        Ok(Schedule {
            text: line.to_owned(),
            beat: Beat::Cron(Box::new(cron)),
            timezone_name: timezone.to_owned(),
            timezone: zone(timezone)?,
            first_run,
        })
    }

    /// An interval; where it divides the day it is counted from midnight in the time zone, else from 1970.
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
            beat: if seconds > 3600 && DAY % seconds == 0 {
                Beat::OnTheClock(seconds)
            } else {
                Beat::Elapsed(seconds)
            },
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
        if let Beat::Elapsed(seconds) = self.beat {
            return self.elapsed_after(instant, seconds);
        }
        // A slot of the day before may have been moved past midnight.
        let mut date = instant.to_zoned(self.timezone.clone()).date().yesterday().ok()?;
        for _ in 0..SEARCHED_DAYS {
            let next = self.slots_of(date).into_iter().find(|slot| *slot > instant);
            if next.is_some() {
                return next;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last slot at or before an instant.
    pub fn last_until(&self, instant: Timestamp) -> Option<Timestamp> {
        if let Beat::Elapsed(seconds) = self.beat {
            return self.elapsed_until(instant, seconds);
        }
        let mut date = instant.to_zoned(self.timezone.clone()).date();
        for _ in 0..SEARCHED_DAYS {
            let last = self.slots_of(date).into_iter().rev().find(|slot| *slot <= instant);
            if last.is_some() {
                return last;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// The slots of a local day, in their order.
    fn slots_of(&self, date: Date) -> Vec<Timestamp> {
        let times: Vec<Time> = match &self.beat {
            Beat::Cron(cron) if !cron.fires_on(date) => Vec::new(),
            Beat::Cron(cron) => cron.times().collect(),
            Beat::OnTheClock(seconds) => (0..DAY / seconds).filter_map(|n| clock(n * seconds)).collect(),
            Beat::Elapsed(_) => Vec::new(),
        };
        let by_elapsed_time = matches!(&self.beat, Beat::Cron(cron) if cron.goes_by_elapsed_time());
        let mut slots = Vec::new();
        for time in times {
            let instant = self.timezone.to_ambiguous_timestamp(date.to_datetime(time));
            match instant.offset() {
                AmbiguousOffset::Gap { .. } if by_elapsed_time => {}
                AmbiguousOffset::Gap { .. } => {
                    slots.extend(instant.later().ok().and_then(|slot| self.change_before(slot)));
                }
                AmbiguousOffset::Fold { .. } if by_elapsed_time => {
                    slots.extend(instant.earlier().ok());
                    slots.extend(instant.later().ok());
                }
                AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => {
                    slots.extend(instant.earlier().ok());
                }
            }
        }
        slots.sort();
        slots.dedup();
        slots
    }

    /// When clocks were last changed before an instant: the end of the hour that was skipped.
    fn change_before(&self, instant: Timestamp) -> Option<Timestamp> {
        let after = Timestamp::from_nanosecond(instant.as_nanosecond() + 1).ok()?;
        self.timezone.preceding(after).next().map(|change| change.timestamp())
    }

    fn elapsed_after(&self, instant: Timestamp, seconds: i64) -> Option<Timestamp> {
        let next = self.elapsed_until(instant, seconds)?.as_second() + seconds;
        let next = Timestamp::from_second(next).ok()?;
        if DAY % seconds != 0 {
            return Some(next);
        }
        // A day begins its own count: where clocks change by less than an hour its last interval is shorter.
        let today = instant.to_zoned(self.timezone.clone());
        Some(next.min(today.tomorrow().ok()?.start_of_day().ok()?.timestamp()))
    }

    fn elapsed_until(&self, instant: Timestamp, seconds: i64) -> Option<Timestamp> {
        let start = if DAY % seconds == 0 {
            instant.to_zoned(self.timezone.clone()).start_of_day().ok()?.timestamp()
        } else {
            Timestamp::UNIX_EPOCH
        };
        // Before 1970 a part of a second points the other way.
        let passed = (instant.as_nanosecond() - start.as_nanosecond()).div_euclid(1_000_000_000) as i64;
        Timestamp::from_second(start.as_second() + passed.div_euclid(seconds) * seconds).ok()
    }

    /// The slots after one instant and until another, in their order: the first so many.
    pub fn between(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut slots = Vec::new();
        if let Beat::Elapsed(seconds) = self.beat {
            let mut next = self.elapsed_after(after, seconds);
            while let Some(slot) = next.filter(|slot| *slot <= until && slots.len() < most) {
                slots.push(slot);
                next = self.elapsed_after(slot, seconds);
            }
            return slots;
        }
        let day = |instant: Timestamp| instant.to_zoned(self.timezone.clone()).date();
        let mut date = day(after).yesterday().ok();
        while let Some(today) = date.filter(|date| *date <= day(until) && slots.len() < most) {
            slots.extend(self.slots_of(today).into_iter().filter(|slot| *slot > after && *slot <= until));
            date = today.tomorrow().ok();
        }
        slots.truncate(most);
        slots
    }
}

/// The time zone of a name.
///
/// # Errors
/// `invalid_schedule` where there is none.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        FlowError::new(ErrorCode::InvalidSchedule, format!("there is no time zone `{name}`"))
            .hint("write an IANA name: \"UTC\", \"Europe/Paris\", \"America/New_York\"")
    })
}

/// A leap day of one day of the week comes again after 40 years at the latest.
const SEARCHED_DAYS: usize = 41 * 366;

/// The time of day, so many seconds after midnight on the clock.
fn clock(seconds: i64) -> Option<Time> {
    let part = |seconds: i64| i8::try_from(seconds).ok();
    Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, 0).ok()
}
