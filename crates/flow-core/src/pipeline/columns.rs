//! The columns of the target: their types, and which of them the source fills.

use super::kept::is_of_a_strategy;
use super::{LoadColumn, Pipeline, Target};
use crate::declare::options::OnDrift;
use crate::dialect::{Cast, Dialect};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::facts::{Facts, SourceColumn, SourceFacts};
use crate::schema::{Column, Table};
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::{DataType, TypeFacts};
use std::collections::HashMap;

/// The type of every column of the target.
///
/// # Errors
/// `unknown_type`.
pub fn types(
    pipeline: &Pipeline,
    table: &Table,
    managed: &[Column],
    facts: &Facts,
    dialect: &dyn Dialect,
) -> Result<HashMap<Ident, TypeFacts>> {
    let mut types = HashMap::new();
    for column in table.columns.iter().chain(managed) {
        let live = facts.target.live.as_ref().and_then(|live| live.column(column.name.as_str()));
        let declared = declared_type(column, facts, dialect);
        // Nondeterministic collations are the live column's.
        let found = match (live, declared) {
            (Some(live), Some(declared)) if live.data_type.name == declared.name => live.data_type.clone(),
            // Where drift is ignored, what is written is what the table holds.
            (Some(live), Some(declared))
                if pipeline.on_drift == OnDrift::Ignore
                    && !(pipeline.migrate && dialect.cast(&live.data_type, &declared) == Cast::Widening) =>
            {
                live.data_type.clone()
            }
            (_, Some(declared)) => declared,
            (Some(live), None) => live.data_type.clone(),
            (None, None) => {
                return Err(FlowError::new(
                    ErrorCode::UnknownType,
                    format!(
                        "column `{}` of {}: the server has no type `{}`",
                        column.name, table.name, column.data_type
                    ),
                )
                .hint("check the name, and whether its extension is installed"));
            }
        };
        types.insert(column.name.clone(), found);
    }
    Ok(types)
}

/// What is known of a declared type.
pub fn declared_type(column: &Column, facts: &Facts, dialect: &dyn Dialect) -> Option<TypeFacts> {
    dialect.type_facts(&column.data_type).or_else(|| match &column.data_type {
        DataType::Native(name) => facts
            .native_types
            .get(name)
            .cloned()
            .or_else(|| facts.assumed.then(|| TypeFacts::assumed(name.clone()))),
        _ => None,
    })
}

/// The columns that the source fills, and those of the source that the target does not declare.
///
/// # Errors
/// `unknown_column` for a declared column that nobody fills, `duplicate_name` for one that is the strategy's.
pub fn filled(
    pipeline: &Pipeline,
    table: &Table,
    managed: &[Column],
    types: &HashMap<Ident, TypeFacts>,
    facts: &Facts,
    dialect: &dyn Dialect,
) -> Result<(Vec<LoadColumn>, Vec<String>)> {
    let mut columns = Vec::new();
    for column in &table.columns {
        let generated = facts
            .target
            .live
            .as_ref()
            .and_then(|live| live.column(column.name.as_str()))
            .is_some_and(|c| c.generated);
        match facts.source.loaded(column.name.as_str()) {
            Some(source) if !generated => {
                let data_type = types[&column.name].clone();
                let cast = dialect.cast(&source.data_type, &data_type);
                columns.push(LoadColumn { name: column.name.clone(), data_type, cast });
            }
            _ if generated || column.default.is_some() => {}
            _ if pipeline.strategy.fills(&column.name) => {}
            _ => return Err(lacks_column(pipeline, &column.name, facts, dialect)),
        }
    }
    let left_out = facts
        .source
        .given()
        .iter()
        .filter(|source| !columns.iter().any(|column| column.name.as_str() == source.name))
        .map(|source| source.name.clone())
        .collect();
    if let Some(column) = managed.iter().find(|column| table.column(&column.name).is_some()) {
        return Err(FlowError::new(
            ErrorCode::DuplicateName,
            format!("the column `{}` of {} is managed by the load strategy", column.name, table.name),
        )
        .hint("remove it from the declaration, or rename ours"));
    }
    if columns.is_empty() {
        return Err(FlowError::new(
            ErrorCode::UnknownColumn,
            format!("the source has no column of {}", table.name),
        )
        .detail(format!("it has: {}", SourceFacts::names(facts.source.given()).join(", "))));
    }
    Ok((columns, left_out))
}

/// The error for a column that the source lacks.
pub fn lacks_column(pipeline: &Pipeline, column: &Ident, facts: &Facts, dialect: &dyn Dialect) -> FlowError {
    let names = SourceFacts::names(facts.source.given());
    let (who, declared) = match &pipeline.target {
        Target::Declared(_) => ("which the target declares".to_owned(), true),
        Target::Inferred(name) => (format!("which {name} has"), false),
    };
    let error = FlowError::new(
        ErrorCode::UnknownColumn,
        format!("the source of `{}` has no column `{column}`, {who}", pipeline.name),
    )
    .detail(format!("the source has: {}", names.join(", ")));
    let live = facts.target.live.as_ref().and_then(|live| live.column(column.as_str()));
    if live.is_some_and(|live| is_of_a_strategy(facts, live, dialect)) {
        return error.hint(
            "another load strategy keeps it for a pipeline on this table: take its mode, or another target",
        );
    }
    if !declared {
        return error.hint(how_to_follow(pipeline, column, facts, dialect));
    }
    match did_you_mean(column.as_str(), names.iter().copied()) {
        Some(near) => {
            error.hint(format!("did you mean `{near}`? add it to the query: SELECT …, {near} AS {column}"))
        }
        None => {
            error.hint("add it to the query, give the column a default, or remove it from the declaration")
        }
    }
}

/// What a person may do where a source has lost or renamed a column: flow guesses neither.
fn how_to_follow(pipeline: &Pipeline, column: &Ident, facts: &Facts, dialect: &dyn Dialect) -> String {
    let live = facts.target.live.as_ref();
    let lost = live.and_then(|live| live.column(column.as_str()));
    let null = match lost {
        Some(lost) => dialect.cast_to(&Sql::text("NULL"), &lost.data_type.name).to_text(dialect),
        None => "NULL".to_owned(),
    };
    let gone =
        format!("if it is gone for good, select NULL in its place: {null} AS {}", dialect.quote(column));
    let is_new = |name: &str| live.is_some_and(|live| live.column(name).is_none());
    let is_alike = |source: &&SourceColumn| {
        is_new(&source.name) && lost.is_some_and(|lost| lost.data_type.name == source.data_type.name)
    };
    let mut alike = facts.source.given().iter().filter(is_alike);
    match (alike.next().map(|column| Ident::new(column.name.clone())), alike.next()) {
        (Some(Ok(renamed)), None) => {
            let table = pipeline.target.name();
            let rename =
                sql!("ALTER TABLE {table} RENAME COLUMN {column} TO {renamed}", table, column, renamed);
            format!("was it renamed to `{renamed}`? then: {}; {gone}", rename.to_text(dialect))
        }
        _ => gone,
    }
}
