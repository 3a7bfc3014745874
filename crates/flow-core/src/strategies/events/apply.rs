//! What is written: the newest event of a key ends where the next begins, a late one between its neighbours, and what is
//! corrected is kept beside the table first.

use super::find::{self, EVENT, NEXT};
use super::{DELETED, Events, beside, guards};
use crate::duration::Duration;
use crate::history;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject};
use crate::reading::changes::{self, ADDRESS};
use crate::reading::diff::Apart;
use crate::reading::{diff, stage};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};

/// Every event of the reading into a table that was just made.
pub fn first_load(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let (event, next) =
        (sql!("s.{event}", event = Ident::fixed(EVENT)), sql!("s.{next}", next = Ident::fixed(NEXT)));
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values},\n       {deletes}, {event}, {end}, {next} IS NULL,\n       {digest}, {run}\n  FROM {rows}\n WHERE {next} IS NULL OR {next} <> {event}",
        target = load.table.name,
        names = names(events, load),
        values = load.values(),
        deletes = find::deletes(events, "s"),
        event,
        end = events.end_of(load, &event, &next),
        next,
        digest = stage::row_hash(load, "s", |name| sql!("s.{name}", name)),
        run = run(load),
        rows = find::numbered(events, load)
    );
    builder.step(StepKind::Insert, "insert every event", sql, Answer::Count(vec![RunValue::RowsInserted]));
    find::count_repeated(sql!("{inserted}", inserted = RunValue::RowsInserted), Sql::empty(), builder);
    guards::no_conflict(events, load, builder);
}

/// What a reading changes in a history that is there.
pub fn changes(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let lock = load.dialect.lock_table(&load.table.name);
    builder.step(StepKind::Lock, "keep other writers out", lock, Answer::Ignore);
    change_ttl(events, load, builder);
    find::steps(events, load, builder);
    guards::no_conflict(events, load, builder);
    guards::no_clash(events, load, builder);
    diff::sample(load, "update", builder);
    end_newest(events, load, builder);
    end_neighbours(events, load, builder);
    correct(events, load, builder);
    insert_new(events, load, builder);
    insert_late(events, load, builder);
    if load.need.in_full {
        rehash_all(events, load, builder);
    }
    guards::stand(events, load, builder);
}

/// Another ttl moves the end of every event that nothing follows in time: planned, never implied.
fn change_ttl(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let Some(record) = &load.facts.target.record else { return };
    let ttl = events.ttl.as_ref().map(Duration::in_one_unit);
    if record.fingerprint.is_none() || record.ttl == ttl {
        return;
    }
    let words = |ttl: &Option<String>| ttl.clone().unwrap_or_else(|| "none".to_owned());
    builder.mark(
        Subject::Ends,
        format!("ttl {} -> {}   every event ends anew", words(&record.ttl), words(&ttl)),
    );
    let (address, next) = (Ident::fixed(ADDRESS), Ident::fixed(NEXT));
    let from = sql!(
        "(SELECT {row} AS {address},\n          {lead}(t.{begin}) OVER (PARTITION BY {keys} ORDER BY t.{begin}) AS {next}\n          FROM {target} AS t) AS c",
        row = load.row_address(),
        address,
        lead = load.dialect.function("lead"),
        begin = events.begin,
        keys = load.keys_of("t"),
        next,
        target = load.table.name
    );
    builder.step(
        StepKind::Update,
        format!("end every event by a ttl of {}", words(&ttl)),
        end_at_next(events, load, from),
        Answer::Count(vec![RunValue::RowsRehashed]),
    );
}

/// The newest event of a key ends where the first newer one begins.
fn end_newest(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let next = sql!("c.{event}", event = Ident::fixed(EVENT));
    let end = events.end_of(load, &sql!("t.{begin}", begin = events.begin), &next);
    let assignments =
        vec![sql!("{to} = {end}", to = events.end, end), sql!("{current} = FALSE", current = events.current)];
    let at_address = sql!("{row} = c.{address}", row = load.row_address(), address = Ident::fixed(ADDRESS));
    let from = sql!("{changes} AS c", changes = load.changes());
    builder.step_if(
        RunValue::RowsEnded,
        StepKind::Close,
        "end the newest events that newer ones follow",
        load.dialect.update_from(&load.table.name, assignments, from, at_address),
        Answer::CountExactly(vec![RunValue::RowsClosedOut], vec![RunValue::RowsEnded]),
    );
}

