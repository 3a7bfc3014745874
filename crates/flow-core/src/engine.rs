//! What the planner knows of an engine without asking a server: its words, and what it can.

use crate::dialect::Dialect;
use crate::dialect::duckdb::{self, DuckDb};
use crate::dialect::postgres::{self, Postgres};

/// What is known of an engine.
#[derive(Clone, Copy)]
pub struct EngineFacts {
    /// Its name.
    pub name: &'static str,
    /// What it can.
    pub can: Capabilities,
    /// Its words.
    pub dialect: &'static dyn Dialect,
}

/// What an engine can, where the planner has another form for one that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What it keeps unique.
    pub unique: Uniqueness,
    /// Whether its rows can leave for another database, and come from one.
    pub moves_rows: bool,
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
    can: Capabilities {
        unique: Uniqueness::Partial,
        moves_rows: true,
        addresses: true,
        cleans: true,
        materializes: true,
    },
    dialect: &Postgres,
};

/// DuckDB. It has no partial indexes, and a whole one makes a replacement eight times slower.
pub static DUCKDB: EngineFacts = EngineFacts {
    name: duckdb::NAME,
    can: Capabilities {
        unique: Uniqueness::Unenforced,
        moves_rows: false,
        addresses: false,
        cleans: false,
        materializes: false,
    },
    dialect: &DuckDb,
};
