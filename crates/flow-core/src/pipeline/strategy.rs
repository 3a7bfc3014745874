//! What everybody asks of a load strategy. One file a strategy implements it; nobody else knows which one it is.

use super::{Incremental, Pipeline, Resolved, Rewind};
use crate::check::Check;
use crate::declare::Mode;
use crate::dialect::{ColumnValue, Dialect};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{PastRun, SourcePart};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::run_value::Values;
use crate::schema::{Column, LiveTable, Table, ddl};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use crate::types::DataType;
use std::fmt;

/// A load strategy.
pub trait LoadStrategy: fmt::Debug + Send + Sync {
    /// Its name.
    fn mode(&self) -> Mode;
    /// Holds the columns that its options name against the declared table.
    fn check_columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        let _ = (check, table, keys);
    }
    /// Whether keys that left the source are marked, closed or deleted.
    fn handles_deletes(&self) -> bool {
        false
    }
    /// The columns that it keeps beside the declared ones.
    fn managed_columns(&self, table: &Table) -> Vec<Column>;
    /// Whether it keeps one of them in this table, as it stands or of this engine.
    fn keeps(&self, _column: &Ident, _live: Option<&LiveTable>, _dialect: &dyn Dialect) -> bool {
        true
    }
    /// Whether it fills a declared column that the source lacks.
    fn fills(&self, column: &Ident) -> bool {
        let _ = column;
        false
    }
    /// Whether it adds its own columns to a table that lacks them, asked or not.
    fn adds_its_columns(&self) -> bool {
        false
    }
    /// What keys are to it.
    fn keys(&self) -> KeyNeed;
    /// The columns whose change counts.
    ///
    /// # Errors
    /// `unknown_column` for one that the source does not fill.
    fn compared(&self, load: &Resolved<'_>) -> Result<Vec<Ident>> {
        let _ = load;
        Ok(Vec::new())
    }
    /// Which rows `t` of the target stand for what the source has now; `None`: all of them.
    fn held(&self) -> Option<Sql> {
        None
    }
    /// The columns in which such a row is as the source has it.
    fn mirrored(&self, load: &Resolved<'_>) -> Vec<Ident> {
        load.compared.clone()
    }
    /// Whether rows that come from elsewhere may come into the target itself: all that it does with them is insert them.
    fn takes_rows_straight(&self, _load: &Resolved<'_>) -> bool {
        false
    }
    /// How it wants the source's rows.
    fn reading(&self, load: &Resolved<'_>) -> ReadingNeed;
    /// Which columns it keeps unique in a table.
    fn unique(&self, table: &Table, keys: &[Ident]) -> Vec<Unique> {
        let _ = (table, keys);
        Vec::new()
    }
    /// What the target must have, so that it can keep its word.
    fn requirements(&self, load: &Resolved<'_>) -> Vec<Requirement> {
        self.unique(&load.table, &load.keys).into_iter().map(Requirement::Unique).collect()
    }
    /// Looks at an existing target before it is loaded.
    ///
    /// # Errors
    /// `drift` where the table cannot become what the strategy makes of it.
    fn adopt(&self, load: &Resolved<'_>, live: &LiveTable) -> Result<()> {
        let _ = (load, live);
        Ok(())
    }
    /// Gives an existing table its own columns that are missing, where `migrate` allows it; whether it can.
    fn complete(&self, load: &Resolved<'_>, missing: &[&str], plan: &mut PlanBuilder<'_>) -> bool {
        let _ = (load, missing, plan);
        false
    }
    /// The privileges on an existing target that it needs.
    fn privileges(&self) -> &'static [&'static str];
    /// Whether it writes tables of its own where source and target are one database, the source is read in full, and no
    /// trigger of the target makes it count the rows before.
    fn stages(&self) -> bool {
        true
    }
    /// Whether rows that were loaded once may be read again.
    fn is_idempotent(&self) -> bool {
        true
    }
    /// Which rows `r` of the target stand when the load is done, beside those of the stage; `None` where no other does.
    fn stays(&self, load: &Resolved<'_>) -> Option<Sql> {
        if self.handles_deletes() {
            return None;
        }
        let mut conditions = Vec::new();
        if let Some(history) = self.history() {
            conditions.push(sql!("r.{current}", current = history.current));
        }
        if !load.keys.is_empty() {
            conditions.push(sql!(
                "NOT EXISTS (SELECT 1 FROM {stage} AS n WHERE {same})",
                stage = load.source(),
                same = load.keys_equal("r", |key| sql!("n.{key}", key))
            ));
        }
        match conditions.is_empty() {
            true => Some(Sql::text("TRUE")),
            false => Some(Sql::join(conditions, " AND ")),
        }
    }
    /// The tables beside a target whose columns follow its own.
    fn follows(&self, table: &QualifiedName) -> Vec<QualifiedName> {
        let _ = table;
        Vec::new()
    }
    /// Makes way before the definition of an existing target changes.
    fn prepare(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) {
        let _ = (load, plan);
    }
    /// Writes the steps from the reading to the last row.
    ///
    /// # Errors
    /// What makes the load impossible before it starts.
    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()>;
    /// Whether it may load the source once more: all of it, or a part.
    ///
    /// # Errors
    /// Why it may not.
    fn backfills(&self, pipeline: &Pipeline, part: &SourcePart) -> Result<()> {
        if part.is_all() {
            return Ok(());
        }
        let conflict = |message: &str, hint: &str| {
            Err(FlowError::new(ErrorCode::ConflictingOptions, format!("`{}` {message}", pipeline.name))
                .hint(hint))
        };
        if self.handles_deletes() {
            return conflict(
                "deletes what its source does not have: every key outside of the part would seem gone",
                "load all of it again: leave --from and --to out",
            );
        }
        if part.to.is_some() && !part.is_followed {
            return conflict(
                "keeps the last row that it reads of a key, and that may lie after --to",
                "leave --to out: what has changed since is read, too",
            );
        }
        self.part_by(pipeline).map(|_| ())
    }
    /// The column of the source by which a part of it is told.
    ///
    /// # Errors
    /// `missing_option` where there is none.
    fn part_by<'a>(&'a self, pipeline: &'a Pipeline) -> Result<&'a Ident> {
        pipeline.incremental.as_ref().map(|incremental| &incremental.column).ok_or_else(|| {
            let message = format!("`{}` has no column by which a part of its source is told", pipeline.name);
            FlowError::new(ErrorCode::MissingOption, message)
                .hint("name one as incremental_column, or load all of it again: leave --from and --to out")
        })
    }
    /// Writes the steps that put the target back to what a run had left. Before the first that writes, one counts what
    /// comes back as `rows_changed` and what goes as `rows_gone`.
    ///
    /// # Errors
    /// `option_not_for_mode` where it keeps nothing of what it writes over; `cannot_rewind` where this cannot be brought
    /// back, and why.
    fn rewind(&self, rewind: &Rewind<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        let _ = (rewind, plan);
        let message =
            format!("{} keeps nothing of what it writes over: only scd2 can be put back", self.mode());
        Err(FlowError::new(ErrorCode::OptionNotForMode, message)
            .hint("mend the source and run again, or restore the table from a backup"))
    }
    /// Works out the numbers that follow from others.
    fn settle(&self, values: &mut Values);
    /// The set of compare columns that is remembered with the target, in the order in which it is stored.
    fn compare_set(&self, load: &Resolved<'_>) -> Option<Vec<String>> {
        let _ = load;
        None
    }
    /// What is remembered of its options with the declaration of the target.
    fn declared(&self) -> Vec<(&'static str, serde_json::Value)> {
        Vec::new()
    }
    /// The source columns by which a ledger of what was loaded knows a row.
    ///
    /// # Errors
    /// `watermark_mismatch` where the ledger that exists knows rows by others.
    fn ledger(&self, load: &Resolved<'_>, incremental: &Incremental) -> Result<Option<Vec<String>>> {
        let _ = (load, incremental);
        Ok(None)
    }
    /// What must be true of every table that it has loaded.
    fn invariants(&self, dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
        let _ = (dialect, target, keys);
        Vec::new()
    }
    /// That the hash of each current version is that of these columns, where it keeps hashes.
    fn hash_invariant(
        &self,
        dialect: &dyn Dialect,
        target: &QualifiedName,
        keys: &[Ident],
        hashed: &[ColumnValue<'_>],
    ) -> Option<Invariant> {
        let _ = (dialect, target, keys, hashed);
        None
    }
    /// Which rows `t` of its table a run wrote or closed.
    ///
    /// # Errors
    /// `option_not_for_mode` where the table keeps no mark of the run that wrote a row.
    fn written_by(&self, run: &PastRun, dialect: &dyn Dialect) -> Result<Sql> {
        let _ = (run, dialect);
        let message = format!("{} keeps no mark of the run that wrote a row", self.mode());
        Err(FlowError::new(ErrorCode::OptionNotForMode, message)
            .hint("append keeps one in batch_id_column, and scd2 by when a version begins and ends"))
    }
    /// The columns of a history, if it keeps one.
    fn history(&self) -> Option<HistoryColumns<'_>> {
        None
    }
}

