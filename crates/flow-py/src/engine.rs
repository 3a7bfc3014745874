//! A registry with its connections: everything that a pipeline can do from Python.

use crate::duckdb;
use crate::errors::{raise, raise_all};
use crate::progress::Progress;
use crate::python::{InProcess, Tells};
use crate::run::Run;
use crate::runtime::{runtime, waited};
use crate::telemetry;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::options::{FirstRun, described};
use ematix_flow_core::declare::registry::read_registry;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::facts::RunNamed;
use ematix_flow_core::graph::Graph;
use ematix_flow_core::report::{PlannedPipeline, RunReport, RunsWanted};
use ematix_flow_core::schedule::Schedule;
use ematix_flow_files::{Destination, Format};
use ematix_flow_run::execute::due::SkippedSlot;
use ematix_flow_run::execute::upstreams::Turn;
use ematix_flow_run::execute::{
    AsOfRequest, Engine as Core, Exported, KnownEngines, OfTarget, Request, Stop, run_named,
};
use futures_util::{StreamExt, stream};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// What only a database can tell of a pipeline.
const UNCHECKED: &str = "queries, columns, types, drift, privileges";

/// The pipelines of one exported registry.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct Engine {
    core: Arc<Core>,
    python: Arc<InProcess>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (registry, call=None))]
    fn new(py: Python<'_>, registry: String, call: Option<Py<PyAny>>) -> PyResult<Engine> {
        let project =
            read_registry(&registry, &ProcessEnvironment).map_err(|errors| raise_all(py, &errors))?;
        let python = Arc::new(InProcess::new(registry, call, Tells::Caller));
        let core = Core::new(project).with_callables(python.clone()).with_driver(duckdb::driver());
        Ok(Engine { core: Arc::new(core), python })
    }

    /// Starts a run.
    fn start(&self, py: Python<'_>, pipeline: String, request: &str) -> PyResult<Run> {
        let (sender, stop) = watch::channel(Stop::No);
        let request = read_request(request, stop).map_err(|error| raise(py, &error))?;
        let core = Arc::clone(&self.core);
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        let task = runtime()?.spawn(async move {
            json!(telemetry::run(&core, &pipeline, &request, told.as_ref()).await).to_string()
        });
        Ok(Run::new(task, sender, self.python.clone(), progress))
    }

    /// Runs what the schedules say is due, so many at a time.
    fn run_due(&self, py: Python<'_>, request: &str, jobs: usize) -> PyResult<Run> {
        let (sender, stop) = watch::channel(Stop::No);
        let request = read_request(request, stop).map_err(|error| raise(py, &error))?;
        let core = Arc::clone(&self.core);
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        let task = runtime()?.spawn(async move { due(core, request, jobs, told).await.to_string() });
        Ok(Run::new(task, sender, self.python.clone(), progress))
    }

    /// The plan as JSON; without `connect` from the declarations alone.
    fn plan(&self, py: Python<'_>, pipeline: &str, connect: bool) -> PyResult<String> {
        let (_sender, stop) = watch::channel(Stop::No);
        let request = request(PipelineOptions::default(), stop);
        let runtime = runtime()?;
        let planned = py.detach(|| match connect {
            true => runtime.block_on(self.core.plan(pipeline, &request)),
            false => self.core.preview(pipeline, &request, &KnownEngines::default()),
        });
        let plan = planned.map_err(|error| self.failed(py, &error))?;
        Ok(json!(PlannedPipeline {
            pipeline: pipeline.to_owned(),
            declaration: None,
            plan: Some(plan),
            errors: Vec::new()
        })
        .to_string())
    }

    /// The columns that the rows of a frame have in the target's database, each with its type; what a plan refuses is
    /// refused.
    fn columns(&self, py: Python<'_>, pipeline: &str) -> PyResult<Vec<(String, String)>> {
        let (_sender, stop) = watch::channel(Stop::No);
        let request = request(PipelineOptions::default(), stop);
        let runtime = runtime()?;
        let found = py.detach(|| runtime.block_on(self.core.columns_brought(pipeline, &request)));
        found.map_err(|error| self.failed(py, &error))
    }

    /// Every problem of a pipeline as JSON.
    fn validate(&self, py: Python<'_>, pipeline: &str, connect: bool) -> PyResult<String> {
        let (_sender, stop) = watch::channel(Stop::No);
        let request = request(PipelineOptions::default(), stop);
        let runtime = runtime()?;
        let errors = py.detach(|| {
            let errors = self.core.validate(pipeline);
            if !errors.is_empty() || !connect {
                return errors;
            }
            runtime.block_on(self.core.validate_connected(pipeline, &request))
        });
        let (mut warnings, mut unchecked) = (Vec::new(), Vec::new());
        if !connect {
            let undeclared = self.core.undeclared(pipeline);
            warnings = undeclared.slips;
            unchecked.push(format!("{pipeline}: {UNCHECKED}"));
            unchecked.extend(undeclared.elsewhere.iter().map(|words| format!("{pipeline}: {words}")));
        }
        let answer = json!({ "ok": errors.is_empty(), "errors": errors, "warnings": warnings, "unchecked": unchecked });
        Ok(answer.to_string())
    }

    /// The broken invariants of a target as JSON.
    fn check(&self, py: Python<'_>, pipeline: &str) -> PyResult<String> {
        let runtime = runtime()?;
        let violations = py
            .detach(|| runtime.block_on(self.core.check(pipeline)))
            .map_err(|error| self.failed(py, &error))?;
        Ok(json!({ "ok": violations.is_empty(), "violations": violations }).to_string())
    }

    /// The runs of a pipeline, or the versions of one key, as JSON.
    #[pyo3(signature = (pipeline, key=None))]
    fn history(&self, py: Python<'_>, pipeline: &str, key: Option<&str>) -> PyResult<String> {
        let runtime = runtime()?;
        let key = key.map(read_key).transpose().map_err(|error| raise(py, &error))?;
        let answered = py.detach(|| {
            runtime.block_on(async {
                Ok(match key {
                    Some(key) => json!(self.core.key_history(pipeline, &key).await?),
                    None => json!({ "runs": self.core.history(&[pipeline.to_owned()], &RunsWanted::last(100)).await? }),
                })
            })
        });
        Ok(answered.map_err(|error: FlowError| self.failed(py, &error))?.to_string())
    }

    /// The rows of a target that were valid at a time, as they are known or were, as JSON.
    #[pyo3(signature = (pipeline, at, known=None))]
    fn as_of(&self, py: Python<'_>, pipeline: &str, at: &str, known: Option<&str>) -> PyResult<String> {
        let runtime = runtime()?;
        let request = read_as_of(at, known).map_err(|error| raise(py, &error))?;
        let rows = py
            .detach(|| runtime.block_on(self.core.as_of(pipeline, &request)))
            .map_err(|error| self.failed(py, &error))?;
        Ok(json!(rows).to_string())
    }

    /// Writes the rows of a target into a file: all, those that were valid at a time, or those that a run has written.
    /// How many they are.
    #[pyo3(signature = (pipeline, path, format=None, at=None, known=None, run=None))]
    #[expect(clippy::too_many_arguments, reason = "each is an argument of Pipeline.export")]
    fn export(
        &self,
        py: Python<'_>,
        pipeline: &str,
        path: &str,
        format: Option<&str>,
        at: Option<&str>,
        known: Option<&str>,
        run: Option<&str>,
    ) -> PyResult<u64> {
        let rows = match (at, run) {
            (Some(at), _) => read_as_of(at, known).map(OfTarget::AsOf),
            (None, Some(run)) => run_named(run).map(OfTarget::Run),
            (None, None) => Ok(OfTarget::All),
        };
        let destination = |rows| {
            let format = format.map(read_format).transpose()?;
            Ok((Exported::Target(pipeline.to_owned(), rows), Destination::new(Path::new(""), path, format)?))
        };
        let (what, to) = rows.and_then(destination).map_err(|error| raise(py, &error))?;
        let (_sender, stop) = watch::channel(Stop::No);
        let written = waited(py, self.core.export(&what, &to, &stop))??;
        Ok(written.rows)
    }
}

