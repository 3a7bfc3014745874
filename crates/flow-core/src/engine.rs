//! What the planner knows of an engine without asking a server: its words, and what it can.

use crate::dialect::Dialect;
use crate::dialect::duckdb::{self, DuckDb};
use crate::dialect::postgres::{self, Postgres};
use crate::error::{ErrorCode, FlowError};
use std::fmt;

/// What is known of an engine.
#[derive(Clone, Copy)]
pub struct EngineFacts {
    /// Its name, as configuration has it.
    pub name: &'static str,
    /// Its name, for people.
    pub title: &'static str,
    /// What it can.
    pub can: Capabilities,
    /// Its words.
    pub dialect: &'static dyn Dialect,
}

impl fmt::Debug for EngineFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An engine whose tables are read and never loaded. Its rows come as those of files do, so that the planner needs none
/// of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// SQLite.
    Sqlite,
    /// MySQL, and MariaDB.
    MySql,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Foreign; 2] = [Foreign::Sqlite, Foreign::MySql];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Foreign::Sqlite => "sqlite",
            Foreign::MySql => "mysql",
        }
    }

    /// As people write it.
    pub const fn shown(self) -> &'static str {
        match self {
            Foreign::Sqlite => "SQLite",
            Foreign::MySql => "MySQL",
        }
    }

    /// The one of that name.
    pub fn of_name(name: &str) -> Option<Foreign> {
        Foreign::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// The one to which a DSN leads.
    ///
    /// ```
    /// use ematix_flow_core::engine::Foreign;
    /// assert_eq!(Foreign::of_dsn("sqlite:shop.db"), Some(Foreign::Sqlite));
    /// assert_eq!(Foreign::of_dsn("mariadb://ann@db/shop"), Some(Foreign::MySql));
    /// assert_eq!(Foreign::of_dsn("postgresql:///shop"), None);
    /// ```
    pub fn of_dsn(dsn: &str) -> Option<Foreign> {
        match dsn.trim().split_once(':')?.0 {
            "sqlite" => Some(Foreign::Sqlite),
            "mysql" | "mariadb" => Some(Foreign::MySql),
            _ => None,
        }
    }

    /// The error for what it is not there for.
    pub fn cannot(self, what: impl std::fmt::Display) -> FlowError {
        let message = format!("{what}: {} is read by pipelines, and nothing else", self.shown());
        FlowError::new(ErrorCode::UnsupportedByEngine, message)
    }
}

/// What an engine can, where the planner has another form for one that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What it keeps unique.
    pub unique: Uniqueness,
    /// Whether every statement of a transaction sees the rows that the first one saw, and what the transaction wrote.
    pub repeats: bool,
    /// Whether its rows leave and come as binary COPY of Postgres; else as Arrow.
    pub copies: bool,
    /// Whether the client can name a row of a single table by the six bytes that the engine sends of its address.
    pub addresses: bool,
    /// Whether markers have words in it.
    pub cleans: bool,
    /// Whether it has materialised views, and refreshes them while they are read.
    pub materializes: bool,
}

/// What an engine keeps unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uniqueness {
    /// Columns of a table, or of those of its rows that meet a condition.
    Partial,
    /// Nothing that a load could rely on: guards ask.
    Unenforced,
}

/// The engines of a load.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    /// The source's.
    pub source: &'a EngineFacts,
    /// The target's.
    pub target: &'a EngineFacts,
}

impl<'a> Ends<'a> {
    /// Both are one.
    pub const fn both(engine: &'a EngineFacts) -> Ends<'a> {
        Ends { source: engine, target: engine }
    }
}

/// Postgres.
pub static POSTGRES: EngineFacts = EngineFacts {
    name: postgres::NAME,
    title: "Postgres",
    can: Capabilities {
        unique: Uniqueness::Partial,
        repeats: false,
        copies: true,
        addresses: true,
        cleans: true,
        materializes: true,
    },
    dialect: &Postgres,
};

/// DuckDB. It has no partial indexes, and a whole one makes a replacement eight times slower.
pub static DUCKDB: EngineFacts = EngineFacts {
    name: duckdb::NAME,
    title: "DuckDB",
    can: Capabilities {
        unique: Uniqueness::Unenforced,
        repeats: true,
        copies: false,
        addresses: false,
        cleans: false,
        materializes: false,
    },
    dialect: &DuckDb,
};
