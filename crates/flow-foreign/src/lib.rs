//! Rows of databases that are only read, SQLite and MySQL, as Arrow. What is read is one query in one transaction that
//! only reads; no value changes on the way, and what would change is an error that names its row and column.
//!
//! The modules stand in the order in which they may use each other. Memory is bounded by a batch.
//!
//! Of which types rows are: those that are wanted, where the values are of them; else those of the server (MySQL), or
//! those that the table declares (SQLite, which itself keeps any value in any column).

#![forbid(unsafe_code)]

mod fault;
mod mark;
mod rows;
mod told;
mod sqlite;
mod mysql;

pub use mark::Since;
pub use told::Told;

use ematix_flow_arrow::BatchSource;
use ematix_flow_core::check::ForeignSource;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::engine::Foreign;
use ematix_flow_core::error::Result;
use std::sync::Arc;

/// The rows of a source, where it leads.
pub fn rows_of(
    source: &ForeignSource,
    at: ConnectionTarget,
    since: Option<Since>,
    silence: &Duration,
) -> Arc<dyn BatchSource> {
    match source.engine {
        Foreign::Sqlite => Arc::new(sqlite::SqliteSource::new(source.clone(), at, since)),
        Foreign::MySql => Arc::new(mysql::MySqlSource::new(source.clone(), at, since, silence)),
    }
}

/// Opens a connection and asks who is there.
///
/// # Errors
/// Of class `unreachable`.
pub async fn ask(engine: Foreign, at: &ConnectionTarget) -> Result<Told> {
    match engine {
        Foreign::Sqlite => sqlite::ask(at).await,
        Foreign::MySql => mysql::ask(at).await,
    }
}
