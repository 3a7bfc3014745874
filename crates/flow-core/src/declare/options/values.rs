//! The values that options take.

use crate::duration::Duration;
use crate::helpers::Written;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        /// The latest by `order_by` is kept (what says no direction counts down), the others are counted.
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
    /// What makes a source grow that has no column which does.
    IncrementalBy {
        /// Files: each version of a file is loaded once.
        #[default] Files,
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
        /// By the oldest running transaction where it can be told, else by `lookback`.
        #[default] Auto,
        /// By the oldest running transaction: the user's word that the source's own clock stamps the column.
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
    /// What another value of a key at a time that is known means, where `order_by` does not decide.
    OnSameTime {
        /// A correction: the new value stands, the old one is kept beside the table.
        #[default] Replace,
        /// The run ends before any write.
        Error,
        /// The value that came first stands, the new one is counted as skipped.
        Keep,
    }
}
word_enum! {
    /// What becomes of an event that repeats the value before it.
    Repeats {
        /// It is a row like any other: events that come late find their place.
        #[default] Keep,
        /// It only confirms the version before it, which is one row.
        Collapse,
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
    /// What becomes of slots that passed while nobody asked.
    Catchup {
        /// One run stands for all of them.
        #[default] Latest,
        /// Each has a run of its own, one after the other.
        All,
        /// They are recorded as skipped.
        None,
    }
}
word_enum! {
    /// What a slot means that comes while the pipeline runs.
    Overlap {
        /// It is recorded as skipped.
        #[default] Skip,
        /// It waits until the run is over.
        Queue,
    }
}
word_enum! {
    /// What becomes of a column of a type that the target's engine lacks.
    OnTypeLoss {
        /// The run is refused.
        #[default] Error,
        /// The column is text.
        Text,
    }
}
word_enum! {
    /// Which hash of what is compared a version has.
    RowHash {
        /// The one of the canonical encoding, which is the same in every engine.
        #[default] Emx1,
        /// None: values are compared.
        None,
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

/// Helpers, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Helpers(pub Vec<Written>);
