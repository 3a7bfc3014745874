//! Merge (SCD type 1): rows that are new are inserted, rows that differ are updated in place, rows
//! that do not differ are not written.

use super::by_key;
use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::{HandleDeletes, PipelineOptions};
use crate::dialect::Dialect;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Resolved;
use crate::pipeline::strategy::{Invariant, JoinedBy, KeyNeed, LoadStrategy, ReadingNeed, Unique};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::reading::{self, diff, watermark, written};
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, ColumnDefault, Table};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// What merge knows.
#[derive(Debug)]
pub struct Merge {
    /// Columns that are written; all but keys and managed columns when unsaid.
    pub update_columns: Option<Vec<Ident>>,
    /// What happens to keys that left the source.
    pub deletes: HandleDeletes,
    /// The largest share of keys that one run may delete.
    pub max_delete_fraction: f64,
    /// Column that marks a deleted row.
    pub deleted_flag: Ident,
}

impl Merge {
    /// What options make of it.
    pub fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Merge {
        Merge {
            update_columns: check.names("update_columns", &options.update_columns),
            deletes: options.handle_deletes(),
            max_delete_fraction: options.max_delete_fraction(),
            deleted_flag: check.name("deleted_flag", options.deleted_flag()),
        }
    }
}

impl LoadStrategy for Merge {
    fn mode(&self) -> Mode {
        Mode::Merge
    }

    fn check_columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        if let Some(names) = &self.update_columns {
            check.known_columns("update_columns", names, table);
            check.not_keys("update_columns", names, keys);
        }
        check.not_declared("deleted_flag", &self.deleted_flag, table, self.deletes == HandleDeletes::Soft);
    }

    fn handles_deletes(&self) -> bool {
        self.deletes != HandleDeletes::Ignore
    }

    /// The flag of soft deletes.
    fn managed_columns(&self, _: &Table) -> Vec<Column> {
        if self.deletes != HandleDeletes::Soft {
            return Vec::new();
        }
        vec![Column {
            name: self.deleted_flag.clone(),
            data_type: DataType::Boolean,
            nullable: false,
            default: Some(ColumnDefault::Value(Literal::Boolean(false))),
            description: None,
        }]
    }

    fn adds_its_columns(&self) -> bool {
        true
    }

    fn keys(&self) -> KeyNeed {
        KeyNeed::OfRows
    }

    /// The columns that are written: all that the source fills but the keys, unless said.
    fn compared(&self, load: &Resolved<'_>) -> Result<Vec<Ident>> {
        let Some(names) = &self.update_columns else {
            return Ok(by_key::all_but_keys(load));
        };
        match names.iter().find(|name| load.filled(name).is_none()) {
            Some(name) => Err(FlowError::new(
                ErrorCode::UnknownColumn,
                format!("the source does not fill the column `{name}`, which is to be updated"),
            )
            .hint("add it to the query, or leave it out of update_columns")),
            None => Ok(names.clone()),
        }
    }

    /// Not those that are marked as deleted.
    fn held(&self) -> Option<Sql> {
        (self.deletes == HandleDeletes::Soft).then(|| sql!("t.{flag} IS NOT TRUE", flag = self.deleted_flag))
    }

    /// A column that is added and updated has values in rows from before the watermark too.
    fn reading(&self, load: &Resolved<'_>) -> ReadingNeed {
        ReadingNeed {
            in_place: true,
            in_full: load.adds_compared(),
            joined_by: JoinedBy::Keys,
            ..ReadingNeed::default()
        }
    }

    fn unique(&self, table: &Table, keys: &[Ident]) -> Vec<Unique> {
        by_key::unique(table, keys)
    }

    fn privileges(&self) -> &'static [&'static str] {
        match self.deletes {
            HandleDeletes::Hard => &["SELECT", "INSERT", "UPDATE", "DELETE"],
            HandleDeletes::Ignore | HandleDeletes::Soft => &["SELECT", "INSERT", "UPDATE"],
        }
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        if load.need.in_full && load.pipeline.incremental.is_some() {
            plan.note("the table gains a column: this run reads in full");
        }
        reading::steps(load, None, plan)?;
        if load.creates {
            by_key::first_load(load, plan);
        } else {
            apply_changes(load, self, plan);
        }
        watermark::steps(load, plan)
    }

    fn settle(&self, values: &mut Values) {
        values.set(RunValue::RowsUnchanged, super::rest(values) - values.number(RunValue::RowsSkipped));
    }

    fn invariants(&self, dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
        super::one_row_per_key(dialect, target, keys)
    }
}

fn apply_changes(load: &Resolved<'_>, merge: &Merge, builder: &mut PlanBuilder<'_>) {
    let soft = merge.deletes == HandleDeletes::Soft;
    let flag = &merge.deleted_flag;
    let mut differs = by_key::differs(load);
    if soft {
        differs.push(&sql!("\n    OR t.{flag} IS TRUE", flag));
    }
    let live = if soft { sql!("t.{flag} IS NOT TRUE", flag) } else { Sql::text("TRUE") };
    diff::find(
        load,
        &diff::Comparison {
            live: None,
            differs,
            change: Sql::text("'changed'"),
            gone: (merge.deletes != HandleDeletes::Ignore).then_some(live),
            max_delete_fraction: Some(merge.max_delete_fraction),
            purpose: by_key::purpose(load),
        },
        builder,
    );
    diff::sample(load, "update", builder);
    // First, so that a unique value of a row that goes is free for one that stays.
    match merge.deletes {
        HandleDeletes::Ignore => {}
        HandleDeletes::Soft => {
            let sql = diff::update_by_address(load, vec![sql!("{flag} = TRUE", flag)], &["gone"]);
            builder.step_if(
                RunValue::RowsGone,
                StepKind::Update,
                format!("mark rows whose key left the source: {flag}"),
                sql,
                Answer::CountExactly(vec![RunValue::RowsDeleted], vec![RunValue::RowsGone]),
            );
        }
        HandleDeletes::Hard => {
            let sql = diff::delete_by_address(load, &["gone"]);
            builder.step_if(
                RunValue::RowsGone,
                StepKind::Delete,
                "delete rows whose key left the source",
                sql,
                Answer::CountExactly(vec![RunValue::RowsDeleted], vec![RunValue::RowsGone]),
            );
        }
    }
    let mut assignments = by_key::assignments(load);
    if soft {
        assignments.push(sql!("{flag} = FALSE", flag));
    }
    diff::set_apart(load, &load.compared, &["changed"], RunValue::RowsChanged, builder);
    if let Some(sql) = by_key::update_changed(load, assignments) {
        builder.step_if(
            RunValue::RowsChanged,
            StepKind::Update,
            "update rows that differ",
            sql,
            Answer::CountExactly(vec![RunValue::RowsUpdated], vec![RunValue::RowsChanged]),
        );
    }
    builder.step_if(
        RunValue::RowsNew,
        StepKind::Insert,
        "insert rows that are new",
        by_key::insert_new(load),
        Answer::CountExactly(vec![RunValue::RowsInserted], vec![RunValue::RowsNew]),
    );
    written::verify(load, None, &[], builder);
}
