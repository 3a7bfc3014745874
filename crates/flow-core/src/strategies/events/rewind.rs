//! Puts a history by event time back: what came since goes, what was corrected since is as it was, and the events of the
//! keys that were touched end anew where their next one begins. Every row knows its run, so this is exact.

use super::find::NEXT;
use super::{Events, beside};
use crate::dialect::RowOrder;
use crate::duration::Duration;
use crate::error::Result;
use crate::pipeline::Rewind;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::reading::changes::ADDRESS;
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};

/// The steps.
pub fn steps(events: &Events, rewind: &Rewind<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
    let superseded = beside::superseded(rewind.target);
    let Some(Some(kept)) = rewind.facts.beside.first() else {
        return Err(rewind.refused(format!("{superseded}, which keeps what was corrected, is not there")));
    };
    rewind.refuse_other_declaration()?;
    // The ends that are there follow the ttl of the last run, whatever is declared by now.
    let ttl = rewind.facts.record.ttl.as_deref().map(Duration::parse).transpose()?;
    let events = &Events { ttl, ..events.clone() };
    let lock = rewind.dialect.lock_table(rewind.target);
    plan.step(StepKind::Lock, "keep other writers out", lock, Answer::Ignore);
    guards(events, rewind, &superseded, plan);
    count(events, rewind, &superseded, plan);
    let touched = rewind.table("touched");
    touch(events, rewind, &superseded, &touched, plan);
    bring_back(events, rewind, &superseded, kept, plan);
    plan.step_if(
        RunValue::RowsGone,
        StepKind::Delete,
        "delete what came since",
        sql!(
            "DELETE FROM {target} AS t\n WHERE t.{run} > {number}",
            target = rewind.target,
            run = events.run,
            number = rewind.number()
        ),
        Answer::CountExactly(vec![RunValue::RowsDeleted], vec![RunValue::RowsGone]),
    );
    end_anew(events, rewind, &touched, plan);
    // Also those of what came since itself.
    plan.step(
        StepKind::Delete,
        "forget the corrections since",
        sql!(
            "DELETE FROM {superseded} AS s\n WHERE s.{by} > {number}",
            superseded,
            by = Ident::fixed(beside::SUPERSEDED_BY),
            number = rewind.number()
        ),
        Answer::Ignore,
    );
    Ok(())
}

fn guards(events: &Events, rewind: &Rewind<'_>, superseded: &QualifiedName, plan: &mut PlanBuilder<'_>) {
    rewind.check(events, plan);
    let count = rewind.dialect.function("count");
    let corrections = sql!(
        "SELECT {count}(*) AS rows FROM {superseded} AS s WHERE s.{by} > {number}",
        count,
        superseded,
        by = Ident::fixed(beside::SUPERSEDED_BY),
        number = rewind.number()
    );
    rewind.expect("were made after", corrections, rewind.facts.since.updated, "corrections", plan);
    let came = sql!(
        "SELECT {all} - {back} AS rows",
        all = written_since(events, rewind),
        back = corrected_since(events, rewind, superseded)
    );
    rewind.expect("came after", came, rewind.facts.since.inserted, "events", plan);
}

/// How many rows runs have written since, as a value.
fn written_since(events: &Events, rewind: &Rewind<'_>) -> Sql {
    sql!(
        "(SELECT {count}(*) FROM {target} AS t WHERE t.{run} > {number})",
        count = rewind.dialect.function("count"),
        target = rewind.target,
        run = events.run,
        number = rewind.number()
    )
}

/// How many of them stand where an earlier value was, as a value.
fn corrected_since(events: &Events, rewind: &Rewind<'_>, superseded: &QualifiedName) -> Sql {
    sql!(
        "(SELECT {count}(*) FROM {superseded} AS s WHERE {then})",
        count = rewind.dialect.function("count"),
        superseded,
        then = known_then(events, rewind)
    )
}

/// Whether a value `s` that was corrected stood then.
fn known_then(events: &Events, rewind: &Rewind<'_>) -> Sql {
    sql!(
        "s.{run} <= {number} AND s.{by} > {number}",
        run = events.run,
        number = rewind.number(),
        by = Ident::fixed(beside::SUPERSEDED_BY)
    )
}