/// What keys are to a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNeed {
    /// It matches no rows, unless the pipeline itself says by what.
    None,
    /// They serve guards, where there are any.
    Optional,
    /// It cannot do without; they are unique in the whole table.
    OfRows,
    /// It cannot do without; they are unique among current versions.
    OfVersions,
    /// It cannot do without; they come again and again, each time with another time.
    OfEvents,
}

impl KeyNeed {
    /// Whether the strategy cannot do without.
    pub const fn is_required(self) -> bool {
        matches!(self, KeyNeed::OfRows | KeyNeed::OfVersions | KeyNeed::OfEvents)
    }
}

/// How a strategy wants the source's rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadingNeed {
    /// Whether a plain table may be read in place, by one statement.
    pub in_place: bool,
    /// Whether the rows are asked for in more than one statement.
    pub twice: bool,
    /// Whether the source is read in full although there is a watermark.
    pub in_full: bool,
    /// By which columns of the stage the load joins.
    pub joined_by: JoinedBy,
    /// The versions with which rows can be compared by their hashes.
    pub versions: Option<Versions>,
    /// What it wants to know of each row beside the loaded columns.
    pub beside: Vec<Beside>,
}

/// A column of the stage that the target does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
    /// Its value in a row of the source.
    pub value: Sql,
}

