//! The columns of the target: their types, and which of them the source fills.

use super::{LoadColumn, Pipeline};
use crate::declare::options::OnDrift;
use crate::dialect::{Cast, Dialect};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::facts::Facts;
use crate::schema::{Column, Table};
use crate::sql::Ident;
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
            _ => return Err(lacks_column(pipeline, &column.name, facts)),
        }
    }
    let left_out = facts
        .source
        .columns
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
        .detail(format!(
            "it has: {}",
            facts.source.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    Ok((columns, left_out))
}

/// The error for a column that the source lacks.
pub fn lacks_column(pipeline: &Pipeline, column: &Ident, facts: &Facts) -> FlowError {
    let names: Vec<&str> = facts.source.columns.iter().map(|column| column.name.as_str()).collect();
    let error = FlowError::new(
        ErrorCode::UnknownColumn,
        format!("the source of `{}` has no column `{column}`, which the target declares", pipeline.name),
    )
    .detail(format!("the source has: {}", names.join(", ")));
    match did_you_mean(column.as_str(), names.iter().copied()) {
        Some(near) => {
            error.hint(format!("did you mean `{near}`? add it to the query: SELECT …, {near} AS {column}"))
        }
        None => {
            error.hint("add it to the query, give the column a default, or remove it from the declaration")
        }
    }
}
