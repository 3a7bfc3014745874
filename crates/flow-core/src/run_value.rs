//! The values that only a run knows: what its steps count and read, and what later steps use of it.

use serde::Serialize;
use std::collections::BTreeMap;

macro_rules! run_values {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A value that is known only while the plan runs; printed as `:rows_in`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum RunValue {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl RunValue {
            /// Every value.
            pub const ALL: &'static [RunValue] = &[$(RunValue::$variant),+];

            /// The name in printed SQL, and of the column that keeps it in the history.
            pub const fn name(self) -> &'static str {
                match self {
                    $(RunValue::$variant => $name,)+
                }
            }
        }
    };
}

run_values! {
    /// Rows that the source gave.
    RowsIn = "rows_in",
    /// New rows.
    RowsInserted = "rows_inserted",
    /// Rows rewritten in place.
    RowsUpdated = "rows_updated",
    /// Rows that needed nothing.
    RowsUnchanged = "rows_unchanged",
    /// Versions closed.
    RowsClosedOut = "rows_closed_out",
    /// Keys found gone.
    RowsDeleted = "rows_deleted",
    /// Rows dropped as duplicates.
    RowsDeduplicated = "rows_deduplicated",
    /// Rows read again but loaded before, or without a watermark.
    RowsSkipped = "rows_skipped",
    /// Rows quarantined.
    RowsRejected = "rows_rejected",
    /// Current versions whose hash was computed anew.
    RowsRehashed = "rows_rehashed",
    /// Changes: rows of keys that the target does not have.
    RowsNew = "rows_new",
    /// Changes: rows that differ from their live row.
    RowsChanged = "rows_changed",
    /// Changes: rows that differ only in columns that are overwritten in place.
    RowsOverwritten = "rows_overwritten",
    /// Changes: live rows whose key left the source.
    RowsGone = "rows_gone",
    /// Events before the newest of their key.
    RowsPast = "rows_past",
    /// Changes: of those, the ones that the history does not have.
    RowsLate = "rows_late",
    /// Changes: events that contradict the history, where that ends the run.
    RowsClash = "rows_clash",
    /// Newest events that a newer one ends.
    RowsEnded = "rows_ended",
    /// Staged rows without a time.
    RowsNullEvent = "rows_null_event",
    /// Staged rows whose time lies far ahead.
    RowsFutureEvent = "rows_future_event",
    /// Staged rows whose key is NULL.
    RowsNullKey = "rows_null_key",
    /// Staged rows whose key was there already.
    RowsRepeated = "rows_repeated",
    /// The watermark of this reading, as text; NULL when nothing was read.
    Watermark = "watermark",
    /// Where the next reading begins, as text.
    ReadFrom = "read_from",
    /// How many values of each column could not be read, as a JSON object.
    ParseFailures = "parse_failures",
    /// Staged rows with NULL, in place of what could not be read, where the target takes none.
    RowsUnread = "rows_unread",
    /// What each layer around the source's query left and changed, as a JSON array.
    Layers = "layers",
}

impl RunValue {
    /// The numbers that a run's row in the history keeps, each in the column of its name.
    pub const RECORDED: &'static [RunValue] = &[
        RunValue::RowsIn,
        RunValue::RowsInserted,
        RunValue::RowsUpdated,
        RunValue::RowsUnchanged,
        RunValue::RowsClosedOut,
        RunValue::RowsDeleted,
        RunValue::RowsDeduplicated,
        RunValue::RowsSkipped,
        RunValue::RowsRejected,
        RunValue::RowsRehashed,
    ];

    /// Whether it is a text, which may be NULL, and not a number.
    pub const fn is_text(self) -> bool {
        matches!(self, RunValue::Watermark | RunValue::ReadFrom | RunValue::ParseFailures | RunValue::Layers)
    }
}

/// What a run knows so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    numbers: BTreeMap<RunValue, i64>,
    texts: BTreeMap<RunValue, String>,
    suspects: Vec<i64>,
}

impl Values {
    /// The number; 0 where nothing was counted.
    pub fn number(&self, value: RunValue) -> i64 {
        self.numbers.get(&value).copied().unwrap_or(0)
    }

    /// The rows that were read, but for those that were dropped before they could be written.
    pub fn rows_left(&self) -> i64 {
        let n = |value| self.number(value);
        n(RunValue::RowsIn)
            - n(RunValue::RowsDeduplicated)
            - n(RunValue::RowsSkipped)
            - n(RunValue::RowsRejected)
    }

    /// Adds to a number.
    pub fn add(&mut self, value: RunValue, rows: i64) {
        *self.numbers.entry(value).or_insert(0) += rows;
    }

    /// Adds every number of another.
    pub fn add_all(&mut self, other: &Values) {
        for (value, number) in &other.numbers {
            self.add(*value, *number);
        }
    }

    /// Sets a number.
    pub fn set(&mut self, value: RunValue, number: i64) {
        self.numbers.insert(value, number);
    }

    /// How many rows are suspected to fail an expectation, by its place; 0 where nobody has asked.
    pub fn suspects(&self, place: usize) -> i64 {
        self.suspects.get(place).copied().unwrap_or(0)
    }

    /// Keeps what was asked of every expectation.
    pub fn set_suspects(&mut self, suspects: Vec<i64>) {
        self.suspects = suspects;
    }

    /// The text; `None` where there is none.
    pub fn text(&self, value: RunValue) -> Option<&str> {
        self.texts.get(&value).map(String::as_str)
    }

    /// Sets a text; `None` for NULL.
    pub fn set_text(&mut self, value: RunValue, text: Option<String>) {
        match text {
            Some(text) => self.texts.insert(value, text),
            None => self.texts.remove(&value),
        };
    }
}
