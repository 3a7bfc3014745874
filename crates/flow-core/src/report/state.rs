//! What is known of pipelines between their runs: how the last ones went, and what is awaited.

use super::{RunLog, RunRow};
use crate::declare::Mode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A pipeline with its last runs, for `flow status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatusRow {
    /// The pipeline.
    pub name: String,
    /// The load strategy.
    pub mode: Option<String>,
    /// The target, `schema.table`; several with commas between them.
    pub target: String,
    /// The cron line, or the interval as `every 15m`.
    pub schedule: Option<String>,
    /// The zone of the schedule.
    pub timezone: String,
    /// Whether its schedule fires.
    pub enabled: bool,
    /// Who keeps it from running.
    pub paused: Option<PausedRow>,
    /// Its last run, which may be running still.
    pub last_run: Option<RunRow>,
    /// Since when it is running, RFC 3339 in UTC.
    pub running_since: Option<String>,
    /// The end of its last success, RFC 3339 in UTC.
    pub last_success: Option<String>,
    /// Milliseconds since the last success.
    pub lag_ms: Option<i64>,
    /// Milliseconds between the two slots before now.
    pub interval_ms: Option<i64>,
    /// The slot for which there is no run though it is past, RFC 3339 in UTC.
    pub missed_slot: Option<String>,
    /// The first slot after the last success, where it is past and nothing is running, RFC 3339 in UTC.
    pub late_since: Option<String>,
    /// The next slot, RFC 3339.
    pub next: Option<String>,
    /// Its last runs, oldest first.
    pub runs: Vec<RunPoint>,
}

impl StatusRow {
    /// The last run that has ended.
    pub fn last_ended(&self) -> Option<&RunPoint> {
        self.runs.iter().rev().find(|run| run.status != "running")
    }

    /// Whether the last run that has ended left something for a person to look at.
    pub fn needs_a_look(&self) -> bool {
        self.last_ended().is_some_and(|run| run.needs_a_look()) || self.missed_slot.is_some()
    }
}

/// A pause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PausedRow {
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// Whose wish it was.
    pub by: String,
    /// Why, where somebody said.
    pub reason: Option<String>,
}

/// What a series of runs shows of one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunPoint {
    /// The run's id.
    pub run_id: String,
    /// How it ended.
    pub status: String,
    /// The load strategy.
    #[serde(skip_serializing)]
    pub mode: Option<String>,
    /// Start, RFC 3339 in UTC.
    pub started_at: String,
    /// Duration in milliseconds; absent while it runs.
    pub duration_ms: Option<i64>,
    /// Rows that the source gave.
    pub rows_in: Option<i64>,
    /// New rows.
    pub rows_inserted: Option<i64>,
    /// Rows rewritten in place.
    pub rows_updated: Option<i64>,
    /// Versions closed.
    pub rows_closed_out: Option<i64>,
    /// Keys found gone.
    pub rows_deleted: Option<i64>,
    /// The code of its error.
    pub error_code: Option<String>,
}

impl RunPoint {
    /// Whether it ended as a person should know: neither well nor on purpose.
    pub fn needs_a_look(&self) -> bool {
        !matches!(self.status.as_str(), "success" | "running" | "skipped" | "cancelled")
    }

    /// Rows written.
    pub fn rows_written(&self) -> i64 {
        let counts = [self.rows_inserted, self.rows_updated, self.rows_closed_out, self.rows_deleted];
        rows_written(self.mode.as_deref(), counts)
    }
}

impl RunRow {
    /// Rows written.
    pub fn rows_written(&self) -> i64 {
        let counts = [self.rows_inserted, self.rows_updated, self.rows_closed_out, self.rows_deleted];
        rows_written(self.mode.as_deref(), counts)
    }
}

/// Of rows inserted, updated, closed out and deleted; a deleted key whose versions are kept is counted as closed out, too.
fn rows_written(mode: Option<&str>, [inserted, updated, closed_out, deleted]: [Option<i64>; 4]) -> i64 {
    let keeps = mode.and_then(Mode::named).is_some_and(Mode::keeps_versions);
    let deleted = deleted.filter(|_| !keeps);
    [inserted, updated, closed_out, deleted].into_iter().flatten().sum()
}

/// Which runs of the history are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunsWanted {
    /// At most so many, the newest.
    pub limit: usize,
    /// None that began before.
    pub since: Option<Timestamp>,
    /// Only what neither succeeded nor ended on purpose.
    pub failed: bool,
}

impl RunsWanted {
    /// The last runs, whatever became of them.
    pub fn last(limit: usize) -> RunsWanted {
        RunsWanted { limit, since: None, failed: false }
    }
}

/// What one reading of every target's history tells of a project: what `flow status --html` draws.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The pipelines, in the order that was asked for.
    pub pipelines: Vec<StatusRow>,
    /// The last runs with their steps, newest first, and of each pipeline whose last run needs a look that one.
    pub logs: Vec<RunLog>,
}