fn read_format(name: &str) -> Result<Format, FlowError> {
    Ok(match name {
        "parquet" => Format::Parquet,
        "csv" => Format::Csv,
        "json" => Format::Json,
        _ => {
            let error = FlowError::new(ErrorCode::InvalidValue, format!("format is {name:?}"));
            return Err(error.hint("\"parquet\", \"csv\" or \"json\""));
        }
    })
}

impl Engine {
    /// The user's own exception where a function raised it, else ours.
    fn failed(&self, py: Python<'_>, error: &FlowError) -> PyErr {
        self.python.take_raised().unwrap_or_else(|| raise(py, error))
    }
}

async fn due(core: Arc<Core>, request: Request, jobs: usize, progress: Arc<Progress>) -> Value {
    let core = core.pooled();
    let names: Vec<String> = core.project().pipelines.keys().cloned().collect();
    let table = core.timetable(&names, false);
    let look = core.look(&table, &request.started_by).await;
    let errors: Vec<&FlowError> = table.errors().iter().chain(&look.errors).collect();
    // In their order, each after those that it comes after.
    let names: Vec<String> = look.due.iter().map(|item| item.name.clone()).collect();
    let order = Graph::of(core.project()).waiting(&names);
    let over: Vec<_> = order.iter().map(|_| watch::channel(false)).collect();
    let mut runs = Vec::new();
    for ((name, waits_for), (over_here, _)) in order.iter().zip(&over) {
        let Some(item) = look.due.iter().find(|item| item.name == *name) else { continue };
        let before: Vec<_> = waits_for.iter().map(|place| over[*place].1.clone()).collect();
        let (core, progress, request) = (&core, Arc::clone(&progress), request.clone());
        runs.push(async move {
            for mut over in before {
                // Whoever is gone is over.
                let _ = over.wait_for(|over| *over).await;
            }
            let mut reports = Vec::new();
            let turn = match core.turn(item, &request.started_by).await {
                Ok(turn) => turn,
                Err(error) => Turn { skipped: vec![SkippedSlot::of(name, error)], ..Turn::default() },
            };
            for slot in turn.slots {
                let went_well = |report: &RunReport| report.error.is_none();
                if *request.stop.borrow() != Stop::No || !reports.last().is_none_or(went_well) {
                    break;
                }
                let request = Request { slot: Some(slot.at), slot_start: slot.from, ..request.clone() };
                reports.push(telemetry::run(core, name, &request, progress.as_ref()).await);
            }
            over_here.send_replace(true);
            (reports, turn.skipped)
        });
    }
    let came: Vec<_> = stream::iter(runs).buffered(jobs.max(1)).collect().await;
    core.close().await;
    let (reports, skipped): (Vec<_>, Vec<_>) = came.into_iter().unzip();
    let reports: Vec<RunReport> = reports.into_iter().flatten().collect();
    let skipped: Vec<SkippedSlot> = look.skipped.into_iter().chain(skipped.into_iter().flatten()).collect();
    json!({ "runs": reports, "skipped": skipped, "errors": errors })
}