fn count(events: &Events, rewind: &Rewind<'_>, superseded: &QualifiedName, plan: &mut PlanBuilder<'_>) {
    plan.step(
        StepKind::Diff,
        "count what comes back and what goes",
        sql!(
            "SELECT {back} AS rows_changed,\n       {all} - {back} AS rows_gone",
            back = corrected_since(events, rewind, superseded),
            all = written_since(events, rewind)
        ),
        Answer::Read(vec![RunValue::RowsChanged, RunValue::RowsGone]),
    );
}

/// Collects the keys, before anything shows them no more.
fn touch(
    events: &Events,
    rewind: &Rewind<'_>,
    superseded: &QualifiedName,
    touched: &QualifiedName,
    plan: &mut PlanBuilder<'_>,
) {
    plan.leftovers.push(touched.clone());
    let select = sql!(
        "SELECT {of_target}\n  FROM {target} AS t\n WHERE t.{run} > {number}\nUNION\nSELECT {of_kept}\n  FROM {superseded} AS s\n WHERE s.{by} > {number}",
        of_target = rewind.keys_of("t"),
        target = rewind.target,
        run = events.run,
        number = rewind.number(),
        of_kept = rewind.keys_of("s"),
        superseded,
        by = Ident::fixed(beside::SUPERSEDED_BY)
    );
    let create = rewind.dialect.create_stage_as(touched, select, RowOrder::Unknown);
    plan.step(StepKind::Stage, "collect the keys of both", create, Answer::Ignore);
    let statistics = rewind.dialect.analyze(touched, &rewind.keys);
    plan.step(StepKind::Stage, "statistics for the planner", statistics, Answer::Ignore);
}

/// In place: the event has its row still, with the value that corrected it.
fn bring_back(
    events: &Events,
    rewind: &Rewind<'_>,
    superseded: &QualifiedName,
    kept: &crate::schema::LiveTable,
    plan: &mut PlanBuilder<'_>,
) {
    let own = [&events.begin, &events.end, &events.current];
    let written = kept.columns.iter().filter(|column| {
        let live = rewind.facts.live.column(&column.name);
        live.is_some_and(|live| !live.generated)
            && !rewind.keys.iter().chain(own).any(|name| name.as_str() == column.name)
    });
    let assignments = written
        .filter_map(|column| Ident::new(&column.name).ok())
        .map(|name| sql!("{name} = s.{name}", name))
        .collect();
    let condition = sql!(
        "{same} AND s.{begin} = t.{begin}\n   AND {then}",
        same = rewind.same_key("t", "s"),
        begin = events.begin,
        then = known_then(events, rewind)
    );
    let from = sql!("{superseded} AS s", superseded);
    plan.step_if(
        RunValue::RowsChanged,
        StepKind::Update,
        "bring back what was corrected since",
        rewind.dialect.update_from(rewind.target, assignments, from, condition),
        Answer::CountExactly(vec![RunValue::RowsUpdated, RunValue::RowsIn], vec![RunValue::RowsChanged]),
    );
}

fn end_anew(events: &Events, rewind: &Rewind<'_>, touched: &QualifiedName, plan: &mut PlanBuilder<'_>) {
    let (address, next) = (Ident::fixed(ADDRESS), Ident::fixed(NEXT));
    let row = rewind.dialect.row_address("t", rewind.facts.live.spread);
    let from = sql!(
        "(SELECT {row} AS {address},\n          {lead}(t.{begin}) OVER (PARTITION BY {keys} ORDER BY t.{begin}) AS {next}\n          FROM {target} AS t\n          JOIN {touched} AS n ON {same}) AS c",
        row,
        address,
        lead = rewind.dialect.function("lead"),
        begin = events.begin,
        keys = rewind.keys_of("t"),
        next,
        target = rewind.target,
        touched,
        same = rewind.same_key("n", "t")
    );
    let end = events.ends(rewind.dialect, &sql!("t.{begin}", begin = events.begin), &sql!("c.{next}", next));
    let condition = sql!(
        "{row} = c.{address}\n   AND (t.{to} IS DISTINCT FROM {end}\n    OR t.{current} IS DISTINCT FROM (c.{next} IS NULL))",
        row,
        address,
        to = events.end,
        end,
        current = events.current,
        next
    );
    let assignments = vec![
        sql!("{to} = {end}", to = events.end, end),
        sql!("{current} = c.{next} IS NULL", current = events.current, next),
    ];
    plan.step(
        StepKind::Update,
        "end the events of these keys where their next one begins",
        rewind.dialect.update_from(rewind.target, assignments, from, condition),
        Answer::Ignore,
    );
}
