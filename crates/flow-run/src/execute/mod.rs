//! Runs plans. One executor for every strategy and path, and the questions that commands ask of history.

pub mod adopted;
mod answers;
mod asked;
mod as_of;
mod assumed;
mod authors;
mod beside;
mod brought;
mod budget;
pub mod callables;
mod check;
mod connections;
pub mod described;
pub mod due;
mod doctor;
pub mod difference;
mod export;
mod features;
mod files;
mod foreign;
mod gather;
mod http;
mod keys;
mod looked;
mod members;
mod nulls;
pub mod observer;
mod overview;
mod patience;
mod privileges;
mod questions;
mod readers;
mod rejected;
mod reports;
mod rewind;
mod route;
mod row_json;
mod run;
mod sealed;
mod supervise;
mod targets;
mod transfer;
mod transforms;
mod united;
pub mod upstreams;
mod wishes;

use crate::driver::{Driver, Drivers};
use crate::history::HistoryStore;
use crate::postgres::PostgresDriver;
use crate::session::{Access, End};
pub use as_of::AsOfRequest;
pub use assumed::KnownEngines;
use callables::Callables;
pub use connections::Undeclared;
use ematix_flow_core::connections::know_engines;
use ematix_flow_core::declare::environment::{Environment, ProcessEnvironment};
use ematix_flow_core::declare::{PipelineOptions, ProjectSpec};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{RunFacts, RunNamed, SourcePart};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Blame, Plan};
use ematix_flow_core::query::SlotTimes;
use ematix_flow_core::report::{NotifyReport, RunReport, TransformReport};
pub use export::{Exported, OfTarget};
use jiff::Timestamp;
use observer::Observer;
use reports::count;
pub use rewind::{PlannedRewind, run_named};
use run::{Progress, unless_asked};
use std::sync::Arc;
use std::time::Instant;
use targets::{PLANNED, Targets};
use tokio::sync::watch;
use uuid::Uuid;

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
    /// Load the source once more: all of it, or a part.
    pub backfill: Option<SourcePart>,
    /// Put the target back to what this run had left, instead of loading it.
    pub rewind: Option<RunNamed>,
    /// Refuse a target that exists.
    pub new_target: bool,
    /// Execute everything and roll back.
    pub dry_run: bool,
    /// Rows of the sample that a dry-run shows.
    pub sample: usize,
    /// Who started it: `cli`, `run-due`, `python` …
    pub started_by: String,
    /// The slot of the schedule that this run serves.
    pub slot: Option<Timestamp>,
    /// Where the time begins that the slot stands for.
    pub slot_start: Option<Timestamp>,
    /// Turns when the process is asked to stop.
    pub stop: watch::Receiver<Stop>,
}

impl Request {
    /// A request with nothing of its own.
    pub fn plain(stop: watch::Receiver<Stop>) -> Request {
        Request {
            overrides: PipelineOptions::default(),
            full_scan: false,
            backfill: None,
            rewind: None,
            new_target: false,
            dry_run: false,
            sample: 0,
            started_by: String::new(),
            slot: None,
            slot_start: None,
            stop,
        }
    }
}

impl Request {
    /// Whether the watermark is ignored.
    fn reads_in_full(&self) -> bool {
        self.full_scan || self.backfill.is_some()
    }

    /// The part of the source that is read, where it is not what a run reads.
    fn part(&self) -> Option<SourcePart> {
        self.backfill.clone().filter(|part| !part.is_all())
    }

    /// The word for what is done with a target that its load strategy does not do.
    fn instead(&self) -> Option<&'static str> {
        self.rewind.as_ref().map(|_| ematix_flow_core::planner::rewind::MODE)
    }
}

/// What a report says of a run before anything is known of its rows.
#[derive(Clone, Debug)]
struct About {
    run_id: String,
    started_at: Timestamp,
    started: Instant,
}

impl About {
    /// Of a plan that is only printed.
    fn planned() -> About {
        About { run_id: PLANNED.to_owned(), ..About::now() }
    }

    /// The id of one of several runs, by its number from 1.
    fn part_run_id(&self, number: usize) -> String {
        if self.run_id == PLANNED { format!("<batch {number}>") } else { Uuid::now_v7().to_string() }
    }

    fn now() -> About {
        About { run_id: Uuid::now_v7().to_string(), started_at: Timestamp::now(), started: Instant::now() }
    }
}

/// A project with its connections: everything a command does, it does through this.
#[derive(Clone)]
pub struct Engine {
    project: Arc<ProjectSpec>,
    environment: Arc<dyn Environment>,
    callables: Option<Arc<dyn Callables>>,
    drivers: Drivers,
    /// The rows that a function has returned, kept as long as they may be read.
    _frame: Option<Arc<callables::KeptFrame>>,
}

impl Engine {
    /// An engine for a project, in the environment of this process.
    pub fn new(project: ProjectSpec) -> Engine {
        Engine::with_environment(project, Arc::new(ProcessEnvironment))
    }

