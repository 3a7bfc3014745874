//! What is known before a target is put back to what a run had left.

use super::{RunFacts, TargetRecord};
use crate::schema::LiveTable;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How somebody names a run of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunNamed {
    /// By its number on the target.
    Number(i64),
    /// By its id, or the end of it.
    Digits(String),
    /// The last that had committed by then.
    By(Timestamp),
}

/// A run of a target, and what a rewind has to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// Its number on the target.
    pub number: i64,
    /// Its id.
    pub run_id: String,
    /// When it committed: ISO 8601, UTC.
    pub committed_at: Option<String>,
    /// What was written until then lies at this instant or before; `None` of a run before that was recorded.
    pub instant: Option<String>,
    /// The rewind that has undone it.
    pub undone_by: Option<i64>,
}

/// What runs have written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// How many they are.
    pub runs: i64,
    /// New rows.
    pub inserted: i64,
    /// Rows rewritten in place.
    pub updated: i64,
    /// Versions closed.
    pub closed_out: i64,
}

/// A declaration that a target had.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PastDeclaration {
    /// The number of the run that brought it.
    pub number: Option<i64>,
    /// The keys.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The compared columns.
    #[serde(default)]
    pub compared: Vec<String>,
    /// The column of the event time.
    pub event: Option<String>,
}

/// A watermark, beside what the last run that stands had left of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PastWatermark {
    /// The pipeline.
    pub pipeline: String,
    /// The incremental column.
    pub column: String,
    /// The greatest value that was read.
    pub now: Option<String>,
    /// The incremental column then.
    pub column_then: Option<String>,
    /// The greatest value that had been read then.
    pub value_then: Option<String>,
    /// Where the next reading would have begun.
    pub read_from_then: Option<String>,
}

impl PastWatermark {
    /// What it was: the value, and where the next reading begins; `None` where that is not known.
    pub fn then(&self) -> Option<(&str, &str)> {
        let same = self.column_then.as_ref() == Some(&self.column);
        Some((self.value_then.as_deref()?, self.read_from_then.as_deref()?)).filter(|_| same)
    }
}

/// Everything that the plan of a rewind depends on beside the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct RewindFacts {
    /// The run that puts the target back.
    pub run: RunFacts,
    /// The target.
    pub live: LiveTable,
    /// The tables beside it, in the order of `follows`, as far as they are there.
    pub beside: Vec<Option<LiveTable>>,
    /// What the metadata remember of the target.
    pub record: TargetRecord,
    /// The run whose state is brought back.
    pub to: PastRun,
    /// What the runs since have written.
    pub since: Written,
    /// How many of them are no longer remembered.
    pub forgotten: i64,
    /// Every declaration that the target had, in their order.
    pub declarations: Vec<PastDeclaration>,
    /// The watermarks of those who load it.
    pub watermarks: Vec<PastWatermark>,
}

impl RewindFacts {
    /// The watermarks that go back: none where no run has come since.
    pub fn watermarks_that_change(&self) -> impl Iterator<Item = &PastWatermark> {
        self.watermarks.iter().filter(|_| self.since.runs > 0)
    }

    /// The watermark of a pipeline before, and after.
    pub fn watermark_of(&self, pipeline: &str) -> (Option<&str>, Option<&str>) {
        let Some(own) = self.watermarks.iter().find(|watermark| watermark.pipeline == pipeline) else {
            return (None, None);
        };
        let before = own.now.as_deref();
        match self.since.runs {
            0 => (before, before),
            _ => (before, own.then().map(|(value, _)| value)),
        }
    }
}
