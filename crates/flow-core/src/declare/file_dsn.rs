//! DSNs of databases that are a file.

use crate::error::{ErrorCode, FlowError, Result};

/// The file of a DSN of DuckDB, as written: `duckdb:warehouse.duckdb`; `None` for a DSN of another engine.
///
/// # Errors
/// `not_yet_supported` for a database in memory, `invalid_value` for what is no file's name.
///
/// ```
/// use ematix_flow_core::declare::file_dsn::duckdb_file;
/// assert_eq!(duckdb_file("duckdb:warehouse.duckdb").unwrap().as_deref(), Some("warehouse.duckdb"));
/// assert_eq!(duckdb_file("postgresql:///shop").unwrap(), None);
/// ```
pub fn duckdb_file(dsn: &str) -> Result<Option<String>> {
    const WRITE: &str = "write duckdb: and a file: duckdb:warehouse.duckdb";
    let Some(file) = dsn.trim().strip_prefix("duckdb:") else { return Ok(None) };
    match file {
        "" | ":memory:" => Err(FlowError::new(
            ErrorCode::NotYetSupported,
            "a database of DuckDB that is in memory only is not in this version yet",
        )
        .hint(WRITE)),
        _ if file.starts_with("//") => {
            Err(FlowError::new(ErrorCode::InvalidValue, "a DSN of DuckDB has no host").hint(WRITE))
        }
        // It would be the file's name: a new, empty file beside the one that is meant.
        _ if file.contains('?') => Err(FlowError::new(
            ErrorCode::NotYetSupported,
            "options of a file of DuckDB are not in this version yet",
        )
        .hint("leave out what follows the ?")),
        _ => Ok(Some(file.to_owned())),
    }
}
