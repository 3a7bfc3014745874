//! What the times of events must hold, and where two values of a key at one time contradict each other.

use super::find::{self, EVENT};
use super::{Events, check};
use crate::declare::options::OnSameTime;
use crate::error::ErrorCode;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::reading::changes;
use crate::reading::guards::ROWS;
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::DataType;
use std::time::Duration;

/// How far after the run an event may lie: clocks differ, days do not.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Every event has a time, and none lies far ahead.
pub fn over_stage(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let column = &events.event;
    let time = events.time(load, &sql!("s.{column}", column));
    let none =
        sql!("s.{column} IS NULL OR {time} = {begin}", column, time, begin = load.instant_of("-infinity"));
    let ahead = sql!(
        "{time} > {instant} + {day}",
        time,
        instant = load.instant(),
        day = load.dialect.duration(AHEAD)
    );
    builder.step(
        StepKind::Guard,
        format!("count events without a time or far ahead ({column})"),
        sql!(
            "SELECT {none} AS rows_null_event,\n       {ahead} AS rows_future_event\n  FROM {stage} AS s",
            none = load.dialect.count_where(&none),
            ahead = load.dialect.count_where(&ahead),
            stage = load.source()
        ),
        Answer::Read(vec![RunValue::RowsNullEvent, RunValue::RowsFutureEvent]),
    );
    let name = &load.pipeline.name;
    let mut refuse = |value: RunValue, code, purpose: String, [many, one]: [String; 2], hint: &str| {
        builder.step_if(
            value,
            StepKind::Guard,
            purpose,
            sql!("SELECT {value} AS count", value),
            Answer::NoRows(GuardFailure {
                code,
                message: format!("{{count}} rows of `{name}` {many}"),
                one: format!("{{count}} row of `{name}` {one}"),
                sample: Vec::new(),
                hint: hint.to_owned(),
            }),
        );
    };
    refuse(
        RunValue::RowsNullEvent,
        ErrorCode::NullEventTime,
        format!("every event has a time ({column})   expects no rows"),
        ["have", "has"].map(|has| format!("{has} no time in {column}: NULL or -infinity")),
        "leave such rows out in the query, or give them the time at which they hold",
    );
    refuse(
        RunValue::RowsFutureEvent,
        ErrorCode::FutureEvent,
        format!("no event lies far ahead ({column})   expects no rows"),
        ["lie", "lies"].map(|lies| format!("{lies} more than a day after this run, by {column}")),
        "mend the times in the query: an event of the future would stand for the present until then",
    );
}

/// A trigger of the target may keep an event from ending: then the whole history is asked.
pub fn stand(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if load.triggers().is_empty() {
        return;
    }
    let (table, triggers) = (&load.table.name, load.triggers().join(", "));
    let stop = |message, one| {
        Answer::NoRows(GuardFailure {
            code: ErrorCode::TargetFailed,
            message,
            one,
            sample: Vec::new(),
            hint: format!(
                "a trigger changes what is written ({triggers}): let it pass the columns of the history"
            ),
        })
    };
    for invariant in check::invariants(events, load.dialect, table, &load.keys) {
        invariant.guard(table, load.dialect, stop, builder);
    }
}

