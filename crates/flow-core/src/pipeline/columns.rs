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
            _ if has_left(pipeline, column, facts, dialect) => {}
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

/// Whether the source of a target that is only named does not have this column of the target any more, and the load goes
/// on without it: nothing but NULL is asked of rows that are written now. A probable renaming is decided by a person, or
/// by `migrate`, which adds the new column beside the old.
pub fn has_left(pipeline: &Pipeline, column: &Column, facts: &Facts, dialect: &dyn Dialect) -> bool {
    let live = facts.target.live.as_ref().and_then(|live| live.column(column.name.as_str()));
    matches!(pipeline.target, Target::Inferred(_))
        && facts.source.loaded(column.name.as_str()).is_none()
        && live.is_some_and(|live| {
            live.nullable
                && live.default.is_none()
                && !live.generated
                && !is_of_a_strategy(facts, live, dialect)
        })
        && (pipeline.migrate || renamed_to(&column.name, facts).is_none())
}

/// The one column of the source that is new to the target and of the type of one that is gone.
pub fn renamed_to(column: &Ident, facts: &Facts) -> Option<Ident> {
    let live = facts.target.live.as_ref()?;
    let lost = live.column(column.as_str())?;
    let is_alike = |source: &&SourceColumn| {
        live.column(&source.name).is_none() && lost.data_type.name == source.data_type.name
    };
    let mut alike = facts.source.given().iter().filter(is_alike);
    let renamed = alike.next()?;
    if alike.next().is_some() {
        return None;
    }
    Ident::new(renamed.name.clone()).ok()
}

/// What a person may do where a source has lost or renamed a column: flow guesses neither.
fn how_to_follow(pipeline: &Pipeline, column: &Ident, facts: &Facts, dialect: &dyn Dialect) -> String {
    let table = pipeline.target.name();
    let live = facts.target.live.as_ref();
    let lost = live.and_then(|live| live.column(column.as_str()));
    let is_key = live.is_some_and(|live| {
        live.indexes
            .iter()
            .any(|index| index.unique && index.columns.iter().any(|name| name == column.as_str()))
    });
    let gone = match lost {
        Some(lost) if !lost.nullable && !is_key => {
            let nullable = sql!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL", table, column);
            format!("it cannot be NULL; if it is gone for good: {}", nullable.to_text(dialect))
        }
        Some(lost) => {
            let null = dialect.cast_to(&Sql::text("NULL"), &lost.data_type.name).to_text(dialect);
            format!("if it is gone for good, select NULL in its place: {null} AS {}", dialect.quote(column))
        }
        None => format!("select it in the query: … AS {}", dialect.quote(column)),
    };
    let Some(renamed) = renamed_to(column, facts) else { return gone };
    let rename = sql!("ALTER TABLE {table} RENAME COLUMN {column} TO {renamed}", table, column, renamed);
    let otherwise = match lost.is_some_and(|lost| lost.nullable) {
        true => "if not, --migrate keeps it and adds the other",
        false => gone.as_str(),
    };
    format!("was it renamed to `{renamed}`? then: {}; {otherwise}", rename.to_text(dialect))
}
