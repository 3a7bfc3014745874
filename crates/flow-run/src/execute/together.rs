//! Several targets from one reading: one transaction takes all of them in the order of their locks, reads the source
//! once into a table of its own, and loads each from there. All of it stands, or nothing.

use super::gather::{self, Path};
use super::observer::Observer;
use super::route::Route;
use super::run::{Execution, Progress, awake, lock_key, settle, unless_asked};
use super::supervise::{haltable, name_grants, resolve, watch};
use super::transfer::{Transferred, copy_rows};
use super::{About, Engine, Request};
use crate::history::{HistoryStore, RunStart};
use crate::postgres::session::Session;
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::dialect::{Crossing, Dialect};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Cap, ExecutionPath, Facts, SourceFacts};
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Action, Answer, Copy, Plan, Step, StepKind};
use ematix_flow_core::planner;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::report::RunReport;
use ematix_flow_core::run_value::Values;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql};
use uuid::Uuid;

/// One of the targets, with its run.
struct Part {
    pipeline: Pipeline,
    run_id: String,
    progress: Progress,
}

impl Engine {
    /// What a pipeline of several targets loads; `None` for one with a single target.
    ///
    /// # Errors
    /// Every violated rule of each.
    pub(super) fn parts(
        &self,
        name: &str,
        request: &Request,
    ) -> std::result::Result<Option<Vec<Pipeline>>, Vec<FlowError>> {
        let Some(specs) = self.project.together.get(name) else { return Ok(None) };
        let mut project: ProjectSpec = (*self.project).clone();
        project.pipelines.extend(specs.clone());
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        for part in specs.keys() {
            match Pipeline::build(&project, part, &request.overrides) {
                Ok(built) => {
                    errors.extend(super::refuses_full_scan(&built, part, request));
                    parts.push(built);
                }
                Err(found) => errors.extend(found.into_iter().map(|error| self.locate(error, name))),
            }
        }
        errors.extend(fit_together(name, &parts).map(|error| self.locate(error, name)));
        if errors.is_empty() { Ok(Some(parts)) } else { Err(errors) }
    }

    /// Runs a pipeline of several targets.
    pub(super) async fn run_together(
        &self,
        whole: &Pipeline,
        pipelines: Vec<Pipeline>,
        request: &Request,
        observer: &dyn Observer,
        about: About,
    ) -> RunReport {
        let name = &whole.name;
        let mut parts: Vec<Part> = pipelines
            .into_iter()
            .map(|pipeline| Part {
                pipeline,
                run_id: Uuid::now_v7().to_string(),
                progress: Progress::default(),
            })
            .collect();
        let parent = about.run_id.clone();
        let outcome = self.supervise_together(whole, &mut parts, request, observer, &parent).await;
        let outcome = outcome.map_err(|error| self.locate(error, name));
        let slot_taken = parts.iter().any(|part| part.progress.slot_taken);
        let mut progress = Progress { slot_taken, ..Progress::default() };
        for part in &parts {
            progress.values.add_all(&part.progress.values);
        }
        progress.path = parts.first().and_then(|part| part.progress.path.clone());
        let targets: Vec<RunReport> = parts
            .into_iter()
            .map(|part| {
                let about = About { run_id: part.run_id, ..about.clone() };
                let outcome = outcome.clone();
                self.report(&part.pipeline.name, about, Ok(&part.pipeline), part.progress, outcome, request)
            })
            .collect();
        let mut report = self.report(name, about, Ok(whole), progress, outcome, request);
        report.target = targets.iter().map(|part| part.target.as_str()).collect::<Vec<_>>().join(", ");
        report.warnings = targets.iter().flat_map(|part| part.warnings.clone()).collect();
        report.targets = targets;
        report
    }

    /// The plan of several targets as one: the reading, then the steps of each.
    pub(super) async fn plan_together(&self, parts: &[Pipeline], request: &Request) -> Result<Plan> {
        let mut plans = Vec::new();
        for part in parts {
            let facts = self.facts_of_plan(part, request).await?;
            plans.push(plan_of_part(part, facts)?);
        }
        Ok(combined(parts, plans))
    }

