//! The options of a pipeline: one name in TOML, in Python and on the command line.
//!
//! [`PipelineOptions`] holds what was written, [`OPTIONS`] says of each name which load strategies
//! know it, what it is when unwritten, and whether this version has it.

use super::Names;
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
    /// How a table is emptied before it is filled again.
    ReplaceMethod {
        /// TRUNCATE: fast; readers wait.
        #[default] Truncate,
        /// DELETE: slower; readers see the old rows until the commit.
        Delete,
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

/// The options of a pipeline as written; `None` where nothing was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct PipelineOptions {
    /// The load strategy.
    pub mode: Option<Mode>,
    /// The target's connection; the source's unless said.
    pub target_connection: Option<String>,
    /// What the pipeline is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Words to select it by: `tag:crm`.
    pub tags: Option<Vec<String>>,
    /// Whether its schedule fires.
    pub enabled: Option<bool>,
    /// Columns by which source and target rows are matched.
    pub keys: Option<Names>,
    /// Columns whose change opens a version (scd2).
    pub compare_columns: Option<Names>,
    /// Columns that merge writes.
    pub update_columns: Option<Names>,
    /// Columns that are updated in the current version (type 1 inside type 2).
    pub overwrite_columns: Option<Names>,
    /// What happens to keys that left the source.
    pub handle_deletes: Option<HandleDeletes>,
    /// The largest share of the current keys that one run may delete, judged from 20 keys up.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_delete_fraction: Option<f64>,
    /// What a source without rows means.
    pub on_empty_source: Option<OnEmptySource>,
    /// What several source rows of one key mean.
    pub on_duplicate: Option<OnDuplicate>,
    /// ORDER BY list that decides which row of a key is kept.
    pub order_by: Option<String>,
    /// What a live table unlike its declaration means.
    pub on_drift: Option<OnDrift>,
    /// Adds what is missing to an existing table; never drops or narrows.
    pub migrate: Option<bool>,
    /// Column that only grows; each run reads from its watermark on.
    pub incremental_column: Option<String>,
    /// How far before the watermark a reading begins.
    pub lookback: Option<Lookback>,
    /// What NULL in the incremental column means.
    pub null_watermark: Option<NullWatermark>,
    /// How rows that commit late are found again.
    pub late_commits: Option<LateCommits>,
    /// Where the first version of a key begins: `run`, `epoch`, or a column.
    pub first_valid_from: Option<String>,
    /// What stands in `effective_to` of the current version.
    pub open_end: Option<OpenEnd>,
    /// Column in which a version begins.
    pub effective_from: Option<String>,
    /// Column in which a version ends.
    pub effective_to: Option<String>,
    /// Column that marks the current version.
    pub current_flag: Option<String>,
    /// Column of the row hash.
    pub hash_column: Option<String>,
    /// Column that marks a deleted row (merge).
    pub deleted_flag: Option<String>,
    /// Column of the time of loading (append); `false` for none.
    pub loaded_at_column: Option<NameOrOff>,
    /// Column of the run's id (append); `false` for none.
    pub batch_id_column: Option<NameOrOff>,
    /// How a table is emptied before it is filled again.
    pub replace_method: Option<ReplaceMethod>,
    /// Takes a path instead of the one found.
    pub force_path: Option<ForcePath>,
    /// Connections that read the source.
    #[schemars(range(min = 1))]
    pub parallel: Option<u32>,
    /// How long to wait for the target's lock.
    pub lock_timeout: Option<Duration>,
    /// How long one statement may take.
    pub statement_timeout: Option<Duration>,
    /// How long the whole run may take.
    pub run_timeout: Option<Duration>,
    /// How long a run that gives no sign of life is believed.
    pub lease: Option<Duration>,
    /// Five-field cron line.
    pub schedule: Option<String>,
    /// Interval instead of a cron line, counted from midnight.
    pub every: Option<Duration>,
    /// Time zone of the schedule.
    pub timezone: Option<String>,
    /// When a pipeline that never ran is due.
    pub first_run: Option<FirstRun>,
}

/// Whether this version has an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Here,
    /// It is known and refused by name.
    NotYet,
}

/// What is known of an option's name.
#[derive(Clone, Copy, Debug)]
pub struct OptionInfo {
    /// The name.
    pub name: &'static str,
    /// The load strategies that know it; empty means all.
    pub modes: &'static [Mode],
    /// Its value when unwritten, as TOML text; `None` where there is none.
    pub default: Option<&'static str>,
    /// Whether this version has it.
    pub support: Support,
}

const fn here(name: &'static str, modes: &'static [Mode], default: Option<&'static str>) -> OptionInfo {
    OptionInfo { name, modes, default, support: Support::Here }
}

const fn not_yet(name: &'static str, default: Option<&'static str>) -> OptionInfo {
    OptionInfo { name, modes: &[], default, support: Support::NotYet }
}

