//! SCD type 2 by event time: the source says when something happened, and the table holds one row for each key and time,
//! valid until the key's next one. An event that comes late finds its place and touches only its neighbours, so the same
//! events in any order and any batches give the same table. What is corrected is kept beside the table.

mod apply;
mod beside;
mod check;
mod collapsed;
mod find;
mod guards;
mod options;
mod rewind;

pub use beside::{SUPERSEDED_BY, superseded};
pub use collapsed::Collapsed;
pub use options::Events;

use super::rehash;
use crate::check::Check;
use crate::declare::Mode;
use crate::dialect::{ColumnValue, Dialect, Measure};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{PastRun, SourcePart};
use crate::pipeline::strategy::{
    Beside, EventColumns, HistoryColumns, Invariant, JoinedBy, KeyNeed, LoadStrategy, ReadingNeed,
    Requirement, Unique, Versions, event_end,
};
use crate::pipeline::{Pipeline, Resolved, Rewind};
use crate::plan::builder::PlanBuilder;
use crate::reading::{self, watermark};
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, Table};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// The number of the run that wrote the values of an event.
pub const RUN: &str = "_run";

/// The column of the stage that is true where an event deletes its key.
const DELETED: &str = "_ematix_deleted";

impl LoadStrategy for Events {
    fn mode(&self) -> Mode {
        Mode::Scd2
    }

    fn check_columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        self.columns(check, table, keys);
    }

    /// Whether it deletes; begin, end, newest event and row hash of every event; and the run that wrote it.
    fn managed_columns(&self, _: &Table) -> Vec<Column> {
        vec![
            Column::of(&self.deleted, DataType::Boolean, false),
            Column::of(&self.begin, DataType::TimestampTz, false),
            Column::of(&self.end, DataType::TimestampTz, true),
            Column::of(&self.current, DataType::Boolean, false),
            Column::of(&self.hash, DataType::Bytes, false),
            Column::of(&self.run, DataType::BigInt, false),
        ]
    }

    fn keys(&self) -> KeyNeed {
        KeyNeed::OfEvents
    }

    /// All that the source fills but the keys, the time, what decides between two values, and the incremental column.
    fn compared(&self, load: &Resolved<'_>) -> Result<Vec<Ident>> {
        self.fits(load)?;
        let incremental = load.pipeline.incremental.as_ref().map(|incremental| &incremental.column);
        let order = self.order.as_ref().map(|order| &order.column);
        let names: Vec<Ident> = match &self.compare_columns {
            Some(names) => names.clone(),
            None => load
                .columns
                .iter()
                .map(|column| &column.name)
                .filter(|name| {
                    !load.keys.contains(name)
                        && **name != self.event
                        && incremental != Some(*name)
                        && order != Some(*name)
                })
                .cloned()
                .collect(),
        };
        match names.iter().find(|name| load.filled(name).is_none()) {
            Some(name) => Err(not_filled(name, "compared")),
            None => Ok(names),
        }
    }

    /// The newest events, where they do not delete.
    fn held(&self) -> Option<Sql> {
        Some(sql!("t.{current} AND NOT t.{deleted}", current = self.current, deleted = self.deleted))
    }

    fn reading(&self, load: &Resolved<'_>) -> ReadingNeed {
        let rehashes = rehash::rehashes(load);
        ReadingNeed {
            in_place: false,
            twice: true,
            in_full: rehashes,
            joined_by: JoinedBy::Keys,
            versions: Some(Versions {
                hash: self.hash.clone(),
                current: self.current.clone(),
                gone: false,
                unfit: Some("events are compared by their time"),
            }),
            beside: self
                .delete_when
                .iter()
                .map(|condition| Beside {
                    name: Ident::fixed(DELETED),
                    data_type: DataType::Boolean,
                    value: sql!("coalesce({condition}, FALSE)", condition = Sql::user(condition)),
                })
                .collect(),
        }
    }

    /// A key has one row at a time, and one newest event.
    fn unique(&self, _: &Table, keys: &[Ident]) -> Vec<Unique> {
        let mut events = keys.to_vec();
        events.push(self.begin.clone());
        vec![
            Unique { columns: events, among: None, primary_key: true },
            Unique { columns: keys.to_vec(), among: Some(self.current.clone()), primary_key: false },
        ]
    }

    fn requirements(&self, load: &Resolved<'_>) -> Vec<Requirement> {
        let unique = self.unique(&load.table, &load.keys).into_iter().map(Requirement::Unique);
        let checks = [
            Requirement::Check {
                suffix: "period",
                holds: "an event ends after it begins",
                condition: sql!("{end} IS NULL OR {begin} < {end}", end = self.end, begin = self.begin),
            },
            Requirement::Check {
                suffix: "open",
                holds: "only the newest event of a key may have no end",
                condition: sql!("{current} OR {end} IS NOT NULL", current = self.current, end = self.end),
            },
        ];
        unique.chain(checks).collect()
    }

    fn privileges(&self) -> &'static [&'static str] {
        &["SELECT", "INSERT", "UPDATE"]
    }

    fn follows(&self, table: &QualifiedName) -> Vec<QualifiedName> {
        vec![beside::superseded(table)]
    }

    fn prepare(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) {
        beside::drop_changes(load, plan);
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        if load.need.in_full {
            rehash::mark(load, plan)?;
        }
        if let Measure::LocalTime | Measure::Date = load.dialect.measure(load.type_of(&self.event)) {
            plan.note(format!("{} has no time zone: it is read as UTC", self.event));
        }
        reading::steps(load, None, plan)?;
        guards::over_stage(self, load, plan);
        if load.creates {
            beside::refuse_others(load, plan);
            apply::first_load(self, load, plan);
            beside::create(self, load, plan);
        } else {
            if beside::is_taken_over(load) {
                beside::refuse_others(load, plan);
                beside::create(self, load, plan);
            }
            apply::changes(self, load, plan);
        }
        beside::show_changes(self, load, plan);
        watermark::steps(load, plan)
    }

    /// Every event finds its place, whatever lies before and after it.
    fn backfills(&self, _: &Pipeline, _: &SourcePart) -> Result<()> {
        Ok(())
    }

    fn part_by<'a>(&'a self, _: &'a Pipeline) -> Result<&'a Ident> {
        Ok(&self.event)
    }

    fn rewind(&self, rewind: &Rewind<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        rewind::steps(self, rewind, plan)
    }

    fn settle(&self, values: &mut Values) {
        values.set(RunValue::RowsUnchanged, super::rest(values) - values.number(RunValue::RowsSkipped));
    }

    fn compare_set(&self, load: &Resolved<'_>) -> Option<Vec<String>> {
        Some(rehash::compare_set(load))
    }

    fn declared(&self) -> Vec<(&'static str, serde_json::Value)> {
        let ttl = self.ttl.as_ref().map(|ttl| serde_json::Value::from(ttl.in_one_unit()));
        let mut all = vec![("event_timestamp_column", serde_json::Value::from(self.event.to_string()))];
        all.extend(ttl.map(|ttl| ("ttl", ttl)));
        all
    }

    fn invariants(&self, dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
        check::invariants(self, dialect, target, keys)
    }

    fn hash_invariant(
        &self,
        dialect: &dyn Dialect,
        target: &QualifiedName,
        keys: &[Ident],
        hashed: &[ColumnValue<'_>],
    ) -> Option<Invariant> {
        Some(check::hash_invariant(self, dialect, target, keys, hashed))
    }

    /// An event whose end a later one moved was not written by that one's run: its end is no value of its own.
    fn written_by(&self, run: &PastRun, _: &dyn Dialect) -> Result<Sql> {
        Ok(sql!("t.{number} = {run}", number = self.run, run = Literal::Integer(run.number)))
    }

    fn history(&self) -> Option<HistoryColumns<'_>> {
        Some(HistoryColumns {
            begin: &self.begin,
            end: &self.end,
            current: &self.current,
            hash: &self.hash,
            event: Some(EventColumns {
                deleted: &self.deleted,
                run: Some(&self.run),
                confirmed: None,
                ttl: self.ttl.as_ref(),
            }),
        })
    }
}

