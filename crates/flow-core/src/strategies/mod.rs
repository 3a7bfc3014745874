//! The load strategies: one file each, and what the planner asks of all of them.

pub mod adoption;
pub mod append;
pub mod changes;
pub mod merge;
pub mod scd2;
pub mod truncate;

use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::{Pipeline, Strategy};
use crate::planner::load::Load;
use crate::schema::{Column, LiveTable, Table, ddl};
use crate::sql::{Ident, Sql};

/// The columns that a strategy keeps beside the declared ones.
pub fn managed_columns(pipeline: &Pipeline, table: &Table) -> Vec<Column> {
    match &pipeline.strategy {
        Strategy::Append(append) => append::managed_columns(append, table),
        Strategy::Truncate(_) => Vec::new(),
        Strategy::Merge(merge) => merge::managed_columns(merge),
        Strategy::Scd2(scd2) => scd2::managed_columns(scd2),
    }
}

/// Whether a strategy fills a declared column that the source lacks.
pub fn fills_itself(pipeline: &Pipeline, column: &Ident) -> bool {
    match &pipeline.strategy {
        Strategy::Append(append) => {
            append.loaded_at.as_ref() == Some(column) || append.batch_id.as_ref() == Some(column)
        }
        _ => false,
    }
}

/// The columns whose change counts: those that are hashed, or those that merge writes.
pub fn compared_columns(load: &Load<'_>) -> Result<Vec<Ident>> {
    let names = match &load.pipeline.strategy {
        Strategy::Append(_) | Strategy::Truncate(_) => Vec::new(),
        Strategy::Merge(merge) => merge::update_columns(load, merge)?,
        Strategy::Scd2(scd2) => scd2::compare_columns(load, scd2)?,
    };
    // Its text would change with the settings of a session.
    match names.iter().find(|name| load.type_of(name).normal.is_none()) {
        Some(name) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!(
                "the column `{name}` of type {} cannot be compared: the type has no binary form",
                load.type_of(name).name
            ),
        )
        .hint("leave it out of the comparison, or cast it to text in the query and in the declaration")),
        None => Ok(names),
    }
}

/// Whether this run changes the set of compare columns, or the encoding, of hashes that exist.
pub fn rehashes(load: &Load<'_>) -> bool {
    match &load.pipeline.strategy {
        Strategy::Scd2(_) => scd2::rehashes(load),
        _ => false,
    }
}

/// Whether the strategy asks for the source's rows in more than one statement.
pub fn reads_twice(load: &Load<'_>) -> bool {
    rehashes(load)
        || match &load.pipeline.strategy {
            Strategy::Scd2(scd2) => scd2::reads_twice(load, scd2),
            _ => false,
        }
}

/// What an existing table must have so that the strategy can keep its word.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    /// A unique index, partial where a condition is given.
    Unique {
        /// Its columns.
        columns: Vec<Ident>,
        /// The column that is true in the rows it covers, where it is partial.
        flag: Option<Ident>,
        /// Whether it becomes the primary key of a table that we create.
        primary_key: bool,
    },
    /// A CHECK constraint.
    Check {
        /// The end of its name.
        suffix: &'static str,
        /// Its condition.
        condition: Sql,
    },
}

impl Requirement {
    /// Whether the live table has it already.
    pub fn is_met(&self, live: &LiveTable) -> bool {
        match self {
            Requirement::Unique { columns, flag, .. } => live.has_unique_index(columns, flag.as_ref()),
            Requirement::Check { suffix, .. } => {
                live.checks.iter().any(|name| name.ends_with(&format!("_{suffix}")))
            }
        }
    }

    /// Whether it stands for the primary key.
    pub fn is_primary_key(&self) -> bool {
        matches!(self, Requirement::Unique { primary_key: true, .. })
    }

    /// The statement that makes it; empty where the target's engine keeps no such promise.
    pub fn sql(&self, load: &Load<'_>) -> Sql {
        let table = &load.table.name;
        match self {
            Requirement::Unique { columns, primary_key: true, .. } if load.creates => {
                load.dialect.add_primary_key(table, columns)
            }
            Requirement::Unique { columns, flag, .. } => {
                load.dialect.unique_index(table, columns, flag.as_ref())
            }
            Requirement::Check { suffix, condition } => {
                let name = ddl::object_name(&table.name, suffix);
                load.dialect.add_check(table, &name, condition.clone())
            }
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Requirement::Unique { columns, flag, .. } => {
                let names: Vec<&str> = columns.iter().map(|column| column.as_str()).collect();
                let which = if flag.is_some() { " of current versions" } else { "" };
                format!("unique index on {}{which}", names.join(", "))
            }
            Requirement::Check { suffix, .. } => match *suffix {
                "period" => "check: a version ends after it begins".to_owned(),
                _ => "check: the current version is the open one".to_owned(),
            },
        }
    }
}

/// What the target must have.
pub fn requirements(load: &Load<'_>) -> Vec<Requirement> {
    match &load.pipeline.strategy {
        Strategy::Append(_) | Strategy::Truncate(_) => Vec::new(),
        Strategy::Merge(_) => merge::requirements(load),
        Strategy::Scd2(scd2) => scd2::requirements(load, scd2),
    }
}
