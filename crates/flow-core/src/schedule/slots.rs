//! What becomes of the slots of a schedule that have passed. Pure: what is remembered and the present are values.

use super::Schedule;
use crate::declare::options::{Catchup, FirstRun, Overlap};
use crate::error::{ErrorCode, FlowError};
use crate::history::short_id;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How long before it is first seen a pipeline's slot may lie to be served still: as crontab, which looks once a minute.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(60);

/// How many slots one look enters, where each has a run of its own: the rest when these are entered.
const ENTERED_AT_ONCE: usize = 100;

/// How many missed slots are counted.
const COUNTED: usize = 100_000;

/// How long after a failure the next attempt begins; each later one twice as long, up to `LONGEST_WAIT`.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What options say of slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What becomes of slots that passed while nobody asked.
    pub catchup: Catchup,
    /// How late a slot may be served where nothing is caught up.
    pub grace: Duration,
    /// What a slot means that comes while the pipeline runs.
    pub overlap: Overlap,
    /// How often a run is tried again.
    pub retries: u32,
    /// The longest time after its slot that a run begins.
    pub jitter: Duration,
}

impl Policy {
    /// How late a slot may be served where nothing is caught up and nothing else is said.
    pub const GRACE: Duration = Duration::from_secs(60);

    /// That of what has no options: a named transform.
    pub const PLAIN: Policy = Policy {
        catchup: Catchup::Latest,
        grace: Policy::GRACE,
        overlap: Overlap::Skip,
        retries: 2,
        jitter: Duration::ZERO,
    };

    /// How long to wait after an attempt that failed; `None` where it was the last. Attempts count from 1, and `salt`
    /// (a run's id) keeps those that failed together from coming again together.
    pub fn wait_after(&self, attempt: u32, salt: &str) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let doubled = FIRST_WAIT.saturating_mul(1u32 << attempt.saturating_sub(1).min(16)).min(LONGEST_WAIT);
        Some(doubled + share_of(doubled / 4, salt))
    }
}

/// A part of a length of time that is always the same for a text, and spread evenly over texts.
fn share_of(length: Duration, text: &str) -> Duration {
    let digest = Sha256::digest(text.as_bytes());
    let share = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    length.mul_f64(f64::from(share) / (f64::from(u32::MAX) + 1.0))
}

/// What is remembered of a schedule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// The last slot.
    pub last: Option<Timestamp>,
    /// The last that was neither skipped nor given up: the time after it is to be read still.
    pub served: Option<Timestamp>,
    /// The slots whose run is not over.
    pub open: Vec<OpenSlot>,
    /// The run that is under way.
    pub running: Option<Holder>,
    /// Who paused it.
    pub paused: Option<Pause>,
}

/// A slot whose run is not over.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenSlot {
    /// When it was due.
    pub slot: Timestamp,
    /// Whether somebody has claimed it.
    pub is_claimed: bool,
    /// Whether whoever claimed it has given no sign of life until its lease had run out.
    pub is_expired: bool,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Not to be served before.
    pub due_at: Timestamp,
    /// Where the time begins that it stands for.
    pub from: Option<Timestamp>,
    /// How many slots before it it stands for, too.
    pub missed: i64,
    /// What the last claim counted.
    pub epoch: i64,
}

impl OpenSlot {
    /// Whether a run may begin for it now.
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        if self.is_claimed { self.is_expired } else { self.due_at <= now }
    }
}

/// A run that is under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Its id.
    pub run_id: String,
    /// Where it runs.
    pub process: String,
    /// Since when.
    pub since: Timestamp,
}

/// A pause.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Whose wish it was.
    pub by: String,
    /// Why, where somebody said.
    pub why: Option<String>,
}

impl Pause {
    /// The error of a run that does not begin for it.
    pub fn error(&self, pipeline: &str) -> FlowError {
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let words = format!("`{pipeline}` is paused since {} by {}{why}", second(self.since), self.by);
        FlowError::new(ErrorCode::Paused, words).hint(format!("`flow resume {pipeline}` lets it run again"))
    }
}

/// A slot that is entered.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was due.
    pub slot: Timestamp,
    /// Where the time begins that it stands for.
    pub from: Option<Timestamp>,
    /// How many slots before it it stands for, too.
    pub missed: i64,
    /// Not to be served before.
    pub due_at: Timestamp,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a slot that is entered.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is to be served.
    Due,
    /// It is to be served, and stands for those before it that wait still.
    DueForAll,
    /// It is not served, and why.
    Skipped(FlowError),
    /// It lies before the schedule was first seen: the next one is the first.
    Seen,
}

