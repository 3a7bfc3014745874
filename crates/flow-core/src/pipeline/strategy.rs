//! What everybody asks of a load strategy. One file a strategy implements it; nobody else knows which one it is.

use super::{Incremental, Resolved};
use crate::check::Check;
use crate::declare::Mode;
use crate::dialect::{ColumnValue, Dialect};
use crate::error::Result;
use crate::plan::builder::PlanBuilder;
use crate::run_value::Values;
use crate::schema::{Column, LiveTable, Table, ddl};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
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
    /// Writes the steps from the reading to the last row.
    ///
    /// # Errors
    /// What makes the load impossible before it starts.
    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()>;
    /// Works out the numbers that follow from others.
    fn settle(&self, values: &mut Values);
    /// The set of compare columns that is remembered with the target, in the order in which it is stored.
    fn compare_set(&self, load: &Resolved<'_>) -> Option<Vec<String>> {
        let _ = load;
        None
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
}

impl KeyNeed {
    /// Whether the strategy cannot do without.
    pub const fn is_required(self) -> bool {
        matches!(self, KeyNeed::OfRows | KeyNeed::OfVersions)
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
}

impl HistoryColumns<'_> {
    /// Whether a version `t` was the current one at an instant, which is a text with its offset.
    pub fn as_of(&self, dialect: &dyn Dialect, instant: &str) -> Sql {
        let instant = dialect.typed_literal(instant, &dialect.type_name(&dialect.instant_type()));
        sql!(
            "t.{begin} <= {instant} AND (t.{end} IS NULL OR t.{end} > {instant})",
            begin = self.begin,
            instant,
            end = self.end
        )
    }

    /// The columns that are no part of what the source has.
    pub fn names(&self) -> [&Ident; 4] {
        [self.begin, self.end, self.current, self.hash]
    }
}
