//! Runs plans. One executor for every strategy and path, and the questions that commands ask of history.

mod answers;
pub mod callables;
mod check;
mod gather;
pub mod observer;
mod questions;
mod route;
mod run;
mod supervise;
mod together;
mod transfer;

use crate::history::HistoryStore;
use crate::postgres::connect::connect;
use crate::postgres::grants;
use crate::postgres::session::Session;
use callables::Callables;
use ematix_flow_core::connections::{self, ConnectionTarget};
use ematix_flow_core::declare::environment::{Environment, ProcessEnvironment};
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::declare::{Mode, PipelineOptions, ProjectSpec};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Cap, Facts, RunFacts, SourceColumn, SourceFacts, TargetFacts};
use ematix_flow_core::pipeline::{Pipeline, Target};
use ematix_flow_core::plan::Plan;
use ematix_flow_core::planner;
use ematix_flow_core::report::{ConnectionReport, ExecutionPath, RunReport, Status};
use ematix_flow_core::run_value::RunValue;
use ematix_flow_core::schema::{LiveColumn, LiveIndex, LiveTable};
use indexmap::IndexMap;
use observer::Observer;
use run::{Execution, Progress};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use uuid::Uuid;

/// What stands for the run's id in a plan that is only printed.
const PLANNED: &str = "<batch>";

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
    fn now() -> About {
        About {
            run_id: Uuid::now_v7().to_string(),
            started_at: jiff::Timestamp::now(),
            started: Instant::now(),
        }
    }
}

/// A project with its connections: everything a command does, it does through this.
pub struct Engine {
    project: Arc<ProjectSpec>,
    environment: Arc<dyn Environment>,
    callables: Option<Arc<dyn Callables>>,
}

impl Engine {
    /// An engine for a project, in the environment of this process.
    pub fn new(project: ProjectSpec) -> Engine {
        Engine { project: Arc::new(project), environment: Arc::new(ProcessEnvironment), callables: None }
    }

    /// An engine for a project in a given environment.
    pub fn with_environment(project: ProjectSpec, environment: Arc<dyn Environment>) -> Engine {
        Engine { project: Arc::new(project), environment, callables: None }
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
            Ok(_) => Vec::new(),
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
        match self.project.places.find(&format!("pipelines.{pipeline}")) {
            Some(place) => error.at(place.clone()),
            None => error,
        }
    }

    fn resolve(&self, connection: &str) -> Result<ConnectionTarget> {
        connections::resolve(connection, &self.project, self.environment.as_ref())
    }

    async fn open(&self, connection: &str, what: &str) -> Result<Session> {
        connect(&self.resolve(connection)?, what).await
    }

    /// The plan from the files alone, with assumed facts: the table is as declared, the query gives
    /// the declared columns.
    ///
    /// # Errors
    /// As validation, and where only a database knows the columns.
    pub fn preview(&self, pipeline: &str, request: &Request) -> Result<Plan> {
        let called = self.called_here(pipeline).map_err(|error| self.locate(error, pipeline))?;
        let engine = called.as_ref().unwrap_or(self);
        let built = engine.build(pipeline, request)?;
        if let Some(parts) = engine.parts(pipeline, request).map_err(|mut errors| errors.remove(0))? {
            return engine.preview_together(&parts, request).map_err(|error| self.locate(error, pipeline));
        }
        planner::plan(&built, &assumed_facts(&built, request), &Postgres)
            .map_err(|error| self.locate(error, pipeline))
    }

    /// The plan with the facts of the databases. Writes nothing.
    ///
    /// # Errors
    /// As a run before its first write.
    pub async fn plan(&self, pipeline: &str, request: &Request) -> Result<Plan> {
        let called = self.called(pipeline).await.map_err(|error| self.locate(error, pipeline))?;
        let engine = called.as_ref().unwrap_or(self);
        let built = engine.build(pipeline, request)?;
        let parts = engine.parts(pipeline, request).map_err(|mut errors| errors.remove(0))?;
        let planned = match parts {
            Some(parts) => engine.plan_together(&parts, request).await,
            None => engine.plan_built(&built, request).await,
        };
        planned.map_err(|error| self.locate(error, pipeline))
    }

    async fn plan_built(&self, pipeline: &Pipeline, request: &Request) -> Result<Plan> {
        planner::plan(pipeline, &self.facts_of_plan(pipeline, request).await?, &Postgres)
    }

