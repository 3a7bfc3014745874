//! Rows on their way from one session to another.

use arrow_array::RecordBatch;
use bytes::Bytes;
use ematix_flow_arrow::Batches;
use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::error::{FlowError, Result};
use futures_util::{Sink, Stream};
use std::pin::Pin;

/// Rows that a session sends.
pub enum RowStream {
    /// Binary COPY, as the server cuts it.
    PgCopy(CopyStream),
    /// Batches of Arrow.
    Arrow(Batches),
}

/// Binary COPY on its way here.
pub type CopyStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Binary COPY on its way there.
pub type CopySink = Pin<Box<dyn Sink<Bytes, Error = FlowError> + Send>>;

impl RowStream {
    /// The rows as binary COPY, for whoever reads nothing else.
    ///
    /// # Errors
    /// `not_yet_supported` for rows of another form.
    pub fn into_copy(self) -> Result<CopyStream> {
        match self {
            RowStream::PgCopy(stream) => Ok(stream),
            RowStream::Arrow(_) => Err(no_copy("sends")),
        }
    }
}

/// What takes rows. They stand once it is closed; dropped before that, it has taken nothing.
pub enum RowSink {
    /// Binary COPY, however it is cut.
    PgCopy(CopySink),
    /// Batches of Arrow, each column of the type of the table's.
    Arrow(Pin<Box<dyn Sink<RecordBatch, Error = FlowError> + Send>>),
}

impl RowSink {
    /// What takes binary COPY, for whoever has nothing else.
    ///
    /// # Errors
    /// `not_yet_supported` for what takes another form.
    pub fn into_copy(self) -> Result<CopySink> {
        match self {
            RowSink::PgCopy(sink) => Ok(sink),
            RowSink::Arrow(_) => Err(no_copy("takes")),
        }
    }
}

fn no_copy(what: &str) -> FlowError {
    FlowError::new(
        ErrorCode::NotYetSupported,
        format!("this database {what} rows as Arrow, and binary COPY is wanted here"),
    )
}
