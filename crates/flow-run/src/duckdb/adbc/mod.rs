//! DuckDB's library in a program that loads it by itself: through ADBC, at the first use.
//!
//! One process has at most one database object on a file, by its canonical path: of two, each would overwrite what the
//! other has written, without a word.

mod answers;
mod connection;
mod databases;
mod loading;
#[cfg(target_os = "linux")]
mod second;
#[cfg(test)]
mod tests;

use super::library::{Connection, Fault, Library, Opening};
use connection::AdbcConnection;
use std::sync::Arc;

/// The library that is found at run time.
pub(super) struct AdbcLibrary;

impl Library for AdbcLibrary {
    fn open(&self, opening: &Opening) -> Result<Arc<dyn Connection>, Fault> {
        if opening.handed {
            return Err(Fault::NoDriver {
                why: format!(
                    "`{}` is a connection that is open in Python, and this program is not Python",
                    opening.name
                ),
                remedy: "run it by the flow of the Python package, or give the connection a DSN".to_owned(),
                searched: Vec::new(),
            });
        }
        let open = databases::open(opening)?;
        let connection = AdbcConnection::new(open);
        prepare(&connection)?;
        Ok(Arc::new(connection))
    }
}

/// What holds in every session.
fn prepare(connection: &AdbcConnection) -> Result<(), Fault> {
    // It writes to where answers go.
    connection.run("SET enable_progress_bar = false")?;
    // A build without the extension for zones (the crate's `bundled` has none) does not know the setting, nor any zone but
    // UTC: what it cannot do with an instant it says itself.
    let _ = connection.run("SET TimeZone = 'UTC'");
    Ok(())
}

/// What the library said, in its own words.
fn said(error: adbc_core::error::Error) -> Fault {
    Fault::Said(error.message)
}
