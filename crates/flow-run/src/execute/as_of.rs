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
use ematix_flow_core::pipeline::as_of::{AsOf, KnownAfter, question};
use ematix_flow_core::pipeline::strategy::{HistoryColumns, SUPERSEDED_BY};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{AsOfRow, RowsAsOf};
use ematix_flow_core::sql::Ident;
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
            return Err(FlowError::new(
                ErrorCode::OptionNotForMode,
                format!("`{pipeline}` is {}: only scd2 keeps what was", built.strategy.mode()),
            )
            .hint("`flow history` without --as-of shows its runs"));
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
        let (target, dialect) = (built.target.name(), session.facts().dialect);
        let live = live_table(session, built).await?;
        let keys = self.keys_of(session, built, &live).await?;
        let mut names: Vec<&str> = live.columns.iter().map(|column| column.name.as_str()).collect();
        let beside = built.strategy.follows(target).into_iter().next();
        let mut known = None;
        if let Some(named) = &request.known {
            let Some(superseded) = &beside else { return Err(keeps_no_corrections(built)) };
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
        let at = format!("{:.6}", request.at);
        let asked =
            AsOf { target, kept, keys: &keys, columns: &columns, at: &at, only, limit: request.limit };
        let after = |point: &Option<PastRun>| point.as_ref().map_or(0, |point| point.number);
        let superseded = beside.as_ref();
        let question = match (&known, superseded) {
            (Some(point), Some(superseded)) => {
                question(&asked, Some(KnownAfter { run: after(point), superseded }), dialect)
            }
            _ => question(&asked, None::<KnownAfter<'_>>, dialect),
        };
        session.tidy().await?;
        let answers = session.ask(Blame::Target, DOING, &question.to_text(dialect)).await?;
        let rows = nth(&answers, 0, DOING)?.rows.iter();
        let rows = rows.map(|row| read(row, kept)).collect::<Result<_>>()?;
        Ok(RowsAsOf {
            table: target.to_string(),
            as_of: at,
            known_as_of: known.flatten().map(|point| point.number),
            keys: keys.iter().map(ToString::to_string).collect(),
            rows,
        })
    }
}

/// The run after which it is to be known; `None` where nothing was known by then.
async fn known_after(session: &dyn Session, built: &Pipeline, named: &RunNamed) -> Result<Option<PastRun>> {
    let (history, key) = (HistoryStore::on(session), built.target_key());
    let point = match history.exists().await? {
        true => history.run_meant(&key, named).await?,
        false => None,
    };
    match (point, named) {
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
