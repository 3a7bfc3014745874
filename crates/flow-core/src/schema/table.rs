//! A table as declared and a table as it lives. Values only; nothing is judged here.

use crate::dialect::Dialect;
use crate::error::Result;
use crate::markers::{Chain, Cleaning, Raw};
use crate::sql::{Ident, Literal, QualifiedName};
use crate::types::{DataType, TypeFacts};

/// A declared table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: QualifiedName,
    /// Columns in their order.
    pub columns: Vec<Column>,
    /// Columns of the primary key.
    pub primary_key: Vec<Ident>,
    /// Columns of the natural key.
    pub natural_key: Vec<Ident>,
    /// Unique constraints.
    pub unique: Vec<Vec<Ident>>,
    /// Further indexes.
    pub indexes: Vec<Index>,
    /// Storage parameters.
    pub options: Vec<(String, String)>,
    /// What it holds.
    pub description: Option<String>,
    /// How its columns are cleaned on their way, by column.
    pub cleaning: Vec<(Ident, Chain)>,
}

impl Table {
    /// A table of that name and those columns, of which nothing else is said.
    pub fn of(name: QualifiedName, columns: Vec<Column>) -> Table {
        Table {
            name,
            columns,
            primary_key: Vec::new(),
            natural_key: Vec::new(),
            unique: Vec::new(),
            indexes: Vec::new(),
            options: Vec::new(),
            description: None,
            cleaning: Vec::new(),
        }
    }

    /// The column of that name.
    pub fn column(&self, name: &Ident) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == *name)
    }

    /// How a query with those columns is cleaned on its way into this table; `None` where no column is. `keep_raw`:
    /// whether the source's own values are needed beside the cleaned ones.
    ///
    /// # Errors
    /// `invalid_value` for a marker that does not fit the source's type.
    pub fn cleaning_of(
        &self,
        raw: &[Raw<'_>],
        told: &[Raw<'_>],
        keep_raw: bool,
        dialect: &dyn Dialect,
    ) -> Result<Option<Cleaning>> {
        let declared = |name: &Ident| &self.column(name).expect("a column that is declared").data_type;
        let chains = self.cleaning.iter().map(|(name, chain)| (name, declared(name), chain));
        Cleaning::around(chains, raw, told, keep_raw, dialect)
    }
}

/// A declared column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Its DEFAULT.
    pub default: Option<ColumnDefault>,
    /// What it holds.
    pub description: Option<String>,
}

impl Column {
    /// A column of which nothing else is said.
    pub fn of(name: &Ident, data_type: DataType, nullable: bool) -> Column {
        Column { name: name.clone(), data_type, nullable, default: None, description: None }
    }
}

/// A DEFAULT.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnDefault {
    /// A value.
    Value(Literal),
    /// The user's expression.
    Expression(String),
    /// When the transaction began that writes the row.
    TransactionTime,
}

/// A declared index.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its name; made from table and columns when absent.
    pub name: Option<Ident>,
    /// Its columns.
    pub columns: Vec<Ident>,
    /// Whether it allows a value only once.
    pub unique: bool,
    /// Access method.
    pub method: Option<Ident>,
    /// Condition of a partial index, the user's SQL.
    pub condition: Option<String>,
}

/// A table as it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveTable {
    /// `r` table, `p` partitioned, `v` view, `m` materialised view, `f` foreign table.
    pub kind: char,
    /// Whether its rows may lie in several tables: partitions, or children that inherit from it.
    pub spread: bool,
    /// Columns in their order.
    pub columns: Vec<LiveColumn>,
    /// Its indexes.
    pub indexes: Vec<LiveIndex>,
    /// Names of its CHECK constraints.
    pub checks: Vec<String>,
    /// Triggers and rules that fire when rows of it are written, by their names.
    pub triggers: Vec<String>,
    /// Whether our metadata say that we created it.
    pub ours: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Rows, as the planner estimates them.
    pub estimated_rows: f64,
}

impl LiveTable {
    /// Its rows as the server estimates them, where it does.
    pub fn estimated(&self) -> Option<f64> {
        Some(self.estimated_rows).filter(|rows| *rows >= 0.0)
    }

    /// Its current versions as the server estimates them: rows that a partial unique index over the keys covers; of a
    /// table without one every row.
    pub fn estimated_current(&self, keys: &[Ident]) -> Option<f64> {
        let of_keys = |index: &&LiveIndex| {
            let is_key = |column: &String| keys.iter().any(|key| key.as_str() == column);
            index.predicate.is_some() && index.unique && index.columns.iter().all(is_key)
        };
        let covered = self.indexes.iter().find(of_keys).and_then(|index| index.estimated_rows);
        covered.filter(|rows| *rows >= 0.0).or_else(|| self.estimated())
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&LiveColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a unique index covers just these columns: the whole table, or only rows where `flag` is true.
    pub fn has_unique_index(&self, columns: &[Ident], flag: Option<&Ident>) -> bool {
        self.indexes.iter().any(|index| {
            index.is_unique_where(flag)
                && index.columns.len() == columns.len()
                && columns.iter().all(|column| index.columns.iter().any(|name| name == column.as_str()))
        })
    }
}

/// A column as it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: TypeFacts,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Its DEFAULT as the server prints it.
    pub default: Option<String>,
    /// Whether the server computes it (GENERATED ALWAYS).
    pub generated: bool,
    /// Its comment.
    pub comment: Option<String>,
}

impl LiveIndex {
    /// Whether it allows a value once: among the rows where `flag` is true, or without a flag in the whole table.
    pub fn is_unique_where(&self, flag: Option<&Ident>) -> bool {
        self.unique && self.usable && !self.columns.is_empty() && self.holds_where(flag)
    }

    /// Whether its condition is that `flag` is true, as the server prints it; without a flag, that it has none.
    fn holds_where(&self, flag: Option<&Ident>) -> bool {
        let (Some(predicate), Some(flag)) = (&self.predicate, flag) else {
            return self.predicate.is_none() && flag.is_none();
        };
        let bare = predicate.trim_start_matches('(').trim_end_matches(')');
        let bare = bare.strip_suffix(" = true").or_else(|| bare.strip_suffix(" IS TRUE")).unwrap_or(bare);
        bare == flag.as_str() || bare == format!("\"{}\"", flag.as_str().replace('"', "\"\""))
    }
}

/// An index as it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveIndex {
    /// Its name.
    pub name: String,
    /// Whether it allows a value only once.
    pub unique: bool,
    /// Whether it is the primary key's.
    pub primary: bool,
    /// Whether it is valid, immediate, and of plain columns only.
    pub usable: bool,
    /// Its columns.
    pub columns: Vec<String>,
    /// Its condition as the server prints it.
    pub predicate: Option<String>,
    /// Rows that it covers, as the server estimates them; `None` where it does not.
    pub estimated_rows: Option<f64>,
}
