//! Arguments of the commands that look back.

use super::SelectionArgs;
use crate::completing;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use ematix_flow_core::duration as length;
use ematix_flow_core::facts::RunNamed;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::path::PathBuf;
use std::time::Duration;

pub(super) const STATUS_EXAMPLES: &str = "\
RUNS shows how long the last runs took, oldest first, a bar a success:
  ✗ failed or lost  ! refused or locked  - cancelled  · skipped  … running
LAG is how long ago the last success ended. MISSED, where there is one, is the
slot of the schedule that passed more than two minutes ago without a run.

Examples:
  flow status
  flow status tag:crm --output json
  flow status --watch                   on the terminal, drawn anew every 2 s
  flow status --html status.html        a page for the wall, of one file";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  flow history                          the last runs of all pipelines
  flow history customers --limit 100
  flow history --failed --since 24h     what went wrong since yesterday
  flow history --watch --output ndjson  a line for each run that begins or ends
  flow history customers --key 17       a picture of the versions of one key
  flow history prices --key id=17 --key region=EU
  flow history customers --as-of 2026-03-01
  flow history states --as-of 2026-03-01 --known-as-of 41 --output ndjson";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  flow logs 5d21c0fe                    the digits that a run prints last
  flow logs 5d21c0fe --watch            until it ends, with its exit code";

pub(super) const REJECTED_EXAMPLES: &str = "\
Rows that fail an expectation with policy = \"quarantine\" stand in the table
TARGET__rejected until their source brings them good.

Examples:
  flow rejected customers
  flow rejected customers --limit 1000 --output ndjson";

pub(super) const CHECK_EXAMPLES: &str = "\
Ends with 1 if anything is wrong, and names the keys.

Examples:
  flow check customers
  flow check --all --output json";

/// How an answer is kept up to date.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Look again every so many seconds (2): a terminal is drawn anew until Ctrl-C, which ends with 0; elsewhere
    /// --output ndjson prints a line for each thing that is new
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = seconds
    )]
    pub watch: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write a number of seconds from 0.1 to 86400".to_owned()),
    }
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Looking again.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Write a page of it for a browser, in one file without anything from elsewhere; - is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "watch", value_hint = clap::ValueHint::FilePath)]
    pub html: Option<PathBuf>,
}

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Draw the versions of this key: a value, or COLUMN=VALUE for each column of a composite key
    #[arg(long, value_name = "KEY", conflicts_with = "watch")]
    pub key: Vec<KeyPart>,
    /// Show so many runs (20); with --as-of so many rows (all)
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// Show runs that began since then: a length of time (24h, 7d), a date, or a date and time
    #[arg(long, value_name = "WHEN", value_parser = instant, conflicts_with = "key")]
    pub since: Option<Timestamp>,
    /// Show only runs that failed, were refused or locked out, or were lost
    #[arg(long, conflicts_with = "key")]
    pub failed: bool,
    /// Show the rows of the target that were valid then: a date, a date and time, or a length of time ago
    #[arg(long, value_name = "WHEN", value_parser = instant, conflicts_with_all = ["since", "failed", "watch"])]
    pub as_of: Option<Timestamp>,
    /// Show them as they were known after this run (its number, or the end of its id), or by this time; for histories by
    /// event time
    #[arg(long, value_name = "RUN|WHEN", value_parser = super::mend::run, requires = "as_of")]
    pub known_as_of: Option<RunNamed>,
    /// Looking again.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// An instant, or how long ago it was; without an offset on the clock of this machine.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = length::Duration::parse(text) {
        let ago = SignedDuration::from_millis(ago.milliseconds().try_into().unwrap_or(i64::MAX));
        return Timestamp::now()
            .checked_sub(ago)
            .map_err(|_| "that is before the calendar begins".to_owned());
    }
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::system()).ok().map(|at| at.timestamp());
    let at = text.parse::<Timestamp>().ok().or_else(local);
    at.ok_or_else(|| "write 90m, 24h, 7d, 2026-03-01 or 2026-03-01T10:00".to_owned())
}

/// A key's column and value; without a column where the key has only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The column, or nothing.
    pub column: String,
    /// The value as text.
    pub value: String,
}

impl std::str::FromStr for KeyPart {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<KeyPart, Self::Err> {
        let (column, value) = text.split_once('=').unwrap_or(("", text));
        Ok(KeyPart { column: column.to_owned(), value: value.to_owned() })
    }
}

/// Arguments of `rejected`.
#[derive(Clone, Debug, Args)]
pub struct RejectedArgs {
    /// The pipeline
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
    pub name: String,
    /// Show so many rows
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub limit: usize,
}

/// Arguments of `logs`.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// A run's id, or the last digits of it
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Looking again.
    #[command(flatten)]
    pub watch: WatchArgs,
}
