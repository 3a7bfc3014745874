//! History by event time with few rows: neighbours of one value are one row, which knows when it was confirmed last. For
//! sources that repeat themselves. Of a stretch only both ends are known, so an event of another value that comes late and
//! falls inside holds until the last confirmation; the run counts it.

use super::find::{self, EVENT, NEXT};
use super::{DELETED, Events, check, guards};
use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::PipelineOptions;
use crate::dialect::{ColumnValue, Dialect, Measure, RowOrder};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::PastRun;
use crate::pipeline::strategy::{
    EventColumns, HistoryColumns, Invariant, KeyNeed, LoadStrategy, ReadingNeed, Requirement, Unique,
};
use crate::pipeline::{LoadColumn, Resolved, Rewind};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Warning};
use crate::reading::changes::{self, CHANGE};
use crate::reading::{self, stage, watermark};
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, Table};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use crate::strategies::rehash;
use crate::types::DataType;

/// The last event that has a version's value.
const CONFIRMED: &str = "_ematix_confirmed";
/// Whether a point is of this reading.
const FRESH: &str = "_ematix_fresh";
/// Whether a current version ends.
const ENDS: &str = "_ematix_ends";

/// A history by event time in which repeated values are one row.
#[derive(Debug)]
pub struct Collapsed {
    events: Events,
    /// When the value was confirmed last.
    confirmed: Ident,
}

impl Collapsed {
    /// What options make of it.
    pub fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Collapsed {
        Collapsed { events: Events::of(check, options), confirmed: Ident::fixed("confirmed_at") }
    }
}

impl LoadStrategy for Collapsed {
    fn mode(&self) -> Mode {
        Mode::Scd2
    }

    fn check_columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        self.events.columns(check, table, keys);
        check.not_declared("repeats", &self.confirmed, table, true);
    }

    fn managed_columns(&self, table: &Table) -> Vec<Column> {
        let mut columns = self.events.managed_columns(table);
        columns.pop();
        columns.push(Column::of(&self.confirmed, DataType::TimestampTz, false));
        columns
    }

    fn keys(&self) -> KeyNeed {
        self.events.keys()
    }

    fn compared(&self, load: &Resolved<'_>) -> Result<Vec<Ident>> {
        let compared = self.events.compared(load)?;
        let data_type = load.type_of(&self.events.event);
        match load.dialect.measure(data_type) {
            Measure::Instant { .. } => Ok(compared),
            // A version that is split begins anew, at a time that was kept as an instant.
            _ => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "`repeats = \"collapse\"` keeps times as instants, and `{}` is {}",
                    self.events.event, data_type.name
                ),
            )
            .hint("make it timestamptz in the query, as in at AT TIME ZONE 'UTC', and in the declaration")),
        }
    }

    fn held(&self) -> Option<Sql> {
        self.events.held()
    }

    fn reading(&self, load: &Resolved<'_>) -> ReadingNeed {
        self.events.reading(load)
    }

    fn unique(&self, table: &Table, keys: &[Ident]) -> Vec<Unique> {
        self.events.unique(table, keys)
    }

    fn requirements(&self, load: &Resolved<'_>) -> Vec<Requirement> {
        self.events.requirements(load)
    }

    /// What is merged into its neighbour is deleted.
    fn privileges(&self) -> &'static [&'static str] {
        &["SELECT", "INSERT", "UPDATE", "DELETE"]
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        if load.need.in_full {
            return Err(FlowError::new(
                ErrorCode::Drift,
                format!("the compare columns of {} have changed, and repeated values are one row there", load.table.name),
            )
            .hint("what a repeated event said is not kept, so no version can be judged anew: load into a new target"));
        }
        reading::steps(load, None, plan)?;
        guards::over_stage(&self.events, load, plan);
        if !load.creates {
            let lock = load.dialect.lock_table(&load.table.name);
            plan.step(StepKind::Lock, "keep other writers out", lock, Answer::Ignore);
        }
        self.find(load, plan);
        guards::no_conflict(&self.events, load, plan);
        if !load.creates {
            self.write_known(load, plan);
        }
        self.insert(load, plan);
        guards::stand(&self.events, load, plan);
        watermark::steps(load, plan)
    }

    fn rewind(&self, rewind: &Rewind<'_>, _: &mut PlanBuilder<'_>) -> Result<()> {
        Err(rewind.refused("it keeps no events, only the stretches in which a value stayed the same"))
    }

    fn settle(&self, values: &mut Values) {
        self.events.settle(values);
    }

    fn compare_set(&self, load: &Resolved<'_>) -> Option<Vec<String>> {
        Some(rehash::compare_set(load))
    }

    fn declared(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.events.declared()
    }

    fn invariants(&self, dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
        check::invariants(&self.events, dialect, target, keys)
    }

    fn hash_invariant(
        &self,
        dialect: &dyn Dialect,
        target: &QualifiedName,
        keys: &[Ident],
        hashed: &[ColumnValue<'_>],
    ) -> Option<Invariant> {
        self.events.hash_invariant(dialect, target, keys, hashed)
    }

    fn written_by(&self, _: &PastRun, _: &dyn Dialect) -> Result<Sql> {
        let message = "a history with repeats = \"collapse\" keeps no mark of the run that wrote a row";
        Err(FlowError::new(ErrorCode::OptionNotForMode, message)
            .hint("--as-of gives the rows that were valid at an instant"))
    }

    fn history(&self) -> Option<HistoryColumns<'_>> {
        let of_events = self.events.history()?;
        let event = EventColumns {
            deleted: &self.events.deleted,
            run: None,
            confirmed: Some(&self.confirmed),
            ttl: None,
        };
        Some(HistoryColumns { event: Some(event), ..of_events })
    }
}