    /// As [`Engine::plan_together`], from the files alone.
    pub(super) fn preview_together(&self, parts: &[Pipeline], request: &Request) -> Result<Plan> {
        let plans = parts.iter().map(|part| plan_of_part(part, super::assumed_facts(part, request)));
        Ok(combined(parts, plans.collect::<Result<_>>()?))
    }

    /// Every target has a row in the history, and so has the whole.
    async fn supervise_together(
        &self,
        whole: &Pipeline,
        parts: &mut [Part],
        request: &Request,
        observer: &dyn Observer,
        parent: &str,
    ) -> Result<()> {
        let connection = &whole.target_connection;
        let label = format!("{} {}", whole.name, &parent[parent.len() - 8..]);
        let load = unless_asked(&request.stop, self.open(connection, &label)).await?;
        let (halt, watched) = haltable(request);
        if request.dry_run {
            let work = self.load_together(&load, whole, parts, &watched, observer, parent);
            let outcome = watch(work, &load, None, whole, request, &[parent], &halt).await;
            load.close().await;
            return outcome;
        }
        let own_name = format!("history {label}");
        let own = unless_asked(&request.stop, self.open(connection, &own_name)).await?;
        let start = |run_id, pipeline, built: &Pipeline, slot, parent| {
            let (mode, target) = (built.strategy.mode().name(), built.target_key());
            (run_id, pipeline, mode, target, slot, parent)
        };
        let mut starts = vec![start(parent, whole.name.as_str(), whole, request.slot.as_deref(), None)];
        starts.extend(parts.iter().map(|part| {
            start(part.run_id.as_str(), part.pipeline.name.as_str(), &part.pipeline, None, Some(parent))
        }));
        for (run_id, pipeline, mode, target, slot, parent) in &starts {
            let start = RunStart {
                run_id,
                pipeline,
                mode,
                target,
                started_by: &request.started_by,
                slot: *slot,
                parent: *parent,
                lease: &whole.limits.lease,
            };
            let entered = HistoryStore::on(&own).begin(&start).await;
            if !name_grants(entered, &own, whole).await? {
                parts[0].progress.slot_taken = true;
                return Ok(());
            }
        }
        let ids: Vec<String> = starts.iter().map(|(run_id, ..)| (*run_id).to_owned()).collect();
        let id_list: Vec<&str> = ids.iter().map(String::as_str).collect();
        let work = self.load_together(&load, whole, parts, &watched, observer, parent);
        let mut outcome = watch(work, &load, Some(&own), whole, request, &id_list, &halt).await;
        load.close().await;
        let own = match outcome {
            Ok(()) => Some(own),
            Err(_) => self.still_open(own, connection, &own_name).await,
        };
        let Some(own) = own else { return outcome };
        let sent = parts.iter().any(|part| part.progress.commit_sent);
        if let Err(error) = outcome {
            outcome = resolve(&own, parent, sent, error).await;
        }
        let outcome = name_grants(outcome, &own, whole).await;
        let nothing = Progress::default();
        let progresses = std::iter::once((parent, &nothing))
            .chain(parts.iter().map(|part| (part.run_id.as_str(), &part.progress)));
        for (run_id, progress) in progresses {
            // The load stands, or does not, whatever becomes of these notes.
            let _ = match &outcome {
                Ok(()) => HistoryStore::on(&own).after_commit(run_id, &progress.steps).await,
                Err(error) => HistoryStore::on(&own).fail(run_id, &progress.failure(error)).await,
            };
        }
        own.close().await;
        outcome
    }

