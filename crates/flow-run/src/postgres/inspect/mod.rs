//! What the catalogue says of tables, columns, types and privileges. Every question is one statement
//! whose answer is one JSON value, so that several travel in one round trip. Names of the catalogue
//! are qualified: a search_path cannot put others in their place.

mod meaning;
mod picked;
mod privileges;
mod query;
mod relations;
mod table;
mod types;

use super::row_security;
use super::session::PostgresSession;
use crate::session::{
    Beneath, Inspector, Privilege, Question, ResultSet, Session, SourceRead, nth, unreadable,
};
use async_trait::async_trait;
use ematix_flow_core::declare::for_each::Relation as Named;
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{LiveRelation, MissingPrivilege, PickedRows, SourceColumn};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::{LiveTable, TypeFacts};
use ematix_flow_core::sql::{Literal, QualifiedName, Quote, Sql};
use serde::Deserialize;
use std::collections::BTreeMap;

#[async_trait]
impl Inspector for PostgresSession {
    async fn source(&self, query: &ReadQuery, capped: bool) -> Result<SourceRead> {
        query::source(self, query, capped).await
    }

    async fn columns(&self, query: &str) -> Result<Vec<SourceColumn>> {
        query::columns(self, query).await
    }

    async fn picked(&self, query: &str, names: &[&str]) -> Result<Option<PickedRows>> {
        picked::picked(self, query, names).await
    }

    async fn tables_of(&self, query: &str) -> Result<Vec<String>> {
        meaning::tables_of(self, query).await
    }

    fn relations(&self) -> Question<Vec<Named>> {
        Question::new(relations::question(), relations::read)
    }

    async fn described(&self, names: &[QualifiedName]) -> Result<Vec<Option<LiveTable>>> {
        table::described(self, names).await
    }

    fn table(&self, name: &QualifiedName) -> Question<(bool, Option<LiveTable>)> {
        Question::new(table::question(name), |answer, doing| table::read(answer.only_value(doing)?))
    }

    fn kinds(&self, names: &[QualifiedName]) -> Question<Vec<Option<LiveRelation>>> {
        Question::new(relations::kinds_question(names), |answer, doing| {
            parse(answer.only_value(doing)?).map(relations::read_kinds)
        })
    }

    fn hold(&self, name: &QualifiedName) -> Option<String> {
        Some(relations::hold(name))
    }

    fn correlations(&self, tables: &[String]) -> Question<Vec<BTreeMap<String, f64>>> {
        Question::new(table::correlations_question(tables), |answer, doing| parse(answer.only_value(doing)?))
    }

    fn missing_privileges(&self, needed: &[Privilege]) -> Question<Vec<MissingPrivilege>> {
        Question::new(privileges::question(needed), privileges::read)
    }

    fn hides_rows(&self, table: &QualifiedName) -> Option<Question<Option<FlowError>>> {
        Some(row_security::question(&Postgres.qualified(table)))
    }

    fn sequences(&self, table: &QualifiedName) -> Option<Question<Vec<(String, QualifiedName)>>> {
        Some(Question::new(privileges::sequences_question(table), privileges::read_sequences))
    }

    fn clock(&self) -> Question<String> {
        Question::new(format!("SELECT {NOW}"), |answer, doing| answer.only_value(doing).map(str::to_owned))
    }

    async fn native_types(&self, names: &[String]) -> Result<BTreeMap<String, TypeFacts>> {
        types::native(self, names).await
    }

    async fn beneath(&self, names: &[String]) -> Result<Vec<Beneath>> {
        types::beneath(self, names).await
    }

    async fn unknown_types(&self, names: &[&str]) -> Result<Vec<String>> {
        let names: Vec<String> = names.iter().map(|name| format!("({})", text(name))).collect();
        let question = format!(
            "SELECT t.name FROM (VALUES {}) AS t(name) WHERE pg_catalog.to_regtype(t.name) IS NULL",
            names.join(", ")
        );
        let answers = self.ask(Blame::Target, "look up the source's types", &question).await?;
        Ok(answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.clone()).collect())
    }

    async fn stable_text(&self, value: &str, data_type: &TypeFacts) -> Result<String> {
        let name = &data_type.name;
        let typed = Sql::from_dialect(format!("({}::{name})", text(value)));
        let question = format!("SELECT {}", Postgres.stable_text(data_type, &typed).to_text(&Postgres));
        let answers = self.run(&question).await.map_err(|error| {
            let why = error.as_db_error().map(|db| db.message().to_owned()).unwrap_or_default();
            FlowError::new(ErrorCode::InvalidValue, format!("`{value}` is not a {name}")).detail(why)
        })?;
        let doing = "cast the watermark";
        nth(&answers, 0, doing)?.only_value(doing).map(str::to_owned)
    }

    async fn mark_database(&self, key: i64) -> Result<()> {
        meaning::mark_database(self, key).await
    }

    async fn is_marked(&self, key: i64) -> Result<bool> {
        meaning::is_marked(self, key).await
    }

    fn settings_of_connection(&self) -> Vec<String> {
        meaning::settings_of_connection(self)
    }

    async fn settings_of_database(&self) -> Result<Vec<String>> {
        meaning::settings_of_database(self).await
    }

    async fn meaning(&self, settings: &[String]) -> Result<Vec<(String, String)>> {
        meaning::meaning(self, settings).await
    }

    async fn calls_that_write(&self, query: &str) -> Result<Option<String>> {
        meaning::calls_that_write(self, query).await
    }

    async fn reads_otherwise(&self, query: &str) -> Result<Option<String>> {
        meaning::reads_otherwise(self, query).await
    }
}

const NOW: &str = "(pg_catalog.to_json(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC') #>> '{}') || 'Z'";

pub(super) fn text(value: &str) -> String {
    Postgres.literal(&Literal::Text(value.to_owned()))
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T> {
    serde_json::from_str(answer).map_err(|error| {
        FlowError::new(ErrorCode::TargetFailed, format!("the catalogue's answer cannot be read: {error}"))
    })
}

/// A JSON array with an item for each of what was asked.
fn one_each<T: serde::de::DeserializeOwned>(
    answers: &[ResultSet],
    asked: usize,
    doing: &str,
) -> Result<Vec<T>> {
    let items: Vec<T> = parse(nth(answers, 0, doing)?.only_value(doing)?)?;
    match items.len() == asked {
        true => Ok(items),
        false => Err(unreadable(doing, &format!("{} items where {asked} were asked for", items.len()))),
    }
}
