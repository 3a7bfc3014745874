//! Truncate and replace: the new rows are staged first, so that the target is locked as late and as
//! briefly as possible. With keys, by difference: what the table has already is not written again.

use super::by_key;
use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::{PipelineOptions, ReplaceMethod};
use crate::dialect::{Dialect, WriteAtOnce};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{AtHand, SourcePart};
use crate::pipeline::strategy::{Invariant, JoinedBy, KeyNeed, LoadStrategy, ReadingNeed, Unique};
use crate::pipeline::{Pipeline, Resolved, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, PhaseName, StepKind};
use crate::reading::{self, diff, guards, straight, written};
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, Table};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};

/// What truncate knows.
#[derive(Debug)]
pub struct Truncate {
    /// How the table is emptied.
    pub method: ReplaceMethod,
}

impl Truncate {
    /// What options make of it.
    pub fn of(_: &mut Check<'_>, options: &PipelineOptions) -> Truncate {
        Truncate { method: options.replace_method() }
    }
}

impl LoadStrategy for Truncate {
    fn mode(&self) -> Mode {
        Mode::Truncate
    }

    fn managed_columns(&self, _: &Table) -> Vec<Column> {
        Vec::new()
    }

    fn keys(&self) -> KeyNeed {
        match self.method {
            ReplaceMethod::Truncate | ReplaceMethod::Delete => KeyNeed::Optional,
            ReplaceMethod::Diff => KeyNeed::OfRows,
        }
    }

    fn compared(&self, load: &Resolved<'_>) -> Result<Vec<Ident>> {
        Ok(match self.method {
            ReplaceMethod::Truncate | ReplaceMethod::Delete => Vec::new(),
            ReplaceMethod::Diff => by_key::all_but_keys(load),
        })
    }

    /// All that the source fills: no row of its target is compared with another.
    fn mirrored(&self, load: &Resolved<'_>) -> Vec<Ident> {
        by_key::all_but_keys(load)
    }

    fn reading(&self, load: &Resolved<'_>) -> ReadingNeed {
        match self.method {
            // Where nobody waits for the table, the rows need not be there before it is emptied.
            ReplaceMethod::Truncate | ReplaceMethod::Delete => ReadingNeed {
                in_place: load.ends.target.can.repeats && !load.reads_its_target(),
                ..ReadingNeed::default()
            },
            ReplaceMethod::Diff => {
                ReadingNeed { in_place: true, joined_by: JoinedBy::Keys, ..ReadingNeed::default() }
            }
        }
    }

    fn unique(&self, table: &Table, keys: &[Ident]) -> Vec<Unique> {
        match self.method {
            ReplaceMethod::Truncate | ReplaceMethod::Delete => Vec::new(),
            ReplaceMethod::Diff => by_key::unique(table, keys),
        }
    }

    fn privileges(&self) -> &'static [&'static str] {
        match self.method {
            ReplaceMethod::Truncate => &["TRUNCATE", "INSERT"],
            ReplaceMethod::Delete => &["DELETE", "INSERT"],
            ReplaceMethod::Diff => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        }
    }

    fn stays(&self, _: &Resolved<'_>) -> Option<Sql> {
        None
    }

    fn backfills(&self, pipeline: &Pipeline, part: &SourcePart) -> Result<()> {
        if part.is_all() {
            return Ok(());
        }
        let message = format!("`{}` replaces its table: nothing but the part would be left", pipeline.name);
        Err(FlowError::new(ErrorCode::OptionNotForMode, message).hint("leave --from and --to out"))
    }

    /// Into a table that is made, or for which nobody waits while the rows come.
    fn takes_rows_straight(&self, load: &Resolved<'_>) -> bool {
        self.method != ReplaceMethod::Diff && (load.creates || load.ends.target.can.repeats)
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        if let Some(AtHand::ToCome(rows)) = &load.facts.at_hand {
            plan.phase(PhaseName::Apply);
            if !load.creates {
                empty(load, self.method, plan);
            }
            straight::take(load, rows, None, plan)?;
            return guards::over_stage(load, plan);
        }
        reading::steps(load, None, plan)?;
        match (self.method, load.creates) {
            (ReplaceMethod::Diff, true) => by_key::first_load(load, plan),
            (ReplaceMethod::Diff, false) => write_what_differs(load, plan),
            (ReplaceMethod::Truncate, false) if load.facts.run.dry_run && !load.ends.target.can.repeats => {
                count_new_rows(load, plan);
            }
            (method, creates) => {
                if !creates {
                    empty(load, method, plan);
                }
                insert_all(load, plan);
            }
        }
        Ok(())
    }

    fn settle(&self, values: &mut Values) {
        if self.method == ReplaceMethod::Diff {
            values.set(RunValue::RowsUnchanged, super::rest(values));
        }
    }

    fn invariants(&self, dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
        match self.method {
            ReplaceMethod::Truncate | ReplaceMethod::Delete => Vec::new(),
            ReplaceMethod::Diff => super::one_row_per_key(dialect, target, keys),
        }
    }
}