/// The event before a late one ends where that begins.
fn end_neighbours(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let (address, event, next) = (Ident::fixed(ADDRESS), Ident::fixed(EVENT), Ident::fixed(NEXT));
    let from = sql!(
        "(SELECT b.{address}, {min}(c.{event}) AS {next}\n          FROM {changes} AS c\n         CROSS JOIN LATERAL (SELECT {row} AS {address}\n                               FROM {target} AS t\n                              WHERE {same} AND t.{begin} < c.{event}\n                              ORDER BY t.{begin} DESC\n                              LIMIT 1) AS b\n         WHERE {late}\n         GROUP BY b.{address}) AS c",
        address,
        min = load.dialect.function("min"),
        event,
        next,
        changes = load.changes(),
        row = load.row_address(),
        target = load.table.name,
        same = load.keys_equal("t", |key| sql!("c.{key}", key)),
        begin = events.begin,
        late = changes::of_kind(&["late"])
    );
    builder.step_if(
        RunValue::RowsLate,
        StepKind::Update,
        "end the events that late ones follow",
        end_at_next(events, load, from),
        Answer::Ignore,
    );
}

/// Ends the events at the addresses of rows `c` where the next one begins that those rows know, or their ttl runs out.
fn end_at_next(events: &Events, load: &Resolved<'_>, from: Sql) -> Sql {
    let next = sql!("c.{next}", next = Ident::fixed(NEXT));
    let end = events.end_of(load, &sql!("t.{begin}", begin = events.begin), &next);
    let condition = sql!(
        "{row} = c.{address}\n   AND t.{to} IS DISTINCT FROM {end}",
        row = load.row_address(),
        address = Ident::fixed(ADDRESS),
        to = events.end,
        end
    );
    let assignment = sql!("{to} = {end}", to = events.end, end);
    load.dialect.update_from(&load.table.name, vec![assignment], from, condition)
}

/// What is corrected is kept as it was. By key: the steps before may have moved its row.
fn correct(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let target = &load.table.name;
    let at_time = sql!(
        "{same} AND t.{begin} = c.{event}\n   AND {changed}",
        same = load.keys_equal("t", |key| sql!("c.{key}", key)),
        begin = events.begin,
        event = Ident::fixed(EVENT),
        changed = changes::of_kind(&["changed"])
    );
    let kept = beside::columns(events, load);
    builder.step_if(
        RunValue::RowsChanged,
        StepKind::Insert,
        "keep what is corrected as it was known",
        sql!(
            "INSERT INTO {superseded} ({names}, {by})\nSELECT {values}, {run}\n  FROM {target} AS t\n  JOIN {changes} AS c ON {at_time}",
            superseded = beside::superseded(target),
            names = Sql::join(kept.iter().map(|name| sql!("{name}", name)), ", "),
            by = Ident::fixed(beside::SUPERSEDED_BY),
            values = Sql::join(kept.iter().map(|name| sql!("t.{name}", name)), ", "),
            run = run(load),
            target,
            changes = load.changes(),
            at_time
        ),
        Answer::Ignore,
    );
    let written: Vec<Ident> = load
        .column_names()
        .into_iter()
        .filter(|name| !load.keys.contains(name) && *name != events.event)
        .collect();
    let from = sql!("{changes} AS c", changes = load.changes());
    if let Some(apart) = Apart::of(load, &written, |name| sql!("c.{name}", name)) {
        let equal = sql!("{at_time}\n   AND ({equal})", at_time, equal = apart.condition);
        let sql = load.dialect.update_from(target, apart.assignments, from.clone(), equal);
        builder.step_if(RunValue::RowsChanged, StepKind::Update, apart.purpose, sql, Answer::Ignore);
    }
    let mut assignments: Vec<Sql> = written.iter().map(|name| sql!("{name} = c.{name}", name)).collect();
    assignments.extend([
        sql!("{deleted} = c.{by}", deleted = events.deleted, by = Ident::fixed(DELETED)),
        sql!(
            "{hash} = {digest}",
            hash = events.hash,
            digest = stage::row_hash(load, "c", |name| sql!("c.{name}", name))
        ),
        sql!("{number} = {run}", number = events.run, run = run(load)),
    ]);
    builder.step_if(
        RunValue::RowsChanged,
        StepKind::Update,
        "correct the events that have another value",
        load.dialect.update_from(target, assignments, from, at_time),
        Answer::CountExactly(vec![RunValue::RowsUpdated], vec![RunValue::RowsChanged]),
    );
}