    /// An engine for a project in a given environment.
    pub fn with_environment(mut project: ProjectSpec, environment: Arc<dyn Environment>) -> Engine {
        know_engines(&mut project, environment.as_ref());
        let drivers = Drivers::of(Arc::new(PostgresDriver::default()));
        Engine { project: Arc::new(project), environment, callables: None, drivers, _frame: None }
    }

    /// The engine, with a driver that is asked before those that are there.
    pub fn with_driver(mut self, driver: Arc<dyn Driver>) -> Engine {
        self.drivers.register(driver);
        self
    }

    /// The engine for a command that runs several pipelines: sessions are used again, until [`Engine::close`].
    pub fn pooled(&self) -> Engine {
        self.clone().with_driver(Arc::new(PostgresDriver::pooled()))
    }

    /// Closes the sessions that it has kept.
    pub async fn close(&self) {
        self.drivers.close_idle().await;
    }

    /// The project.
    pub fn project(&self) -> &ProjectSpec {
        &self.project
    }

    /// Every violated rule of a pipeline, from the files alone.
    pub fn validate(&self, pipeline: &str) -> Vec<FlowError> {
        let (_, stop) = watch::channel(Stop::No);
        let request = Request::plain(stop);
        match (Pipeline::build(&self.project, pipeline, &request.overrides), self.parts(pipeline, &request)) {
            (_, Err(errors)) | (Err(errors), Ok(None)) => errors,
            _ => Vec::new(),
        }
    }

    /// What only a database can tell: that the query prepares, columns, types, drift, privileges.
    pub async fn validate_connected(&self, pipeline: &str, request: &Request) -> Vec<FlowError> {
        match self.plan(pipeline, request).await {
            Ok(plan) => plan.refused.into_iter().collect(),
            Err(error) => vec![self.locate(error, pipeline)],
        }
    }

    fn build(&self, name: &str, request: &Request) -> Result<Pipeline> {
        let built = Pipeline::build(&self.project, name, &request.overrides)
            .map_err(|mut errors| errors.remove(0))?;
        match refuses(&built, name, request) {
            Some(error) => Err(self.locate(error, name)),
            None => Ok(at_slot(built, request)),
        }
    }

    fn locate(&self, error: FlowError, pipeline: &str) -> FlowError {
        match self.project.places.pipeline(pipeline) {
            Some(place) => error.at(place),
            None => error,
        }
    }

    /// The plan from the files alone, with assumed facts: the table is as declared, the query gives
    /// the declared columns. `known` are the engines of connections that other previews have met.
    ///
    /// # Errors
    /// As validation, and where only a database knows the columns.
    pub fn preview(&self, pipeline: &str, request: &Request, known: &KnownEngines) -> Result<Plan> {
        let called = self.called_here(pipeline).map_err(|error| self.locate(error, pipeline))?;
        // What a function answers may bring connections of its own.
        let (engine, known) = match &called {
            Some(engine) => (engine, &KnownEngines::default()),
            None => (self, known),
        };
        let targets = engine.targets(pipeline, request, &About::planned())?;
        assumed::plan(&targets, request, &engine.assumed_ends(&targets.whole, known))
            .map_err(|error| self.locate(error, pipeline))
    }

    /// The plan with the facts of the databases. Writes nothing.
    ///
    /// # Errors
    /// As a run before its first write, but for drift: a plan shows it.
    pub async fn plan(&self, pipeline: &str, request: &Request) -> Result<Plan> {
        let called =
            self.called(pipeline, &request.stop).await.map_err(|error| self.locate(error, pipeline))?;
        let engine = called.as_ref().unwrap_or(self);
        let targets = engine.targets(pipeline, request, &About::planned())?;
        let planned = engine.plan_targets(&targets, request).await;
        let mut plan = planned.map_err(|error| self.locate(error, pipeline))?;
        plan.refused = plan.refused.map(|drift| self.locate(drift, pipeline));
        Ok(plan)
    }

