//! Which columns of a live table a load strategy keeps for itself, on behalf of any pipeline.

use crate::declare::options::{NameOrOff, PipelineOptions};
use crate::dialect::Dialect;
use crate::facts::Facts;
use crate::schema::{Column, LiveColumn};
use crate::types::DataType;

/// Whether a strategy made this column for a pipeline, and rows of others can be written without it.
pub fn is_kept(facts: &Facts, column: &LiveColumn, dialect: &dyn Dialect) -> bool {
    let optional = column.nullable || column.default.is_some();
    let known = optional_columns().into_iter().any(|known| is_alike(column, &known, dialect));
    optional && (is_remembered(facts, &column.name) || known)
}

/// Whether a strategy made this column for a pipeline: the metadata remember those that were renamed, the others are
/// known by name and type, which is all that is left where the metadata were dropped.
pub fn is_of_a_strategy(facts: &Facts, column: &LiveColumn, dialect: &dyn Dialect) -> bool {
    let mut known = optional_columns().into_iter().chain(columns_of_versions());
    is_remembered(facts, &column.name) || known.any(|known| is_alike(column, &known, dialect))
}

/// Of the columns that a strategy keeps, those that must be remembered to be known.
pub fn renamed(managed: &[Column]) -> impl Iterator<Item = &Column> {
    let known: Vec<String> =
        optional_columns().into_iter().chain(columns_of_versions()).map(|(name, _)| name).collect();
    managed.iter().filter(move |column| known.iter().all(|name| *name != column.name.as_str()))
}

fn is_remembered(facts: &Facts, name: &str) -> bool {
    facts.target.record.as_ref().is_some_and(|record| record.kept_columns.iter().any(|kept| kept == name))
}

fn is_alike(column: &LiveColumn, (name, data_type): &(String, DataType), dialect: &dyn Dialect) -> bool {
    let facts = dialect.type_facts(data_type);
    column.name == *name && facts.is_some_and(|facts| facts.name == column.data_type.name)
}

/// What append and merge keep, under the names that it has when unwritten.
fn optional_columns() -> Vec<(String, DataType)> {
    let unwritten = PipelineOptions::default();
    let on = |name: NameOrOff, data_type| match name {
        NameOrOff::Name(name) => Some((name, data_type)),
        NameOrOff::Off(_) => None,
    };
    let mut columns = vec![(unwritten.deleted_flag(), DataType::Boolean)];
    columns.extend(on(unwritten.loaded_at_column(), DataType::TimestampTz));
    columns.extend(on(unwritten.batch_id_column(), DataType::Uuid));
    columns
}

/// What a history has.
fn columns_of_versions() -> Vec<(String, DataType)> {
    let unwritten = PipelineOptions::default();
    vec![
        (unwritten.effective_from(), DataType::TimestampTz),
        (unwritten.effective_to(), DataType::TimestampTz),
        (unwritten.current_flag(), DataType::Boolean),
        (unwritten.hash_column(), DataType::Bytes),
    ]
}