    /// The load transaction.
    async fn load_together(
        &self,
        session: &Session,
        whole: &Pipeline,
        parts: &mut [Part],
        request: &Request,
        observer: &dyn Observer,
        parent: &str,
    ) -> Result<()> {
        let lead = Execution { engine: self, session, pipeline: whole, request, observer, run_id: parent };
        let history = HistoryStore::on(session);
        let prepared = !request.dry_run || history.is_current().await?;
        let mut keys: Vec<i64> = parts.iter().map(|part| lock_key(&part.pipeline.target_key())).collect();
        keys.sort_unstable();
        lead.take_targets(&keys).await?;
        if !prepared {
            history.prepare(false).await?;
        }
        let route = unless_asked(&request.stop, self.route(whole, session)).await?;
        // How late rows may commit is asked before the reading, if any of the targets goes by it.
        let mut asking = whole.clone();
        asking.incremental = parts.iter().find_map(|part| part.pipeline.incremental.clone());
        let reading = read_once(session, &route, &asking, observer, parent);
        let read = unless_asked(&request.stop, reading).await;
        let reason = format!("one reading for several targets; {}", route.path.reason);
        if let Some(source) = route.source {
            match &read {
                Ok(_) => source.close().await,
                Err(_) => source.abandon().await,
            }
        }
        let (shared, source, cap) = read?;
        let known = (source, cap);
        for part in parts.iter_mut() {
            let mut pipeline = part.pipeline.clone();
            pipeline.source.query = ReadQuery::of_table(&shared);
            let execution = Execution { pipeline: &pipeline, run_id: &part.run_id, ..lead };
            let path = Path { path: ExecutionPath::SameDatabase, reason: reason.clone() };
            let route = Route { path, source: None };
            let done = execution.take_route(&route, None, Some(&known), &mut part.progress).await;
            if let Some(why) = done.map_err(|error| of_part(error, &part.pipeline))? {
                return Err(FlowError::new(ErrorCode::TargetFailed, why));
            }
            settle(&pipeline.strategy, &mut part.progress.values);
        }
        lead.stop_if_asked()?;
        if request.dry_run {
            session.ask("roll the dry-run back", "ROLLBACK").await?;
            return Ok(());
        }
        let mut total = Values::default();
        parts.iter().for_each(|part| total.add_all(&part.progress.values));
        let drop = format!("DROP TABLE {shared}");
        session.ask("drop the reading", &drop).await?;
        history.succeed(parent, &total).await?;
        parts.iter_mut().for_each(|part| part.progress.commit_sent = true);
        session.ask("commit", "COMMIT").await?;
        Ok(())
    }
}

/// The plan of one of the targets, from the table of the reading.
fn plan_of_part(part: &Pipeline, facts: Facts) -> Result<Plan> {
    let mut pipeline = part.clone();
    pipeline.source.query = ReadQuery::of_table(&reading("<batch>")?.1);
    let source = SourceFacts { relation: None, ..facts.source };
    let path_reason = format!("one reading for several targets; {}", facts.path_reason);
    let facts = Facts { path: ExecutionPath::SameDatabase, path_reason, source, ..facts };
    planner::plan(&pipeline, &facts, &Postgres).map_err(|error| of_part(error, part))
}

/// Plans of several targets as one.
fn combined(parts: &[Pipeline], plans: Vec<Plan>) -> Plan {
    let mut plans = plans.into_iter().zip(parts);
    let (mut whole, first) = plans.next().expect("a pipeline of several targets has one");
    let purpose = |part: &Pipeline, step: &Step| format!("{}: {}", part.target.name(), step.purpose);
    for step in &mut whole.steps {
        step.purpose = purpose(first, step);
    }
    for (plan, part) in plans {
        whole.steps.extend(plan.steps.into_iter().map(|step| Step { purpose: purpose(part, &step), ..step }));
        whole.marks.extend(plan.marks);
        whole.notes.extend(plan.notes);
        whole.warnings.extend(plan.warnings);
    }
    let name = reading("<batch>").expect("a name of ours").0;
    let create = create_reading(&name, &Sql::user(first.source.query.text()));
    let purpose = format!("read the source once, for {} targets", parts.len());
    let once =
        Step::new(0, StepKind::Stage, purpose, Action::Execute(create.render(&Postgres)), Answer::Ignore);
    whole.steps.insert(0, once);
    whole.steps.iter_mut().enumerate().for_each(|(index, step)| step.n = index + 1);
    whole
}

/// The table of a reading, and its name as it may stand in SQL.
fn reading(batch: &str) -> Result<(QualifiedName, String)> {
    let name =
        QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::new(format!("_ematix_reading_{batch}"))? };
    let text = sql!("{name}", name).to_text(&Postgres);
    Ok((name, text))
}

/// The reading within one database.
fn create_reading(name: &QualifiedName, query: &Sql) -> Sql {
    sql!("CREATE UNLOGGED TABLE {name} AS\nSELECT * FROM {query} AS q", name, query)
}

/// Which of the targets an error is about.
fn of_part(error: FlowError, pipeline: &Pipeline) -> FlowError {
    error.context("target", pipeline.target.name().to_string())
}

