//! What commands answer: plain data that prints as JSON, as terminal text and as Python objects.

mod doctor;
mod features;
mod rows;
mod state;

pub use crate::facts::ExecutionPath;
pub use doctor::{Check, DoctorReport, Health, LeastGrants, Patient};
pub use features::{FeatureFreshness, Served};
pub use rows::{
    AsOfRow, KeyHistory, RejectedRow, RejectedRows, RowsAsOf, RunLog, RunRow, TransformRow, Version,
    Violation, WatermarkRow,
};
pub use state::{Overview, PausedRow, RunPoint, RunsWanted, StatusRow};

use crate::declare::notifications::Ending;
use crate::error::{FlowError, Result};
use crate::history::short_id;
use crate::plan::Plan;
use crate::run_value::{RunValue, Values};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// How a run ended, the same word in reports and in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Under way (history only).
    Running,
    /// The load stands.
    Success,
    /// It failed; trying again may help.
    Failed,
    /// A guard or drift: nothing written, a person decides.
    Refused,
    /// Another run held the target for longer than `lock_timeout`.
    Locked,
    /// Ctrl-C or SIGTERM.
    Cancelled,
    /// Not started.
    Skipped,
    /// Its process disappeared (history only).
    Lost,
}

impl Status {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Refused => "refused",
            Status::Locked => "locked",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
            Status::Lost => "lost",
        }
    }

    /// The status in which an error leaves a run.
    pub fn of_error(error: &FlowError) -> Status {
        use crate::error::ExitCode;
        match error.code.exit() {
            ExitCode::Success => Status::Skipped,
            ExitCode::Refused => Status::Refused,
            ExitCode::Locked => Status::Locked,
            ExitCode::Interrupted | ExitCode::Terminated => Status::Cancelled,
            _ => Status::Failed,
        }
    }
}

/// The report of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// `ematix.run.v1`.
    pub schema: &'static str,
    /// The pipeline.
    pub pipeline: String,
    /// The run's id, a version 7 UUID.
    pub run_id: String,
    /// How it ended.
    pub status: Status,
    /// Whether the load stands.
    pub committed: bool,
    /// The load strategy.
    pub mode: String,
    /// The path taken; absent when the run ended before it was chosen.
    pub path: Option<ExecutionPath>,
    /// Why that path.
    pub path_reason: Option<String>,
    /// Whether everything was rolled back on purpose.
    pub dry_run: bool,
    /// The source's connection.
    pub source_connection: String,
    /// The target's connection.
    pub target_connection: String,
    /// The target: `schema.table`.
    pub target: String,
    /// Start, RFC 3339 in UTC.
    pub started_at: String,
    /// End, RFC 3339 in UTC.
    pub ended_at: String,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Rows that the source gave.
    pub rows_in: i64,
    /// New rows; in scd2 the versions opened.
    pub rows_inserted: i64,
    /// Rows rewritten in place.
    pub rows_updated: i64,
    /// Rows that needed nothing.
    pub rows_unchanged: i64,
    /// Versions closed.
    pub rows_closed_out: i64,
    /// Keys found gone from the source.
    pub rows_deleted: i64,
    /// Rows dropped by `on_duplicate = "latest"`.
    pub rows_deduplicated: i64,
    /// Rows loaded before, or without a watermark.
    pub rows_skipped: i64,
    /// Rows quarantined.
    pub rows_rejected: i64,
    /// Current versions whose hash was computed anew.
    pub rows_rehashed: i64,
    /// The watermark from which this run read.
    pub watermark_before: Option<String>,
    /// The watermark that it left.
    pub watermark_after: Option<String>,
    /// Values that a normalization could not parse, by column.
    pub parse_failures: IndexMap<String, i64>,
    /// Transforms after the load; of a dry-run those that would run.
    pub transforms: Vec<TransformReport>,
    /// Who would be told how it ended (`dry-run`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<NotifyReport>,
    /// What a person should know although it went well.
    pub warnings: Vec<String>,
    /// Why it did not go well.
    pub error: Option<FlowError>,
    /// Rows that would change, old beside new (`dry-run --sample`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Vec<SampleRow>>,
    /// What each layer around the source's query left and changed (`dry-run`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerReport>,
    /// The run of each target, where one reading loaded several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<RunReport>,
    /// The steps as they ran, for `-v` and `logs`.
    #[serde(skip)]
    pub steps: Vec<StepReport>,
}

/// One who would be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotifyReport {
    /// Who: a webhook without its path, a command without its arguments.
    pub to: String,
    /// Of runs that end how.
    pub on: Vec<Ending>,
}

