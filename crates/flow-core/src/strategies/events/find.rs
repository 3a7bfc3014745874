//! Which events are new, late or corrections: a table of them, beside the newest event of their key where they end it.

use super::{DELETED, Events};
use crate::declare::options::OnSameTime;
use crate::dialect::RowOrder;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::reading::changes::{self, ADDRESS, CHANGE};
use crate::reading::stage;
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::strategies::rehash;

/// The time of an event.
pub const EVENT: &str = "_ematix_event";
/// The time of the key's next event in the reading.
pub const NEXT: &str = "_ematix_next";
/// The time of the key's event before it in the reading.
pub const BEFORE: &str = "_ematix_before";

/// The rows `s` of the stage with their time, and those of their neighbours. Of several at one time the last stands, and
/// its neighbour after it has another time.
pub fn numbered(events: &Events, load: &Resolved<'_>) -> Sql {
    let (event, next, before) = (Ident::fixed(EVENT), Ident::fixed(NEXT), Ident::fixed(BEFORE));
    let time = events.time(load, &sql!("s.{event}", event = events.event));
    let order = match &events.order {
        Some(order) if order.greatest => sql!(", s.{column} ASC NULLS FIRST", column = order.column),
        Some(order) => sql!(", s.{column} DESC NULLS FIRST", column = order.column),
        None => Sql::empty(),
    };
    sql!(
        "(SELECT s.*,\n               {time} AS {event},\n               {lead}({time}) OVER w AS {next},\n               {lag}({time}) OVER w AS {before}\n          FROM {stage} AS s\n        WINDOW w AS (PARTITION BY {keys} ORDER BY {time}{order})) AS s",
        time,
        event,
        lead = load.dialect.function("lead"),
        lag = load.dialect.function("lag"),
        next,
        before,
        stage = load.source(),
        keys = load.keys_of("s"),
        order
    )
}

/// Whether another row stands for the event of a row `s`.
pub fn is_repeated() -> Sql {
    sql!("s.{next} = s.{event}", next = Ident::fixed(NEXT), event = Ident::fixed(EVENT))
}

/// Whether an event `alias` deletes its key.
pub fn deletes(events: &Events, alias: &'static str) -> Sql {
    match events.delete_when {
        Some(_) => sql!("{alias}.{deleted}", alias = Sql::text(alias), deleted = Ident::fixed(DELETED)),
        None => Sql::text("FALSE"),
    }
}

/// Counts the rows that say again what another says: all that were read but `kept`, which is a value in rows of `from`.
pub fn count_repeated(kept: Sql, from: Sql, builder: &mut PlanBuilder<'_>) {
    let again = sql!(
        "{read} - {kept} - {deduplicated} - {skipped} - {rejected}",
        read = RunValue::RowsIn,
        kept,
        deduplicated = RunValue::RowsDeduplicated,
        skipped = RunValue::RowsSkipped,
        rejected = RunValue::RowsRejected
    );
    builder.step(
        StepKind::Diff,
        "count the rows that say again what another says",
        sql!(
            "SELECT {again} AS rows_repeated,\n       {deduplicated} + {again} AS rows_deduplicated{from}",
            again,
            deduplicated = RunValue::RowsDeduplicated,
            from
        ),
        Answer::Read(vec![RunValue::RowsRepeated, RunValue::RowsDeduplicated]),
    );
}

/// Fills the table of changes and counts it.
pub fn steps(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let found = load.changes();
    builder.leftovers.push(found.clone());
    let names: Vec<&str> = load.compared.iter().map(|name| name.as_str()).collect();
    let purpose = match names.is_empty() {
        true => "events that are new".to_owned(),
        false => format!("events that are new, or differ at their time in {}", names.join(", ")),
    };
    let create = load.dialect.create_stage_as(&found, beside_newest(events, load), RowOrder::Unknown);
    builder.step(StepKind::Diff, purpose, create, Answer::Ignore);
    builder.step(
        StepKind::Diff,
        "count those before the newest event of their key",
        sql!(
            "SELECT {past} AS rows_past\n  FROM {found} AS c",
            past = load.dialect.count_where(&changes::of_kind(&["past"])),
            found
        ),
        Answer::Read(vec![RunValue::RowsPast]),
    );
    let statistics = load.dialect.analyze(&found, &[Ident::fixed(CHANGE)]);
    builder.step_if(
        RunValue::RowsPast,
        StepKind::Diff,
        "statistics for the planner",
        statistics,
        Answer::Ignore,
    );
    builder.step_if(
        RunValue::RowsPast,
        StepKind::Diff,
        "those of them that the history does not have, or otherwise",
        beside_same_time(events, load),
        Answer::Ignore,
    );
    count(events, load, builder);
}

