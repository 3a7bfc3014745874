//! A connection of ADBC, as sessions use it.

use super::super::library::{Connection, Fault};
use super::answers::{answer, statement};
use super::databases::Open;
use super::said;
use crate::session::ResultSet;
use adbc_core::options::{IngestMode, OptionStatement};
use adbc_core::{CancelHandle, Connection as _, Optionable as _, Statement as _};
use adbc_driver_manager::ManagedConnection;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use ematix_flow_core::query::statements;
use ematix_flow_core::sql::QualifiedName;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A connection; what runs on it keeps it, also where it is closed meanwhile.
pub(super) struct AdbcConnection {
    open: Mutex<Option<Arc<Open>>>,
    /// Whether a transaction is open: whoever asks the library by BEGIN ends the one that is.
    in_transaction: AtomicBool,
    cancel: Box<dyn CancelHandle>,
}

impl AdbcConnection {
    pub fn new(open: Open) -> AdbcConnection {
        AdbcConnection {
            cancel: open.connection.get_cancel_handle(),
            in_transaction: AtomicBool::new(false),
            open: Mutex::new(Some(Arc::new(open))),
        }
    }

    fn open(&self) -> Result<Arc<Open>, Fault> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| Fault::Said("Connection Error: the connection is closed".to_owned()))
    }
}

impl Connection for AdbcConnection {
    fn run(&self, sql: &str) -> Result<Vec<ResultSet>, Fault> {
        let open = self.open()?;
        let mut connection = open.connection.clone();
        // A text that cannot be taken apart the library refuses, in its words.
        let Ok(parts) = statements(sql) else { return Ok(vec![answer(&mut connection, sql)?]) };
        let mut answers = Vec::new();
        for part in parts {
            let answered = answer(&mut connection, &part.text);
            match part.words.first().map(String::as_str) {
                Some("begin" | "start") if answered.is_ok() => {
                    self.in_transaction.store(true, Ordering::SeqCst);
                }
                // A COMMIT that is refused has rolled back.
                Some("commit" | "end" | "rollback" | "abort") => {
                    self.in_transaction.store(false, Ordering::SeqCst);
                }
                _ => {}
            }
            answers.push(answered?);
        }
        Ok(answers)
    }

    fn query(&self, sql: &str) -> Result<Box<dyn RecordBatchReader + Send>, Fault> {
        let open = self.open()?;
        let mut statement = statement(&mut open.connection.clone(), sql)?;
        let reader = statement.execute().map_err(said)?;
        Ok(Box::new(Rows { reader, _open: open }))
    }

    fn append(&self, into: &QualifiedName, rows: Box<dyn RecordBatchReader + Send>) -> Result<i64, Fault> {
        let open = self.open()?;
        let mut connection = open.connection.clone();
        let alone = !self.in_transaction.load(Ordering::SeqCst);
        if alone {
            answer(&mut connection, "BEGIN TRANSACTION")?;
        }
        let done = ingest(&mut connection, into, rows);
        match &done {
            Ok(_) if alone => answer(&mut connection, "COMMIT").map(|_| ())?,
            Ok(_) => {}
            Err(_) if alone => drop(answer(&mut connection, "ROLLBACK")),
            // Nobody may commit what has come: a statement that fails in a transaction ends it.
            Err(_) => drop(answer(&mut connection, "SELECT error('the rows broke off')")),
        }
        done
    }

    fn interrupt(&self) {
        // One that has no statement under way has nothing to end.
        let _ = self.cancel.try_cancel();
    }

    fn close(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(open);
    }
}

/// Takes rows into a table; some of them stay where an error comes.
fn ingest(
    connection: &mut ManagedConnection,
    into: &QualifiedName,
    rows: Box<dyn RecordBatchReader + Send>,
) -> Result<i64, Fault> {
    let mut statement = connection.new_statement().map_err(said)?;
    for (option, value) in [
        (OptionStatement::IngestMode, IngestMode::Append.into()),
        (OptionStatement::TargetDbSchema, into.schema.as_str().into()),
        (OptionStatement::TargetTable, into.name.as_str().into()),
    ] {
        statement.set_option(option, value).map_err(said)?;
    }
    let passed = Arc::new(Mutex::new(Passed { rows: 0, error: None }));
    statement.bind_stream(Box::new(Watched { rows, passed: Arc::clone(&passed) })).map_err(said)?;
    let done = statement.execute_update().map_err(said);
    let passed = &mut *passed.lock().unwrap_or_else(PoisonError::into_inner);
    // DuckDB (2.0.1) takes a reader that fails for one that has ended, and says nothing.
    if let Some(error) = passed.error.take() {
        return Err(Fault::from(error));
    }
    // Not every version says how many.
    done.map(|_| passed.rows)
}

/// The rows of a query, with the connection from which they come.
struct Rows {
    reader: Box<dyn RecordBatchReader + Send>,
    _open: Arc<Open>,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next()
    }
}

impl RecordBatchReader for Rows {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }
}

/// What has passed of a reader.
struct Passed {
    rows: i64,
    error: Option<ArrowError>,
}

/// Rows that are counted as they pass, and whose error is kept.
struct Watched {
    rows: Box<dyn RecordBatchReader + Send>,
    passed: Arc<Mutex<Passed>>,
}

impl Iterator for Watched {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.rows.next()?;
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Ok(batch) => {
                passed.rows += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
                Some(Ok(batch))
            }
            Err(error) => {
                let told = ArrowError::ExternalError(error.to_string().into());
                passed.error = Some(error);
                Some(Err(told))
            }
        }
    }
}

impl RecordBatchReader for Watched {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
