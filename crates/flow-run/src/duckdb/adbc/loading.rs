//! Finds the library: where the connection says, else by a driver manifest called `duckdb`, else as the system's loader.

use super::super::library::Fault;
use adbc_core::LOAD_FLAG_DEFAULT;
use adbc_core::error::Error;
use adbc_core::options::AdbcVersion;
use adbc_driver_manager::ManagedDriver;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The name of the manifest, and of the library.
const NAME: &str = "duckdb";
/// What the library calls its beginning.
const ENTRY: &[u8] = b"duckdb_adbc_init";
/// Under which the driver manager keeps what it has tried.
const TRACE: &str = "adbc.drivermanager.driver_load_trace";

const REMEDY: &str = "install DuckDB's library (libduckdb) where the system's loader finds it, or say where it is beside \
                      dsn: driver = \"/opt/duckdb/libduckdb.so\". The flow of the Python package needs none: pip install \
                      \"ematix-flow[duckdb]\"";
const REMEDY_OF_PYTHON: &str = "the library of Python's module needs Python around it: take DuckDB's own (libduckdb), or \
                                the flow of the Python package: pip install \"ematix-flow[duckdb]\"";

static LOADED: Mutex<BTreeMap<Option<String>, ManagedDriver>> = Mutex::new(BTreeMap::new());

/// The library, loaded once.
///
/// # Errors
/// [`Fault::NoDriver`].
pub(super) fn load(driver: Option<&str>) -> Result<ManagedDriver, Fault> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = driver.map(str::to_owned);
    if let Some(found) = loaded.get(&key) {
        return Ok(found.clone());
    }
    let path = driver.map(Path::new).filter(|driver| is_path(driver));
    // Of a bare name the loader thinks otherwise than of a path.
    let path = path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    if let Some(path) = path.as_ref().filter(|path| !path.exists()) {
        return Err(Fault::NoDriver {
            why: format!("DuckDB's library is not where `driver` says: {} is not there", path.display()),
            remedy: REMEDY.to_owned(),
            searched: Vec::new(),
        });
    }
    let name = path.as_ref().map_or_else(|| Path::new(driver.unwrap_or(NAME)), PathBuf::as_path);
    let found = found(name).map_err(|error| missing(driver, &error))?;
    loaded.insert(key, found.clone());
    Ok(found)
}

/// Whether a driver is said by its place, and not by the name of its manifest.
fn is_path(driver: &Path) -> bool {
    driver.components().count() > 1 || driver.extension().is_some()
}

fn found(name: &Path) -> Result<ManagedDriver, Error> {
    let load = |version| ManagedDriver::load_from_name(name, Some(ENTRY), version, LOAD_FLAG_DEFAULT, None);
    // An old library knows the first version alone; it is refused by its own version then.
    load(AdbcVersion::V110).or_else(|error| load(AdbcVersion::V100).map_err(|_| error))
}

fn missing(driver: Option<&str>, error: &Error) -> Fault {
    let details = error.details.iter().flatten().filter(|(key, _)| key == TRACE);
    let tried =
        details.flat_map(|(_, text)| String::from_utf8_lossy(text).lines().map(plain).collect::<Vec<_>>());
    let message = plain(&error.message);
    let searched: Vec<String> = tried.filter(|line| !line.starts_with("Driver not found")).collect();
    let of_python =
        std::iter::once(&message).chain(&searched).any(|line| line.contains("undefined symbol: Py"));
    Fault::NoDriver {
        why: match driver {
            Some(driver) => format!("DuckDB's library cannot be loaded from {driver}: {message}"),
            None => "DuckDB's library was not found: there is no driver manifest `duckdb`, and the loader knows no \
                     libduckdb"
                .to_owned(),
        },
        remedy: if of_python { REMEDY_OF_PYTHON } else { REMEDY }.to_owned(),
        searched,
    }
}

/// A line without what the driver manager wraps it in.
fn plain(line: &str) -> String {
    let line = line.strip_prefix("Internal: ").unwrap_or(line);
    let line = line.strip_prefix("Error with dynamic library: ").unwrap_or(line);
    line.split(" (sqlstate: ").next().unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(driver: Option<&str>) -> (String, String) {
        match load(driver) {
            Err(Fault::NoDriver { why, remedy, .. }) => (why, remedy),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_library_that_is_not_there_is_named_with_the_remedy() {
        let (why, remedy) = told(Some("/nowhere/libduckdb.so"));
        assert_eq!(why, "DuckDB's library is not where `driver` says: /nowhere/libduckdb.so is not there");
        assert!(remedy.contains("driver = ") && remedy.contains("pip install"), "{remedy}");
        let (why, _) = told(Some("no_such_driver"));
        assert!(why.starts_with("DuckDB's library cannot be loaded from no_such_driver: "), "{why}");
    }

    #[test]
    fn what_is_no_library_is_not_loaded() {
        let (why, _) = told(Some("/etc/passwd"));
        assert!(why.starts_with("DuckDB's library cannot be loaded from /etc/passwd: "), "{why}");
    }
}