/// Each event beside the newest one of its key.
fn beside_newest(events: &Events, load: &Resolved<'_>) -> Sql {
    let (event, before) = (Ident::fixed(EVENT), Ident::fixed(BEFORE));
    let address = load.row_address();
    sql!(
        "SELECT {values}{carried},\n       CASE WHEN s.{event} > t.{begin} AND (s.{before} IS NULL OR s.{before} <= t.{begin})\n            THEN {address} ELSE {no_address} END AS {to},\n       CASE WHEN {repeated} THEN 'again'\n            WHEN t.{begin} IS NULL OR s.{event} > t.{begin} THEN 'new'\n            WHEN s.{event} < t.{begin} THEN 'past'\n            {otherwise} END AS {change}\n  FROM {rows}\n  LEFT JOIN {target} AS t ON {same} AND t.{current}\n WHERE {repeated}\n    OR t.{begin} IS NULL\n    OR s.{event} <> t.{begin}\n    OR {differs}",
        values = load.named_values(),
        carried = carried(events, load),
        event,
        before,
        begin = events.begin,
        address,
        no_address = load.no_row_address(),
        to = Ident::fixed(ADDRESS),
        repeated = is_repeated(),
        otherwise = otherwise(events, load, "s"),
        change = Ident::fixed(CHANGE),
        rows = numbered(events, load),
        target = load.table.name,
        same = load.keys_equal("t", |key| load.key_value(key)),
        current = events.current,
        differs = differs_at_all(events, load, "s")
    )
}

/// Each event before the newest one, beside the event that its key has at that time.
fn beside_same_time(events: &Events, load: &Resolved<'_>) -> Sql {
    let event = Ident::fixed(EVENT);
    sql!(
        "INSERT INTO {found}\nSELECT {values}{carried},\n       {no_address},\n       CASE WHEN t.{begin} IS NULL THEN 'late'\n            {otherwise} END\n  FROM {found} AS c\n  LEFT JOIN {target} AS t ON {same} AND t.{begin} = c.{event}\n WHERE {past}\n   AND (t.{begin} IS NULL\n    OR {differs})",
        found = load.changes(),
        values = load.columns_of("c"),
        carried = carried_again(load),
        no_address = load.no_row_address(),
        begin = events.begin,
        otherwise = otherwise(events, load, "c"),
        target = load.table.name,
        same = load.keys_equal("t", |key| sql!("c.{key}", key)),
        event,
        past = changes::of_kind(&["past"]),
        differs = differs_at_all(events, load, "c")
    )
}

/// What the changes carry beside the loaded columns.
fn carried(events: &Events, load: &Resolved<'_>) -> Sql {
    let deletes =
        sql!("{deletes} AS {deleted}", deletes = deletes(events, "s"), deleted = Ident::fixed(DELETED));
    let (event, next) = (Ident::fixed(EVENT), Ident::fixed(NEXT));
    let mut out = match stage::carries_hash(load) {
        true => sql!(",\n       s.{hash}", hash = Ident::fixed(stage::HASH)),
        false => Sql::empty(),
    };
    out.push(&sql!(",\n       s.{event}, s.{next}, {deletes}", event, next, deletes));
    out
}

/// The same, from the changes themselves.
fn carried_again(load: &Resolved<'_>) -> Sql {
    let mut names: Vec<&'static str> = Vec::new();
    names.extend(stage::carries_hash(load).then_some(stage::HASH));
    names.extend([EVENT, NEXT, DELETED]);
    let names = names.into_iter().map(|name| sql!(", c.{name}", name = Ident::fixed(name)));
    Sql::join(names, "")
}

/// The columns that are compared for the first time, in a history that is there.
fn joined(load: &Resolved<'_>) -> Vec<Ident> {
    match load.need.in_full {
        true => rehash::joined_columns(load),
        false => Vec::new(),
    }
}

