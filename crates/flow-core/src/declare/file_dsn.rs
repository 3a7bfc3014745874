//! DSNs of databases without a server.

use crate::error::{ErrorCode, FlowError, Result};

/// Where a DSN of DuckDB leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DuckDbPlace {
    /// A file, as written.
    File(String),
    /// A database in memory, which lives as long as the process.
    Memory,
    /// A connection that the user has opened in Python, and handed over.
    Handed,
}

/// How a database in memory is written, beside `duckdb:` alone.
const MEMORY: &str = ":memory:";
/// How `connect(…)` of Python writes an open connection that was handed to it.
const HANDED: &str = ":python:";

/// Where a DSN of DuckDB leads: `duckdb:warehouse.duckdb`; `None` for a DSN of another engine.
///
/// # Errors
/// `invalid_value` for what is no file's name.
///
/// ```
/// use ematix_flow_core::declare::file_dsn::{DuckDbPlace, duckdb_place};
/// let file = DuckDbPlace::File("warehouse.duckdb".to_owned());
/// assert_eq!(duckdb_place("duckdb:warehouse.duckdb").unwrap(), Some(file));
/// assert_eq!(duckdb_place("duckdb:").unwrap(), Some(DuckDbPlace::Memory));
/// assert_eq!(duckdb_place("postgresql:///shop").unwrap(), None);
/// ```
pub fn duckdb_place(dsn: &str) -> Result<Option<DuckDbPlace>> {
    const WRITE: &str = "write duckdb: and a file: duckdb:warehouse.duckdb";
    let Some(file) = dsn.trim().strip_prefix("duckdb:") else { return Ok(None) };
    match file {
        "" | MEMORY => Ok(Some(DuckDbPlace::Memory)),
        HANDED => Ok(Some(DuckDbPlace::Handed)),
        _ if file.starts_with("//") => {
            Err(FlowError::new(ErrorCode::InvalidValue, "a DSN of DuckDB has no host").hint(WRITE))
        }
        // DuckDB takes it for a name of its own, not for a file's.
        _ if file.starts_with(':') => Err(FlowError::new(
            ErrorCode::InvalidValue,
            "what follows duckdb: begins with a colon, as no file's name does",
        )
        .hint("write duckdb: alone for a database in memory; a file's name with a colon is ./:name")),
        // It would be the file's name: a new, empty file beside the one that is meant.
        _ if file.contains('?') => {
            Err(FlowError::new(ErrorCode::InvalidValue, "a DSN of DuckDB has no options behind a ?")
                .hint("write them beside dsn: memory_limit = \"1GB\""))
        }
        _ => Ok(Some(DuckDbPlace::File(file.to_owned()))),
    }
}

impl DuckDbPlace {
    /// The DSN of a place that is no file.
    pub(crate) fn without_file(&self) -> Option<String> {
        match self {
            DuckDbPlace::File(_) => None,
            DuckDbPlace::Memory => Some(format!("duckdb:{MEMORY}")),
            DuckDbPlace::Handed => Some(format!("duckdb:{HANDED}")),
        }
    }
}

/// The file of a DSN of SQLite, as written: `sqlite:shop.db`; `None` for a DSN of another engine.
///
/// # Errors
/// `invalid_value` for what is no file's name.
///
/// ```
/// use ematix_flow_core::declare::file_dsn::sqlite_file;
/// assert_eq!(sqlite_file("sqlite:shop.db").unwrap().as_deref(), Some("shop.db"));
/// assert_eq!(sqlite_file("duckdb:shop.duckdb").unwrap(), None);
/// ```
pub fn sqlite_file(dsn: &str) -> Result<Option<String>> {
    const WRITE: &str = "write sqlite: and a file: sqlite:shop.db, sqlite:/var/lib/shop.db";
    let Some(file) = dsn.trim().strip_prefix("sqlite:") else { return Ok(None) };
    let wrong = match file {
        "" | ":memory:" => "a database of SQLite that is read is a file",
        _ if file.starts_with("//") => "a DSN of SQLite has no host",
        // It would be the file's name.
        _ if file.contains('?') => "a DSN of SQLite has no parameters: it is read as it is",
        _ => return Ok(Some(file.to_owned())),
    };
    Err(FlowError::new(ErrorCode::InvalidValue, wrong).hint(WRITE))
}
