//! Truncate and replace: the new rows are staged first, so that the target is locked as late and as
//! briefly as possible.

use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::{PipelineOptions, ReplaceMethod};
use crate::error::Result;
use crate::pipeline::Resolved;
use crate::pipeline::strategy::{KeyNeed, LoadStrategy, ReadingNeed};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::reading;
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, Table};
use crate::sql;

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
        KeyNeed::Optional
    }

    fn reading(&self, _: &Resolved<'_>) -> ReadingNeed {
        ReadingNeed::default()
    }

    fn privileges(&self) -> &'static [&'static str] {
        match self.method {
            ReplaceMethod::Truncate => &["TRUNCATE", "INSERT"],
            ReplaceMethod::Delete => &["DELETE", "INSERT"],
        }
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        replace(load, self.method, plan)
    }

    fn settle(&self, _: &mut Values) {}
}

fn replace(load: &Resolved<'_>, method: ReplaceMethod, builder: &mut PlanBuilder<'_>) -> Result<()> {
    reading::steps(load, None, builder)?;
    let target = &load.table.name;
    if load.facts.run.dry_run && !load.creates {
        // The exclusive lock would make readers wait for a run that is rolled back.
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
        return Ok(());
    }
    if !load.creates {
        match method {
            ReplaceMethod::Truncate => {
                builder.step(
                    StepKind::Truncate,
                    "empty the target; readers wait from here on",
                    load.dialect.truncate(target),
                    Answer::Ignore,
                );
            }
            ReplaceMethod::Delete => {
                builder.step(
                    StepKind::Lock,
                    "keep other writers out",
                    load.dialect.lock_table(target),
                    Answer::Ignore,
                );
                builder.step(
                    StepKind::Truncate,
                    "delete the old rows; readers see them until the commit",
                    sql!("DELETE FROM {target}", target),
                    Answer::Ignore,
                );
            }
        }
    }
    let names = load.column_names();
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {stage} AS s",
        target,
        names,
        values = load.columns_of("s"),
        stage = load.source()
    );
    builder.step(StepKind::Insert, "insert the new rows", sql, Answer::Count(vec![RunValue::RowsInserted]));
    Ok(())
}
