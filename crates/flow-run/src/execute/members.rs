//! Asks databases what a `for_each` goes over. Each connection is opened once, and says once which tables it has.

use super::{Engine, row_json};
use crate::history::{HistoryStore, LastRuns};
use crate::session::{Access, End, Session, nth, unreadable};
use ematix_flow_core::declare::for_each::{Answer, Answers, Question, Relation, Row, name_glob};
use ematix_flow_core::declare::glob::covers;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::DEFAULT_CONNECTION;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Literal, Sql};
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::HashMap;

/// What the questions are asked for, in messages.
const DOING: &str = "list what for_each goes over";

impl Engine {
    /// What connections answer to the `for_each` of pipelines, each under its name as it is written, and what kept a
    /// connection from answering.
    pub async fn answers(&self, asked: &[(String, Question)]) -> (Answers, Vec<FlowError>) {
        let (mut answers, mut faults) = (Answers::new(), Vec::new());
        let mut connections: IndexMap<&str, Vec<&(String, Question)>> = IndexMap::new();
        for question in asked {
            connections.entry(&question.1.connection).or_default().push(question);
        }
        for (connection, questions) in connections {
            let place = questions[0].1.place.clone();
            match self.open(connection, "for_each").await {
                Ok(session) => {
                    for fault in all(session.as_ref(), &questions, &mut answers).await {
                        faults.push(fault);
                    }
                    session.close().await;
                }
                Err(error) => faults.push(match place {
                    Some(place) => error.at(place),
                    None => error,
                }),
            }
        }
        (answers, faults)
    }
}

impl Engine {
    /// The pipelines that were members of a `for_each` when it last ran and are none any more, each with the pipeline
    /// that declares the others. A target that does not answer says nothing here: whoever loads into it will tell.
    pub async fn gone(&self) -> Vec<(String, String)> {
        // By declaration and target: the members that there are.
        let mut groups: IndexMap<(&str, &str), Vec<&str>> = IndexMap::new();
        for (name, member) in &self.project.members {
            let Some(spec) = self.project.pipelines.get(name) else { continue };
            let source = spec.source.connection.as_deref().unwrap_or(DEFAULT_CONNECTION);
            let target = spec.options.target_connection.as_deref().unwrap_or(source);
            groups.entry((&member.of, target)).or_default().push(name);
        }
        let mut known: HashMap<&str, Vec<LastRuns>> = HashMap::new();
        for (_, target) in groups.keys() {
            if !known.contains_key(target) {
                known.insert(target, self.last_two_runs(target).await.unwrap_or_default());
            }
        }
        let mut gone = Vec::new();
        for ((of, target), members) in &groups {
            let glob = name_glob(of);
            let runs = &known[target];
            let before =
                |name: &str| runs.iter().find(|known| known.pipeline == name).and_then(|known| known.before);
            // Whoever has run twice since then has told it already.
            let told = members.iter().filter_map(|name| before(name)).fold(f64::NEG_INFINITY, f64::max);
            for LastRuns { pipeline, last, .. } in runs {
                if covers(&glob, pipeline) && !self.project.pipelines.contains_key(pipeline) && told <= *last
                {
                    gone.push((pipeline.clone(), (*of).to_owned()));
                }
            }
        }
        gone
    }

    async fn last_two_runs(&self, connection: &str) -> Result<Vec<LastRuns>> {
        let Some(session) = self.metadata_session(connection).await? else { return Ok(Vec::new()) };
        let runs = HistoryStore::on(session.as_ref()).last_two_runs().await;
        session.close().await;
        runs
    }
}

async fn all(
    session: &dyn Session,
    questions: &[&(String, Question)],
    answers: &mut Answers,
) -> Vec<FlowError> {
    let mut faults = Vec::new();
    let mut tables: Option<Answer> = None;
    for (name, question) in questions {
        let answer = match (&question.query, &tables) {
            (Some(query), _) => rows(session, query).await.map(Answer::Rows),
            (None, Some(known)) => Ok(known.clone()),
            (None, None) => relations(session).await.inspect(|answer| tables = Some(answer.clone())),
        };
        match (answer, &question.place) {
            (Ok(answer), _) => drop(answers.insert(name.clone(), answer)),
            (Err(error), Some(place)) => faults.push(error.at(place.clone())),
            (Err(error), None) => faults.push(error),
        }
    }
    faults
}

async fn relations(session: &dyn Session) -> Result<Answer> {
    Ok(Answer::Tables(tables_of(session, DOING).await?))
}

/// The tables and views of a database.
pub(super) async fn tables_of(session: &dyn Session, doing: &str) -> Result<Vec<Relation>> {
    let question = session.inspector().relations();
    let answers = session.ask(Blame::Source, doing, &question.sql).await?;
    question.read(nth(&answers, 0, doing)?, doing)
}

/// The rows of a query: what it is read in cannot write.
async fn rows(session: &dyn Session, query: &str) -> Result<Vec<Row>> {
    let query = ReadQuery::parse(query)?;
    let dialect = session.facts().dialect;
    let sql = sql!(
        "SELECT {row} FROM {query} AS q",
        row = dialect.json_of_row("q"),
        query = Sql::user(query.text()),
    );
    session.begin(Blame::Source, Access::ReadOnly, None).await?;
    let answers = session.ask(Blame::Source, DOING, &sql.to_text(dialect)).await?;
    session.end(Blame::Source, DOING, End::RollBack).await?;
    let rows = &nth(&answers, 0, DOING)?.rows;
    rows.iter().map(|row| read(row.first().and_then(Option::as_deref).unwrap_or_default())).collect()
}

fn read(text: &str) -> Result<Row> {
    let row: serde_json::Map<String, Value> = row_json::read(text)
        .map_err(|error| unreadable(DOING, &format!("a row that is no JSON object: {error}")))?;
    row.into_iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Null => Literal::Null,
                Value::Bool(truth) => Literal::Boolean(truth),
                Value::String(text) => Literal::Text(text),
                Value::Number(number) => match number.as_i64() {
                    Some(whole) => Literal::Integer(whole),
                    // To the last digit.
                    None => Literal::Text(number.to_string()),
                },
                Value::Array(_) | Value::Object(_) => {
                    return Err(FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("the column `{name}` of for_each's query is no single value"),
                    )
                    .hint("give text, a number, or true or false"));
                }
            };
            Ok((name, value))
        })
        .collect()
}