    async fn plan_targets(&self, targets: &Targets, request: &Request) -> Result<Plan> {
        let whole = &targets.whole;
        let what = format!("plan {}", whole.name);
        let session = self.open_in_turn(whole, &whole.target_connection, &what, |_| ()).await?;
        let exists = HistoryStore::on(session.as_ref()).exists().await?;
        session.begin(Blame::Target, Access::ReadOnly, None).await?;
        let route = self.route(whole, session.as_ref(), request.reads_in_full()).await?;
        let about = RunFacts {
            id: String::new(),
            instant: String::new(),
            dry_run: false,
            sample: 0,
            full_scan: request.reads_in_full(),
            part: request.part(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let asked = async {
            let united = united::of_route(targets, &route, session.as_ref()).await?;
            let (targets, readings) = united.as_parts(targets);
            let mut gathered = gather::all(session.as_ref(), targets, &route, &about, exists).await?;
            gathered.readings(readings);
            Ok((targets.clone(), gathered))
        };
        let (targets, gathered) = match asked.await {
            Ok(found) => found,
            Err(error) => {
                let error = HistoryStore::on(session.as_ref()).explained(error).await;
                return Err(session.complete(error, whole.source.query.text()).await);
            }
        };
        session.end(Blame::Target, "end the plan", End::RollBack).await?;
        let plan = gathered.plan(&targets, &route, &route.ends(session.as_ref()));
        session.close().await;
        for source in route.into_sessions() {
            source.close().await;
        }
        plan
    }

    /// Runs a pipeline (or, with `dry_run`, everything but the commit).
    pub async fn run(&self, pipeline: &str, request: &Request, observer: &dyn Observer) -> RunReport {
        let about = About::now();
        observer.began(pipeline, &about.run_id);
        let called = self.called(pipeline, &request.stop).await;
        let engine = called.as_ref().ok().and_then(Option::as_ref).unwrap_or(self);
        let targets = match &called {
            Ok(_) => engine.targets(pipeline, request, &about),
            Err(error) => Err(error.clone()),
        };
        targets.iter().flat_map(|targets| &targets.each).for_each(|target| observer.loads(&target.pipeline));
        let mut progress = Progress::of(targets.as_ref().map_or(1, |targets| targets.each.len()));
        // Held until what follows the load is over, too.
        let _share;
        let outcome = match &targets {
            Ok(targets) => match unless_asked(&request.stop, engine.share(targets, request)).await {
                Ok(share) => {
                    _share = share;
                    engine.supervise(targets, request, observer, &mut progress).await
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error.clone()),
        };
        let (own, outcome) = match outcome.map_err(|error| self.locate(error, pipeline)) {
            Ok(own) => (own, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let mut report = match &targets {
            Ok(targets) if targets.are_several() => {
                self.report_of_several(targets, &about, &progress, outcome, request)
            }
            _ => {
                let whole = targets.as_ref().ok().map(|targets| &targets.whole);
                let mut report = self.report(pipeline, &about, whole, &progress, &outcome, request);
                let part = std::mem::take(&mut progress.parts[0]);
                let plan = progress.plan.as_ref();
                report.warnings = plan.map(|plan| plan.warnings.clone()).unwrap_or_default();
                count(&mut report, part, request);
                report
            }
        };
        if request.dry_run {
            report.notify = self.who_would_be_told(pipeline, request);
        }
        let (Ok(targets), Some(plan)) = (&targets, &progress.plan) else { return report };
        if let Some(own) = own {
            let when = (request, about.started);
            let (transforms, failed) =
                engine.follow(targets, &report, plan, own.as_ref(), when, observer).await;
            own.close().await;
            about.ended(&mut report, transforms, failed);
        } else if request.dry_run && report.error.is_none() {
            report.transforms =
                targets.after().map(|transform| TransformReport::skipped(&transform.name)).collect();
        }
        report
    }

    fn who_would_be_told(&self, pipeline: &str, request: &Request) -> Vec<NotifyReport> {
        let Some(spec) = self.project.pipelines.get(pipeline) else { return Vec::new() };
        let notifications = spec.options.overlaid(&request.overrides).notify();
        notifications.iter().map(|one| NotifyReport { to: one.shown(), on: one.endings().to_vec() }).collect()
    }
}

/// A pipeline as it reads for the slot that a run serves, or, started by hand, for the last that has passed.
fn at_slot(mut pipeline: Pipeline, request: &Request) -> Pipeline {
    if !pipeline.names_slot() {
        return pipeline;
    }
    let slot = match (request.slot, request.slot_start) {
        (Some(end), Some(start)) => Some(SlotTimes { start, end }),
        (Some(end), None) => pipeline.last_slot(end),
        (None, _) => pipeline.last_slot(Timestamp::now()),
    };
    if let Some(slot) = slot {
        pipeline.source = pipeline.source.at_slot(&slot);
    }
    pipeline
}

/// Why a pipeline may not read what it is asked to.
fn refuses(pipeline: &Pipeline, name: &str, request: &Request) -> Option<FlowError> {
    let backfill = request.backfill.as_ref().map(|part| pipeline.strategy.backfills(pipeline, part));
    backfill.and_then(Result::err).or_else(|| refuses_full_scan(pipeline, name, request))
}

/// An append that knows what it has loaded would load it again.
fn refuses_full_scan(pipeline: &Pipeline, name: &str, request: &Request) -> Option<FlowError> {
    let doubles = pipeline.incremental.is_some() && !pipeline.strategy.is_idempotent();
    (request.full_scan && doubles).then(|| {
        FlowError::new(
            ErrorCode::OptionNotForMode,
            format!("`{name}` appends: reading in full would append every row again"),
        )
        .hint(format!("if that is meant, forget what was loaded: `flow watermark reset {name}`"))
    })
}
