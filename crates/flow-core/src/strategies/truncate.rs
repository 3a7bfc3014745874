//! Truncate and replace: the new rows are staged first, so that the target is locked as late and as
//! briefly as possible.

use crate::declare::options::ReplaceMethod;
use crate::error::Result;
use crate::pipeline::Truncate;
use crate::plan::{Answer, StepKind};
use crate::planner::builder::PlanBuilder;
use crate::planner::load::Load;
use crate::planner::reading;
use crate::run_value::RunValue;
use crate::sql;

/// The steps.
pub fn steps(load: &Load<'_>, truncate: &Truncate, builder: &mut PlanBuilder<'_>) -> Result<()> {
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
        match truncate.method {
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
