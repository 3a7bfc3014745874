//! Opens a file, and says what SQLite says.

use crate::told::Told;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use rusqlite::{Connection, Error, ErrorCode as Sqlite, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a reading waits for somebody who is writing the file.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file of a connection.
pub fn path_of(at: &ConnectionTarget) -> PathBuf {
    at.file().unwrap_or(Path::new("")).to_owned()
}

/// Opens a file and begins to read it: everything after comes from one state of it.
///
/// # Errors
/// `connect_failed`, `permission_denied`; `source_failed` where somebody keeps it locked.
pub fn open(path: &Path) -> Result<Connection> {
    let shown = path.display();
    // SQLite says of every reason that it is "unable to open database file".
    if let Err(error) = std::fs::File::open(path) {
        let (code, why) = match error.kind() {
            std::io::ErrorKind::NotFound => (ErrorCode::ConnectFailed, "there is no such file".to_owned()),
            std::io::ErrorKind::PermissionDenied => {
                (ErrorCode::PermissionDenied, "this user may not read it".to_owned())
            }
            _ => (ErrorCode::ConnectFailed, error.to_string().to_lowercase()),
        };
        let error = FlowError::new(code, format!("sqlite:{shown} cannot be opened: {why}"));
        return Err(error.hint("a relative path starts from the file that names it"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; BEGIN")?;
        // The transaction begins with the first that is read.
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
        Ok(connection)
    });
    opened.map_err(|error| open_error(&error, path))
}

fn open_error(error: &Error, path: &Path) -> FlowError {
    let shown = path.display();
    let failed = |why: &str| FlowError::new(ErrorCode::ConnectFailed, format!("sqlite:{shown} {why}"));
    match error.sqlite_error_code() {
        Some(Sqlite::NotADatabase) => failed("is no database of SQLite")
            .hint("is it encrypted, or another file? a database begins with the words `SQLite format 3`"),
        Some(Sqlite::CannotOpen) => failed("cannot be opened: SQLite is unable to")
            .hint("a database in WAL mode needs the file NAME-shm beside it, which only a user who may write there can make"),
        Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => {
            let seconds = PATIENCE.as_secs();
            FlowError::new(
                ErrorCode::SourceFailed,
                format!("sqlite:{shown} was locked by somebody who writes it for more than {seconds} s"),
            )
            .hint("run again; with PRAGMA journal_mode = WAL readers do not wait for writers")
        }
        _ => failed(&format!("cannot be read: {error}")),
    }
}

/// What SQLite says of a query.
pub fn query_error(error: &Error, of: &str) -> FlowError {
    let message = match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    let failed = FlowError::new(ErrorCode::SourceFailed, format!("{of}: {message}"));
    match error.sqlite_error_code() {
        Some(Sqlite::DatabaseCorrupt) => {
            failed.hint("the file is damaged: PRAGMA integrity_check says where")
        }
        Some(Sqlite::OperationInterrupted) => failed.hint("it was interrupted"),
        _ => failed,
    }
}

/// Opens the file of a connection.
pub async fn ask(at: &ConnectionTarget) -> Result<Told> {
    let path = path_of(at);
    let opening = tokio::task::spawn_blocking(move || open(&path));
    opening.await.map_err(|_| panicked())??;
    Ok(Told { version: format!("SQLite {}", rusqlite::version()), encrypted: None })
}

/// A thread that ended with a panic.
#[cold]
pub fn panicked() -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, "reading SQLite stopped: a thread panicked")
}