impl Events {
    /// The time must be one, and what decides must be there.
    fn fits(&self, load: &Resolved<'_>) -> Result<()> {
        if load.filled(&self.event).is_none() {
            return Err(not_filled(&self.event, "the time of an event"));
        }
        if let Some(order) = &self.order
            && load.filled(&order.column).is_none()
        {
            return Err(not_filled(&order.column, "to decide between two values at one time"));
        }
        let data_type = load.type_of(&self.event);
        match load.dialect.measure(data_type) {
            Measure::Instant { .. } | Measure::LocalTime | Measure::Date => Ok(()),
            Measure::Number | Measure::Unmeasured => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("event_timestamp_column `{}` is {}, which is no time", self.event, data_type.name),
            )
            .hint("make it one in the query, as in to_timestamp(seconds), and declare it timestamptz")),
        }
    }

    /// The time of an event, for a value of its column.
    fn time(&self, load: &Resolved<'_>, value: &Sql) -> Sql {
        load.dialect.to_instant(load.type_of(&self.event), value)
    }

    /// Where an event ends that begins there, and is followed by another then; NULL for none.
    fn end_of(&self, load: &Resolved<'_>, begin: &Sql, next: &Sql) -> Sql {
        self.ends(load.dialect, begin, next)
    }

    fn ends(&self, dialect: &dyn Dialect, begin: &Sql, next: &Sql) -> Sql {
        event_end(dialect, self.ttl.as_ref(), begin, next)
    }

    /// The names of the columns that it keeps.
    fn managed_names(&self) -> Vec<Ident> {
        [&self.deleted, &self.begin, &self.end, &self.current, &self.hash, &self.run]
            .map(Clone::clone)
            .to_vec()
    }
}

fn not_filled(name: &Ident, what: &str) -> FlowError {
    FlowError::new(
        ErrorCode::UnknownColumn,
        format!("the source does not fill the column `{name}`, which is {what}"),
    )
    .hint("add it to the query, or name another column")
}
