//! Rows on their way between databases, as binary COPY: read and written at the same time, gathered into large
//! messages, and never decoded; what is computed from a row is computed while it passes.

pub mod compare;
pub mod copy;
pub mod known;

use ematix_flow_core::error::FlowError;

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Rows that the source has sent.
    pub rows: i64,
    /// Bytes that the source has sent.
    pub bytes: u64,
}

/// Why a transfer ended before its end.
#[derive(Debug)]
pub enum Broken {
    /// The source's server, or the way to it.
    Source(tokio_postgres::Error),
    /// The target's server, or the way to it.
    Target(tokio_postgres::Error),
    /// A row is not what it should be.
    Row(FlowError),
    /// The comparison cannot go on in the client, and why; the rows can be staged.
    GivenUp(String),
}

impl From<FlowError> for Broken {
    fn from(error: FlowError) -> Broken {
        Broken::Row(error)
    }
}