impl Collapsed {
    /// The points in time of the affected keys, and the stretches of one value that they make.
    fn find(&self, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
        let (points, found) = (load.stage_name("points"), load.changes());
        builder.leftovers.extend([points.clone(), found.clone()]);
        builder.step(
            StepKind::Diff,
            "the times at which the keys of this reading have a value",
            load.dialect.create_stage_as(&points, self.points(load), RowOrder::Unknown),
            Answer::Ignore,
        );
        let from = sql!(
            "\n  FROM (SELECT {fresh} AS fresh\n          FROM {points} AS c) AS p",
            fresh = load.dialect.count_where(&sql!("c.{fresh}", fresh = Ident::fixed(FRESH))),
            points
        );
        find::count_repeated(Sql::text("p.fresh"), from, builder);
        let names: Vec<&str> = load.compared.iter().map(|name| name.as_str()).collect();
        builder.step(
            StepKind::Diff,
            format!("the stretches in which {} stays the same", names.join(", ")),
            load.dialect.create_stage_as(&found, self.stretches(load, &points), RowOrder::Unknown),
            Answer::Ignore,
        );
        if !load.creates {
            self.warn_of_split(load, &points, builder);
        }
        self.count(load, builder);
    }

    /// The events of this reading, and both ends of the versions that their keys have.
    fn points(&self, load: &Resolved<'_>) -> Sql {
        let Events { begin, deleted, hash, .. } = &self.events;
        let (event, own_hash) = (Ident::fixed(EVENT), Ident::fixed(stage::HASH));
        let (own_deleted, fresh) = (Ident::fixed(DELETED), Ident::fixed(FRESH));
        let numbered = find::numbered(&self.events, load);
        let mut out = sql!(
            "SELECT {values},\n       {digest} AS {own_hash},\n       s.{event}, {deletes} AS {own_deleted}, TRUE AS {fresh}\n  FROM {numbered}\n WHERE NOT coalesce({repeated}, FALSE)",
            values = load.named_values(),
            digest = stage::row_hash(load, "s", |name| sql!("s.{name}", name)),
            own_hash,
            event,
            deletes = find::deletes(&self.events, "s"),
            own_deleted,
            fresh,
            numbered,
            repeated = find::is_repeated()
        );
        if load.creates {
            return out;
        }
        // The version that a point begins would have its time.
        let values = |time: &Ident| {
            let value = |column: &LoadColumn| match column.name == self.events.event {
                true => sql!("t.{time}", time),
                false => sql!("t.{name}", name = column.name),
            };
            Sql::join(load.columns.iter().map(value), ", ")
        };
        let end = |time: &Ident, besides: Sql| {
            sql!(
                "\nUNION ALL\nSELECT {values}, t.{hash}, t.{time}, t.{deleted}, FALSE\n  FROM {target} AS t\n WHERE EXISTS (SELECT 1 FROM {stage} AS s WHERE {same}){besides}\n   AND NOT EXISTS (SELECT 1 FROM {stage} AS s WHERE {same} AND {at} = t.{time})",
                values = values(time),
                hash,
                time,
                deleted,
                target = load.table.name,
                stage = load.source(),
                same = load.keys_equal("t", |key| sql!("s.{key}", key)),
                besides,
                at = self.events.time(load, &sql!("s.{event}", event = self.events.event))
            )
        };
        out.push(&end(begin, Sql::empty()));
        let longer = sql!("\n   AND t.{confirmed} > t.{begin}", confirmed = self.confirmed, begin);
        out.push(&end(&self.confirmed, longer));
        out
    }

