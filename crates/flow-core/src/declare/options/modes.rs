//! The load strategies by their names. What each of them does stands in [`crate::strategies`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Writes the modes down: a line is a load strategy, its name, another name for it, and what becomes of a row that
/// changes where it is not left as it was.
macro_rules! modes {
    ($($(#[doc = $about:literal])+ $mode:ident $name:literal $(or $alias:literal)? $(, $kept:ident)?;)+) => {
        /// A load strategy by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Mode {
            $($(#[doc = $about])+ #[serde(rename = $name $(, alias = $alias)?)] $mode,)+
        }

        /// The names of the modes, for messages.
        pub const MODES: &[&str] = &[$($name, $($alias,)?)+];

        impl Mode {
            /// Every mode.
            pub const ALL: &[Mode] = &[$(Mode::$mode),+];

            /// Other names, and the mode that each of them names.
            pub const ALIASES: &[(&str, Mode)] = &[$($(($alias, Mode::$mode),)?)+];

            /// The name; never another name for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Mode::$mode => $name,)+
                }
            }

            const fn of_a_change(self) -> Change {
                match self {
                    $(Mode::$mode => [$(Change::$kept,)? Change::None][0],)+
                }
            }
        }
    };
}

/// What becomes of a row that changes.
#[derive(Clone, Copy)]
enum Change {
    None,
    Rewritten,
    Versioned,
}

modes! {
    /// Insert every source row.
    Append "append";
    /// Replace the whole table.
    Truncate "truncate";
    /// Update or insert by key (SCD type 1).
    Merge "merge" or "scd1", Rewritten;
    /// Keep the history of every key (SCD type 2).
    Scd2 "scd2", Versioned;
}

impl Mode {
    /// The mode that fills a feature view: it keeps a history by event time.
    pub const OF_FEATURE_VIEWS: Mode = Mode::Scd2;

    /// The mode of that name, as reports and the history keep it.
    pub fn named(name: &str) -> Option<Mode> {
        Mode::ALL.iter().copied().find(|mode| mode.name() == name)
    }

    /// Whether it keeps the versions of a key: a key that left the source is then a version that was closed.
    pub const fn keeps_versions(self) -> bool {
        matches!(self.of_a_change(), Change::Versioned)
    }

    /// Whether it rewrites rows in place.
    pub const fn updates_rows(self) -> bool {
        matches!(self.of_a_change(), Change::Rewritten)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
