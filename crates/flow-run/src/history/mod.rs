//! Asks and writes what is remembered of runs, over a session of whoever asks. The statements are those of
//! `ematix_flow_core::history`; no table is named here.

mod asked;
mod condition;
mod facts;
mod forget;
mod rewind;
mod slots;
mod state;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod views;
mod watermarks;

pub use asked::LastRuns;
pub use condition::{MetadataCondition, Silent};
pub use facts::{KnownTarget, has_ledger, record_of, versions_of, was_made_beside, watermark_of};
pub use slots::{Claim, ClaimEnd, Scheduled, Schedules, Upstream};
pub use state::KnownState;
pub use store::{Entered, Entry, Failure, HistoryStore, LostRun, Renewed, RunStart, Slot, host, lease_lost};

use crate::session::{ResultSet, nth, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use serde::de::DeserializeOwned;

/// Every row of the first answer, each one JSON value.
fn rows<T: DeserializeOwned>(answers: &[ResultSet], doing: &str) -> Result<Vec<T>> {
    nth(answers, 0, doing)?
        .rows
        .iter()
        .map(|row| match row.as_slice() {
            [Some(text)] => json(text),
            _ => Err(unreadable(doing, "a row that is not one value")),
        })
        .collect()
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        FlowError::new(ErrorCode::TargetFailed, format!("the metadata cannot be read: {error}"))
    })
}
