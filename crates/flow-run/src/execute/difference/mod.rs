//! Compares the rows of two tables or queries, or of a pipeline's source and target. Reads only, each side in one
//! snapshot.

mod compared;
mod sides;
mod whole;

use super::gather;
use super::run::{asked, cancelled, unless_asked};
use super::targets::of_target;
use super::united;
use super::{About, Engine, Request, Stop};
use crate::history::HistoryStore;
use crate::session::{Access, Canceller, End, Limits, Session, nth};
use compared::Compared;
use ematix_flow_core::difference::{Comparison, DiffReport, SideReport, Wanted, Which, of_pipeline};
use ematix_flow_core::engine::{Ends, POSTGRES};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Facts, RunFacts};
use ematix_flow_core::pipeline::{Pipeline, Resolved};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::secret::Secret;
use ematix_flow_core::sql::QualifiedName;
use futures_util::future::join;
use sides::instant;
use std::time::Duration;
use tokio::sync::watch;

/// A side as it was named.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffSide {
    /// The connection.
    pub connection: String,
    /// What is read there.
    pub rows: DiffRows,
}

/// What a side reads.
#[derive(Clone, Debug, PartialEq)]
pub enum DiffRows {
    /// A table or a view.
    Table(QualifiedName),
    /// A query.
    Query(ReadQuery),
}

/// What is asked of a comparison.
#[derive(Clone, Debug)]
pub struct DiffRequest {
    /// Keys, columns and rows.
    pub wanted: Wanted,
    /// The instant as of which a history is read.
    pub as_of: Option<String>,
    /// So many of the rows that differ are shown.
    pub sample: usize,
    /// Turns when the process is asked to stop.
    pub stop: watch::Receiver<Stop>,
}

/// How long a side waits for a table that somebody is changing. A transaction that only reads may be idle while the other
/// side is busy: it keeps nobody out.
const LIMITS: Limits = Limits { lock: Duration::from_secs(60), idle: Duration::ZERO, statement: None };

impl Engine {
    /// In which rows two tables or queries differ.
    ///
    /// # Errors
    /// As connecting and reading; `missing_keys`, `duplicate_source_key`, `null_key`, `invalid_value`.
    pub async fn diff(&self, a: &DiffSide, b: &DiffSide, request: &DiffRequest) -> Result<DiffReport> {
        let sessions = match b.connection == a.connection {
            true => vec![self.open_in_utc(&a.connection, "diff A").await?],
            false => {
                let of_a = self.open_in_utc(&a.connection, "diff A");
                let of_b = self.open_in_utc(&b.connection, "diff B");
                // Of two that fail the first is told.
                match join(of_a, of_b).await {
                    (Ok(of_a), Ok(of_b)) => vec![of_a, of_b],
                    (of_a, of_b) => {
                        let told = [of_a.err(), of_b.err()].into_iter().flatten().next();
                        return Err(told.expect("one of them failed"));
                    }
                }
            }
        };
        let work = self.diff_of(&sessions, a, b, request);
        let done = until_stopped(&sessions, request.stop.clone(), work).await;
        close(sessions).await;
        done
    }

    /// Opens a session for what is written for a comparison: a text without a zone is the same instant on both sides,
    /// whatever server and role say. Of what the connection pins nothing is changed.
    async fn open_in_utc(&self, connection: &str, what: &str) -> Result<Box<dyn Session>> {
        let mut at = self.resolve(connection)?;
        if at.engine == POSTGRES.name && !at.session.keys().any(|name| name.eq_ignore_ascii_case("timezone"))
        {
            at.session.insert("timezone".to_owned(), "UTC".to_owned());
        }
        self.drivers.find(&at)?.open(&at, what).await
    }

    async fn diff_of(
        &self,
        sessions: &[Box<dyn Session>],
        a: &DiffSide,
        b: &DiffSide,
        request: &DiffRequest,
    ) -> Result<DiffReport> {
        let across = sessions.len() > 1;
        let (first, last) = (sessions[0].as_ref(), sessions[sessions.len() - 1].as_ref());
        let hides = request.sample > 0;
        for session in sessions {
            session.begin(Blame::Source, Access::ReadOnly, Some(&LIMITS)).await?;
        }
        let instant = match &request.as_of {
            Some(text) => Some(instant(first, text).await?),
            None => None,
        };
        let instant = instant.as_deref();
        let looked_at_a = self.side(Which::A, first, a, instant, hides);
        let looked_at_b = self.side(Which::B, last, b, instant, hides);
        let (of_a, of_b) = match across {
            true => {
                let (of_a, of_b) = join(looked_at_a, looked_at_b).await;
                (of_a?, of_b?)
            }
            false => (looked_at_a.await?, looked_at_b.await?),
        };
        if instant.is_some() && !of_a.is_history && !of_b.is_history {
            return Err(no_history());
        }
        let reports = [of_a.report.clone(), of_b.report.clone()];
        let tables = vec![of_a.tables.clone(), of_b.tables.clone()];
        let comparison = Comparison::of(of_a.side, of_b.side, &request.wanted, across)?;
        end(sessions).await?;
        let compared = Compared {
            comparison: &comparison,
            sessions,
            tables,
            zone: None,
            of_pipeline: false,
            key_of: &no_keys,
        };
        compared.report(None, reports, request.sample).await
    }

