//! What a session needs of DuckDB's library, however it is reached: through Python's module, or through ADBC.

use crate::session::ResultSet;
use std::path::Path;
use std::sync::Arc;

/// Opens files. One database object a file and process: what one connection has committed, the next one sees.
pub trait Library: Send + Sync {
    /// Opens a connection, with the session's zone UTC; the file is made where there is none.
    ///
    /// # Errors
    /// What the library says, or that there is none.
    fn open(&self, file: &Path) -> Result<Arc<dyn Connection>, Fault>;
}

/// A connection. Its calls block.
pub trait Connection: Send + Sync {
    /// Runs statements one after another, and gives an answer each; values as text, truth values as `true` and
    /// `false`, and of a statement that writes how many rows it touched.
    ///
    /// # Errors
    /// What the library says of the first that fails; those before it have run.
    fn run(&self, sql: &str) -> Result<Vec<ResultSet>, Fault>;

    /// Ends the statement that runs, from another thread.
    fn interrupt(&self);

    /// Rolls back what is open, and lets the file go with the last connection.
    fn close(&self);
}

/// Why the library did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no library, or an old one; how to get one.
    NoLibrary(String),
    /// Its own words, which begin with their class: `Catalog Error: …`.
    Said(String),
}