    /// The facts of a plan that is only printed.
    async fn facts_of_plan(&self, pipeline: &Pipeline, request: &Request) -> Result<Facts> {
        let session = self.open(&pipeline.target_connection, &format!("plan {}", pipeline.name)).await?;
        let exists = HistoryStore::on(&session).exists().await?;
        session.ask("begin", &session.begin(true)).await?;
        let route = self.route(pipeline, &session).await?;
        let run = RunFacts {
            id: PLANNED.to_owned(),
            instant: String::new(),
            dry_run: false,
            sample: 0,
            full_scan: request.full_scan,
            version: env!("CARGO_PKG_VERSION"),
        };
        let facts = match gather::facts(&session, pipeline, &route, run, exists).await {
            Ok(facts) => facts,
            Err(error) => {
                let error = HistoryStore::on(&session).explained(error).await;
                return Err(grants::complete(error, &session, pipeline.source.query.text()).await);
            }
        };
        session.ask("end the plan", "ROLLBACK").await?;
        session.close().await;
        if let Some(source) = route.source {
            source.close().await;
        }
        Ok(facts)
    }

    /// Runs a pipeline (or, with `dry_run`, everything but the commit).
    pub async fn run(&self, pipeline: &str, request: &Request, observer: &dyn Observer) -> RunReport {
        let about = About::now();
        let called = self.called(pipeline).await;
        let engine = called.as_ref().ok().and_then(Option::as_ref).unwrap_or(self);
        let built = match &called {
            Ok(_) => engine.build(pipeline, request),
            Err(error) => Err(error.clone()),
        };
        let built = match (built, engine.parts(pipeline, request)) {
            (Ok(whole), Ok(Some(parts))) => {
                return engine.run_together(&whole, parts, request, observer, about).await;
            }
            (Ok(_), Err(mut errors)) => Err(errors.remove(0)),
            (built, _) => built,
        };
        let mut progress = Progress::default();
        let outcome = match &built {
            Ok(built) => engine.supervise(built, request, observer, &about.run_id, &mut progress).await,
            Err(error) => Err(error.clone()),
        };
        let outcome = outcome.map_err(|error| self.locate(error, pipeline));
        self.report(pipeline, about, built.as_ref(), progress, outcome, request)
    }

    fn report(
        &self,
        pipeline: &str,
        about: About,
        built: std::result::Result<&Pipeline, &FlowError>,
        progress: Progress,
        outcome: Result<()>,
        request: &Request,
    ) -> RunReport {
        let values = &progress.values;
        let committed = outcome.is_ok() && !request.dry_run && !progress.slot_taken;
        let spec = self.project.pipelines.get(pipeline);
        let declared = spec.and_then(|spec| spec.options.mode);
        let mode = built.ok().map(|built| built.strategy.mode()).or(declared);
        let number = |slot| values.number(slot);
        let of_built = |text: fn(&Pipeline) -> String| built.map(text).unwrap_or_default();
        RunReport {
            schema: "ematix.run.v1",
            pipeline: pipeline.to_owned(),
            run_id: about.run_id,
            status: match &outcome {
                Ok(()) if progress.slot_taken => Status::Skipped,
                Ok(()) => Status::Success,
                Err(error) => Status::of_error(error),
            },
            committed,
            mode: mode.map_or("", |mode| mode.name()).to_owned(),
            path: progress.path.as_ref().map(|path| path.path),
            path_reason: progress.path.as_ref().map(|path| path.reason.clone()),
            dry_run: request.dry_run,
            source_connection: of_built(|built| built.source.connection.clone()),
            target_connection: of_built(|built| built.target_connection.clone()),
            target: of_built(|built| built.target.name().to_string()),
            started_at: format!("{:.6}", about.started_at),
            ended_at: format!("{:.6}", jiff::Timestamp::now()),
            duration_ms: about.started.elapsed().as_millis() as u64,
            rows_in: number(RunValue::RowsIn),
            rows_inserted: number(RunValue::RowsInserted),
            rows_updated: number(RunValue::RowsUpdated),
            rows_unchanged: number(RunValue::RowsUnchanged),
            rows_closed_out: number(RunValue::RowsClosedOut),
            rows_deleted: number(RunValue::RowsDeleted),
            rows_deduplicated: number(RunValue::RowsDeduplicated),
            rows_skipped: number(RunValue::RowsSkipped),
            rows_rejected: number(RunValue::RowsRejected),
            rows_rehashed: number(RunValue::RowsRehashed),
            watermark_before: progress.watermark_before,
            watermark_after: values.text(RunValue::Watermark).map(str::to_owned),
            parse_failures: IndexMap::new(),
            transforms: Vec::new(),
            warnings: progress.plan.map(|plan| plan.warnings).unwrap_or_default(),
            sample: (request.sample > 0).then_some(progress.sample),
            targets: Vec::new(),
            error: outcome.err(),
            steps: progress.steps,
        }
    }