    /// In which rows each target of a pipeline differs from its source: what a load would write.
    ///
    /// # Errors
    /// As [`Engine::diff`], and as planning; `unknown_table` where a target does not exist yet.
    pub async fn diff_pipeline(&self, name: &str, request: &DiffRequest) -> Result<Vec<DiffReport>> {
        let located = |error| self.locate(error, name);
        let called = self.called(name, &request.stop).await.map_err(located)?;
        let engine = called.as_ref().unwrap_or(self);
        let looked = unless_asked(&request.stop, engine.looked_at(name, request)).await;
        let Looked { sessions, parts } = looked.map_err(located)?;
        let work = async {
            // The source's query means what it means in a load; the target's rows, the same in every zone.
            let zone = match request.wanted.condition {
                Some(_) if sessions.len() > 1 => zone_of(sessions[0].as_ref()).await?,
                _ => None,
            };
            end(&sessions).await?;
            let mut reports = Vec::new();
            for part in &parts {
                let key_of = |written: &str| engine.key(&part.pipeline.name, written);
                let compared = Compared {
                    comparison: &part.comparison,
                    sessions: &sessions,
                    tables: part.tables.clone(),
                    zone: zone.as_deref(),
                    of_pipeline: true,
                    key_of: &key_of,
                };
                let report = compared.report(Some(name), part.reports.clone(), request.sample).await;
                reports.push(report.map_err(|error| match parts.len() {
                    1 => error,
                    _ => of_target(error, &part.pipeline),
                })?);
            }
            Ok(reports)
        };
        let done = until_stopped(&sessions, request.stop.clone(), work).await.map_err(located);
        close(sessions).await;
        done
    }

    /// Looks at source and targets as a plan does, in transactions that stay open.
    async fn looked_at(&self, name: &str, request: &DiffRequest) -> Result<Looked> {
        let wish = Request::plain(request.stop.clone());
        let targets = self.targets(name, &wish, &About::planned())?;
        let whole = &targets.whole;
        let what = format!("diff {name}");
        let session = self.open_in_turn(whole, &whole.target_connection, &what, |_| ()).await?;
        let exists = HistoryStore::on(session.as_ref()).exists().await?;
        session.begin(Blame::Target, Access::ReadOnly, Some(&LIMITS)).await?;
        if let Some(brought) = &whole.source.brought {
            let words = format!("{} is compared by no database: {brought}", whole.name);
            let error = FlowError::new(ErrorCode::NotYetSupported, words);
            return Err(error.hint("load it elsewhere, and compare the two tables: flow diff A B"));
        }
        let route = self.route(whole, session.as_ref(), true).await?;
        if !route.several.is_empty() {
            let message = format!("`{name}` reads several connections: its source is no one query");
            return Err(FlowError::new(ErrorCode::NotYetSupported, message)
                .hint("compare its members one by one: flow diff A B"));
        }
        let about = RunFacts {
            id: String::new(),
            instant: String::new(),
            dry_run: false,
            sample: 0,
            full_scan: true,
            part: None,
            version: env!("CARGO_PKG_VERSION"),
        };
        let united = united::of_route(&targets, &route, session.as_ref()).await?;
        let (targets, _) = united.as_parts(&targets);
        let gathered = match gather::all(session.as_ref(), targets, &route, &about, exists).await {
            Ok(gathered) => gathered,
            Err(error) => return Err(session.complete(error, whole.source.query.text()).await),
        };
        let as_of = match &request.as_of {
            Some(text) => Some(instant(session.as_ref(), text).await?),
            None => None,
        };
        let ends = route.ends(session.as_ref());
        let mut sessions: Vec<Box<dyn Session>> = route.into_sessions().collect();
        sessions.push(session);
        let mut parts = Vec::new();
        for (target, facts) in targets.each.iter().zip(gathered.each()) {
            let part =
                self.part(&target.pipeline, facts, ends, &sessions, (&request.wanted, as_of.as_deref()));
            parts.push(part.await.map_err(|error| match targets.are_several() {
                true => of_target(error, &target.pipeline),
                false => error,
            })?);
        }
        Ok(Looked { sessions, parts })
    }