/// Rows of one reading that stand for one event must have one value, unless something decides.
pub fn no_conflict(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let time = Ident::fixed(EVENT);
    let digest = Ident::fixed("_ematix_digest");
    let count = load.dialect.function("count");
    let keys = load.keys_of("d");
    let value = |name: &Ident| sql!("s.{name}", name);
    // Only the rows that nothing decides against.
    let (decided, first) = match &events.order {
        Some(order) => {
            let rank = Ident::fixed("_ematix_place");
            let direction = if order.greatest { Sql::text("DESC") } else { Sql::text("ASC") };
            let placed = sql!(
                ",\n               {rank}() OVER (PARTITION BY {stage_keys}, s.{time} ORDER BY s.{column} {direction} NULLS LAST) AS {place}",
                rank = load.dialect.function("rank"),
                stage_keys = load.keys_of("s"),
                time,
                column = order.column,
                direction,
                place = rank
            );
            (placed, sql!("\n         WHERE d.{rank} = 1", rank))
        }
        None => (Sql::empty(), Sql::empty()),
    };
    let deletes = find::deletes(events, "s");
    let rows = sql!(
        "SELECT {keys}, s.{time}, {deletes} AS {deleted},\n               {hash} AS {digest}{decided}\n          FROM {numbered}",
        keys = load.keys_of("s"),
        time,
        deletes,
        deleted = Ident::fixed("_ematix_deletes"),
        hash = load.row_digest(value),
        digest,
        decided,
        numbered = find::numbered(events, load)
    );
    let several = sql!(
        "SELECT {keys}, d.{time}, {count}(*) AS {rows_of}\n          FROM ({rows}) AS d{first}\n         GROUP BY {keys}, d.{time}\n        HAVING {count}(DISTINCT d.{digest}) > 1 OR {count}(DISTINCT d.{deleted}) > 1",
        keys,
        time,
        count,
        rows_of = Ident::fixed(ROWS),
        rows,
        first,
        digest,
        deleted = Ident::fixed("_ematix_deletes")
    );
    contradiction(
        events,
        load,
        RunValue::RowsRepeated,
        several,
        "have several values at one time in this reading",
        "has several values at one time in this reading",
        "say which stands: order_by = \"a_column DESC\", or make the query return one row for each key and time",
        builder,
    );
}

/// Another value at a time that is known ends the run, where it is asked for.
pub fn no_clash(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if events.on_same_time != OnSameTime::Error {
        return;
    }
    let clashes = sql!(
        "SELECT {keys}, c.{time}, 2 AS {rows_of}\n          FROM {changes} AS c\n         WHERE {clash}",
        keys = load.keys_of("c"),
        time = Ident::fixed(EVENT),
        rows_of = Ident::fixed(ROWS),
        changes = load.changes(),
        clash = changes::of_kind(&["clash"])
    );
    contradiction(
        events,
        load,
        RunValue::RowsClash,
        clashes,
        "have another value than the history at the same time",
        "has another value than the history at the same time",
        "if it is a correction, set on_same_time = \"replace\"; \"keep\" leaves what stands",
        builder,
    );
}

#[expect(clippy::too_many_arguments, reason = "what one message says")]
fn contradiction(
    events: &Events,
    load: &Resolved<'_>,
    when: RunValue,
    rows: Sql,
    many: &str,
    one: &str,
    hint: &str,
    builder: &mut PlanBuilder<'_>,
) {
    let text = load.type_name(&DataType::Text);
    let time = Ident::fixed(EVENT);
    let mut texts: Vec<Sql> =
        load.keys.iter().map(|key| load.dialect.cast_to(&sql!("d.{key}", key), &text)).collect();
    texts.push(load.dialect.iso_instant(&sql!("d.{time}", time)));
    let texts = Sql::join(texts, ", ");
    let name = &load.pipeline.name;
    let mut sample: Vec<String> = load.keys.iter().map(ToString::to_string).collect();
    sample.push(events.event.to_string());
    builder.step_if(
        when,
        StepKind::Guard,
        "no events contradict each other   expects no rows",
        sql!(
            "SELECT {count}(*) OVER () AS count, {texts}, d.{rows_of}\n  FROM ({rows}) AS d\n ORDER BY {texts}\n LIMIT 5",
            count = load.dialect.function("count"),
            texts,
            rows_of = Ident::fixed(ROWS),
            rows
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::ConflictingEvents,
            message: format!("{{count}} events of `{name}` {many}"),
            one: format!("{{count}} event of `{name}` {one}"),
            sample,
            hint: hint.to_owned(),
        }),
    );
}
