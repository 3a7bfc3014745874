//! What a session needs of DuckDB's library, however it is reached: through Python's module, or through ADBC.

use crate::session::ResultSet;
use arrow_array::RecordBatchReader;
use arrow_schema::ArrowError;
use ematix_flow_core::sql::QualifiedName;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens databases. One database object a file and process: what one connection has committed, the next one sees.
pub trait Library: Send + Sync {
    /// Opens a connection, with the session's zone UTC; the file is made where there is none.
    ///
    /// # Errors
    /// What the library says, or that there is none.
    fn open(&self, opening: &Opening) -> Result<Arc<dyn Connection>, Fault>;
}

/// Which database is opened, and how. What is `None` is as the library has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The connection's name. All sessions of a process on a database in memory by one name share it.
    pub name: String,
    /// The file; none of a database in memory, nor of a connection that was handed over.
    pub file: Option<PathBuf>,
    /// Whether the user has opened it, and handed it over by that name.
    pub handed: bool,
    /// Whether nobody writes through it.
    pub read_only: bool,
    /// How much memory it takes.
    pub memory_limit: Option<String>,
    /// How many threads work.
    pub threads: Option<u32>,
    /// Where it puts what does not fit into memory.
    pub temp_directory: Option<PathBuf>,
    /// The version that is to read the file, where the file is made.
    pub storage_version: Option<String>,
    /// Where the library is, for who loads it.
    pub driver: Option<String>,
}

impl Opening {
    /// What all connections of a process to one database have to agree on, each in words.
    pub fn settings(&self) -> Settings {
        let said = |value: &Option<String>| value.clone();
        Settings(vec![
            ("read_only", self.read_only.then(|| "true".to_owned())),
            ("memory_limit", said(&self.memory_limit)),
            ("threads", self.threads.map(|threads| threads.to_string())),
            ("temp_directory", self.temp_directory.as_ref().map(|path| path.display().to_string())),
            ("storage_version", said(&self.storage_version)),
            ("driver", said(&self.driver)),
        ])
    }
}

/// How a database is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(&'static str, Option<String>)>);

impl Settings {
    /// The first in which another connection differs: its name, what is said here, and what there.
    pub fn differs<'a>(
        &'a self,
        other: &'a Settings,
    ) -> Option<(&'static str, Option<&'a str>, Option<&'a str>)> {
        let mut pairs = self.0.iter().zip(&other.0);
        let ((name, here), (_, there)) = pairs.find(|((_, here), (_, there))| here != there)?;
        Some((name, here.as_deref(), there.as_deref()))
    }
}

/// A connection. Its calls block.
pub trait Connection: Send + Sync {
    /// Runs statements one after another, and gives an answer each; values as text, truth values as `true` and
    /// `false`, and of a statement that writes how many rows it touched.
    ///
    /// # Errors
    /// What the library says of the first that fails; those before it have run.
    fn run(&self, sql: &str) -> Result<Vec<ResultSet>, Fault>;

    /// The rows of a query as Arrow. Nothing else is asked of the connection until the reader is dropped.
    ///
    /// # Errors
    /// What the library says; some of it with the first batch only.
    fn query(&self, sql: &str) -> Result<Box<dyn RecordBatchReader + Send>, Fault>;

    /// Takes rows of Arrow into a table of the file that has their columns in their order; how many.
    ///
    /// # Errors
    /// What the library says, or the reader: then no row has come.
    fn append(&self, into: &QualifiedName, rows: Box<dyn RecordBatchReader + Send>) -> Result<i64, Fault>;

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
    /// There is none for a program that loads it by itself.
    NoDriver {
        /// What is wrong.
        why: String,
        /// What to do.
        remedy: String,
        /// Where it was looked for, and what was wrong there.
        searched: Vec<String>,
    },
    /// Its own words, which begin with their class: `Catalog Error: …`.
    Said(String),
}

impl From<ArrowError> for Fault {
    /// What the library says of a batch, without Arrow's words around it.
    fn from(error: ArrowError) -> Fault {
        Fault::Said(match error {
            ArrowError::CDataInterface(words) => words,
            ArrowError::ExternalError(source) => source.to_string(),
            other => other.to_string(),
        })
    }
}
