//! Rows on their way between databases, as binary COPY: read and written at the same time, gathered into large
//! messages, and never decoded; what is computed from a row is computed while it passes.

pub mod asked;
pub mod bring;
pub mod compare;
pub mod copy;
pub mod digests;
pub mod known;
pub mod meeting;

use crate::session::{RowSink, RowStream, Session};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::QualifiedName;
use std::iter::Sum;

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Rows that the source has sent.
    pub rows: i64,
    /// Bytes that the source has sent.
    pub bytes: u64,
}

impl Sum for Passed {
    fn sum<I: Iterator<Item = Passed>>(each: I) -> Passed {
        each.fold(Passed::default(), |sum, one| Passed {
            rows: sum.rows + one.rows,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// Why a transfer ended before its end.
#[derive(Debug)]
pub enum Broken {
    /// A server, the way to it, or a row that is not what it should be.
    Failed(FlowError),
    /// The comparison cannot go on in the client, and why; the rows can be staged.
    GivenUp(String),
}

impl From<FlowError> for Broken {
    fn from(error: FlowError) -> Broken {
        Broken::Failed(error)
    }
}

/// Begins to read the source's rows; once some have come, it may send none for so long.
async fn read_source(source: &dyn Session, statement: &str, silence: &Duration) -> Result<RowStream> {
    Ok(source.read(Blame::Source, "read the source", statement).await?.at_most_silent(silence))
}

/// Begins to hand rows to the target.
async fn into_target(target: &dyn Session, into: &QualifiedName, statement: &str) -> Result<RowSink> {
    target.accept(TAKING, into, statement).await
}

/// What the target does in a transfer.
const TAKING: &str = "take the source's rows";
