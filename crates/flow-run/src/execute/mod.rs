//! Runs plans. One executor for every strategy and path, and the questions that commands ask of history.

pub mod adopted;
mod answers;
mod assumed;
mod authors;
mod beside;
mod budget;
pub mod callables;
mod check;
pub mod described;
pub mod difference;
mod gather;
mod keys;
mod members;
mod nulls;
pub mod observer;
mod patience;
mod questions;
mod rejected;
mod reports;
mod route;
mod row_json;
mod run;
mod sealed;
mod supervise;
mod targets;
mod transfer;
mod transforms;
mod united;

use crate::driver::{Driver, Drivers};
use crate::history::HistoryStore;
use crate::postgres::PostgresDriver;
use crate::session::{Access, End, Session};
use callables::Callables;
use ematix_flow_core::connections::{self, ConnectionTarget};
use ematix_flow_core::declare::environment::{Environment, ProcessEnvironment};
use ematix_flow_core::declare::transforms::PostTransform;
use ematix_flow_core::declare::{PipelineOptions, Places, ProjectSpec};
use ematix_flow_core::engine::{Ends, POSTGRES};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::RunFacts;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Blame, Plan};
use ematix_flow_core::report::{ConnectionReport, RunReport, TransformReport};
use observer::Observer;
use patience::Patience;
use reports::count;
use run::{Progress, unless_asked};
use std::collections::HashSet;
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

impl Request {
    /// A request with nothing of its own.
    pub fn plain(stop: watch::Receiver<Stop>) -> Request {
        Request {
            overrides: PipelineOptions::default(),
            full_scan: false,
            dry_run: false,
            sample: 0,
            started_by: String::new(),
            slot: None,
            stop,
        }
    }
}

/// What a report says of a run before anything is known of its rows.
#[derive(Clone, Debug)]
struct About {
    run_id: String,
    started_at: jiff::Timestamp,
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
        About {
            run_id: Uuid::now_v7().to_string(),
            started_at: jiff::Timestamp::now(),
            started: Instant::now(),
        }
    }
}

/// Connections that nothing seen from here says anything of.
#[derive(Clone, Debug, Default)]
pub struct Undeclared {
    /// Probably slips: another connection has nearly the same name.
    pub slips: Vec<FlowError>,
    /// What another environment may bring, in words.
    pub elsewhere: Vec<String>,
}

/// A project with its connections: everything a command does, it does through this.
#[derive(Clone)]
pub struct Engine {
    project: Arc<ProjectSpec>,
    environment: Arc<dyn Environment>,
    callables: Option<Arc<dyn Callables>>,
    drivers: Drivers,
}

impl Engine {
    /// An engine for a project, in the environment of this process.
    pub fn new(project: ProjectSpec) -> Engine {
        Engine::with_environment(project, Arc::new(ProcessEnvironment))
    }

