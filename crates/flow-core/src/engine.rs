//! What is known of an engine without asking a server: its name, and the words in which it is spoken to.

use crate::dialect::Dialect;
use crate::dialect::postgres::Postgres;

/// What is known of an engine.
#[derive(Clone, Copy)]
pub struct EngineFacts {
    /// Its name.
    pub name: &'static str,
    /// Its words.
    pub dialect: &'static dyn Dialect,
}

/// Postgres.
pub static POSTGRES: EngineFacts = EngineFacts { name: "postgres", dialect: &Postgres };
