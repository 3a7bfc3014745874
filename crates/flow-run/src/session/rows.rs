//! Rows on their way from one session to another.

use bytes::Bytes;
use ematix_flow_core::error::{FlowError, Result};
use futures_util::{Sink, Stream};
use std::pin::Pin;

/// Rows that a session sends.
pub enum RowStream {
    /// Binary COPY, as the server cuts it.
    PgCopy(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>),
}

/// What takes rows. They stand once it is closed; dropped before that, it has taken nothing.
pub enum RowSink {
    /// Binary COPY, however it is cut.
    PgCopy(Pin<Box<dyn Sink<Bytes, Error = FlowError> + Send>>),
}