/// By what the stage is joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinedBy {
    /// By nothing: its rows are only inserted.
    #[default]
    Nothing,
    /// By the keys.
    Keys,
    /// By the hash of the source row, where the stage carries one.
    Identity,
}

/// Current versions that keep the hash of their row.
#[derive(Clone, Debug, PartialEq)]
pub struct Versions {
    /// The column of the hash.
    pub hash: Ident,
    /// The column that is true in current versions.
    pub current: Ident,
    /// Whether those whose key left the source are closed.
    pub gone: bool,
    /// Why the client cannot compare with them.
    pub unfit: Option<&'static str>,
}

/// Columns that are unique together.
#[derive(Clone, Debug, PartialEq)]
pub struct Unique {
    /// The columns.
    pub columns: Vec<Ident>,
    /// The column that is true in the rows among which they are, where it is not all.
    pub among: Option<Ident>,
    /// Whether they become the primary key of a table that we create.
    pub primary_key: bool,
}

/// What an existing table must have so that the strategy can keep its word.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    /// A unique index.
    Unique(Unique),
    /// A CHECK constraint.
    Check {
        /// The end of its name.
        suffix: &'static str,
        /// What it holds, in words.
        holds: &'static str,
        /// Its condition.
        condition: Sql,
    },
}

impl Requirement {
    /// Whether the live table, of that name, has it already.
    pub fn is_met(&self, table: &Ident, live: &LiveTable) -> bool {
        match self {
            Requirement::Unique(unique) => live.has_unique_index(&unique.columns, unique.among.as_ref()),
            Requirement::Check { suffix, .. } => ddl::has_check(live, table, suffix),
        }
    }

    /// Whether it stands for the primary key.
    pub fn is_primary_key(&self) -> bool {
        matches!(self, Requirement::Unique(Unique { primary_key: true, .. }))
    }