impl Schedule {
    /// What is to be entered of the slots that have passed since the last one; `name` is what the schedule is of.
    pub fn entries(
        &self,
        name: &str,
        policy: &Policy,
        remembered: &Remembered,
        now: Timestamp,
    ) -> Vec<Entry> {
        let Some(last) = remembered.last else {
            return self.first_entry(name, policy, now).into_iter().collect();
        };
        let passed = match policy.catchup {
            Catchup::All => self.between(last, now, ENTERED_AT_ONCE),
            Catchup::Latest | Catchup::None => self.between(last, now, COUNTED),
        };
        let Some(newest) = passed.last().copied() else { return Vec::new() };
        // What is beyond the count is missed, too.
        let newest = match policy.catchup {
            Catchup::All => newest,
            Catchup::Latest | Catchup::None => self.last_until(now).unwrap_or(newest),
        };
        let served = remembered.served.filter(|served| *served < newest);
        let one = |slot: Timestamp, missed: usize, from: Option<Timestamp>, fate: Fate| Entry {
            slot,
            from: from.or_else(|| self.before(slot)),
            missed: missed as i64,
            due_at: slot + signed(share_of(policy.jitter, name)),
            fate,
        };
        let skipped = |holder: &Holder| Fate::Skipped(overlaps(name, holder));
        let holder = remembered.running.as_ref().filter(|_| policy.overlap == Overlap::Skip);
        match policy.catchup {
            Catchup::Latest => {
                vec![one(newest, passed.len() - 1, served, holder.map_or(Fate::DueForAll, skipped))]
            }
            Catchup::All => {
                let mut from = served;
                let entries = passed.into_iter().map(|slot| match holder {
                    Some(holder) => one(slot, 0, from, skipped(holder)),
                    None => one(slot, 0, from.replace(slot), Fate::Due),
                });
                entries.collect()
            }
            Catchup::None => {
                let oldest = now - signed(policy.grace);
                let (late, others): (Vec<Timestamp>, Vec<Timestamp>) =
                    passed.into_iter().partition(|slot| *slot < oldest);
                let mut entries = Vec::new();
                if let Some(last) = late.last() {
                    let fate = Fate::Skipped(missed(name, late.len(), *last, policy.grace));
                    entries.push(one(*last, late.len() - 1, None, fate));
                }
                if let Some((last, before)) = others.split_last() {
                    entries.push(one(*last, before.len(), None, holder.map_or(Fate::Due, skipped)));
                }
                entries
            }
        }
    }

    fn first_entry(&self, name: &str, policy: &Policy, now: Timestamp) -> Option<Entry> {
        let slot = self.last_until(now)?;
        let is_due = self.first_run == FirstRun::Now || slot > now - FIRST_LOOK;
        Some(Entry {
            slot,
            from: self.before(slot),
            missed: 0,
            due_at: slot + signed(share_of(policy.jitter, name)),
            fate: if is_due { Fate::Due } else { Fate::Seen },
        })
    }

    /// The slot before a slot.
    pub fn before(&self, slot: Timestamp) -> Option<Timestamp> {
        self.last_until(slot - SignedDuration::from_nanos(1))
    }
}

fn signed(length: Duration) -> SignedDuration {
    SignedDuration::try_from(length).unwrap_or(SignedDuration::ZERO)
}

/// An instant to the second, as messages show it.
pub fn second(instant: Timestamp) -> String {
    format!("{instant:.0}")
}

fn overlaps(name: &str, holder: &Holder) -> FlowError {
    let short = short_id(&holder.run_id);
    let words = format!(
        "`{name}` was running still: run {short} of {} since {}",
        holder.process,
        second(holder.since)
    );
    FlowError::new(ErrorCode::Overlap, words)
        .hint("its next slot is served; overlap = \"queue\" lets a slot wait until the run is over")
}

fn missed(name: &str, slots: usize, last: Timestamp, grace: Duration) -> FlowError {
    let words = match slots {
        1 => {
            format!("the slot of `{name}` at {} was found more than {} late", second(last), length(grace))
        }
        _ => format!(
            "{slots} slots of `{name}` until {} were found more than {} late",
            second(last),
            length(grace)
        ),
    };
    FlowError::new(ErrorCode::Missed, words)
        .hint("catchup = \"latest\" would serve them by one run; `flow run` loads now")
}

/// A length of time as options say it.
fn length(length: Duration) -> String {
    match (length.as_secs(), length.subsec_millis()) {
        (0, milliseconds) => format!("{milliseconds}ms"),
        (seconds, _) => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