    /// An engine for a project in a given environment.
    pub fn with_environment(project: ProjectSpec, environment: Arc<dyn Environment>) -> Engine {
        let drivers = Drivers::of(Arc::new(PostgresDriver::default()));
        Engine { project: Arc::new(project), environment, callables: None, drivers }
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

    /// The connections of a pipeline that nothing seen from here says anything of.
    pub fn undeclared(&self, pipeline: &str) -> Undeclared {
        let Some(spec) = self.project.pipelines.get(pipeline) else { return Undeclared::default() };
        let parts = self.project.together.get(pipeline).into_iter().flat_map(|parts| parts.values());
        let path = Places::path("pipelines", pipeline);
        let mut names: Vec<(&str, String)> = Vec::new();
        for spec in std::iter::once(spec).chain(parts) {
            let sources = spec.source.connections().into_iter().map(|name| (name, "source.connection"));
            let target = (spec.options.target_connection.as_deref(), "target_connection");
            let own = sources.chain([target]);
            names.extend(own.filter_map(|(name, option)| Some((name?, format!("{path}.{option}")))));
        }
        let after = spec.options.transforms_post();
        let after = after.iter().filter_map(PostTransform::refers_to);
        names.extend(after.filter_map(|name| self.connection_of_transform(name)));
        self.undeclared_among(names)
    }

    /// The same of every transform.
    pub fn undeclared_of_transforms(&self) -> Undeclared {
        let names = self.project.transforms.keys();
        self.undeclared_among(names.filter_map(|name| self.connection_of_transform(name)).collect())
    }

    fn undeclared_among(&self, mut names: Vec<(&str, String)>) -> Undeclared {
        let mut found = Undeclared::default();
        let mut told = HashSet::new();
        names.retain(|(name, _)| told.insert(*name));
        for (name, option) in names {
            let Err(error) = connections::declared(name, &self.project, self.environment.as_ref()) else {
                continue;
            };
            if error.code == ErrorCode::UnknownConnection && !error.context.contains_key("meant") {
                found.elsewhere.push(format!("the connection {name}, which nothing here declares"));
                continue;
            }
            found.slips.push(match self.project.places.find(&option) {
                Some(place) => error.at(place.clone()),
                None => error,
            });
        }
        found
    }

    /// The connection that a transform names, and where.
    pub(crate) fn connection_of_transform(&self, name: &str) -> Option<(&str, String)> {
        let connection = self.project.transforms.get(name)?.connection.as_deref()?;
        Some((connection, format!("{}.connection", Places::path("transforms", name))))
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
        match refuses_full_scan(&built, name, request) {
            Some(error) => Err(self.locate(error, name)),
            None => Ok(built),
        }
    }

    fn locate(&self, error: FlowError, pipeline: &str) -> FlowError {
        match self.project.places.pipeline(pipeline) {
            Some(place) => error.at(place.clone()),
            None => error,
        }
    }

    fn resolve(&self, connection: &str) -> Result<ConnectionTarget> {
        connections::resolve(connection, &self.project, self.environment.as_ref())
    }

    async fn open(&self, connection: &str, what: &str) -> Result<Box<dyn Session>> {
        let at = self.resolve(connection)?;
        self.drivers.find(&at)?.open(&at, what).await
    }

    /// As [`Engine::open`], but waits for a file that another process has, as a run waits for its target.
    async fn open_in_turn(
        &self,
        pipeline: &Pipeline,
        connection: &str,
        what: &str,
        told: impl Fn(),
    ) -> Result<Box<dyn Session>> {
        let mut patience = Patience::of(pipeline, what);
        loop {
            match self.open(connection, what).await {
                Err(error) if error.code == ErrorCode::Locked => {
                    if !patience.lasts() {
                        return Err(patience.ended(error));
                    }
                    patience.wait(&told).await;
                }
                done => return done,
            }
        }
    }

    /// The plan from the files alone, with assumed facts: the table is as declared, the query gives
    /// the declared columns.
    ///
    /// # Errors
    /// As validation, and where only a database knows the columns.
    pub fn preview(&self, pipeline: &str, request: &Request) -> Result<Plan> {
        let called = self.called_here(pipeline).map_err(|error| self.locate(error, pipeline))?;
        let engine = called.as_ref().unwrap_or(self);
        let targets = engine.targets(pipeline, request, &About::planned())?;
        assumed::plan(&targets, request, &engine.assumed_ends(&targets.whole))
            .map_err(|error| self.locate(error, pipeline))
    }

    /// The engines as far as the files tell: a connection that cannot be resolved here may be resolved elsewhere.
    fn assumed_ends(&self, pipeline: &Pipeline) -> Ends<'static> {
        let engine = |connection: &str| {
            let driver = self.resolve(connection).and_then(|at| Ok(self.drivers.find(&at)?.facts()));
            driver.unwrap_or(&POSTGRES)
        };
        Ends { source: engine(&pipeline.source.connection), target: engine(&pipeline.target_connection) }
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
        let session = self.open_in_turn(whole, &whole.target_connection, &what, || ()).await?;
        let exists = HistoryStore::on(session.as_ref()).exists().await?;
        session.begin(Blame::Target, Access::ReadOnly, None).await?;
        let route = self.route(whole, session.as_ref()).await?;
        let about = RunFacts {
            id: String::new(),
            instant: String::new(),
            dry_run: false,
            sample: 0,
            full_scan: request.full_scan,
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
        let called = self.called(pipeline, &request.stop).await;
        let engine = called.as_ref().ok().and_then(Option::as_ref).unwrap_or(self);
        let targets = match &called {
            Ok(_) => engine.targets(pipeline, request, &about),
            Err(error) => Err(error.clone()),
        };
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

    /// Logs in to a connection and reports.
    pub async fn check_connection(&self, name: &str) -> ConnectionReport {
        let mut report = ConnectionReport {
            name: name.to_owned(),
            address: String::new(),
            found_in: String::new(),
            server_version: None,
            encrypted: None,
            milliseconds: None,
            error: None,
        };
        let target = match self.resolve(name) {
            Ok(target) => target,
            Err(error) => return ConnectionReport { error: Some(error), ..report },
        };
        report.address = target.to_string();
        report.found_in = target.found_in.clone();
        let started = Instant::now();
        let opened = match self.drivers.find(&target) {
            Ok(driver) => driver.open(&target, "check").await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(session) => {
                report.milliseconds = Some(started.elapsed().as_millis() as u64);
                report.server_version = Some(session.server_version().to_owned());
                match session.is_encrypted().await {
                    Ok(encrypted) => report.encrypted = encrypted,
                    Err(error) => report.error = Some(error),
                }
                session.close().await;
            }
            Err(error) => report.error = Some(error),
        }
        report
    }

    /// The connections that a project can see, without opening one.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        connections::known_connections(&self.project, self.environment.as_ref())
            .into_iter()
            .map(|(name, found_in, resolved)| ConnectionReport {
                name,
                address: resolved.as_ref().map(ToString::to_string).unwrap_or_default(),
                found_in,
                server_version: None,
                encrypted: None,
                milliseconds: None,
                error: resolved.err(),
            })
            .collect()
    }
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