    /// The statement that makes it; empty where the target's engine keeps no such promise.
    pub fn sql(&self, load: &Resolved<'_>) -> Sql {
        let table = &load.table.name;
        match self {
            Requirement::Unique(unique) if unique.primary_key && load.creates => {
                load.dialect.add_primary_key(table, &unique.columns)
            }
            Requirement::Unique(unique) => {
                load.dialect.unique_index(table, &unique.columns, unique.among.as_ref())
            }
            Requirement::Check { suffix, condition, .. } => {
                let name = ddl::object_name(&table.name, suffix);
                load.dialect.add_check(table, &name, condition.clone())
            }
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Requirement::Unique(unique) => {
                let names: Vec<&str> = unique.columns.iter().map(|column| column.as_str()).collect();
                let which = if unique.among.is_some() { " of current versions" } else { "" };
                format!("unique index on {}{which}", names.join(", "))
            }
            Requirement::Check { holds, .. } => format!("check: {holds}"),
        }
    }
}

/// What must be true of a table, and how to find what breaks it.
#[derive(Clone, Debug, PartialEq)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What is wrong where it is broken.
    pub detail: &'static str,
    /// Gives the keys that break it, each column as text.
    pub sql: Sql,
}

impl Invariant {
    /// Ends the run where it is broken; `stop` makes an answer of the words for several keys and for one.
    pub fn guard(
        &self,
        target: &QualifiedName,
        dialect: &dyn Dialect,
        stop: impl Fn(String, String) -> Answer,
        plan: &mut PlanBuilder<'_>,
    ) {
        let of = |keys: &str| format!("{{count}} {keys} of {target}: {}", self.detail);
        plan.step(
            StepKind::Guard,
            format!("the history is sound: {}   expects no rows", self.name),
            sql!(
                "SELECT {count}(*) AS count\n  FROM ({broken}) AS b\nHAVING {count}(*) > 0",
                count = dialect.function("count"),
                broken = self.sql
            ),
            stop(of("keys"), of("key")),
        );
    }
}

/// Where an event ends that begins there and is followed by another then, each a value; NULL for none.
pub fn event_end(dialect: &dyn Dialect, ttl: Option<&Duration>, begin: &Sql, next: &Sql) -> Sql {
    match ttl {
        Some(ttl) => {
            let expiry = sql!("({begin} + {ttl})", begin, ttl = dialect.duration(ttl.as_std()));
            dialect.least([next, &expiry])
        }
        None => next.clone(),
    }
}

/// The columns of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryColumns<'a> {
    /// Where a version begins.
    pub begin: &'a Ident,
    /// Where it ends.
    pub end: &'a Ident,
    /// Marks the current version.
    pub current: &'a Ident,
    /// The row hash.
    pub hash: &'a Ident,
    /// What a history by event time has besides.
    pub event: Option<EventColumns<'a>>,
}

/// What a history by event time has besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventColumns<'a> {
    /// Marks an event that deletes its key.
    pub deleted: &'a Ident,
    /// The number of the run that wrote it, where it is kept.
    pub run: Option<&'a Ident>,
    /// When its value was confirmed last, where repeated values are one row.
    pub confirmed: Option<&'a Ident>,
    /// How long it holds at most.
    pub ttl: Option<&'a Duration>,
}

/// The column beside a value that was corrected: the number of the run that corrected it.
pub const SUPERSEDED_BY: &str = "_superseded_by";

impl HistoryColumns<'_> {
    /// Whether a version `t` was the current one at an instant, which is a text with its offset.
    pub fn as_of(&self, dialect: &dyn Dialect, instant: &str) -> Sql {
        let instant = dialect.typed_literal(instant, &dialect.type_name(&dialect.instant_type()));
        sql!(
            "t.{begin} <= {instant} AND (t.{end} IS NULL OR t.{end} > {instant}){standing}",
            begin = self.begin,
            instant,
            end = self.end,
            standing = self
                .event
                .map_or(Sql::empty(), |event| sql!(" AND NOT t.{deleted}", deleted = event.deleted))
        )
    }

    /// The columns that are no part of what the source has.
    pub fn names(&self) -> Vec<&Ident> {
        let event = self
            .event
            .iter()
            .flat_map(|event| std::iter::once(event.deleted).chain(event.run).chain(event.confirmed));
        [self.begin, self.end, self.current, self.hash].into_iter().chain(event).collect()
    }
}