/// The exclusive lock would make readers wait for a run that is rolled back.
fn count_new_rows(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    builder.step(
        StepKind::Insert,
        "count the rows that would be inserted",
        sql!(
            "SELECT {count}(*) AS rows_inserted FROM {stage} AS s",
            count = load.dialect.function("count"),
            stage = load.source()
        ),
        Answer::Read(vec![RunValue::RowsInserted]),
    );
}

fn empty(load: &Resolved<'_>, method: ReplaceMethod, builder: &mut PlanBuilder<'_>) {
    let target = &load.table.name;
    if method == ReplaceMethod::Truncate {
        builder.step(
            StepKind::Truncate,
            "empty the target; readers wait from here on",
            load.dialect.truncate(target),
            Answer::Ignore,
        );
        return;
    }
    builder.step(StepKind::Lock, "keep other writers out", load.dialect.lock_table(target), Answer::Ignore);
    builder.step(
        StepKind::Truncate,
        "delete the old rows; readers see them until the commit",
        sql!("DELETE FROM {target}", target),
        Answer::Ignore,
    );
    if !load.triggers().is_empty() {
        nothing_is_left(load, builder);
    }
}

/// A trigger may keep a row from being deleted.
fn nothing_is_left(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let (table, names) = (&load.table.name, load.triggers().join(", "));
    builder.step(
        StepKind::Guard,
        "no old row is left   expects no rows",
        sql!(
            "SELECT {count}(*) AS count\n  FROM {target} AS t\nHAVING {count}(*) > 0",
            count = load.dialect.function("count"),
            target = table
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::TargetFailed,
            message: format!("{{count}} rows of {table} were not deleted"),
            one: format!("{{count}} row of {table} was not deleted"),
            sample: Vec::new(),
            hint: format!(
                "a trigger or a rule of the target kept them ({names}); nothing stands of this run"
            ),
        }),
    );
}

fn insert_all(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {stage} AS s",
        target = load.table.name,
        names = load.column_names(),
        values = load.values(),
        stage = load.source()
    );
    builder.step(StepKind::Insert, "insert the new rows", sql, super::of_every_row(load));
    if matches!(load.rows, Rows::Direct(_)) {
        guards::empty_source(load, builder);
    }
}

fn write_what_differs(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    diff::find(
        load,
        &diff::Comparison {
            live: None,
            differs: by_key::differs(load),
            change: Sql::text("'changed'"),
            gone: Some(Sql::text("TRUE")),
            max_delete_fraction: None,
            purpose: by_key::purpose(load),
        },
        builder,
    );
    diff::sample(load, "update", builder);
    let delete = diff::delete_by_address(load, &["gone"]);
    let update = by_key::update_changed(load, by_key::assignments(load));
    let insert = by_key::insert_new(load);
    let counted = [
        (RunValue::RowsDeleted, RunValue::RowsGone),
        (RunValue::RowsUpdated, RunValue::RowsChanged),
        (RunValue::RowsInserted, RunValue::RowsNew),
    ];
    let at_once = WriteAtOnce { delete: delete.clone(), update: update.clone(), insert: insert.clone() };
    match load.dialect.write_at_once(at_once) {
        // A row may refer to one that comes, in place of one that goes whose unique value another row takes: in
        // statements of their own no order would please both.
        Some(sql) => builder.step_if_any(
            counted.map(|(_, found)| found).to_vec(),
            StepKind::Update,
            "write the difference: delete, update and insert",
            sql,
            Answer::ReadExactly(counted.to_vec()),
        ),
        None => {
            diff::set_apart(load, &load.compared, &["changed"], RunValue::RowsChanged, builder);
            let statements = [
                (Some(delete), StepKind::Delete, "delete rows that left the source"),
                (update, StepKind::Update, "update rows that differ"),
                (Some(insert), StepKind::Insert, "insert rows that are new"),
            ];
            for ((sql, kind, purpose), (value, found)) in statements.into_iter().zip(counted) {
                if let Some(sql) = sql {
                    builder.step_if(
                        found,
                        kind,
                        purpose,
                        sql,
                        Answer::CountExactly(vec![value], vec![found]),
                    );
                }
            }
        }
    }
    written::verify(load, None, &[], builder);
}
