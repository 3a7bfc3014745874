//! The rows that a pipeline has put aside, as commands ask for them.

use super::{Engine, Request, Stop, row_json};
use crate::history::HistoryStore;
use crate::session::{Session, nth, unreadable};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::Result;
use ematix_flow_core::history;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{RejectedRow, RejectedRows};
use ematix_flow_core::schema::rejected_rows::{self, REASON, REJECTED_AT, RUN_ID};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Literal, QualifiedName, Sql};
use ematix_flow_core::types::DataType;
use indexmap::IndexMap;
use serde_json::Value;

const DOING: &str = "read the rejected rows";

impl Engine {
    /// The rows that a pipeline has put aside and that did not come good since, of each of its targets, the last first.
    ///
    /// # Errors
    /// As connecting; `permission_denied`.
    pub async fn rejected(&self, name: &str, limit: usize) -> Result<Vec<RejectedRows>> {
        let request = Request::plain(tokio::sync::watch::channel(Stop::No).1);
        let whole = Pipeline::build(&self.project, name, &PipelineOptions::default())
            .map_err(|mut errors| errors.remove(0))?;
        let parts = self.parts(name, &request).map_err(|mut errors| errors.remove(0))?;
        let connection = whole.target_connection.clone();
        let session = self.open(&connection, &format!("rejected {name}")).await?;
        let has_history = HistoryStore::on(session.as_ref()).exists().await?;
        let mut found = Vec::new();
        for pipeline in parts.unwrap_or_else(|| vec![whole]) {
            found.push(of_target(session.as_ref(), &pipeline, has_history, limit).await?);
        }
        session.close().await;
        Ok(found)
    }
}

async fn of_target(
    session: &dyn Session,
    pipeline: &Pipeline,
    has_history: bool,
    limit: usize,
) -> Result<RejectedRows> {
    let name = rejected_rows::table_of(pipeline.target.name())?;
    let table = session.inspector().table(&name);
    let answers = session.ask(Blame::Target, DOING, &table.sql).await?;
    let (_, live) = table.read(nth(&answers, 0, DOING)?, DOING)?;
    session.tidy().await?;
    let mut found = RejectedRows { table: name.to_string(), exists: false, count: 0, rows: Vec::new() };
    let has_columns = |live: &ematix_flow_core::schema::LiveTable| {
        rejected_rows::own_columns().iter().all(|(column, _)| live.column(column.as_str()).is_some())
    };
    if !live.is_some_and(|live| has_columns(&live)) {
        return Ok(found);
    }
    found.exists = true;
    let question = question(session, pipeline, &name, has_history, limit);
    let answers = session.ask(Blame::Target, DOING, &question).await?;
    found.count = nth(&answers, 0, DOING)?
        .only_value(DOING)?
        .parse()
        .map_err(|_| unreadable(DOING, "a count that is no number"))?;
    for row in &nth(&answers, 1, DOING)?.rows {
        let [Some(reason), Some(run_id), Some(rejected_at), Some(values)] = row.as_slice() else {
            return Err(unreadable(DOING, "a row without its reason"));
        };
        let mut object: serde_json::Map<String, Value> = row_json::read(values)
            .map_err(|error| unreadable(DOING, &format!("a row that is no JSON object: {error}")))?;
        for (own, _) in rejected_rows::own_columns() {
            object.shift_remove(own.as_str());
        }
        found.rows.push(RejectedRow {
            table: found.table.clone(),
            reason: reason.clone(),
            run_id: run_id.clone(),
            rejected_at: rejected_at.clone(),
            values: object.into_iter().collect::<IndexMap<_, _>>(),
        });
    }
    Ok(found)
}

/// How many there are, and the last of them: why, by which run, when, and the row as JSON.
fn question(
    session: &dyn Session,
    pipeline: &Pipeline,
    table: &QualifiedName,
    has_history: bool,
    limit: usize,
) -> String {
    let dialect = session.facts().dialect;
    let run = sql!("e.{run}", run = Ident::fixed(RUN_ID));
    // Without the history nothing tells the rows of two pipelines on one target apart.
    let own = match has_history {
        true => sql!("\n WHERE {run} IN ({runs})", run, runs = history::runs_of(&pipeline.name)),
        false => Sql::empty(),
    };
    let row = dialect.json_of_row("e");
    sql!(
        "SELECT {count}(*) FROM {table} AS e{own};\nSELECT e.{reason}, {run}, {at}, {row}\n  FROM {table} AS e{own}\n ORDER BY e.{rejected_at} DESC, e.{reason}, {row}\n LIMIT {limit}",
        count = dialect.function("count"),
        table,
        own,
        reason = Ident::fixed(REASON),
        run = dialect.cast_to(&run, &dialect.type_name(&DataType::Text)),
        at = dialect.iso_instant(&sql!("e.{at}", at = Ident::fixed(REJECTED_AT))),
        row,
        rejected_at = Ident::fixed(REJECTED_AT),
        limit = Literal::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
    )
    .to_text(dialect)
}