const ALL: &[Mode] = &[];
const KEYED: &[Mode] = &[Mode::Merge, Mode::Scd2];
const SCD2: &[Mode] = &[Mode::Scd2];
const MERGE: &[Mode] = &[Mode::Merge];
const APPEND: &[Mode] = &[Mode::Append];
const TRUNCATE: &[Mode] = &[Mode::Truncate];

/// Every option of a pipeline beside `source` and `target`.
pub const OPTIONS: &[OptionInfo] = &[
    here("mode", ALL, None),
    here("target_connection", ALL, None),
    here("description", ALL, None),
    here("owner", ALL, None),
    here("tags", ALL, Some("[]")),
    here("enabled", ALL, Some("true")),
    here("keys", ALL, None),
    here("compare_columns", SCD2, None),
    here("update_columns", MERGE, None),
    here("overwrite_columns", SCD2, Some("[]")),
    here("handle_deletes", KEYED, Some("\"ignore\"")),
    here("max_delete_fraction", KEYED, Some("0.5")),
    here("on_empty_source", ALL, None),
    here("on_duplicate", &[Mode::Truncate, Mode::Merge, Mode::Scd2], Some("\"error\"")),
    here("order_by", &[Mode::Truncate, Mode::Merge, Mode::Scd2], None),
    here("on_drift", ALL, Some("\"error\"")),
    here("migrate", ALL, Some("false")),
    here("incremental_column", ALL, None),
    here("lookback", ALL, Some("\"0s\"")),
    here("null_watermark", ALL, Some("\"error\"")),
    here("late_commits", ALL, Some("\"auto\"")),
    here("first_valid_from", SCD2, Some("\"run\"")),
    here("open_end", SCD2, Some("\"null\"")),
    here("effective_from", SCD2, Some("\"valid_from\"")),
    here("effective_to", SCD2, Some("\"valid_to\"")),
    here("current_flag", SCD2, Some("\"is_current\"")),
    here("hash_column", SCD2, Some("\"row_hash\"")),
    here("deleted_flag", MERGE, Some("\"is_deleted\"")),
    here("loaded_at_column", APPEND, Some("\"_loaded_at\"")),
    here("batch_id_column", APPEND, Some("\"_batch_id\"")),
    here("replace_method", TRUNCATE, Some("\"truncate\"")),
    here("force_path", ALL, None),
    here("lock_timeout", ALL, Some("\"60s\"")),
    here("statement_timeout", ALL, None),
    here("run_timeout", ALL, None),
    here("lease", ALL, Some("\"60s\"")),
    here("schedule", ALL, None),
    here("every", ALL, None),
    here("timezone", ALL, Some("\"UTC\"")),
    here("first_run", ALL, Some("\"slot\"")),
    not_yet("parallel", Some("1")),
    not_yet("repeats", Some("\"keep\"")),
    not_yet("event_timestamp_column", None),
    not_yet("ttl", None),
    not_yet("on_same_time", Some("\"replace\"")),
    not_yet("delete_when", None),
    not_yet("transforms_pre", Some("[]")),
    not_yet("transforms_post", Some("[]")),
    not_yet("expect", Some("[]")),
    not_yet("notify", Some("[]")),
    not_yet("for_each", None),
    not_yet("overrides", None),
    not_yet("catchup", Some("\"latest\"")),
    not_yet("overlap", Some("\"skip\"")),
    not_yet("retries", Some("2")),
    not_yet("misfire_grace", None),
    not_yet("after", None),
    not_yet("freshness", None),
    not_yet("jitter", None),
    not_yet("strategy", None),
];

/// What is known of that name.
pub fn option_info(name: &str) -> Option<&'static OptionInfo> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// Words of other tools, and ours for them.
pub const FOREIGN_WORDS: &[(&str, &str)] = &[
    ("unique_key", "keys"),
    ("unique_keys", "keys"),
    ("primary_key", "keys"),
    ("key", "keys"),
    ("merge_keys", "keys"),
    ("natural_key", "keys"),
    ("strategy", "mode"),
    ("load_strategy", "mode"),
    ("write_disposition", "mode"),
    ("materialized", "mode"),
    ("check_cols", "compare_columns"),
    ("updated_at", "incremental_column"),
    ("update_key", "incremental_column"),
    ("cursor", "incremental_column"),
    ("cursor_path", "incremental_column"),
    ("cron", "schedule"),
    ("interval", "every"),
    ("invalidate_hard_deletes", "handle_deletes"),
    ("hard_deletes", "handle_deletes"),
    ("columns", "compare_columns"),
    ("destination", "target"),
    ("depends_on", "after"),
];

/// Values of `mode` in other tools, and ours for them.
pub const FOREIGN_MODES: &[(&str, &str)] = &[
    ("upsert", "merge"),
    ("incremental", "merge"),
    ("replace", "truncate"),
    ("full-refresh", "truncate"),
    ("full_refresh", "truncate"),
    ("overwrite", "truncate"),
    ("snapshot", "scd2"),
    ("insert", "append"),
];