fn request(overrides: PipelineOptions, stop: watch::Receiver<Stop>) -> Request {
    Request { overrides, started_by: "python".to_owned(), ..Request::plain(stop) }
}

fn read_request(text: &str, stop: watch::Receiver<Stop>) -> Result<Request, FlowError> {
    let invalid = |error: serde_json::Error| FlowError::new(ErrorCode::InvalidValue, error.to_string());
    let json: Value = serde_json::from_str(text).map_err(invalid)?;
    let overrides = match &json["overrides"] {
        Value::Null => PipelineOptions::default(),
        options => serde_json::from_value(options.clone()).map_err(invalid)?,
    };
    Ok(Request {
        full_scan: json["full_scan"].as_bool().unwrap_or(false),
        new_target: json["new_target"].as_bool().unwrap_or(false),
        dry_run: json["dry_run"].as_bool().unwrap_or(false),
        sample: json["sample"].as_u64().unwrap_or(0) as usize,
        started_by: json["started_by"].as_str().unwrap_or("python").to_owned(),
        ..request(overrides, stop)
    })
}

fn read_as_of(at: &str, known: Option<&str>) -> Result<AsOfRequest, FlowError> {
    let RunNamed::By(at) = run_named(at)? else {
        let error = FlowError::new(ErrorCode::InvalidValue, format!("`{at}` is no time"));
        return Err(error.hint("give a datetime with its time zone, or a text: \"2026-03-01T10:00Z\""));
    };
    Ok(AsOfRequest { at, known: known.map(run_named).transpose()?, key: Vec::new(), limit: None })
}

fn read_key(text: &str) -> Result<Vec<(String, String)>, FlowError> {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        FlowError::new(ErrorCode::InvalidValue, format!("a key is columns and values: {error}"))
    })?;
    Ok(fields
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect())
}

/// The options of a pipeline, from the table that TOML is read by.
pub fn option_table() -> String {
    described()["options"].to_string()
}

/// Reads a schedule as the scheduler will.
pub fn check_schedule(cron: Option<&str>, every: Option<&str>, timezone: &str) -> Result<(), FlowError> {
    if let Some(line) = cron {
        Schedule::cron(line, timezone, FirstRun::default())?;
    }
    if let Some(text) = every {
        Schedule::every(&Duration::parse(text)?, timezone, FirstRun::default())?;
    }
    // A zone that is none is wrong without a schedule too.
    Schedule::cron("0 0 * * *", timezone, FirstRun::default())?;
    Ok(())
}