    /// Neighbours of one value as one row, and what becomes of it.
    fn stretches(&self, load: &Resolved<'_>, points: &QualifiedName) -> Sql {
        let Events { begin, end, current, deleted, hash, .. } = &self.events;
        let [event, own_hash, own_deleted, fresh] = [EVENT, stage::HASH, DELETED, FRESH].map(Ident::fixed);
        let [next, confirmed] = [NEXT, CONFIRMED].map(Ident::fixed);
        let [prior, last, breaks] = ["_ematix_prior", "_ematix_last", "_ematix_breaks"].map(Ident::fixed);
        let function = |name| load.dialect.function(name);
        let lag = |name: &Ident| sql!("{lag}(p.{name}) OVER w", lag = function("lag"), name);
        let (kind, beside) = match load.creates {
            true => (Sql::text("'new'"), Sql::empty()),
            false => (
                sql!(
                    "CASE WHEN t.{begin} IS NULL THEN 'new'\n            WHEN t.{hash} IS DISTINCT FROM y.{own_hash} OR t.{deleted} <> y.{own_deleted} THEN 'changed'\n            WHEN t.{end} IS DISTINCT FROM y.{next} OR t.{to} <> y.{confirmed} THEN 'moved'\n            ELSE 'same' END",
                    begin,
                    hash,
                    own_hash,
                    deleted,
                    own_deleted,
                    end,
                    next,
                    to = self.confirmed,
                    confirmed
                ),
                sql!(
                    "\n  LEFT JOIN {target} AS t ON {same} AND t.{begin} = y.{event}",
                    target = load.table.name,
                    same = load.keys_equal("t", |key| sql!("y.{key}", key)),
                    begin,
                    event
                ),
            ),
        };
        let ended = match load.creates {
            true => Sql::text("FALSE"),
            false => sql!("coalesce(t.{current} AND y.{next} IS NOT NULL, FALSE)", current, next),
        };
        sql!(
            "SELECT {values}, y.{own_hash}, y.{event}, y.{own_deleted}, y.{fresh}, y.{next}, y.{confirmed},\n       {ended} AS {ends},\n       {kind} AS {change}\n  FROM (SELECT x.*,\n               {lead}(x.{event}) OVER g AS {next},\n               CASE WHEN {lead}(x.{event}) OVER g IS NULL THEN x.{last}\n                    ELSE {lead}(x.{prior}) OVER g END AS {confirmed}\n          FROM (SELECT p.*,\n                       {lag_event} AS {prior},\n                       {last_value}(p.{event}) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS {last},\n                       {lag_event} IS NULL OR {lag_hash} IS DISTINCT FROM p.{own_hash}\n                    OR {lag_deleted} IS DISTINCT FROM p.{own_deleted} AS {breaks}\n                  FROM {points} AS p\n                WINDOW w AS (PARTITION BY {keys_p} ORDER BY p.{event})) AS x\n         WHERE x.{breaks}\n        WINDOW g AS (PARTITION BY {keys_x} ORDER BY x.{event})) AS y{beside}",
            values = load.columns_of("y"),
            own_hash,
            event,
            own_deleted,
            fresh,
            next,
            confirmed,
            ended,
            ends = Ident::fixed(ENDS),
            kind,
            change = Ident::fixed(CHANGE),
            lead = function("lead"),
            last,
            prior,
            lag_event = lag(&event),
            last_value = function("last_value"),
            lag_hash = lag(&own_hash),
            lag_deleted = lag(&own_deleted),
            breaks,
            points,
            keys_p = load.keys_of("p"),
            keys_x = load.keys_of("x"),
            beside
        )
    }