/// Why parts cannot be loaded together.
fn fit_together(name: &str, parts: &[Pipeline]) -> Option<FlowError> {
    let conflict =
        |message: String, hint: &str| Some(FlowError::new(ErrorCode::ConflictingOptions, message).hint(hint));
    let first = parts.first()?;
    if let Some(part) = parts.iter().find(|part| part.target_connection != first.target_connection) {
        return conflict(
            format!(
                "`{name}` loads {} by the connection {} and {} by {}",
                first.target.name(),
                first.target_connection,
                part.target.name(),
                part.target_connection
            ),
            "several targets are loaded in one transaction: give all of them one target_connection",
        );
    }
    let named_before = |index: usize| parts[..index].iter().map(Pipeline::target_key);
    let twice =
        (0..parts.len()).find(|index| named_before(*index).any(|key| key == parts[*index].target_key()));
    if let Some(index) = twice {
        return conflict(
            format!("`{name}` loads {} twice", parts[index].target.name()),
            "name each target once",
        );
    }
    let forced = |part: &&Pipeline| part.force_path.is_some_and(|path| path != ForcePath::SameDb);
    if parts.iter().any(|part| forced(&part)) {
        let error = FlowError::new(
            ErrorCode::PathImpossible,
            format!("`{name}` reads once for several targets, so none of them has a path of its own"),
        );
        return Some(error.hint("remove force_path"));
    }
    None
}

/// Reads the source into a table of the target's database; its name as it may stand in SQL.
async fn read_once(
    target: &Session,
    route: &Route,
    pipeline: &Pipeline,
    observer: &dyn Observer,
    parent: &str,
) -> Result<(String, SourceFacts, Cap)> {
    let batch: String = parent.chars().filter(|c| *c != '-').collect();
    let (name, text) = reading(&batch)?;
    let query = Sql::user(pipeline.source.query.text());
    let probe = Postgres.probe(&query).to_text(&Postgres);
    let Some(source) = &route.source else {
        let (facts, cap) = gather::source_facts(target, pipeline).await?;
        target.drop_named_statements().await?;
        target.ask_source("lock what the query reads", &probe).await?;
        let create = create_reading(&name, &query);
        target.ask_source("read the source", &create.to_text(&Postgres)).await?;
        return Ok((text, facts, cap));
    };
    let (facts, cap) = awake(target, pipeline, gather::source_facts(source, pipeline)).await?;
    source.drop_named_statements().await?;
    awake(target, pipeline, source.ask_source("lock what the query reads", &probe)).await?;
    let facts = gather::with_types_of(target, facts, true).await?;
    let mut columns: Vec<(Ident, Sql)> = Vec::new();
    let mut values: Vec<Sql> = Vec::new();
    for column in &facts.columns {
        let ident = Ident::new(column.name.clone())?;
        let data_type = column.inferred_type().to_owned();
        let value = sql!("q.{ident}", ident);
        let crossing = Postgres.crossing(&column.data_type, &column.data_type);
        values.push(match (&column.inferred, &crossing) {
            (_, Crossing::Refused(why)) => {
                return Err(FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("the column `{ident}` cannot come from another database: {why}"),
                )
                .hint(format!("cast it in the query: {ident}::text AS {ident}")));
            }
            (Some(_), _) => {
                let cast = Postgres.cast_to(&value, &data_type);
                sql!("{cast} AS {ident}", cast, ident)
            }
            (None, _) => value,
        });
        columns.push((ident, Sql::from_dialect(data_type)));
    }
    let names: Vec<Ident> = columns.iter().map(|(name, _)| name.clone()).collect();
    let kept = names.len();
    let create = Postgres.create_stage(&name, columns).to_text(&Postgres);
    target.ask("make a table for the reading", &create).await?;
    let select = sql!("SELECT {values}\n  FROM {query} AS q", values = Sql::join(values, ", "), query);
    let copy = Copy {
        read: Postgres.copy_out(&select).render(&Postgres),
        write: Postgres.copy_in(&name, &names).render(&Postgres),
        kept,
        digests: Vec::new(),
    };
    match copy_rows(&copy, source, target, observer, &mut Values::default()).await? {
        Transferred::Done(_) => Ok((text, facts, cap)),
        Transferred::GivenUp(why) => Err(FlowError::new(ErrorCode::SourceFailed, why)),
    }
}
