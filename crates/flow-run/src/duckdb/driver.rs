//! DuckDB as an engine among others.

use super::error::open_error;
use super::library::{Fault, Library};
use super::process::OpenFile;
use super::session::DuckDbSession;
use crate::driver::Driver;
use crate::session::Session;
use async_trait::async_trait;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::{DUCKDB, EngineFacts};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::path::Path;
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
        let file = at.file().unwrap_or(Path::new("")).to_owned();
        if let Some(setting) = at.session.keys().next() {
            return Err(FlowError::new(
                ErrorCode::NotYetSupported,
                format!("the setting `{setting}` of a session on DuckDB is not in this version yet"),
            )
            .hint("remove [connections.….session]"));
        }
        let shown = file.display().to_string();
        let library = Arc::clone(&self.library);
        let opened = tokio::task::spawn_blocking(move || {
            let connection = library.open(&file)?;
            let path = file.canonicalize().map_err(|error| Fault::Said(format!("IO Error: {error}")))?;
            Ok((connection, OpenFile::enter(path)))
        });
        let (connection, file) = opened
            .await
            .map_err(|_| FlowError::new(ErrorCode::ConnectFailed, format!("opening {shown} panicked")))?
            .map_err(|fault| open_error(fault, &shown))?;
        Ok(Box::new(DuckDbSession::new(connection, file).await?))
    }
}
