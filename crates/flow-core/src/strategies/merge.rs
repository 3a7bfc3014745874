//! Merge (SCD type 1): rows that are new are inserted, rows that differ are updated in place, rows
//! that do not differ are not written.

use super::{Requirement, changes};
use crate::declare::options::HandleDeletes;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Merge;
use crate::plan::{Answer, StepKind};
use crate::planner::builder::PlanBuilder;
use crate::planner::load::Load;
use crate::planner::{guards, reading};
use crate::run_value::RunValue;
use crate::schema::{Column, ColumnDefault};
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::DataType;

/// The flag of soft deletes.
pub fn managed_columns(merge: &Merge) -> Vec<Column> {
    if merge.deletes != HandleDeletes::Soft {
        return Vec::new();
    }
    vec![Column {
        name: merge.deleted_flag.clone(),
        data_type: DataType::Boolean,
        nullable: false,
        default: Some(ColumnDefault::Value(Literal::Boolean(false))),
        description: None,
    }]
}

/// The columns that are compared and written: all that the source fills but the keys, unless said.
pub fn update_columns(load: &Load<'_>, merge: &Merge) -> Result<Vec<Ident>> {
    Ok(match &merge.update_columns {
        Some(names) => {
            if let Some(name) = names.iter().find(|name| load.filled(name).is_none()) {
                return Err(FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!("the source does not fill the column `{name}`, which is to be updated"),
                )
                .hint("add it to the query, or leave it out of update_columns"));
            }
            names.clone()
        }
        None => load
            .columns
            .iter()
            .map(|column| &column.name)
            .filter(|name| !load.keys.contains(name))
            .cloned()
            .collect(),
    })
}

/// A unique index on the keys.
pub fn requirements(load: &Load<'_>) -> Vec<Requirement> {
    let same = |left: &[Ident], right: &[Ident]| {
        left.len() == right.len() && left.iter().all(|name| right.contains(name))
    };
    let primary_key = load.table.primary_key.is_empty() || same(&load.table.primary_key, &load.keys);
    vec![Requirement::Unique { columns: load.keys.clone(), flag: None, primary_key }]
}

/// The steps.
pub fn steps(load: &Load<'_>, merge: &Merge, builder: &mut PlanBuilder<'_>) -> Result<()> {
    reading::steps(load, None, builder)?;
    if load.creates {
        first_load(load, builder);
    } else {
        apply_changes(load, merge, builder);
    }
    reading::watermark(load, builder)?;
    Ok(())
}

fn first_load(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let names = load.column_names();
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {source} AS s",
        target = load.table.name,
        names,
        values = load.values(),
        source = load.source()
    );
    let direct = matches!(load.rows, crate::planner::load::Rows::Direct(_));
    let counts =
        if direct { vec![RunValue::RowsIn, RunValue::RowsInserted] } else { vec![RunValue::RowsInserted] };
    builder.step(StepKind::Insert, "insert every row", sql, Answer::Count(counts));
    if direct {
        guards::empty_source(load, builder);
    }
}

fn apply_changes(load: &Load<'_>, merge: &Merge, builder: &mut PlanBuilder<'_>) {
    let soft = merge.deletes == HandleDeletes::Soft;
    let flag = &merge.deleted_flag;
    let names: Vec<&str> = load.compared.iter().map(|name| name.as_str()).collect();
    let value = |name: &Ident| load.value(load.filled(name).expect("update columns are filled"));
    let mut differs = load.differ(&load.compared, value, |name| sql!("t.{name}", name));
    if soft {
        differs.push(&sql!("\n    OR t.{flag} IS TRUE", flag));
    }
    let live = if soft { sql!("t.{flag} IS NOT TRUE", flag) } else { Sql::text("TRUE") };
    changes::find(
        load,
        &changes::Comparison {
            live: None,
            differs,
            change: Sql::text("'changed'"),
            gone: (merge.deletes != HandleDeletes::Ignore).then_some(live),
            max_delete_fraction: merge.max_delete_fraction,
            purpose: if names.is_empty() {
                "rows that are new".to_owned()
            } else {
                format!("rows that are new or differ in {}", names.join(", "))
            },
        },
        builder,
    );
    changes::sample(load, "update", builder);
    // First, so that a unique value of a row that goes is free for one that stays.
    match merge.deletes {
        HandleDeletes::Ignore => {}
        HandleDeletes::Soft => {
            let sql = changes::update_by_address(load, vec![sql!("{flag} = TRUE", flag)], &["gone"]);
            builder.step_if(
                RunValue::RowsGone,
                StepKind::Update,
                format!("mark rows whose key left the source: {flag}"),
                sql,
                Answer::CountExactly(vec![RunValue::RowsDeleted], vec![RunValue::RowsGone]),
            );
        }
        HandleDeletes::Hard => {
            let sql = changes::delete_by_address(load, &["gone"]);
            builder.step_if(
                RunValue::RowsGone,
                StepKind::Delete,
                "delete rows whose key left the source",
                sql,
                Answer::CountExactly(vec![RunValue::RowsDeleted], vec![RunValue::RowsGone]),
            );
        }
    }
    let assign = |name: &Ident| sql!("{name} = c.{name}", name);
    let mut assignments: Vec<Sql> = load.compared.iter().map(assign).collect();
    if soft {
        assignments.push(sql!("{flag} = FALSE", flag));
    }
    if !assignments.is_empty() {
        let sql = changes::update_by_address(load, assignments, &["changed"]);
        builder.step_if(
            RunValue::RowsChanged,
            StepKind::Update,
            "update rows that differ",
            sql,
            Answer::CountExactly(vec![RunValue::RowsUpdated], vec![RunValue::RowsChanged]),
        );
    }
    let columns = load.column_names();
    let sql = sql!(
        "INSERT INTO {target} ({columns})\nSELECT {values}\n  FROM {changes} AS c\n WHERE {new}",
        target = load.table.name,
        columns,
        values = load.columns_of("c"),
        changes = changes::table(load),
        new = changes::of_kind(&["new"])
    );
    builder.step_if(
        RunValue::RowsNew,
        StepKind::Insert,
        "insert rows that are new",
        sql,
        Answer::CountExactly(vec![RunValue::RowsInserted], vec![RunValue::RowsNew]),
    );
}