fn insert_new(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let next = sql!("c.{next}", next = Ident::fixed(NEXT));
    let from = sql!("{changes} AS c", changes = load.changes());
    let sql = insert(events, load, &next, sql!("{next} IS NULL", next), from, "new");
    builder.step_if(
        RunValue::RowsNew,
        StepKind::Insert,
        "insert the events that are newer than all of their key",
        sql,
        Answer::CountExactly(vec![RunValue::RowsInserted], vec![RunValue::RowsNew]),
    );
}

fn insert_late(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let (event, next) = (Ident::fixed(EVENT), Ident::fixed(NEXT));
    let from = sql!(
        "{changes} AS c\n  LEFT JOIN LATERAL (SELECT t.{begin} AS {next}\n                       FROM {target} AS t\n                      WHERE {same} AND t.{begin} > c.{event}\n                      ORDER BY t.{begin}\n                      LIMIT 1) AS n ON TRUE",
        changes = load.changes(),
        begin = events.begin,
        next,
        target = load.table.name,
        same = load.keys_equal("t", |key| sql!("c.{key}", key)),
        event
    );
    let nearest = load.dialect.least([&sql!("c.{next}", next), &sql!("n.{next}", next)]);
    let sql = insert(events, load, &nearest, Sql::text("FALSE"), from, "late");
    builder.step_if(
        RunValue::RowsLate,
        StepKind::Insert,
        "insert the events that come late between their neighbours",
        sql,
        Answer::CountExactly(vec![RunValue::RowsInserted], vec![RunValue::RowsLate]),
    );
}

fn insert(
    events: &Events,
    load: &Resolved<'_>,
    next: &Sql,
    newest: Sql,
    from: Sql,
    kind: &'static str,
) -> Sql {
    let event = sql!("c.{event}", event = Ident::fixed(EVENT));
    sql!(
        "INSERT INTO {target} ({names})\nSELECT {values},\n       c.{deleted}, {event}, {end}, {newest},\n       {digest}, {run}\n  FROM {from}\n WHERE {kind}",
        target = load.table.name,
        names = names(events, load),
        values = load.columns_of("c"),
        deleted = Ident::fixed(DELETED),
        event,
        end = events.end_of(load, &event, next),
        newest,
        digest = stage::row_hash(load, "c", |name| sql!("c.{name}", name)),
        run = run(load),
        from,
        kind = changes::of_kind(&[kind])
    )
}

/// The hashes are of the columns that are compared. An event of this reading that another column changes was corrected:
/// what was known before is kept.
fn rehash_all(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let digest = load.row_digest(|name| sql!("t.{name}", name));
    builder.step(
        StepKind::Update,
        "rehash every event over the new set of compare columns",
        sql!(
            "UPDATE {target} AS t\n   SET {hash} = {digest}\n WHERE t.{hash} IS DISTINCT FROM {digest}",
            target = load.table.name,
            hash = events.hash,
            digest
        ),
        Answer::Count(vec![RunValue::RowsRehashed]),
    );
}

/// The columns that an INSERT names.
fn names(events: &Events, load: &Resolved<'_>) -> Vec<Ident> {
    let mut names = load.column_names();
    names.extend(events.managed_names());
    names
}

/// The number that this run has on its target.
fn run(load: &Resolved<'_>) -> Sql {
    history::number_of_run(&load.pipeline.target_key())
}
