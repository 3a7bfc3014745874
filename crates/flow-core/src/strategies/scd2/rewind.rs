//! Puts a history by load time back: versions that were opened since go, those that were closed since are open again. All
//! that a run writes has its one instant, so what came after another run lies after that run's.

use super::Scd2;
use crate::declare::options::OpenEnd;
use crate::error::Result;
use crate::pipeline::Rewind;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::Sql;

/// The steps.
pub fn steps(scd2: &Scd2, rewind: &Rewind<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
    let facts = rewind.facts;
    let Some(instant) = &facts.to.instant else {
        return Err(rewind
            .refused("it ran before the instant of each run was recorded")
            .hint("rewind to a later run; `flow history` shows them with their numbers"));
    };
    rewind.refuse_other_declaration()?;
    if facts.since.updated > 0 {
        let versions =
            if facts.since.updated == 1 { "1 version" } else { &format!("{} versions", facts.since.updated) };
        return Err(rewind.refused(format!("its runs since have overwritten {versions} in place")).hint(
            "what overwrite_columns writes over is not kept: load the columns that history needs as compare_columns",
        ));
    }
    let instant =
        rewind.dialect.typed_literal(instant, &rewind.dialect.type_name(&rewind.dialect.instant_type()));
    let lock = rewind.dialect.lock_table(rewind.target);
    plan.step(StepKind::Lock, "keep other writers out", lock, Answer::Ignore);
    guards(scd2, rewind, &instant, plan);
    let opened = sql!("t.{from} > {instant}", from = scd2.effective_from, instant);
    let closed = sql!(
        "t.{from} <= {instant} AND NOT t.{flag} AND t.{to} > {instant}",
        from = scd2.effective_from,
        instant,
        flag = scd2.current_flag,
        to = scd2.effective_to
    );
    plan.step(
        StepKind::Diff,
        "count what is open again and what goes",
        sql!(
            "SELECT {closed} AS rows_changed,\n       {opened} AS rows_gone\n  FROM {target} AS t",
            closed = rewind.dialect.count_where(&closed),
            opened = rewind.dialect.count_where(&opened),
            target = rewind.target
        ),
        Answer::Read(vec![RunValue::RowsChanged, RunValue::RowsGone]),
    );
    plan.step_if(
        RunValue::RowsGone,
        StepKind::Delete,
        "delete the versions that were opened since",
        sql!("DELETE FROM {target} AS t\n WHERE {opened}", target = rewind.target, opened),
        Answer::CountExactly(vec![RunValue::RowsDeleted], vec![RunValue::RowsGone]),
    );
    let end = match scd2.open_end {
        OpenEnd::Null => Sql::text("NULL"),
        OpenEnd::Infinity => rewind.dialect.end_of_time(),
    };
    plan.step_if(
        RunValue::RowsChanged,
        StepKind::Update,
        "open the versions again that were closed since",
        sql!(
            "UPDATE {target} AS t\n   SET {to} = {end},\n       {flag} = TRUE\n WHERE {closed}",
            target = rewind.target,
            to = scd2.effective_to,
            end,
            flag = scd2.current_flag,
            closed
        ),
        Answer::CountExactly(vec![RunValue::RowsUpdated, RunValue::RowsIn], vec![RunValue::RowsChanged]),
    );
    Ok(())
}

/// A version that was opened or closed by hand is not among those that runs have counted; nor is one whose beginning a
/// column has said.
fn guards(scd2: &Scd2, rewind: &Rewind<'_>, instant: &Sql, plan: &mut PlanBuilder<'_>) {
    rewind.check(scd2, plan);
    let since = &rewind.facts.since;
    let count = rewind.dialect.function("count");
    let rows = |condition: Sql| {
        sql!(
            "SELECT {count}(*) AS rows FROM {target} AS t WHERE {condition}",
            count,
            target = rewind.target,
            condition
        )
    };
    let opened = rows(sql!("t.{from} > {instant}", from = scd2.effective_from, instant));
    rewind.expect("begin after", opened, since.inserted, "versions", plan);
    let closed = rows(sql!(
        "NOT t.{flag} AND t.{to} > {instant}",
        flag = scd2.current_flag,
        to = scd2.effective_to,
        instant
    ));
    rewind.expect("end after", closed, since.closed_out, "closed versions", plan);
}
