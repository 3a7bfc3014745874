//! Gathers the facts of a plan, inside the load transaction and under its lock.

use super::looked::{Looked, looked};
use super::privileges::{needed_privileges, on_sequences};
use super::route::Route;
use super::run::awake;
use super::targets::{Target as OneTarget, Targets, of_target};
use super::{authors, beside, features};
use crate::history::{KnownTarget, record_of};
use crate::session::{Session, nth};
use ematix_flow_core::declare::options::OnDuplicate;
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::engine::Ends;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Cap, Facts, RunFacts, SourceColumn, SourceFacts, TargetFacts};
use ematix_flow_core::hash::Normal;
use ematix_flow_core::helpers::at_step;
use ematix_flow_core::pipeline::prepared::{Prepared, declared, in_sight, without_ours};
use ematix_flow_core::pipeline::strategy::KeyNeed;
use ematix_flow_core::pipeline::{Brought, Pipeline, Target};
use ematix_flow_core::plan::{Blame, Plan};
use ematix_flow_core::planner;
use ematix_flow_core::planner::parts::{Asked, OneReading, Reading, plan_together};
use ematix_flow_core::report::ExecutionPath;
use ematix_flow_core::run_value::Values;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::secret::Secret;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{QualifiedName, Sql};
use ematix_flow_core::types::DataType;
use futures_util::try_join;
use std::collections::BTreeMap;

/// Below it, to ask for the order of a table takes longer than any join of it.
const ROWS_OF_A_LARGE_TABLE: f64 = 10_000.0;

/// The path, and why.
#[derive(Clone, Debug)]
pub struct Path {
    /// The path.
    pub path: ExecutionPath,
    /// Why.
    pub reason: String,
}

/// Gathers everything of one target.
async fn facts(
    session: &dyn Session,
    pipeline: &Pipeline,
    route: &Route,
    (source, cap): (SourceFacts, Cap),
    looked: Looked,
    run: RunFacts,
) -> Result<Facts> {
    let name = pipeline.target.name();
    let (inspector, dialect) = (session.inspector(), session.facts().dialect);
    let Looked { schema_exists, live, record, instant, ours, watermark, ledger, rejected, rejected_live } =
        looked;
    let source = match (&pipeline.target, &route.source) {
        (Target::Inferred(_), Some(_)) => {
            let made = |name: &str| match &live {
                Some(live) => pipeline.migrate && live.column(name).is_none(),
                None => true,
            };
            with_types_of(session, source, made).await?
        }
        _ => source,
    };
    let source = cleaned(session, pipeline, route, source).await?;
    let source = match (&pipeline.target, &route.source) {
        (Target::Inferred(_), Some(_)) => with_types_of_shown(session, source).await?,
        _ => source,
    };
    let natives = native_names(&pipeline.target, source.given());
    let native_types = inspector.native_types(&natives).await?;
    let mut privileges = needed_privileges(
        pipeline,
        route.path.path,
        run.dry_run,
        schema_exists,
        (live.as_ref(), rejected_live.as_deref()),
    );
    if let Some(name) = rejected.filter(|_| pipeline.quarantines()) {
        privileges.extend(beside::privileges(name, schema_exists, rejected_live.as_deref()));
    }
    if let Some(live) = &live {
        let set = SourceFacts::names(source.given());
        privileges.extend(on_sequences(session, name, live, &set).await?);
    }
    let (missing, clock) = (inspector.missing_privileges(&privileges), inspector.clock());
    let ordered =
        of_order(&source, live.as_ref(), name, dialect).map(|tables| inspector.correlations(&tables));
    let doing = "look up privileges";
    let mut questions = vec![missing.sql.clone(), clock.sql.clone()];
    let hides = live.as_ref().and_then(|_| inspector.hides_rows(name));
    questions.extend(ordered.iter().map(|ordered| ordered.sql.clone()));
    questions.extend(hides.iter().map(|hides| hides.sql.clone()));
    let questions_text = questions.join(";\n");
    let (answers, ()) = try_join!(session.ask(Blame::Target, doing, &questions_text), session.tidy())?;
    if let Some(hides) = hides
        && let Some(error) = hides.read(nth(&answers, questions.len() - 1, doing)?, doing)?
    {
        return Err(error);
    }
    let (mut source, mut correlation) = (source, BTreeMap::new());
    if let Some(ordered) = ordered {
        let mut found = ordered.read(nth(&answers, 2, doing)?, doing)?.into_iter();
        correlation = found.next().unwrap_or_default();
        let of_source = found.next().unwrap_or_default();
        if let Some(picked) = &mut source.picked {
            picked.take_correlation(&of_source);
        }
        if let Some(relation) = &mut source.relation {
            relation.correlation = of_source;
        }
    }
    let missing_privileges = missing.read(nth(&answers, 0, doing)?, doing)?;
    let now = clock.read(nth(&answers, 1, doing)?, doing)?;
    let run = RunFacts { instant: instant.unwrap_or(now), ..run };
    let live = live.map(|mut live| {
        live.ours = ours;
        live
    });
    let feature = match &pipeline.feature {
        Some(view) => Some(Box::new(features::beside(session, view, name).await?)),
        None => None,
    };
    Ok(Facts {
        run,
        path: route.path.path,
        path_reason: route.path.reason.clone(),
        source,
        target: TargetFacts {
            schema_exists,
            live,
            correlation,
            record,
            missing_privileges,
            rejected: rejected_live,
            feature,
        },
        watermark,
        has_ledger: ledger,
        cap,
        native_types,
        client_diff_given_up: None,
        assumed: false,
        came_by: None,
        at_hand: None,
    })
}