    async fn execute(
        &self,
        pipeline: &Pipeline,
        request: &Request,
        observer: &dyn Observer,
        run_id: &str,
        session: &Session,
        progress: &mut Progress,
    ) -> Result<()> {
        Execution { engine: self, session, pipeline, request, observer, run_id }.run(progress).await
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
        match connect(&target, "check").await {
            Ok(session) => {
                report.milliseconds = Some(started.elapsed().as_millis() as u64);
                report.server_version = Some(session.server_version.clone());
                let asked = session
                    .ask(
                        "ask whether the session is encrypted",
                        "SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()",
                    )
                    .await;
                match asked {
                    Ok(answers) => {
                        report.encrypted =
                            answers.first().and_then(|set| set.value()).map(|value| value == "t")
                    }
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
    let appends = pipeline.incremental.is_some() && pipeline.strategy.mode() == Mode::Append;
    (request.full_scan && appends).then(|| {
        FlowError::new(
            ErrorCode::OptionNotForMode,
            format!("`{name}` appends: reading in full would append every row again"),
        )
        .hint(format!("if that is meant, forget what was loaded: `flow watermark reset {name}`"))
    })
}

/// Facts for a preview: the table lives as it is declared, and the query gives its columns.
fn assumed_facts(pipeline: &Pipeline, request: &Request) -> Facts {
    use ematix_flow_core::dialect::Dialect;
    let table = match &pipeline.target {
        Target::Declared(table) => Some(table),
        Target::Inferred(_) => None,
    };
    let type_of = |column: &ematix_flow_core::schema::Column| {
        Postgres.type_facts(&column.data_type).unwrap_or_else(|| {
            ematix_flow_core::schema::TypeFacts::assumed(Postgres.type_name(&column.data_type))
        })
    };
    let mut columns: Vec<SourceColumn> = table
        .iter()
        .flat_map(|table| &table.columns)
        .map(|column| SourceColumn {
            name: column.name.to_string(),
            data_type: type_of(column),
            stamped: false,
            inferred: None,
        })
        .collect();
    if let Some(incremental) = &pipeline.incremental
        && !columns.iter().any(|column| column.name == incremental.column.as_str())
    {
        let data_type =
            Postgres.type_facts(&ematix_flow_core::types::DataType::TimestampTz).expect("a type of ours");
        columns.push(SourceColumn {
            name: incremental.column.to_string(),
            data_type,
            stamped: false,
            inferred: None,
        });
    }
    let live = table.map(|table| {
        let managed = ematix_flow_core::strategies::managed_columns(pipeline, table);
        let keys =
            pipeline.keys.clone().unwrap_or_else(|| ematix_flow_core::pipeline::declared_keys(table).0);
        let names = |extra: &[&ematix_flow_core::sql::Ident]| {
            keys.iter().chain(extra.iter().copied()).map(ToString::to_string).collect::<Vec<_>>()
        };
        let index = |columns: Vec<String>, predicate: Option<String>| LiveIndex {
            name: String::new(),
            unique: true,
            primary: predicate.is_none(),
            usable: true,
            columns,
            predicate,
            correlation: None,
            estimated_rows: None,
        };
        let mut indexes = Vec::new();
        let mut flag = None;
        if let ematix_flow_core::pipeline::Strategy::Scd2(scd2) = &pipeline.strategy {
            flag = Some(scd2.current_flag.to_string());
            indexes.push(index(names(&[&scd2.effective_from]), None));
            // What is declared as unique is so among the current versions.
            let declared = [&table.primary_key, &table.natural_key].into_iter().chain(&table.unique);
            indexes.extend(
                declared
                    .map(|columns| index(columns.iter().map(ToString::to_string).collect(), flag.clone())),
            );
        }
        indexes.push(index(names(&[]), flag));
        LiveTable {
            kind: 'r',
            spread: false,
            columns: table
                .columns
                .iter()
                .chain(&managed)
                .map(|column| LiveColumn {
                    name: column.name.to_string(),
                    data_type: type_of(column),
                    nullable: column.nullable,
                    default: None,
                    generated: false,
                })
                .collect(),
            indexes,
            checks: vec!["_period".to_owned(), "_open".to_owned()],
            ours: true,
            estimated_rows: 0.0,
        }
    });
    let one_connection = pipeline.source.connection == pipeline.target_connection
        && matches!(pipeline.force_path, None | Some(ForcePath::SameDb));
    Facts {
        run: RunFacts {
            id: PLANNED.to_owned(),
            instant: "2000-01-01T00:00:00Z".to_owned(),
            dry_run: false,
            sample: 0,
            full_scan: request.full_scan,
            version: env!("CARGO_PKG_VERSION"),
        },
        path: if one_connection { ExecutionPath::SameDatabase } else { ExecutionPath::Staging },
        path_reason: if one_connection {
            format!("source and target are one connection, {}", pipeline.target_connection)
        } else {
            "assumed: a preview asks no database".to_owned()
        },
        source: SourceFacts { columns, relation: None },
        target: TargetFacts { schema_exists: true, live, record: None, missing_privileges: Vec::new() },
        watermark: None,
        cap: Cap::Unknown("a preview asks no database".to_owned()),
        client_diff_given_up: None,
        native_types: std::collections::BTreeMap::new(),
        assumed: true,
    }
}
