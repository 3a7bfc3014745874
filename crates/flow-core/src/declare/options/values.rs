//! The values that options take.

use crate::duration::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A load strategy by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Insert every source row.
    Append,
    /// Replace the whole table.
    Truncate,
    /// Update or insert by key (SCD type 1).
    #[serde(alias = "scd1")]
    Merge,
    /// Keep the history of every key (SCD type 2).
    Scd2,
}

/// The names of the modes, for messages.
pub const MODES: &[&str] = &["append", "truncate", "merge", "scd1", "scd2"];

impl Mode {
    /// The name; never the alias `scd1`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Append => "append",
            Mode::Truncate => "truncate",
            Mode::Merge => "merge",
            Mode::Scd2 => "scd2",
        }
    }

    /// The mode of that name, as reports and the history keep it.
    pub fn named(name: &str) -> Option<Mode> {
        [Mode::Append, Mode::Truncate, Mode::Merge, Mode::Scd2].into_iter().find(|mode| mode.name() == name)
    }

    /// Whether it keeps the versions of a key: a key that left the source is then a version that was closed.
    pub const fn keeps_versions(self) -> bool {
        matches!(self, Mode::Scd2)
    }

    /// Whether it rewrites rows in place.
    pub const fn updates_rows(self) -> bool {
        matches!(self, Mode::Merge)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! word_enum {
    ($(#[$meta:meta])* $name:ident { $( $(#[$vmeta:meta])* $variant:ident ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $( $(#[$vmeta])* $variant ),+ }
    };
}

word_enum! {
    /// What happens to keys that left the source.
    HandleDeletes {
        /// Nothing.
        #[default] Ignore,
        /// They are marked, or their version is closed.
        Soft,
        /// They are deleted (merge only).
        Hard,
    }
}
word_enum! {
    /// What several source rows of one key mean.
    OnDuplicate {
        /// The run ends before any write.
        #[default] Error,
        /// The first by `order_by` is kept, the others are counted.
        Latest,
    }
}
word_enum! {
    /// What a source without rows means.
    OnEmptySource {
        /// The run ends before any write.
        #[default] Error,
        /// It is a reading like any other.
        Ignore,
    }
}
word_enum! {
    /// What a live table unlike its declaration means.
    OnDrift {
        /// The run ends before any write.
        #[default] Error,
        /// Extra columns and other types are accepted.
        Ignore,
    }
}
word_enum! {
    /// What NULL in the incremental column means.
    NullWatermark {
        /// The run ends before any write.
        #[default] Error,
        /// Such rows are read every time.
        Include,
        /// Such rows are counted and left out.
        Skip,
    }
}
word_enum! {
    /// What a value of the incremental column means that lies more than a day after the source's clock.
    FutureWatermark {
        /// The run ends before any write.
        #[default] Error,
        /// Such rows are loaded, and the next run reads from the source's clock on.
        Include,
    }
}
word_enum! {
    /// How rows that commit late are found again.
    LateCommits {
        /// By the oldest running transaction where the column is stamped by the source's own clock, else by `lookback`.
        #[default] Auto,
        /// By the oldest running transaction: the user's word that the column is so stamped.
        Cap,
        /// By `lookback` alone.
        Lookback,
    }
}
word_enum! {
    /// What stands in `effective_to` of the current version.
    OpenEnd {
        /// NULL.
        #[default] Null,
        /// The timestamp `infinity`.
        Infinity,
    }
}
word_enum! {
    /// How the rows of a table are replaced.
    ReplaceMethod {
        /// TRUNCATE: fast; readers wait.
        #[default] Truncate,
        /// DELETE: slower; readers see the old rows until the commit.
        Delete,
        /// By keys, only what differs: an unchanged reload writes nothing, and foreign keys to the table hold.
        Diff,
    }
}
word_enum! {
    /// When a pipeline that never ran is due.
    FirstRun {
        /// At its next slot.
        #[default] Slot,
        /// At once.
        Now,
    }
}
word_enum! {
    /// A path that is forced.
    ForcePath {
        /// One database does everything.
        #[default] SameDb,
        /// Rows are staged in the target.
        Staging,
        /// Hashes are compared in the client.
        ClientDiff,
    }
}

/// A column's name, or `false` for none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NameOrOff {
    /// The name.
    Name(String),
    /// `false`: no such column.
    Off(#[schemars(extend("const" = false))] bool),
}

/// How far before the watermark a reading begins: a duration, or a number for numeric columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Lookback {
    /// A number of units of the column.
    Number(i64),
    /// A length of time.
    Duration(Duration),
}

impl Lookback {
    /// Whether nothing is read again.
    pub fn is_zero(&self) -> bool {
        match self {
            Lookback::Number(number) => *number == 0,
            Lookback::Duration(duration) => duration.is_zero(),
        }
    }
}
