//! The rows of a history as they were valid at an instant, and as they were known after a run.

use super::keys::live_table;
use super::questions::{key_conditions, match_key};
use super::rewind::live_beside;
use super::{Engine, row_json};
use crate::history::HistoryStore;
use crate::session::{Session, nth, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{PastRun, RunNamed};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::pipeline::as_of::{AsOf, KnownAfter, question, rows};
use ematix_flow_core::pipeline::strategy::{HistoryColumns, SUPERSEDED_BY};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{AsOfRow, RowsAsOf};
use ematix_flow_core::sql::{Ident, QualifiedName, Sql};
use jiff::Timestamp;
use serde_json::Value;

/// What is asked of a history.
#[derive(Clone, Debug)]
pub struct AsOfRequest {
    /// The instant.
    pub at: Timestamp,
    /// The run after which it is to be known.
    pub known: Option<RunNamed>,
    /// Only this key: name and text of each column, the name empty where there is one.
    pub key: Vec<(String, String)>,
    /// How many rows at most.
    pub limit: Option<usize>,
}

const DOING: &str = "read the rows as they were";

impl Engine {
    /// The rows of a pipeline's target as they were valid at an instant.
    ///
    /// # Errors
    /// `option_not_for_mode` for a pipeline without history, or where it keeps nothing of what it corrects.
    pub async fn as_of(&self, pipeline: &str, request: &AsOfRequest) -> Result<RowsAsOf> {
        let built = self.built(pipeline)?;
        let Some(kept) = built.strategy.history() else {
            return Err(keeps_no_history(&built).hint("`flow history` without --as-of shows its runs"));
        };
        let session = self.open(&built.target_connection, &format!("history {pipeline}")).await?;
        let asked = self.rows_as_of(session.as_ref(), &built, &kept, request).await;
        session.close().await;
        asked.map_err(|error| self.locate(error, pipeline))
    }

    async fn rows_as_of(
        &self,
        session: &dyn Session,
        built: &Pipeline,
        kept: &HistoryColumns<'_>,
        request: &AsOfRequest,
    ) -> Result<RowsAsOf> {
        let dialect = session.facts().dialect;
        let then = self.then(session, built, request).await?;
        let question = question(&then.asked(built, kept, request), then.known_after(), dialect);
        session.tidy().await?;
        let answers = session.ask(Blame::Target, DOING, &question.to_text(dialect)).await?;
        let rows = nth(&answers, 0, DOING)?.rows.iter();
        let rows = rows.map(|row| read(row, kept)).collect::<Result<_>>()?;
        Ok(RowsAsOf {
            table: built.target.name().to_string(),
            as_of: then.at,
            known_as_of: then.known.flatten().map(|point| point.number),
            keys: then.keys.iter().map(ToString::to_string).collect(),
            rows,
        })
    }

    /// The statement of the rows that were valid at an instant.
    ///
    /// # Errors
    /// As [`Engine::as_of`].
    pub(super) async fn rows_then(
        &self,
        session: &dyn Session,
        built: &Pipeline,
        request: &AsOfRequest,
    ) -> Result<Sql> {
        let none = || keeps_no_history(built).hint("without an instant its rows are those of now");
        let kept = built.strategy.history().ok_or_else(none)?;
        let then = self.then(session, built, request).await?;
        Ok(rows(&then.asked(built, &kept, request), then.known_after(), session.facts().dialect))
    }

    /// What has to be known of the table before it is asked.
    async fn then(&self, session: &dyn Session, built: &Pipeline, request: &AsOfRequest) -> Result<Then> {
        let (target, dialect) = (built.target.name(), session.facts().dialect);
        let kept = built.strategy.history().ok_or_else(|| keeps_no_history(built))?;
        let live = live_table(session, built).await?;
        let keys = self.keys_of(session, built, &live).await?;
        let mut names: Vec<&str> = live.columns.iter().map(|column| column.name.as_str()).collect();
        let superseded = built.strategy.follows(target).into_iter().next();
        let mut known = None;
        if let Some(named) = &request.known {
            let Some(superseded) = &superseded else { return Err(keeps_no_corrections(built)) };
            let Some(corrected) = live_beside(session, superseded).await? else {
                let message = format!("{superseded}, which keeps what was corrected, is not there");
                return Err(FlowError::new(ErrorCode::UnknownTable, message));
            };
            names.retain(|name| corrected.column(name).is_some() && *name != SUPERSEDED_BY);
            known = Some(known_after(session, built, named).await?);
        }
        let own = kept.names();
        let columns: Vec<Ident> = names
            .into_iter()
            .filter(|name| !own.iter().any(|own| own.as_str() == *name))
            .map(Ident::new)
            .collect::<Result<_>>()?;
        let only = match request.key.as_slice() {
            [] => Vec::new(),
            said => key_conditions(dialect, &match_key(&keys, said)?),
        };
        Ok(Then { keys, columns, only, at: format!("{:.6}", request.at), known, superseded })
    }
}

/// What is known of a history before it is asked what was.
struct Then {
    keys: Vec<Ident>,
    columns: Vec<Ident>,
    only: Vec<Sql>,
    at: String,
    /// The run after which it is to be known, where that is asked.
    known: Option<Option<PastRun>>,
    superseded: Option<QualifiedName>,
}

impl Then {
    fn asked<'a>(
        &'a self,
        built: &'a Pipeline,
        kept: &'a HistoryColumns<'_>,
        request: &AsOfRequest,
    ) -> AsOf<'a> {
        AsOf {
            target: built.target.name(),
            kept,
            keys: &self.keys,
            columns: &self.columns,
            at: &self.at,
            only: self.only.clone(),
            limit: request.limit,
        }
    }

    fn known_after(&self) -> Option<KnownAfter<'_>> {
        let (point, superseded) = self.known.as_ref().zip(self.superseded.as_ref())?;
        Some(KnownAfter { run: point.as_ref().map_or(0, |point| point.number), superseded })
    }
}

