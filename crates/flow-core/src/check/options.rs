//! Checks options: which exclude each other, and what those mean that every load strategy has.

use super::{Check, Incremental, Limits};
use crate::declare::options::{Lookback, Mode, NameOrOff, PipelineOptions, RULES};
use crate::error::{ErrorCode, FlowError};
use crate::schedule::{self, Schedule};
use crate::sql::Ident;

/// More sessions than this read no table faster, and are more than a server has to spare.
const MOST_READERS: u32 = 64;

/// What is remembered for less than this is of no use to anybody.
const HOUR: u64 = 3_600_000;

impl Limits {
    /// What options say, right or wrong.
    pub fn of(options: &PipelineOptions) -> Limits {
        Limits {
            lock_timeout: options.lock_timeout(),
            statement_timeout: options.statement_timeout.clone(),
            read_timeout: options.read_timeout(),
            run_timeout: options.run_timeout.clone(),
            lease: options.lease(),
            history_keep: options.history_keep.clone(),
        }
    }
}

impl Check<'_> {
    /// What options exclude, need and can be.
    pub(crate) fn rules(&mut self, mode: Mode, options: &PipelineOptions) {
        for rule in RULES {
            if let Some(error) = rule.judge(mode, options) {
                self.fail(rule.option, error);
            }
        }
        if let Some(fraction) = options.max_delete_fraction
            && !(0.0..=1.0).contains(&fraction)
        {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("max_delete_fraction = {fraction} is not between 0 and 1"),
            );
            self.fail("max_delete_fraction", error.hint("it is a share: 0.1 allows one key in ten"));
        }
        // Of a file its schema says so; a flag comes here.
        if !(1..=MOST_READERS).contains(&options.parallel()) {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("parallel = {} is not between 1 and {MOST_READERS}", options.parallel()),
            );
            self.fail("parallel", error.hint("it is how many sessions read the source's table at once"));
        }
    }

    /// Who is told how a run has ended.
    pub(crate) fn notifications(&mut self, options: &PipelineOptions) {
        for (index, notification) in options.notify().iter().enumerate() {
            for (part, error) in notification.mistakes() {
                let at = format!("notify.{index}.{part}");
                self.fail(at.trim_end_matches('.'), error);
            }
        }
    }

    /// A column of ours, or none; `true` is the name that it has when unwritten.
    pub(crate) fn optional_name(
        &mut self,
        part: &str,
        value: &NameOrOff,
        unwritten: &Option<NameOrOff>,
    ) -> Option<Ident> {
        match (value, unwritten) {
            (NameOrOff::Name(name), _) | (NameOrOff::Off(true), Some(NameOrOff::Name(name))) => {
                self.keep(part, Ident::new(name))
            }
            _ => None,
        }
    }

    pub(crate) fn incremental(&mut self, options: &PipelineOptions) -> Option<Incremental> {
        let column = self.keep("incremental_column", Ident::new(options.incremental_column.as_ref()?))?;
        Some(Incremental {
            column,
            lookback: options.lookback.clone().unwrap_or(Lookback::Number(0)),
            on_null: options.null_watermark(),
            on_future: options.future_watermark(),
            late_commits: options.late_commits(),
        })
    }

    pub(crate) fn schedule(&mut self, options: &PipelineOptions) -> Option<Schedule> {
        let timezone = options.timezone();
        let first_run = options.first_run();
        // At its own line; what else is wrong is found all the same.
        let is_zone = self.keep("timezone", schedule::zone(&timezone)).is_some();
        let timezone = if is_zone { timezone.as_str() } else { "UTC" };
        match (&options.schedule, &options.every) {
            (Some(_), Some(_)) => {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    "`schedule` and `every` exclude each other",
                );
                self.fail("every", error.hint("keep the cron line or the interval"));
                None
            }
            (Some(line), None) => self.keep("schedule", Schedule::cron(line, timezone, first_run)),
            (None, Some(every)) => self.keep("every", Schedule::every(every, timezone, first_run)),
            (None, None) => None,
        }
    }

    pub(crate) fn limits(&mut self, options: &PipelineOptions) -> Limits {
        let lease = options.lease();
        if lease.milliseconds() < 1_000 {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("lease = \"{lease}\" is shorter than a second"),
            );
            self.fail(
                "lease",
                error.hint("it is renewed four times in its length: give the network time to answer"),
            );
        }
        if let Some(keep) = options.history_keep.as_ref().filter(|keep| keep.milliseconds() < HOUR) {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("history_keep = \"{keep}\" is shorter than an hour"),
            );
            self.fail("history_keep", error.hint("say for how long you look back: \"90d\""));
        }
        Limits::of(options)
    }
}