/// Whether an event `alias` has another value than `t`, which its key has at that time.
fn differs(events: &Events, load: &Resolved<'_>, columns: &[Ident], alias: &'static str) -> Sql {
    let value = |name: &Ident| sql!("{alias}.{name}", alias = Sql::text(alias), name);
    let values = load.differ(columns, value, |name| sql!("t.{name}", name));
    match events.delete_when {
        Some(_) => sql!(
            "({values}\n    OR {deletes} IS DISTINCT FROM t.{deleted})",
            values,
            deletes = deletes(events, alias),
            deleted = events.deleted
        ),
        None => sql!("({values}\n    OR t.{deleted})", values, deleted = events.deleted),
    }
}

/// Whether what decides is on the side of an event `alias`, and not of `t`.
fn beats(events: &Events, alias: &'static str) -> Option<Sql> {
    let order = events.order.as_ref()?;
    let alias = Sql::text(alias);
    let than = if order.greatest { Sql::text(">") } else { Sql::text("<") };
    Some(sql!(
        "({alias}.{column} {than} t.{column} OR ({alias}.{column} IS NOT NULL AND t.{column} IS NULL))",
        alias,
        column = order.column,
        than
    ))
}

/// Whether something is to be done or said of an event `alias` whose time is known.
fn differs_at_all(events: &Events, load: &Resolved<'_>, alias: &'static str) -> Sql {
    let differs = differs(events, load, &load.compared, alias);
    match beats(events, alias) {
        Some(beats) => sql!("{beats}\n    OR {differs}", beats, differs),
        None => differs,
    }
}

/// What becomes of it. What only differs in columns that are new to the comparison contradicts nothing.
fn otherwise(events: &Events, load: &Resolved<'_>, alias: &'static str) -> Sql {
    let kind = match events.on_same_time {
        OnSameTime::Replace => "changed",
        OnSameTime::Error => "clash",
        OnSameTime::Keep => "older",
    };
    let kind = Literal::Text(kind.to_owned());
    let joined = joined(load);
    let kind = match joined.is_empty() {
        true => sql!("{kind}", kind),
        false => {
            let common: Vec<Ident> =
                load.compared.iter().filter(|name| !joined.contains(name)).cloned().collect();
            sql!(
                "CASE WHEN {differs} THEN {kind} ELSE 'changed' END",
                differs = differs(events, load, &common, alias),
                kind
            )
        }
    };
    let (Some(beats), Some(order)) = (beats(events, alias), &events.order) else {
        return sql!("ELSE {kind}", kind);
    };
    sql!(
        "WHEN {beats} THEN 'changed'\n            WHEN {alias}.{column} IS DISTINCT FROM t.{column} THEN 'older'\n            ELSE {kind}",
        beats,
        alias = Sql::text(alias),
        column = order.column,
        kind
    )
}

fn count(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let found = |kinds: &[&'static str]| load.dialect.count_where(&changes::of_kind(kinds));
    let deleted = sql!(
        "{written} AND c.{deleted}",
        written = changes::of_kind(&["new", "late", "changed"]),
        deleted = Ident::fixed(DELETED)
    );
    let deleted = match events.delete_when {
        Some(_) => load.dialect.count_where(&deleted),
        None => Sql::text("0"),
    };
    builder.step(
        StepKind::Diff,
        "count what was found",
        sql!(
            "SELECT {new} AS rows_new,\n       {late} AS rows_late,\n       {changed} AS rows_changed,\n       {clash} AS rows_clash,\n       {count}(c.{address}) AS rows_ended,\n       {deleted} AS rows_deleted,\n       {again} AS rows_repeated,\n       {deduplicated} + {again} AS rows_deduplicated,\n       {skipped} + {older} AS rows_skipped\n  FROM {changes} AS c",
            new = found(&["new"]),
            late = found(&["late"]),
            changed = found(&["changed"]),
            clash = found(&["clash"]),
            count = load.dialect.function("count"),
            address = Ident::fixed(ADDRESS),
            deleted,
            again = found(&["again"]),
            deduplicated = RunValue::RowsDeduplicated,
            skipped = RunValue::RowsSkipped,
            older = found(&["older"]),
            changes = load.changes()
        ),
        Answer::Read(vec![
            RunValue::RowsNew,
            RunValue::RowsLate,
            RunValue::RowsChanged,
            RunValue::RowsClash,
            RunValue::RowsEnded,
            RunValue::RowsDeleted,
            RunValue::RowsRepeated,
            RunValue::RowsDeduplicated,
            RunValue::RowsSkipped,
        ]),
    );
}