    /// What is not known for certain is said: nothing tells where inside of a stretch its value was confirmed.
    fn warn_of_split(&self, load: &Resolved<'_>, points: &QualifiedName, builder: &mut PlanBuilder<'_>) {
        let Events { begin, deleted, hash, .. } = &self.events;
        let sql = sql!(
            "SELECT {count}(*) AS count\n  FROM {points} AS c\n  JOIN {target} AS t ON {same} AND t.{begin} <= c.{event} AND c.{event} <= t.{confirmed}\n   AND t.{begin} < t.{confirmed}\n WHERE c.{fresh}\n   AND (t.{hash} IS DISTINCT FROM c.{own_hash} OR t.{deleted} <> c.{own_deleted})",
            count = load.dialect.function("count"),
            points,
            target = load.table.name,
            same = load.keys_equal("t", |key| sql!("c.{key}", key)),
            begin,
            event = Ident::fixed(EVENT),
            confirmed = self.confirmed,
            fresh = Ident::fixed(FRESH),
            hash,
            own_hash = Ident::fixed(stage::HASH),
            deleted,
            own_deleted = Ident::fixed(DELETED)
        );
        builder.step(
            StepKind::Diff,
            "count events that fall late into a stretch of another value",
            sql,
            Answer::Warn(Warning {
                many: "{count} events fell late into stretches of another value, which were confirmed after them: their value holds until the last confirmation".to_owned(),
                one: "1 event fell late into a stretch of another value, which was confirmed after it: its value holds until the last confirmation".to_owned(),
            }),
        );
    }

    fn count(&self, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
        let fresh = Ident::fixed(FRESH);
        let of = |kind: &'static str| sql!("{kind} AND c.{fresh}", kind = changes::of_kind(&[kind]), fresh);
        let count = |condition: Sql| load.dialect.count_where(&condition);
        let deleted = match load.creates {
            true => Sql::text("0"),
            false => count(sql!("{new} AND c.{deleted}", new = of("new"), deleted = Ident::fixed(DELETED))),
        };
        builder.step(
            StepKind::Diff,
            "count what was found",
            sql!(
                "SELECT {inserted} AS rows_inserted,\n       {updated} AS rows_updated,\n       {deleted} AS rows_deleted,\n       {ended} AS rows_closed_out,\n       {new} AS rows_new,\n       {changed} AS rows_changed\n  FROM {changes} AS c",
                inserted = count(of("new")),
                updated = count(of("changed")),
                deleted,
                ended = count(sql!("c.{ends}", ends = Ident::fixed(ENDS))),
                new = count(changes::of_kind(&["new"])),
                changed = count(changes::of_kind(&["changed", "moved"])),
                changes = load.changes()
            ),
            Answer::Read(vec![
                RunValue::RowsInserted,
                RunValue::RowsUpdated,
                RunValue::RowsDeleted,
                RunValue::RowsClosedOut,
                RunValue::RowsNew,
                RunValue::RowsChanged,
            ]),
        );
    }

