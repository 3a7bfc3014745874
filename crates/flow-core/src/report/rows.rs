//! What the history answers: runs, steps, rows put aside, watermarks and versions, as commands print them.

use super::StepReport;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The rows of a history as they were at an instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowsAsOf {
    /// The table.
    pub table: String,
    /// The instant: ISO 8601, UTC.
    pub as_of: String,
    /// The number of the run after which it was known so, where that was asked and there was one.
    pub known_as_of: Option<i64>,
    /// The columns of the key.
    pub keys: Vec<String>,
    /// The rows, ordered by their keys.
    pub rows: Vec<AsOfRow>,
}

/// A row that was valid at an instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AsOfRow {
    /// Since when: ISO 8601, UTC.
    pub valid_from: String,
    /// Until when.
    pub valid_to: Option<String>,
    /// Its columns.
    pub values: IndexMap<String, serde_json::Value>,
}

/// A line of `run_history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// The pipeline.
    pub pipeline: String,
    /// The run's id.
    pub run_id: String,
    /// Its number on the target, in commit order.
    pub run_number: Option<i64>,
    /// How it ended.
    pub status: String,
    /// Whether the load stands.
    pub committed: bool,
    /// The load strategy.
    pub mode: Option<String>,
    /// The path taken.
    pub path: Option<String>,
    /// The target.
    pub target: String,
    /// Start, RFC 3339 in UTC.
    pub started_at: String,
    /// End.
    pub ended_at: Option<String>,
    /// Commit.
    pub committed_at: Option<String>,
    /// Duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// Counts, as in a report.
    pub rows_in: Option<i64>,
    /// New rows.
    pub rows_inserted: Option<i64>,
    /// Rows rewritten in place.
    pub rows_updated: Option<i64>,
    /// Rows that needed nothing.
    pub rows_unchanged: Option<i64>,
    /// Versions closed.
    pub rows_closed_out: Option<i64>,
    /// Keys found gone.
    pub rows_deleted: Option<i64>,
    /// Rows dropped as duplicates.
    pub rows_deduplicated: Option<i64>,
    /// Rows skipped.
    pub rows_skipped: Option<i64>,
    /// Rows quarantined.
    pub rows_rejected: Option<i64>,
    /// Versions rehashed.
    pub rows_rehashed: Option<i64>,
    /// The watermark from which it read.
    pub watermark_before: Option<String>,
    /// The watermark that it left.
    pub watermark_after: Option<String>,
    /// The code of its error.
    pub error_code: Option<String>,
    /// The error in words.
    pub error: Option<String>,
    /// Who started it.
    pub started_by: Option<String>,
    /// On which host.
    pub host: Option<String>,
    /// Its process.
    pub pid: Option<i64>,
    /// The version of ematix-flow.
    pub version: Option<String>,
    /// The slot of a schedule that it serves, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The how manieth run for its slot it is.
    #[serde(default = "first")]
    pub attempt: i64,
    /// The run that this one is a part of, or follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    /// The transform, where it is no load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_name: Option<String>,
    /// The transforms that ran after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<TransformRow>,
}

fn first() -> i64 {
    1
}

/// A transform in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformRow {
    /// Its name, or how its SQL begins.
    pub name: String,
    /// Its id.
    pub run_id: String,
    /// The run that it followed; itself where it ran alone.
    #[serde(skip_serializing)]
    pub parent: String,
    /// How it ended.
    pub status: String,
    /// Start, RFC 3339 in UTC.
    pub started_at: String,
    /// End.
    pub ended_at: Option<String>,
    /// Duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// What its function returned.
    pub metrics: Option<serde_json::Value>,
    /// The code of its error.
    pub error_code: Option<String>,
    /// The error in words.
    pub error: Option<String>,
}

/// The steps of one run, for `flow logs RUN`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLog {
    /// The run.
    pub run: RunRow,
    /// Its steps.
    pub steps: Vec<StepReport>,
}

/// The rows that a pipeline has put aside beside one target.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedRows {
    /// The table that has them.
    pub table: String,
    /// Whether it is there: no row was ever put aside otherwise.
    pub exists: bool,
    /// How many there are.
    pub count: i64,
    /// The last of them.
    pub rows: Vec<RejectedRow>,
}

/// A row that was put aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RejectedRow {
    /// The table that has it.
    pub table: String,
    /// Every expectation that it fails.
    pub reason: String,
    /// The run that put it aside.
    pub run_id: String,
    /// When that was, RFC 3339 in UTC.
    pub rejected_at: String,
    /// The row.
    pub values: IndexMap<String, serde_json::Value>,
}

/// A stored watermark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatermarkRow {
    /// The pipeline.
    pub pipeline: String,
    /// The incremental column.
    pub column: String,
    /// The greatest value read.
    pub last_value: Option<String>,
    /// When it was stored, RFC 3339 in UTC.
    pub updated_at: String,
}

/// The history of one key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyHistory {
    /// The key's columns and values.
    pub key: IndexMap<String, serde_json::Value>,
    /// Its versions, oldest first.
    pub versions: Vec<Version>,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// Where it begins, RFC 3339 in UTC (or `-infinity`).
    pub valid_from: String,
    /// Where it ends; absent while current.
    pub valid_to: Option<String>,
    /// Whether it is the current one.
    pub is_current: bool,
    /// The other columns.
    pub values: IndexMap<String, serde_json::Value>,
}

/// A broken invariant of a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// The invariant: `one_current_version`, `no_overlap`, `no_null_key` …
    pub invariant: String,
    /// The key that breaks it.
    pub key: Option<IndexMap<String, serde_json::Value>>,
    /// What is wrong.
    pub detail: String,
}