/// A run that reads no source.
pub fn without_source(dry_run: bool) -> RunFacts {
    RunFacts {
        id: String::new(),
        instant: String::new(),
        dry_run,
        sample: 0,
        full_scan: false,
        part: None,
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// The target alone: what is remembered of it, and the table.
///
/// # Errors
/// As the server says.
pub async fn target(session: &dyn Session, pipeline: &Pipeline) -> Result<(KnownTarget, Option<LiveTable>)> {
    let doing = "look at the target";
    let table = session.inspector().table(pipeline.target.name());
    let record = record_of(session.facts().dialect, &pipeline.target_key());
    let questions = format!("{};\n{}", table.sql, record.sql);
    let answers = session.ask(Blame::Target, doing, &questions).await?;
    let (_, live) = table.read(nth(&answers, 0, doing)?, doing)?;
    Ok((record.read(nth(&answers, 1, doing)?, doing)?, live))
}

/// The tables whose order may decide how they are joined: target and source, as SQL writes them, where both are large.
fn of_order(
    source: &SourceFacts,
    live: Option<&LiveTable>,
    target: &QualifiedName,
    dialect: &dyn Dialect,
) -> Option<Vec<String>> {
    let picked = source.picked.as_ref().map(|picked| &picked.relation);
    let relation = source.relation.as_ref().or(picked)?;
    let both_are_large =
        relation.estimated_rows >= ROWS_OF_A_LARGE_TABLE && live?.estimated_rows >= ROWS_OF_A_LARGE_TABLE;
    both_are_large.then(|| vec![sql!("{target}", target).to_text(dialect), relation.sql.clone()])
}

/// What is known before a plan is made.
pub enum Gathered {
    /// Of one target.
    One(Box<Facts>),
    /// Of several, or from several connections: with the source as it is read for all of them, and what each connection
    /// reads where there are several.
    Several(Vec<Facts>, Box<SourceFacts>, Vec<OneReading>),
}

impl Gathered {
    /// The facts of each target.
    pub fn each(&self) -> &[Facts] {
        match self {
            Gathered::One(facts) => std::slice::from_ref(facts),
            Gathered::Several(facts, ..) => facts,
        }
    }

    /// Says what each of several connections reads.
    pub fn readings(&mut self, readings: &[OneReading]) {
        if readings.is_empty() {
            return;
        }
        let source = Box::new(self.each()[0].source.clone());
        let mut each = self.each().to_vec();
        if let [OneReading { asked: Some(asked), columns, .. }] = readings {
            each.iter_mut().for_each(|facts| knows(facts, asked, columns));
        }
        *self = Gathered::Several(each, source, readings.to_vec());
    }

    /// Says why a comparison in the client had begun and was given up.
    pub fn client_diff_given_up(&mut self, why: Option<String>) {
        if let Gathered::One(facts) = self {
            facts.client_diff_given_up = why;
        }
    }

    /// The plan.
    ///
    /// # Errors
    /// As [`planner::plan`].
    pub fn plan(&self, targets: &Targets, route: &Route, ends: &Ends<'_>) -> Result<Plan> {
        let (facts, source, readings) = match self {
            Gathered::One(facts) => return planner::plan(&targets.each[0].pipeline, facts, ends),
            Gathered::Several(facts, source, readings) => (facts, source, readings),
        };
        let parts: Vec<(Pipeline, Facts)> =
            targets.each.iter().map(|target| target.pipeline.clone()).zip(facts.iter().cloned()).collect();
        let reading = Reading {
            pipeline: &targets.whole,
            run_id: &targets.run_id,
            path: route.path.path,
            path_reason: &route.path.reason,
            source,
            readings,
            dry_run: facts[0].run.dry_run,
        };
        plan_together(&reading, &parts, ends)
    }
}

/// What a database of another engine has said of its rows holds of those that come.
fn knows(facts: &mut Facts, asked: &Asked, columns: &[SourceColumn]) {
    facts.source.relation.clone_from(&asked.relation);
    facts.source.clock.clone_from(&asked.clock);
    facts.cap = asked.cap.clone();
    for column in &mut facts.source.columns {
        column.stamped = columns.iter().any(|own| own.name == column.name && own.stamped);
    }
}

/// Gathers the facts of every target, and asks the source once for all of them; `about` is what they know of their
/// runs but for the id.
///
/// # Errors
/// What the servers say of the query, its columns and the declared types.
pub async fn all(
    session: &dyn Session,
    targets: &Targets,
    route: &Route,
    about: &RunFacts,
    metadata_exists: bool,
) -> Result<Gathered> {
    let said = |error: FlowError, target: &OneTarget| match targets.are_several() {
        true => of_target(error, &target.pipeline),
        false => error,
    };
    let looks = async {
        let mut looks = Vec::new();
        for target in &targets.each {
            let looked = looked(session, &target.pipeline, metadata_exists).await;
            looks.push(looked.map_err(|error| said(error, target))?);
        }
        Ok(looks)
    };
    // Neither needs the other's answer: they are asked in one go, and what fails first is told.
    let (read, looks) = try_join!(source_facts(session, targets, route), looks)?;
    let mut each = Vec::new();
    for (target, looked) in targets.each.iter().zip(looks) {
        let run = RunFacts { id: target.run_id.clone(), ..about.clone() };
        let found = facts(session, &target.pipeline, route, read.clone(), looked, run).await;
        each.push(found.map_err(|error| said(error, target))?);
    }
    if !targets.are_several() {
        return Ok(Gathered::One(Box::new(each.remove(0))));
    }
    let (mut source, _) = read;
    if route.source.is_some() {
        source = with_types_of(session, source, |_| true).await?;
        let inferred: Vec<String> =
            source.columns.iter().filter_map(|column| column.inferred.clone()).collect();
        let types = session.inspector().native_types(&inferred).await?;
        session.tidy().await?;
        for facts in &mut each {
            // The table of the reading has the target's types.
            for (column, read) in facts.source.columns.iter_mut().zip(&source.columns) {
                if let Some(known) = read.inferred.as_ref().and_then(|name| types.get(name)) {
                    column.data_type = known.clone();
                    column.inferred = None;
                }
            }
        }
    }
    Ok(Gathered::Several(each, Box::new(source), Vec::new()))
}

/// What the source is asked before it is read; the cap comes before the snapshot of the reading.
async fn source_facts(target: &dyn Session, targets: &Targets, route: &Route) -> Result<(SourceFacts, Cap)> {
    let whole = &targets.whole;
    let query = &whole.source.query;
    let foreign = match &whole.source.brought {
        Some(Brought::Foreign(foreign)) => Some(foreign),
        _ => None,
    };
    let incremental = targets.each.iter().any(|target| target.pipeline.incremental.is_some());
    let capped = incremental && foreign.is_none();
    let read = match &route.source {
        None => target.inspector().source(query, capped).await?,
        Some(own) => match awake(target, whole, own.inspector().source(query, capped)).await {
            // Its own session knows which privilege is missing.
            Err(error) => return Err(own.complete(error, query.text()).await),
            Ok(read) => {
                own.tidy().await?;
                read
            }
        },
    };
    let relation = read.relation.filter(|relation| relation_read(whole, relation));
    let picked = match may_pick(targets, route) && relation.is_none() {
        true => target.inspector().picked(query.text(), &SourceFacts::names(&read.columns)).await?,
        false => None,
    };
    let (columns, clock) = (read.columns, read.clock);
    let source = SourceFacts { columns, relation, picked, clock, ..SourceFacts::default() };
    let cap = match foreign {
        Some(foreign) => Cap::Unknown(format!("who writes {} is not seen from here", foreign.connection)),
        None => read.cap,
    };
    Ok((source, cap))
}

/// Whether a query may be read in place, as far as it is seen before it is asked for.
fn may_pick(targets: &Targets, route: &Route) -> bool {
    let [only] = targets.each.as_slice() else { return false };
    let pipeline = &only.pipeline;
    route.source.is_none()
        && targets.whole.source.brought.is_none()
        && pipeline.incremental.is_none()
        && pipeline.helpers.is_empty()
        && pipeline.on_duplicate == OnDuplicate::Error
        && matches!(pipeline.strategy.keys(), KeyNeed::OfRows | KeyNeed::OfVersions)
}

/// The columns that markers clean and those behind each helper, as the database says of which types they are that
/// reads the source.
async fn cleaned(
    target: &dyn Session,
    pipeline: &Pipeline,
    route: &Route,
    mut source: SourceFacts,
) -> Result<SourceFacts> {
    let table = declared(&pipeline.target);
    let session = route.source.as_deref().unwrap_or(target);
    // Where markers and helpers have no words, the planner refuses them.
    if !session.facts().can.cleans {
        return Ok(source);
    }
    let dialect = session.facts().dialect;
    let query = Sql::user(pipeline.source.query.text());
    if let Some(table) = table
        && let Some(mut cleaning) = table.cleaning_of(&source.raw(), &[], false, dialect)?
    {
        if let Some(asked) = cleaning.asked(&query) {
            let told = session.inspector().columns(&asking_types(&asked, dialect)?).await;
            source.told = match told {
                Ok(told) => told,
                Err(error) => return Err(authors::of_layers(session, pipeline, &source, error).await),
            };
            session.tidy().await?;
            let again = table.cleaning_of(&source.raw(), &source.told(), false, dialect)?;
            cleaning = again.expect("what is cleaned is cleaned still");
        }
        let query = asking_types(&cleaning.types_of(&query), dialect)?;
        source.cleaned = match session.inspector().columns(&query).await {
            Ok(cleaned) => cleaned,
            Err(error) => return Err(authors::of_layers(session, pipeline, &source, error).await),
        };
        session.tidy().await?;
    }
    let steps = &pipeline.helpers;
    for count in 1..=steps.len() {
        let prepared = Prepared::of(pipeline, table, &steps[..count], &source, false, dialect)?;
        let Some(query) = prepared.types_of(&query) else { continue };
        // One by one, so that what a helper says wrongly is told at its line.
        let columns = match session.inspector().columns(&asking_types(&query, dialect)?).await {
            Ok(found) => without_ours(found),
            Err(error) => {
                let error = authors::of_layers(session, pipeline, &source, error).await;
                return Err(at_step(error, &steps[count - 1]));
            }
        };
        session.tidy().await?;
        source.shown = prepared.helping.as_ref().map(|helping| in_sight(helping, &columns));
        source.helped.push(columns);
    }
    if let (Some(shown), Some(relation)) = (&source.shown, &mut source.relation) {
        // What the table promises of its rows holds of them no longer.
        relation.not_null.clear();
        relation.unique.clear();
        relation.primary_key.retain(|name| shown.iter().any(|column| column.name == *name));
    }
    Ok(source)
}

/// A query whose columns are asked for; of which types they are depends on no key.
pub fn asking_types(query: &Sql, dialect: &dyn Dialect) -> Result<String> {
    let mut query = query.render(dialect);
    query.unseal(&mut |_| Ok(Secret::from("")))?;
    Ok(query.fill(&Values::default(), dialect))
}

/// As [`with_types_of`], of the columns behind the last helper.
async fn with_types_of_shown(target: &dyn Session, mut source: SourceFacts) -> Result<SourceFacts> {
    if let Some(columns) = source.shown.take() {
        let shown = SourceFacts { columns, ..SourceFacts::default() };
        source.shown = Some(with_types_of(target, shown, |_| true).await?.columns);
    }
    Ok(source)
}

/// A column that is made after a source in another database has a type that exists where it is made: an enum that
/// does not becomes text, a domain its base type. `made` says which columns are.
pub async fn with_types_of(
    target: &dyn Session,
    mut source: SourceFacts,
    made: impl Fn(&str) -> bool,
) -> Result<SourceFacts> {
    let names: Vec<&str> = source.columns.iter().map(|column| column.data_type.name.as_str()).collect();
    let missing = target.inspector().unknown_types(&names).await?;
    for column in source.columns.iter_mut().filter(|column| missing.contains(&column.data_type.name)) {
        let wire = &column.data_type.wire;
        let instead = match column.data_type.normal {
            Some(Normal::Enum) => Some("text".to_owned()),
            _ if wire.oid.is_some() => Some(wire.name.clone()),
            // The live column has a type of its own.
            _ if !made(&column.name) => Some("text".to_owned()),
            _ => {
                let (name, data_type) = (&column.name, &column.data_type.name);
                let message = format!(
                    "the column `{name}` is of type {data_type}, which the target's database does not have"
                );
                return Err(FlowError::new(ErrorCode::UnknownType, message).hint(format!(
                    "create the type there, or cast it in the query: {name}::text AS {name}"
                )));
            }
        };
        column.inferred = instead;
    }
    Ok(source)
}

/// Whether what a table promises holds of what is read of it.
pub(super) fn relation_read(pipeline: &Pipeline, relation: &ematix_flow_core::facts::Relation) -> bool {
    // A subset of the table's columns is as good as all of them, as long as the unique index is among them.
    match pipeline.source.query.simple().and_then(|simple| simple.columns.as_ref()) {
        None => true,
        Some(columns) => {
            relation.unique.iter().any(|unique| unique.iter().all(|column| columns.contains(column)))
        }
    }
}

fn native_names(target: &Target, columns: &[ematix_flow_core::facts::SourceColumn]) -> Vec<String> {
    let mut names: Vec<String> = match target {
        Target::Declared(table) => table
            .columns
            .iter()
            .filter_map(|column| match &column.data_type {
                DataType::Native(name) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        Target::Inferred(_) => columns.iter().map(|column| column.inferred_type().to_owned()).collect(),
    };
    names.sort();
    names.dedup();
    names
}
