//! DuckDB as an engine among others.

use super::error::{differs, open_error};
use super::library::{Connection, Fault, Library, Opening};
use super::process::{OpenFile, settings_of};
use super::session::DuckDbSession;
use crate::driver::Driver;
use crate::session::Session;
use async_trait::async_trait;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::declare::file_dsn::DuckDbPlace;
use ematix_flow_core::engine::{DUCKDB, EngineFacts};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens sessions on files of DuckDB.
pub struct DuckDbDriver {
    library: Arc<dyn Library>,
}

impl DuckDbDriver {
    /// A driver over a library.
    pub fn new(library: Arc<dyn Library>) -> DuckDbDriver {
        DuckDbDriver { library }
    }
}

#[async_trait]
impl Driver for DuckDbDriver {
    fn facts(&self) -> &'static EngineFacts {
        &DUCKDB
    }

    async fn open(&self, at: &ConnectionTarget, _what: &str) -> Result<Box<dyn Session>> {
        if let Some(setting) = at.session.keys().next() {
            return Err(FlowError::new(
                ErrorCode::NotYetSupported,
                format!("the setting `{setting}` of a session on DuckDB is not in this version yet"),
            )
            .hint("remove [connections.….session]"));
        }
        let opening = opening(at);
        let shown = opening.file.as_ref().map_or_else(|| at.to_string(), |file| file.display().to_string());
        let library = Arc::clone(&self.library);
        let named = shown.clone();
        let opened = tokio::task::spawn_blocking(move || open(library.as_ref(), &opening, &named));
        let (connection, file) = opened
            .await
            .map_err(|_| FlowError::new(ErrorCode::ConnectFailed, format!("opening {shown} panicked")))??;
        Ok(Box::new(DuckDbSession::new(connection, file).await?))
    }
}

/// What a connection says of how its database is opened.
fn opening(at: &ConnectionTarget) -> Opening {
    let said = at.duckdb.clone();
    let unfiled = at.unfiled();
    Opening {
        name: unfiled.as_ref().map(|(_, name)| (*name).to_owned()).unwrap_or_default(),
        file: at.file().map(Path::to_owned),
        handed: matches!(unfiled, Some((DuckDbPlace::Handed, _))),
        read_only: at.read_only,
        memory_limit: said.memory_limit,
        threads: said.threads.map(NonZeroU32::get),
        temp_directory: said.temp_directory,
        storage_version: said.storage_version,
        driver: said.driver,
    }
}

/// Opens a connection, and enters it among those of its file.
fn open(library: &dyn Library, opening: &Opening, shown: &str) -> Result<(Arc<dyn Connection>, OpenFile)> {
    let differing = |path: &Path| {
        let there = settings_of(path)?;
        differs(&opening.settings(), &there, shown)
    };
    let before = opening.file.as_ref().and_then(|file| file.canonicalize().ok());
    if let Some(error) = before.as_deref().and_then(differing) {
        return Err(error);
    }
    let connection = library.open(opening).map_err(|fault| open_error(fault, shown))?;
    let path = match &opening.file {
        Some(file) => file
            .canonicalize()
            .map_err(|error| open_error(Fault::Said(format!("IO Error: {error}")), shown))?,
        None => unfiled(connection.as_ref(), opening).map_err(|fault| open_error(fault, shown))?,
    };
    // A file that was not there has its path from now on.
    if let Some(error) = differing(&path).filter(|_| opening.file.is_some()) {
        connection.close();
        return Err(error);
    }
    let settings = opening.file.is_some().then(|| opening.settings());
    Ok((connection, OpenFile::enter(path, settings)))
}

/// By what a database is known that was not opened as a file: one that the user has handed over may be one.
fn unfiled(connection: &dyn Connection, opening: &Opening) -> std::result::Result<PathBuf, Fault> {
    const QUESTION: &str =
        "SELECT path FROM duckdb_databases() WHERE database_name = current_database() AND path IS NOT NULL";
    let answers = connection.run(QUESTION)?;
    let path = answers.into_iter().next().and_then(|set| set.rows.into_iter().next()?.into_iter().next()?);
    let canonical = path.and_then(|path| PathBuf::from(path).canonicalize().ok());
    // A slash at its end: no file has that path.
    Ok(canonical.unwrap_or_else(|| PathBuf::from(format!(":memory:{}/", opening.name))))
}
