//! Which path a run takes: whether source and target are one database is proved, never inferred from addresses.

use super::Engine;
use super::brought::Rows;
use super::gather::Path;
use crate::session::{Access, Limits, Session};
use ematix_flow_arrow::BatchSource;
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::engine::Ends;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Blame, Step};
use ematix_flow_core::report::ExecutionPath;
use std::time::Duration;
use uuid::Uuid;

/// A path, with the source's session where rows leave the source's database.
pub struct Route {
    /// The path and its reason.
    pub path: Path,
    /// A session on the source, in a transaction that only reads.
    pub source: Option<Box<dyn Session>>,
    /// Of a source of several connections, or of another engine: a session on each, where it is not in the target's
    /// database.
    pub several: Vec<Option<Box<dyn Session>>>,
    /// What brings the rows, where no database sends them.
    pub brought: Option<Rows>,
}

/// What a step reads from.
#[derive(Clone, Copy, Default)]
pub struct Reads<'r> {
    /// A session on the source.
    pub session: Option<&'r dyn Session>,
    /// What brings the rows, where no database sends them.
    pub brought: Option<&'r dyn BatchSource>,
}

impl Route {
    /// The session that reads a source, by its place where there are several.
    pub fn reads(&self, from: usize) -> Option<&dyn Session> {
        match self.several.get(from) {
            Some(own) => own.as_deref(),
            None => self.source.as_deref(),
        }
    }

    /// What a step reads from.
    pub fn read_by(&self, step: &Step) -> Reads<'_> {
        Reads {
            session: self.reads(step.from),
            brought: self.brought.as_ref().map(|brought| brought.source.as_ref()),
        }
    }

    /// The sessions on sources.
    pub fn into_sessions(self) -> impl Iterator<Item = Box<dyn Session>> {
        self.source.into_iter().chain(self.several.into_iter().flatten())
    }

    /// The engines of the load.
    pub fn ends(&self, target: &dyn Session) -> Ends<'static> {
        let target = target.facts();
        Ends { source: self.source.as_ref().map_or(target, |source| source.facts()), target }
    }
}

impl Engine {
    /// Decides the path; `target` has a transaction open. `reads_in_full`: also what was read before.
    pub(super) async fn route(
        &self,
        pipeline: &Pipeline,
        target: &dyn Session,
        reads_in_full: bool,
    ) -> Result<Route> {
        if let Some(brought) = &pipeline.source.brought {
            let reason = brought.reason();
            let brought = Some(self.rows_of(pipeline, brought, target, reads_in_full).await?);
            return Ok(Route { brought, ..without_source(ExecutionPath::Staging, reason) });
        }
        let readings = pipeline.source.readings();
        if readings.len() == 1 {
            let route = self.route_of_one(pipeline, target).await?;
            return Ok(match route.source {
                // Its rows become Arrow on their way, and a table of the target's engine.
                Some(source) if !takes_as_sent(source.as_ref(), target) => {
                    Route { source: None, several: vec![Some(source)], ..route }
                }
                source => Route { source, ..route },
            });
        }
        let names: Vec<&str> = readings.iter().map(|reading| reading.connection.as_str()).collect();
        let reason = format!("the union reads {} connections: {}", names.len(), names.join(", "));
        let mut several = Vec::new();
        for reading in &readings {
            let of_one = Pipeline { source: reading.clone(), ..pipeline.clone() };
            let source = self.route_of_one(&of_one, target).await?.source;
            if let Some(source) = source.as_ref().filter(|source| !takes_as_sent(source.as_ref(), target)) {
                let message = format!(
                    "a union of {} and {} is not in this version yet",
                    source.facts().title,
                    target.facts().title
                );
                return Err(FlowError::new(ErrorCode::NotYetSupported, message)
                    .hint("load each into a table of its own, and a view over them"));
            }
            several.push(source);
        }
        Ok(Route { several, ..without_source(ExecutionPath::Staging, reason) })
    }