    /// Versions that begin no more, then those that end, then those that do not: no key has two current ones on the way.
    fn write_known(&self, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
        let Events { begin, end, current, deleted, hash, event, .. } = &self.events;
        let (target, found) = (&load.table.name, load.changes());
        let (time, next) = (Ident::fixed(EVENT), Ident::fixed(NEXT));
        let sql = sql!(
            "DELETE FROM {target} AS t\n WHERE EXISTS (SELECT 1 FROM {found} AS c WHERE {same})\n   AND NOT EXISTS (SELECT 1 FROM {found} AS c WHERE {same} AND c.{time} = t.{begin})",
            target,
            found,
            same = load.keys_equal("t", |key| sql!("c.{key}", key)),
            time,
            begin
        );
        builder.step(
            StepKind::Delete,
            "delete versions that an earlier event of their value begins",
            sql,
            Answer::Ignore,
        );
        let names = load.column_names().into_iter().filter(|name| !load.keys.contains(name) && name != event);
        let mut assignments: Vec<Sql> = names.map(|name| sql!("{name} = c.{name}", name)).collect();
        assignments.extend([
            sql!("{deleted} = c.{own}", deleted, own = Ident::fixed(DELETED)),
            sql!("{end} = c.{next}", end, next),
            sql!("{current} = (c.{next} IS NULL)", current, next),
            sql!("{hash} = c.{own}", hash, own = Ident::fixed(stage::HASH)),
            sql!("{to} = c.{confirmed}", to = self.confirmed, confirmed = Ident::fixed(CONFIRMED)),
        ]);
        let of_kind = changes::of_kind(&["changed", "moved"]);
        for (which, purpose) in [
            (sql!("c.{next} IS NOT NULL", next), "write versions that others follow"),
            (sql!("c.{next} IS NULL", next), "write current versions"),
        ] {
            let condition = sql!(
                "{same} AND t.{begin} = c.{time}\n   AND {of_kind}\n   AND {which}",
                same = load.keys_equal("t", |key| sql!("c.{key}", key)),
                begin,
                time,
                of_kind,
                which
            );
            let from = sql!("{found} AS c", found);
            let sql = load.dialect.update_from(target, assignments.clone(), from, condition);
            builder.step_if(RunValue::RowsChanged, StepKind::Update, purpose, sql, Answer::Ignore);
        }
    }

    fn insert(&self, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
        let Events { begin, end, current, deleted, hash, .. } = &self.events;
        let mut names = load.column_names();
        names.extend([deleted, begin, end, current, hash, &self.confirmed].map(Clone::clone));
        let sql = sql!(
            "INSERT INTO {target} ({names})\nSELECT {values},\n       c.{own_deleted}, c.{event}, c.{next}, c.{next} IS NULL,\n       c.{own_hash}, c.{confirmed}\n  FROM {found} AS c\n WHERE {new}",
            target = load.table.name,
            names,
            values = load.columns_of("c"),
            own_deleted = Ident::fixed(DELETED),
            event = Ident::fixed(EVENT),
            next = Ident::fixed(NEXT),
            own_hash = Ident::fixed(stage::HASH),
            confirmed = Ident::fixed(CONFIRMED),
            found = load.changes(),
            new = changes::of_kind(&["new"])
        );
        builder.step_if(
            RunValue::RowsNew,
            StepKind::Insert,
            "insert versions that begin",
            sql,
            Answer::Ignore,
        );
    }
}