impl RunReport {
    /// A report of a pipeline of which nothing is known yet.
    pub fn of(pipeline: &str) -> RunReport {
        RunReport {
            schema: "ematix.run.v1",
            pipeline: pipeline.to_owned(),
            run_id: String::new(),
            status: Status::Running,
            committed: false,
            mode: String::new(),
            path: None,
            path_reason: None,
            dry_run: false,
            source_connection: String::new(),
            target_connection: String::new(),
            target: String::new(),
            started_at: String::new(),
            ended_at: String::new(),
            duration_ms: 0,
            rows_in: 0,
            rows_inserted: 0,
            rows_updated: 0,
            rows_unchanged: 0,
            rows_closed_out: 0,
            rows_deleted: 0,
            rows_deduplicated: 0,
            rows_skipped: 0,
            rows_rejected: 0,
            rows_rehashed: 0,
            watermark_before: None,
            watermark_after: None,
            parse_failures: IndexMap::new(),
            transforms: Vec::new(),
            notify: Vec::new(),
            warnings: Vec::new(),
            error: None,
            sample: None,
            layers: Vec::new(),
            targets: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Enters the numbers.
    pub fn count(&mut self, values: &Values) {
        self.rows_in = values.number(RunValue::RowsIn);
        self.rows_inserted = values.number(RunValue::RowsInserted);
        self.rows_updated = values.number(RunValue::RowsUpdated);
        self.rows_unchanged = values.number(RunValue::RowsUnchanged);
        self.rows_closed_out = values.number(RunValue::RowsClosedOut);
        self.rows_deleted = values.number(RunValue::RowsDeleted);
        self.rows_deduplicated = values.number(RunValue::RowsDeduplicated);
        self.rows_skipped = values.number(RunValue::RowsSkipped);
        self.rows_rejected = values.number(RunValue::RowsRejected);
        self.rows_rehashed = values.number(RunValue::RowsRehashed);
        let counted: IndexMap<String, i64> = values
            .text(RunValue::ParseFailures)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        self.parse_failures = counted.into_iter().filter(|(_, count)| *count > 0).collect();
        self.layers = values
            .text(RunValue::Layers)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
    }

    /// The last eight digits of the run's id, as people type them (the first are a clock).
    pub fn short_id(&self) -> &str {
        short_id(&self.run_id)
    }

    /// The report, or the error that ended the run.
    pub fn into_result(self) -> Result<RunReport> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

/// What a layer around the source's query left and changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// `source`, `watermark`, `markers`, or the helper.
    pub layer: String,
    /// Rows that leave it.
    pub rows: i64,
    /// How many values of each column markers changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<IndexMap<String, i64>>,
    /// Some rows that markers changed (`--sample`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Vec<ChangedRow>>,
}

/// A row that markers changed: its keys, and the columns that they clean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedRow {
    /// As the source has it.
    pub before: serde_json::Map<String, serde_json::Value>,
    /// As it is loaded.
    pub after: serde_json::Map<String, serde_json::Value>,
}

/// How one transform ended, after a load or by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransformReport {
    /// Its name, or how its SQL begins.
    pub name: String,
    /// Its own run, a row of the history; absent where it did not run.
    pub run_id: Option<String>,
    /// How it ended; `skipped` where it did not run.
    pub status: Status,
    /// Start, RFC 3339 in UTC.
    pub started_at: Option<String>,
    /// End, RFC 3339 in UTC.
    pub ended_at: Option<String>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// What its function returned.
    pub metrics: serde_json::Map<String, serde_json::Value>,
    /// Why it did not go well.
    pub error: Option<FlowError>,
}

impl TransformReport {
    /// Of one that did not run.
    pub fn skipped(name: &str) -> TransformReport {
        TransformReport {
            name: name.to_owned(),
            run_id: None,
            status: Status::Skipped,
            started_at: None,
            ended_at: None,
            duration_ms: 0,
            metrics: serde_json::Map::new(),
            error: None,
        }
    }

    /// The last eight digits of its run's id.
    pub fn short_id(&self) -> &str {
        short_id(self.run_id.as_deref().unwrap_or_default())
    }
}

/// A row that would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleRow {
    /// `insert`, `update`, `close` or `delete`.
    pub change: String,
    /// The row as it stands; absent for a new one.
    pub old: Option<serde_json::Map<String, serde_json::Value>>,
    /// The row as it would be; absent for a deleted one.
    pub new: Option<serde_json::Map<String, serde_json::Value>>,
}

/// One step as it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number in the plan, from 1.
    pub n: usize,
    /// Kind of step.
    pub kind: String,
    /// Its purpose.
    pub purpose: String,
    /// Rows it touched, where it counts rows.
    pub rows: Option<i64>,
    /// Bytes that came from the source, where they passed the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long it took, in milliseconds.
    pub milliseconds: f64,
}

/// What `flow connections check` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionReport {
    /// The connection.
    pub name: String,
    /// Host, port, database, user: never the password.
    pub address: String,
    /// Where its definition was found.
    pub found_in: String,
    /// libpq's word for what is asked of an encrypted connection.
    pub sslmode: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// Whether the session is encrypted.
    pub encrypted: Option<bool>,
    /// How long the log-in took, in milliseconds.
    pub milliseconds: Option<u64>,
    /// Why it failed.
    pub error: Option<FlowError>,
}

/// What `flow plan` answers for several pipelines.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanReport {
    /// The plans, or the errors that kept them from being made.
    pub pipelines: Vec<PlannedPipeline>,
    /// Tables to create.
    pub create: usize,
    /// Tables to change.
    pub change: usize,
    /// Tables that drifted.
    pub drifted: usize,
}

/// One pipeline in a [`PlanReport`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedPipeline {
    /// The pipeline.
    pub pipeline: String,
    /// The digest of its declaration: see [`fingerprint`](crate::declare::fingerprint::fingerprint).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declaration: Option<String>,
    /// Its plan, if one could be made.
    #[serde(flatten)]
    pub plan: Option<Plan>,
    /// Why none could be made, or why a run of it would be refused.
    pub errors: Vec<FlowError>,
}

impl PlannedPipeline {
    /// What was planned, or why nothing was.
    pub fn of(pipeline: String, planned: Result<Plan>) -> PlannedPipeline {
        match planned {
            Ok(plan) => PlannedPipeline {
                pipeline,
                declaration: None,
                errors: plan.refused.iter().cloned().collect(),
                plan: Some(plan),
            },
            Err(error) => PlannedPipeline { pipeline, declaration: None, plan: None, errors: vec![error] },
        }
    }

    /// What kept the plan from being made.
    pub fn faults(&self) -> &[FlowError] {
        if self.plan.is_some() { &[] } else { &self.errors }
    }
}