    async fn route_of_one(&self, pipeline: &Pipeline, target: &dyn Session) -> Result<Route> {
        let (source_name, target_name) = (&pipeline.source.connection, &pipeline.target_connection);
        let forced = match pipeline.force_path {
            Some(ForcePath::Staging) => Some("force_path = \"staging\""),
            Some(ForcePath::ClientDiff) => Some("force_path = \"client_diff\""),
            Some(ForcePath::SameDb) | None => None,
        };
        let query = pipeline.source.query.text();
        let is_one = source_name == target_name;
        let mut writer = None;
        if is_one && forced.is_none() {
            writer = target.inspector().calls_that_write(query).await?;
            if writer.is_none() {
                return Ok(same(format!("source and target are one connection, {target_name}")));
            }
        }
        let what = format!("source {}", pipeline.name);
        let source = self.open_in_turn(pipeline, source_name, &what, |_| ()).await?;
        source.begin(Blame::Source, Access::ReadOnly, Some(&limits(pipeline))).await?;
        if pipeline.force_path == Some(ForcePath::ClientDiff)
            && let Some(end) = [source.facts(), target.facts()].into_iter().find(|end| !end.can.addresses)
        {
            let message = format!(
                "the path client_diff cannot be taken: a row of {} has no address that the client could keep",
                end.title
            );
            return Err(FlowError::new(ErrorCode::PathImpossible, message).hint("remove force_path"));
        }
        if let Some(forced) = forced {
            return Ok(staged(forced.to_owned(), source));
        }
        let same_only = pipeline.force_path == Some(ForcePath::SameDb);
        let reason = if !same_database(source.as_ref(), target, key()).await? {
            format!("source {source_name} is another database")
        } else if let Some(difference) = difference(pipeline, source.as_ref(), target).await? {
            format!("{source_name} and {target_name} are one database, but {difference}")
        } else if let Some(function) = match writer {
            Some(function) => Some(function),
            None => target.inspector().calls_that_write(query).await?,
        } {
            // A load writes, and whatever its transaction calls may.
            format!("the query calls {function}, which may write: a session that only reads reads it")
        } else {
            source.close().await;
            return Ok(same(format!(
                "source {source_name} and target {target_name} are one database (proved)"
            )));
        };
        if same_only {
            return Err(FlowError::new(
                ErrorCode::PathImpossible,
                format!("the path same_db cannot be taken: {reason}"),
            )
            .hint("remove force_path = \"same_db\": the rows are staged then"));
        }
        Ok(staged(reason, source))
    }
}

fn without_source(path: ExecutionPath, reason: String) -> Route {
    Route { path: Path { path, reason }, source: None, several: Vec::new(), brought: None }
}

fn same(reason: String) -> Route {
    without_source(ExecutionPath::SameDatabase, reason)
}

fn staged(reason: String, source: Box<dyn Session>) -> Route {
    Route { source: Some(source), ..without_source(ExecutionPath::Staging, reason) }
}

/// Whether the target takes rows in the form in which the source sends them.
fn takes_as_sent(source: &dyn Session, target: &dyn Session) -> bool {
    let (source, target) = (source.facts(), target.facts());
    source.name == target.name && source.can.copies && target.can.copies
}

/// What bounds the waiting on the source.
pub(super) fn limits(pipeline: &Pipeline) -> Limits {
    let limits = &pipeline.limits;
    Limits {
        lock: limits.lock_timeout.as_std(),
        // The source's transaction may be idle while the target is busy, and what it holds keeps nobody out.
        idle: Duration::ZERO,
        statement: limits.statement_timeout.as_ref().map(|limit| limit.as_std()),
    }
}

/// A key that nobody else uses.
fn key() -> i64 {
    Uuid::new_v4().as_u128() as i64
}

/// Proves whether two sessions, each in a transaction, are in one database.
async fn same_database(source: &dyn Session, target: &dyn Session, key: i64) -> Result<bool> {
    if source.facts().name != target.facts().name {
        return Ok(false);
    }
    source.inspector().mark_database(key).await?;
    target.inspector().is_marked(key).await
}

/// Why the query could mean something else in the target's session than in the source's, of one database.
async fn difference(
    pipeline: &Pipeline,
    source: &dyn Session,
    target: &dyn Session,
) -> Result<Option<String>> {
    let (source, target) = (source.inspector(), target.inspector());
    let mut settings = source.settings_of_database().await?;
    settings.extend(source.settings_of_connection());
    settings.extend(target.settings_of_connection());
    settings.sort();
    settings.dedup();
    let (of_source, of_target) = (source.meaning(&settings).await?, target.meaning(&settings).await?);
    for ((name, source_value), (_, target_value)) in of_source.iter().zip(&of_target) {
        if source_value == target_value {
            continue;
        }
        if name != "role" {
            return Ok(Some(format!(
                "their sessions differ in {name} (source: {source_value}; target: {target_value})"
            )));
        }
        if let Some(why) = target.reads_otherwise(pipeline.source.query.text()).await? {
            return Ok(Some(format!("the role {target_value} {why}")));
        }
    }
    Ok(None)
}