fn keeps_no_history(built: &Pipeline) -> FlowError {
    FlowError::new(
        ErrorCode::OptionNotForMode,
        format!("`{}` is {}: only scd2 keeps what was", built.name, built.strategy.mode()),
    )
}

/// The run of a target that is meant; `None` where there is none.
pub(super) async fn run_meant(
    session: &dyn Session,
    built: &Pipeline,
    named: &RunNamed,
) -> Result<Option<PastRun>> {
    let history = HistoryStore::on(session);
    match history.exists().await? {
        true => history.run_meant(&built.target_key(), named).await,
        false => Ok(None),
    }
}

/// The run after which it is to be known; `None` where nothing was known by then.
async fn known_after(session: &dyn Session, built: &Pipeline, named: &RunNamed) -> Result<Option<PastRun>> {
    let meant = run_meant(session, built, named).await?;
    if let RunNamed::By(_) = named {
        let number = meant.as_ref().map_or(0, |point| point.number);
        let history = HistoryStore::on(session);
        if history.exists().await? {
            history.judge_known(&built.target_key(), number).await?;
        }
    }
    match (meant, named) {
        (None, RunNamed::By(_)) => Ok(None),
        (None, _) => Err(super::rewind::no_run(built, named)),
        (Some(PastRun { number, undone_by: Some(by), .. }), _) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("what was known after run {number} is gone: run {by} has undone it"),
        )
        .hint("ask for a run before what was undone, or after it")),
        (Some(point), _) => Ok(Some(point)),
    }
}

fn keeps_no_corrections(built: &Pipeline) -> FlowError {
    FlowError::new(
        ErrorCode::OptionNotForMode,
        format!("`{}` is a history by load time: what is valid at an instant was known then", built.name),
    )
    .hint("leave --known-as-of out; it is for histories by event time")
}

fn read(row: &[Option<String>], kept: &HistoryColumns<'_>) -> Result<AsOfRow> {
    let [begin, end, Some(text)] = row else { return Err(unreadable(DOING, "a row of another form")) };
    let mut object: serde_json::Map<String, Value> = row_json::read(text)
        .map_err(|error| unreadable(DOING, &format!("a row that is no JSON object: {error}")))?;
    for own in [kept.begin, kept.end] {
        object.shift_remove(own.as_str());
    }
    Ok(AsOfRow {
        valid_from: begin.clone().unwrap_or_default(),
        valid_to: end.clone().filter(|end| end != "infinity"),
        values: object.into_iter().collect(),
    })
}
