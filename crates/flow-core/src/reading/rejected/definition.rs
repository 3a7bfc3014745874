//! The table of rejected rows is held to the target's columns, as the target is to its declaration.

use super::table_name;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject};
use crate::schema::drift::{Difference, DifferenceKind, differences};
use crate::schema::rejected_rows;
use crate::schema::{Column, LiveTable, Table, TypeFacts};
use crate::types::DataType;

/// Holds the table of rejected rows, where there is one, to the columns of the target.
///
/// # Errors
/// `drift` where it is somebody else's, or cannot hold the rows; `duplicate_name` where a column has the name of one of
/// ours.
pub fn prepare(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    if !load.pipeline.quarantines() {
        return Ok(());
    }
    let table = as_declared(load)?;
    if let Some(column) = load.columns.iter().find(|column| rejected_rows::is_own(column.name.as_str())) {
        return Err(rejected_rows::own_name(&column.name, &table.name));
    }
    let Some(live) = &load.facts.target.rejected else { return Ok(()) };
    if !live.ours || live.kind != 'r' {
        return Err(FlowError::new(
            ErrorCode::Drift,
            format!("{} is there, and is no table of rejected rows that flow has made", table.name),
        )
        .hint("rename it, or let the expectations fail or warn")
        .context("table", table.name.to_string()));
    }
    follow(load, &table, live, builder)
}

/// The table as it is made: what the source fills, each nullable, and why, by which run and when.
pub(super) fn as_declared(load: &Resolved<'_>) -> Result<Table> {
    let filled = load
        .columns
        .iter()
        .map(|filled| Column::of(&filled.name, DataType::Native(filled.data_type.name.clone()), true));
    let own = rejected_rows::own_columns().map(|(name, data_type)| Column::of(&name, data_type, false));
    Ok(Table::of(table_name(load)?, filled.chain(own).collect()))
}

/// Adds and widens columns as those of the target were: the table is ours.
fn follow(load: &Resolved<'_>, table: &Table, live: &LiveTable, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let type_of = |column: &Column| wanted_type(load, column);
    let mut cannot = Vec::new();
    for difference in differences(table, &[], live, &type_of, load.dialect) {
        match (&difference.kind, &difference.remedy) {
            (DifferenceKind::Missing { addable: true, .. }, Some(sql)) => {
                builder.mark(Subject::NewColumn, format!("{}: {}", table.name, difference.describe()));
                let purpose = format!("add the column {} to {}", difference.column, table.name);
                builder.step(StepKind::Ddl, purpose, sql.clone(), Answer::Ignore);
            }
            (DifferenceKind::Type { widening: true, .. }, Some(sql)) => {
                builder.mark(Subject::WiderColumn, format!("{}: {}", table.name, difference.describe()));
                let purpose = format!("widen the column {} of {}", difference.column, table.name);
                builder.step(StepKind::Ddl, purpose, sql.clone(), Answer::Ignore);
            }
            (DifferenceKind::Type { .. }, _) if holds(load, table, live, &difference) => {}
            (DifferenceKind::Missing { .. } | DifferenceKind::Type { .. }, _) => {
                cannot.push(difference.describe());
            }
            (
                DifferenceKind::Extra | DifferenceKind::Nullability { .. } | DifferenceKind::Default { .. },
                _,
            ) => {}
        }
    }
    if cannot.is_empty() {
        return Ok(());
    }
    let error = FlowError::new(
        ErrorCode::Drift,
        format!(
            "{}, where rejected rows are put aside, cannot hold those of {}",
            table.name, load.table.name
        ),
    )
    .hint("rename or drop it: a new one is made")
    .context("table", table.name.to_string());
    Err(cannot.into_iter().fold(error, FlowError::detail))
}

fn wanted_type(load: &Resolved<'_>, column: &Column) -> TypeFacts {
    match load.filled(&column.name) {
        Some(filled) => filled.data_type.clone(),
        None => load.dialect.type_facts(&column.data_type).expect("a type of ours"),
    }
}

/// Whether a live column of another type holds every value of the target's all the same.
fn holds(load: &Resolved<'_>, table: &Table, live: &LiveTable, difference: &Difference) -> bool {
    let wanted = table.columns.iter().find(|column| column.name.as_str() == difference.column);
    match (wanted, live.column(&difference.column)) {
        (Some(wanted), Some(live)) => {
            load.dialect.cast(&wanted_type(load, wanted), &live.data_type) == crate::dialect::Cast::Widening
        }
        _ => false,
    }
}
