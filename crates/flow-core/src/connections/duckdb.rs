//! What is said of a connection to DuckDB beside where it leads. Where it leads elsewhere, it is refused by name.

use super::Declared;
use crate::declare::duckdb_options::of_duckdb;
use crate::declare::environment::Environment;
use crate::declare::file_dsn::DuckDbPlace;
use crate::engine::DUCKDB;
use crate::error::{ErrorCode, FlowError, Result};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// How a database of DuckDB is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuckDbOptions {
    /// How much memory it takes, in DuckDB's words.
    pub memory_limit: Option<String>,
    /// How many threads work.
    pub threads: Option<NonZeroU32>,
    /// Where it puts what does not fit into memory.
    pub temp_directory: Option<PathBuf>,
    /// The version of DuckDB that is to read a file that it makes.
    pub storage_version: Option<String>,
    /// The library: its path, or the name of a driver's manifest.
    pub driver: Option<String>,
}

impl DuckDbOptions {
    /// Takes over what nothing before has said.
    pub(super) fn fill(&mut self, declared: &Declared<'_>, environment: &dyn Environment) -> Result<()> {
        let spec = declared.spec;
        let text = |name: &str, said: &Option<String>| match said {
            Some(written) => {
                declared.value(name, written, environment).map(|value| Some(value.reveal().to_owned()))
            }
            None => Ok(None),
        };
        let checked = |name: &'static str, said: &Option<String>| -> Result<Option<String>> {
            let Some(value) = text(name, said)? else { return Ok(None) };
            of_duckdb(name, &value).map_err(|error| declared.place(error, name))?;
            Ok(Some(value))
        };
        let memory_limit = checked("memory_limit", &spec.memory_limit)?;
        let storage_version = checked("storage_version", &spec.storage_version)?;
        let temp_directory = checked("temp_directory", &spec.temp_directory)?;
        let driver = checked("driver", &spec.driver)?;
        self.memory_limit = self.memory_limit.take().or(memory_limit);
        self.threads = self.threads.or(spec.threads);
        self.storage_version = self.storage_version.take().or(storage_version);
        let below = |name: &str, path: String| declared.directory(name).join(path);
        self.temp_directory =
            self.temp_directory.take().or(temp_directory.map(|path| below("temp_directory", path)));
        let driver = driver.map(|driver| match is_path(&driver) {
            true => below("driver", driver).to_string_lossy().into_owned(),
            false => driver,
        });
        self.driver = self.driver.take().or(driver);
        Ok(())
    }
}

/// Whether a driver is said by its place, and not by the name of its manifest.
fn is_path(driver: &str) -> bool {
    driver.contains(std::path::is_separator) || Path::new(driver).extension().is_some()
}

/// Refuses what says nothing of the engine to which a connection leads.
pub(super) fn refuse_others(
    declared: &Declared<'_>,
    engine: &str,
    place: Option<&DuckDbPlace>,
) -> Result<()> {
    let spec = declared.spec;
    let refuse = |option: &str, why: &str, hint: &str| {
        let words = format!("`{option}` says nothing of connection `{}`: {why}", declared.name);
        Err(declared.place(FlowError::new(ErrorCode::ConflictingOptions, words).hint(hint), option))
    };
    if engine != DUCKDB.name {
        return match spec.duckdb_options().first() {
            Some(option) => refuse(option, "it does not lead to DuckDB", "leave it out"),
            None => Ok(()),
        };
    }
    let in_memory = place == Some(&DuckDbPlace::Memory);
    let handed = place == Some(&DuckDbPlace::Handed);
    let opened = spec.duckdb_options().first().copied();
    match opened {
        Some(option) if handed => {
            refuse(option, "it is open already", "say it where you open it: duckdb.connect(…, config={…})")
        }
        _ if in_memory && spec.read_only => {
            refuse("read_only", "a database in memory begins empty", "leave it out, or name a file")
        }
        _ if in_memory && spec.storage_version.is_some() => {
            refuse("storage_version", "a database in memory is no file", "leave it out, or name a file")
        }
        _ if spec.role.as_deref().is_some_and(|role| role != super::NO_ROLE) => {
            refuse("role", "DuckDB knows no roles", "leave it out")
        }
        _ if spec.max_connections.is_some() => refuse(
            "max_connections",
            "a DuckDB file is opened once",
            "leave it out: runs that use the file take turns",
        ),
        _ => Ok(()),
    }
}
