//! DuckDB in a program that is not Python.

use super::driver::DuckDbDriver;
use super::library::{Connection, Fault, Library, Opening};
use std::sync::Arc;

/// The driver of a program that loads DuckDB's library at the first use.
#[cfg(feature = "adbc")]
pub fn native() -> Arc<DuckDbDriver> {
    Arc::new(DuckDbDriver::new(Arc::new(super::adbc::AdbcLibrary)))
}

/// The driver of a program that loads nothing: it says why, and who opens DuckDB.
pub fn without_library(why: &'static str) -> Arc<DuckDbDriver> {
    Arc::new(DuckDbDriver::new(Arc::new(NoLibrary { why })))
}

/// A build that loads nothing.
struct NoLibrary {
    why: &'static str,
}

impl Library for NoLibrary {
    fn open(&self, _opening: &Opening) -> Result<Arc<dyn Connection>, Fault> {
        Err(Fault::NoDriver {
            why: format!("{}, so it does not open DuckDB", self.why),
            remedy: "the flow of the Python package does: pip install \"ematix-flow[duckdb]\"; so does an ordinary build, \
                     which loads DuckDB's library: cargo build --release"
                .to_owned(),
            searched: Vec::new(),
        })
    }
}
