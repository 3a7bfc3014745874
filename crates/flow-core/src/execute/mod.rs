//! Runs plans. One executor for every strategy and path.

pub mod observer;

use crate::error::{FlowError, Result};
use crate::plan::Plan;
use crate::report::*;
use crate::spec::{PipelineOptions, ProjectSpec};
use observer::Observer;
use std::sync::Arc;
use tokio::sync::watch;

/// How this process was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was not.
    No,
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// What one call wants of a run or a plan.
#[derive(Clone, Debug)]
pub struct Request {
    /// Options for this once, laid over those of the pipeline.
    pub overrides: PipelineOptions,
    /// Ignore the watermark once.
    pub full_scan: bool,
    /// Execute everything and roll back.
    pub dry_run: bool,
    /// Rows of the sample that a dry-run shows.
    pub sample: usize,
    /// Who started it: `cli`, `run-due`, `python` …
    pub started_by: String,
    /// The slot of the schedule that this run serves, RFC 3339.
    pub slot: Option<String>,
    /// Turns when the process is asked to stop.
    pub stop: watch::Receiver<Stop>,
}

/// A project with its connections: everything a command does, it does through this.
pub struct Engine {
    project: Arc<ProjectSpec>,
}

impl Engine {
    /// An engine for a project.
    pub fn new(project: ProjectSpec) -> Engine {
        Engine { project: Arc::new(project) }
    }
    /// The project.
    pub fn project(&self) -> &ProjectSpec {
        &self.project
    }
    /// Every violated rule of a pipeline, from the files alone.
    pub fn validate(&self, pipeline: &str) -> Vec<FlowError> {
        let _ = pipeline;
        todo!()
    }
    /// What only a database can tell: that the query prepares, columns, types, drift, privileges.
    pub async fn validate_connected(&self, pipeline: &str, request: &Request) -> Vec<FlowError> {
        let _ = (pipeline, request);
        todo!()
    }
    /// The plan from the files alone, with assumed facts.
    pub fn preview(&self, pipeline: &str, request: &Request) -> Result<Plan> {
        let _ = (pipeline, request);
        todo!()
    }
    /// The plan with the facts of the databases. Writes nothing.
    pub async fn plan(&self, pipeline: &str, request: &Request) -> Result<Plan> {
        let _ = (pipeline, request);
        todo!()
    }
    /// Runs a pipeline (or, with `dry_run`, everything but the commit).
    pub async fn run(&self, pipeline: &str, request: &Request, observer: &dyn Observer) -> RunReport {
        let _ = (pipeline, request, observer);
        todo!()
    }
    /// The last runs of a pipeline, or of all, newest first.
    pub async fn history(&self, pipelines: &[String], limit: usize) -> Result<Vec<RunRow>> {
        let _ = (pipelines, limit);
        todo!()
    }
    /// The versions of one key; `key` has name and text of each key column, the name empty where there is one.
    pub async fn key_history(&self, pipeline: &str, key: &[(String, String)]) -> Result<KeyHistory> {
        let _ = (pipeline, key);
        todo!()
    }
    /// A run and its steps by its id or the last digits of it.
    pub async fn run_log(&self, run: &str) -> Result<RunLog> {
        let _ = run;
        todo!()
    }
    /// The invariants of a target's history that are broken.
    pub async fn check(&self, pipeline: &str) -> Result<Vec<Violation>> {
        let _ = pipeline;
        todo!()
    }
    /// Pipelines with their last runs.
    pub async fn status(&self, pipelines: &[String]) -> Result<Vec<StatusRow>> {
        let _ = pipelines;
        todo!()
    }
    /// The pipelines that are due now, each with its slot (RFC 3339); and those that cannot be judged.
    pub async fn due(&self, pipelines: &[String]) -> (Vec<(String, String)>, Vec<FlowError>) {
        let _ = pipelines;
        todo!()
    }
    /// Stored watermarks.
    pub async fn watermarks(&self, pipelines: &[String]) -> Result<Vec<WatermarkRow>> {
        let _ = pipelines;
        todo!()
    }
    /// Sets a watermark; what lies after it is read again.
    pub async fn set_watermark(&self, pipeline: &str, value: &str) -> Result<WatermarkRow> {
        let _ = (pipeline, value);
        todo!()
    }
    /// Forgets a watermark; the next run reads in full.
    pub async fn reset_watermark(&self, pipeline: &str) -> Result<()> {
        let _ = pipeline;
        todo!()
    }
    /// Logs in to a connection and reports.
    pub async fn check_connection(&self, name: &str) -> ConnectionReport {
        let _ = name;
        todo!()
    }
    /// The connections that a project can see, without opening one.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        todo!()
    }
}
