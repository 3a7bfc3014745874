//! The options of a pipeline: one name in TOML, in Python and on the command line.
//!
//! A line of [`options!`] is an option: its field in [`PipelineOptions`], its part of the JSON Schema and of the manual,
//! which load strategies know it, what it is when unwritten, how it is laid over another, and its flag: `flag` of every
//! command that runs or plans, `copy` of `flow copy` alone.

#[macro_use]
mod table;
mod modes;
mod rules;
mod values;

pub use modes::{MODES, Mode};
pub use rules::{RULES, Rule};
pub use table::{Flag, Kind, Of, OptionInfo, Support, described};
pub use values::*;

use super::Names;
use super::notifications::Notification;
use super::transforms::PostTransform;
use crate::duration::Duration;
use crate::expectations::Written;

options! {
    /// The load strategy.
    mode: Mode;
    /// The target's connection; the source's unless said.
    target_connection: String;
    /// What the pipeline is for.
    description: String;
    /// Who answers for it.
    owner: String;
    /// Words to select it by: `tag:crm`.
    tags: Vec<String>, default [];
    /// Whether its schedule fires.
    enabled: bool, of Schedule, default true;
    /// Columns by which source and target rows are matched.
    keys: Names, of Columns,
        copy "COLUMNS" "The columns that identify a row, with commas";
    /// Columns whose change opens a version (scd2).
    compare_columns: Names, of Columns, for [Scd2],
        copy "COLUMNS" "scd2: columns whose change opens a version";
    /// Columns that merge writes.
    update_columns: Names, of Columns, for [Merge],
        copy "COLUMNS" "merge: columns that are written";
    /// Columns that are updated in the current version (type 1 inside type 2).
    overwrite_columns: Names, of Columns, for [Scd2], default [],
        copy "COLUMNS" "scd2: columns that are updated in the current version";
    /// What happens to keys that left the source.
    handle_deletes: HandleDeletes, for [Merge, Scd2], default "ignore",
        copy "WORD" "What happens to keys that left the source: ignore, soft or hard";
    /// The largest share of the current keys that one run may delete, judged from 20 keys up.
    #[schemars(range(min = 0.0, max = 1.0))]
    max_delete_fraction: f64, for [Merge, Scd2], default 0.5,
        flag "SHARE" "Largest share of the current keys that may be deleted, 0 to 1";
    /// What a source without rows means.
    on_empty_source: OnEmptySource,
        flag "WORD" "What a source without rows means: error or ignore";
    /// What several source rows of one key mean.
    on_duplicate: OnDuplicate, for [Truncate, Merge, Scd2], default "error",
        flag "WORD" "What several rows of one key mean: error or latest";
    /// ORDER BY list that decides which row of a key is kept.
    order_by: String, for [Truncate, Merge, Scd2],
        copy "ITEMS" "Which row of a key --on-duplicate latest keeps: updated_at DESC";
    /// Steps over all rows of the source before the load, in their order: deduplicate_by, filter_where and others.
    transforms_pre: Helpers, default [];
    /// What a live table unlike its declaration means.
    on_drift: OnDrift, default "error",
        flag "WORD" "What a table unlike its declaration means: error or ignore";
    /// Adds what is missing to an existing table; never drops or narrows.
    migrate: bool, default false,
        flag "" "Add what an existing table lacks; never drops or narrows";
    /// `files` loads each version of a file once.
    incremental: IncrementalBy, for [Append, Merge, Scd2];
    /// Column that only grows; each run reads from its watermark on.
    incremental_column: String, of Columns;
    /// How far before the watermark a reading begins.
    lookback: Lookback, default "0s",
        flag "LENGTH" "How far before the watermark to read: 2h, 30d, or a number" after null_watermark;
    /// What NULL in the incremental column means.
    null_watermark: NullWatermark, default "error",
        flag "WORD" "What NULL in the incremental column means: error, include or skip";
    /// What a value of the incremental column in the future means.
    future_watermark: FutureWatermark, default "error",
        flag "WORD" "What a value more than a day ahead in the incremental column means: error or include";
    /// How rows that commit late are found again.
    late_commits: LateCommits, default "auto";
    /// Where the first version of a key begins: `run`, `epoch`, or a column.
    first_valid_from: String, of Columns, for [Scd2], default "run",
        copy "WORD" "scd2: where a key's first version begins: run, epoch or a column";
    /// What stands in `effective_to` of the current version.
    open_end: OpenEnd, for [Scd2], default "null";
    /// Column in which a version begins.
    effective_from: String, of Columns, for [Scd2], default "valid_from";
    /// Column in which a version ends.
    effective_to: String, of Columns, for [Scd2], default "valid_to";
    /// Column that marks the current version.
    current_flag: String, of Columns, for [Scd2], default "is_current";
    /// Column of the row hash.
    hash_column: String, of Columns, for [Scd2], default "row_hash";
    /// Whether a version has the hash of what is compared: `emx1`, or `none`. Unless said, none in a new table of DuckDB.
    row_hash: RowHash, for [Scd2];
    /// Column that marks a deleted row (merge), or an event that deletes (scd2 by event time).
    deleted_flag: String, of Columns, for [Merge, Scd2], default "is_deleted";
    /// Column of the time at which something happened: versions begin and end by it, not by when they are loaded.
    event_timestamp_column: String, of Columns, for [Scd2],
        copy "COLUMN" "scd2: column of the time at which a row holds, instead of the run's";
    /// How long an event holds at most.
    ttl: Duration, for [Scd2],
        copy "LENGTH" "scd2 by event time: how long an event holds at most";
    /// What another value of a key at a time that is known means.
    on_same_time: OnSameTime, for [Scd2], default "replace",
        copy "WORD" "Another value at a known time: replace, error or keep";
    /// SQL condition over the source's columns: the event deletes its key.
    delete_when: String, for [Scd2],
        copy "CONDITION" "scd2 by event time: which events delete their key";
    /// What becomes of an event that repeats the value before it.
    repeats: Repeats, for [Scd2], default "keep",
        copy "WORD" "scd2 by event time: what a repeated value is: keep or collapse";
    /// Column of the time of loading (append); `false` for none.
    loaded_at_column: NameOrOff, of Columns, for [Append], default "_loaded_at";
    /// Column of the run's id (append); `false` for none.
    batch_id_column: NameOrOff, of Columns, for [Append], default "_batch_id";
    /// How the rows of a table are replaced: all of them, or by keys what differs.
    replace_method: ReplaceMethod, for [Truncate], default "truncate",
        copy "WORD" "truncate: how the rows are replaced: truncate, delete or diff";
    /// What the rows must hold before the load is committed: `[{ not_null = "email" }, { unique = "id", policy = "warn" }]`.
    expect: Vec<Written>, default [];
    /// Takes a path instead of the one found.
    force_path: ForcePath,
        flag "PATH" "Take this path: same_db, staging or client_diff";
    /// How many sessions read a large table of another database at once, each a part of its pages, all at one instant.
    #[schemars(range(min = 1, max = 64))]
    parallel: u32, default 1,
        flag "N" "Read a large table of another database by N sessions at once";
    /// What becomes of a column from another engine, of a type that the target's engine lacks: an error, or text.
    on_type_loss: OnTypeLoss, default "error",
        flag "WORD" "A type that the target's engine lacks: error or text";
    /// How long to wait for the target's lock.
    lock_timeout: Duration, default "60s",
        flag "LENGTH" "How long to wait for the target's lock: 90s, 10m";
    /// How long one statement may take.
    statement_timeout: Duration,
        flag "LENGTH" "How long one statement may take";
    /// How long a source whose rows have begun to come may send none; `0s` for as long as it likes.
    read_timeout: Duration, default "10m",
        flag "LENGTH" "How long a source may send no row once some have come: 10m; 0s for ever";
    /// How long the whole run may take.
    run_timeout: Duration,
        flag "LENGTH" "How long the whole run may take";
    /// How long a run that gives no sign of life is believed.
    lease: Duration, default "60s";
    /// How long runs are remembered that have ended, with their steps and slots; without it, for ever.
    history_keep: Duration;
    /// Five-field cron line.
    schedule: String, of Schedule;
    /// Interval instead of a cron line, counted from midnight.
    every: Duration, of Schedule;
    /// Time zone of the schedule.
    timezone: String, of Schedule, default "UTC";
    /// When a pipeline that never ran is due.
    first_run: FirstRun, of Schedule, default "slot";
    /// What becomes of slots that passed while nobody asked: one run for all of them, a run each, or none.
    catchup: Catchup, of Schedule, default "latest";
    /// How late a slot may be served where nothing is caught up; 60s unless said.
    misfire_grace: Duration, of Schedule;
    /// What a slot means that comes while the pipeline runs: it is skipped, or waits.
    overlap: Overlap, of Schedule, default "skip";
    /// How often a scheduled run is tried again whose failure may pass, after 30s, 1m, 2m and so on.
    retries: u32, of Schedule, default 2;
    /// The longest time after its slot that a run begins: always the same for a pipeline, so that many do not begin at once.
    jitter: Duration, of Schedule, default "0s";
    /// Pipelines that come before: it runs when they have ended in success.
    after: Names, of Schedule, default [];
    /// How long ago what `after` names may have succeeded; without it, it is their success at the same slot.
    freshness: Duration, of Schedule;
    /// What runs after the load, one after the other: SQL, or `{ sql = … }`, or `{ transform_ref = "NAME" }`.
    transforms_post: Vec<PostTransform>, default [];
    /// Who is told how a run has ended: `[{ on = ["failed"], webhook = "https://…" }]`, or `{ command = ["PROGRAM"] }`.
    notify: Vec<Notification>, of Schedule, default [];

    // Words of a later version: known, and refused by name.
    named {
        strategy;
    }
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