    async fn part(
        &self,
        pipeline: &Pipeline,
        facts: &Facts,
        ends: Ends<'static>,
        sessions: &[Box<dyn Session>],
        (wanted, as_of): (&Wanted, Option<&str>),
    ) -> Result<Part> {
        let mut facts = facts.clone();
        // A load would need them.
        facts.target.missing_privileges.clear();
        let load = Resolved::resolve(pipeline, &facts, ends)?;
        let (a, b, wanted) = of_pipeline(load, wanted, as_of)?;
        let comparison = Comparison::of(a, b, &wanted, sessions.len() > 1)?;
        let table = match pipeline.source.query.simple() {
            Some(simple) if pipeline.source.union.is_empty() => Some(as_named(&simple.relation)),
            _ => None,
        };
        let reports = [
            SideReport {
                connection: pipeline.source.connection.clone(),
                query: table.is_none().then(|| pipeline.source.query.text().to_owned()),
                table,
                as_of: None,
            },
            SideReport {
                connection: pipeline.target_connection.clone(),
                table: Some(pipeline.target.name().to_string()),
                query: None,
                as_of: as_of.map(str::to_owned),
            },
        ];
        let key_of = |written: &str| self.key(&pipeline.name, written);
        let tables = compared::tables_of(&comparison, sessions, &key_of).await?;
        Ok(Part { pipeline: pipeline.clone(), comparison, reports, tables })
    }
}

/// A pipeline that was looked at.
struct Looked {
    /// The source's where rows leave its database, and the target's.
    sessions: Vec<Box<dyn Session>>,
    /// Each target.
    parts: Vec<Part>,
}

/// Source and target of one load.
struct Part {
    pipeline: Pipeline,
    comparison: Comparison,
    reports: [SideReport; 2],
    tables: Vec<Vec<String>>,
}

/// A relation as it stands in a query, as a file would name it.
fn as_named(relation: &str) -> String {
    match QualifiedName::parse(relation) {
        Ok((Some(schema), name)) => QualifiedName { schema, name }.to_string(),
        _ => relation.to_owned(),
    }
}

/// The keys of markers, where there is no marker.
fn no_keys(written: &str) -> Result<Secret> {
    Err(FlowError::new(ErrorCode::MissingVariable, format!("{written} is the key of no marker here")))
}

fn no_history() -> FlowError {
    FlowError::new(
        ErrorCode::OptionNotForMode,
        "--as-of is for a history, and neither side is the target of an scd2 pipeline of this project",
    )
    .hint("name the table as the pipeline's target has it, with the connection of that target")
}

/// The time zone of a session.
async fn zone_of(session: &dyn Session) -> Result<Option<String>> {
    let dialect = session.facts().dialect;
    let Some(words) = dialect.differing() else { return Ok(None) };
    let doing = "ask for the time zone";
    let answers = session.ask(Blame::Source, doing, &words.zone().to_text(dialect)).await?;
    nth(&answers, 0, doing)?.only_value(doing).map(|zone| Some(zone.to_owned()))
}

async fn end(sessions: &[Box<dyn Session>]) -> Result<()> {
    for session in sessions {
        session.tidy().await?;
        session.end(Blame::Source, "end the questions", End::RollBack).await?;
    }
    Ok(())
}

async fn close(sessions: Vec<Box<dyn Session>>) {
    for session in sessions {
        session.close().await;
    }
}

/// Does the work until the process is asked to stop; then what runs is cancelled on the servers.
async fn until_stopped<T>(
    sessions: &[Box<dyn Session>],
    mut stop: watch::Receiver<Stop>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let cancellers: Vec<Box<dyn Canceller>> = sessions.iter().map(|session| session.canceller()).collect();
    let stopped = tokio::select! {
        biased;
        stopped = asked(&mut stop) => stopped,
        done = work => return done,
    };
    for canceller in cancellers {
        let _ = tokio::time::timeout(Duration::from_secs(1), canceller.cancel()).await;
    }
    let hint = "it was cancelled on the servers; a comparison writes nothing";
    Err(FlowError { hint: Some(hint.to_owned()), ..cancelled(stopped) })
}
