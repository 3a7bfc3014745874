//! Which options exclude or need each other.

use super::{
    Catchup, ForcePath, FutureWatermark, HandleDeletes, LateCommits, Mode, NullWatermark, OnDuplicate,
    OnSameTime, OpenEnd, PipelineOptions, Repeats, RowHash,
};
use crate::error::{ErrorCode, FlowError};

/// A rule about several options, or about an option in a load strategy.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The load strategies that it holds for; empty means all.
    pub modes: &'static [Mode],
    /// The option whose place the mistake has.
    pub option: &'static str,
    /// What kind of mistake it is.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: &'static str,
    /// What to do.
    pub hint: &'static str,
    is_broken: fn(&PipelineOptions) -> bool,
}

impl Rule {
    /// The mistake, where options of a load strategy break the rule.
    pub fn judge(&self, mode: Mode, options: &PipelineOptions) -> Option<FlowError> {
        let holds = self.modes.is_empty() || self.modes.contains(&mode);
        (holds && (self.is_broken)(options)).then(|| FlowError::new(self.code, self.message).hint(self.hint))
    }
}

/// Every rule, in the order in which mistakes are told.
pub const RULES: &[Rule] = &[
    Rule {
        modes: &[Mode::Merge, Mode::Scd2],
        option: "handle_deletes",
        code: ErrorCode::ConflictingOptions,
        message: "`handle_deletes` and `incremental_column` exclude each other",
        hint: "deletes are seen only in a full reading: remove one of the two",
        is_broken: |options| {
            options.incremental_column.is_some() && options.handle_deletes() != HandleDeletes::Ignore
        },
    },
    Rule {
        modes: &[Mode::Merge, Mode::Scd2],
        option: "handle_deletes",
        code: ErrorCode::ConflictingOptions,
        message: "`handle_deletes` and `incremental` exclude each other",
        hint: "a key that is in no new file has not left the source: remove one of the two",
        is_broken: |options| {
            options.incremental.is_some() && options.handle_deletes() != HandleDeletes::Ignore
        },
    },
    Rule {
        modes: &[],
        option: "incremental",
        code: ErrorCode::ConflictingOptions,
        message: "`incremental` and `incremental_column` exclude each other",
        hint: "a version of a file is loaded once, whatever its rows hold: remove one of the two",
        is_broken: |options| options.incremental.is_some() && options.incremental_column.is_some(),
    },
    Rule {
        modes: &[Mode::Truncate],
        option: "incremental_column",
        code: ErrorCode::ConflictingOptions,
        message: "`truncate` replaces the whole table, so it cannot read from a watermark on",
        hint: "remove incremental_column, or choose merge or append",
        is_broken: |options| options.incremental_column.is_some(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "handle_deletes",
        code: ErrorCode::ConflictingOptions,
        message: "`handle_deletes = \"hard\"` would delete history, which scd2 exists to keep",
        hint: "use \"soft\": it closes the current version of a key that left the source",
        is_broken: |options| options.handle_deletes() == HandleDeletes::Hard,
    },
    Rule {
        modes: &[],
        option: "lookback",
        code: ErrorCode::MissingOption,
        message: "`lookback` needs `incremental_column`",
        hint: WITHOUT_WATERMARK,
        is_broken: |options| options.incremental_column.is_none() && !options.lookback().is_zero(),
    },
    Rule {
        modes: &[],
        option: "null_watermark",
        code: ErrorCode::MissingOption,
        message: "`null_watermark` needs `incremental_column`",
        hint: WITHOUT_WATERMARK,
        is_broken: |options| {
            options.incremental_column.is_none() && options.null_watermark() != NullWatermark::Error
        },
    },
    Rule {
        modes: &[],
        option: "future_watermark",
        code: ErrorCode::MissingOption,
        message: "`future_watermark` needs `incremental_column`",
        hint: WITHOUT_WATERMARK,
        is_broken: |options| {
            options.incremental_column.is_none() && options.future_watermark() != FutureWatermark::Error
        },
    },
    Rule {
        modes: &[],
        option: "late_commits",
        code: ErrorCode::MissingOption,
        message: "`late_commits` needs `incremental_column`",
        hint: WITHOUT_WATERMARK,
        is_broken: |options| {
            options.incremental_column.is_none() && options.late_commits() != LateCommits::Auto
        },
    },
    Rule {
        modes: &[],
        option: "misfire_grace",
        code: ErrorCode::ConflictingOptions,
        message: "`misfire_grace` bounds how late a slot is served where nothing is caught up",
        hint: "add catchup = \"none\", or remove misfire_grace",
        is_broken: |options| options.misfire_grace.is_some() && options.catchup() != Catchup::None,
    },
    Rule {
        modes: &[],
        option: "freshness",
        code: ErrorCode::MissingOption,
        message: "`freshness` needs `after`",
        hint: "name the pipelines that come before: after = [\"NAME\"]; or remove freshness",
        is_broken: |options| options.freshness.is_some() && options.after().is_empty(),
    },
    Rule {
        modes: &[],
        option: "on_duplicate",
        code: ErrorCode::MissingOption,
        message: "`on_duplicate = \"latest\"` needs `order_by`",
        hint: "say which row of a key is kept: order_by = \"updated_at DESC\"",
        is_broken: |options| options.on_duplicate() == OnDuplicate::Latest && options.order_by.is_none(),
    },
    Rule {
        modes: &[],
        option: "order_by",
        code: ErrorCode::MissingOption,
        message: "`order_by` needs `on_duplicate = \"latest\"`",
        hint: "add on_duplicate = \"latest\", or remove order_by",
        is_broken: |options| {
            options.on_duplicate() == OnDuplicate::Error
                && options.order_by.is_some()
                && !options.is_by_event()
        },
    },
    Rule {
        modes: &[],
        option: "parallel",
        code: ErrorCode::ConflictingOptions,
        message: "`parallel` and `on_duplicate = \"latest\"` exclude each other",
        hint: "the source ranks the rows of a key, which it can only do in one reading: parallel = 1",
        is_broken: |options| options.parallel() > 1 && options.on_duplicate() == OnDuplicate::Latest,
    },
    Rule {
        modes: &[],
        option: "parallel",
        code: ErrorCode::PathImpossible,
        message: "`parallel` stages the rows, and `force_path` says otherwise",
        hint: "remove force_path, or set it to \"staging\"; or parallel = 1",
        is_broken: |options| {
            options.parallel() > 1 && options.force_path.is_some_and(|path| path != ForcePath::Staging)
        },
    },
    Rule {
        modes: &[Mode::Append, Mode::Truncate, Mode::Merge],
        option: "force_path",
        code: ErrorCode::PathImpossible,
        message: "`force_path = \"client_diff\"` compares the row hashes of a history",
        hint: "only scd2 keeps them: remove it, or set it to \"staging\"",
        is_broken: |options| options.force_path == Some(ForcePath::ClientDiff),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "ttl",
        code: ErrorCode::MissingOption,
        message: "`ttl` needs `event_timestamp_column`",
        hint: BY_LOAD,
        is_broken: |options| options.ttl.is_some() && !options.is_by_event(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "on_same_time",
        code: ErrorCode::MissingOption,
        message: "`on_same_time` needs `event_timestamp_column`",
        hint: BY_LOAD,
        is_broken: |options| options.on_same_time() != OnSameTime::Replace && !options.is_by_event(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "delete_when",
        code: ErrorCode::MissingOption,
        message: "`delete_when` needs `event_timestamp_column`",
        hint: BY_LOAD,
        is_broken: |options| options.delete_when.is_some() && !options.is_by_event(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "repeats",
        code: ErrorCode::MissingOption,
        message: "`repeats = \"collapse\"` needs `event_timestamp_column`",
        hint: BY_LOAD,
        is_broken: |options| options.repeats() == Repeats::Collapse && !options.is_by_event(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "deleted_flag",
        code: ErrorCode::MissingOption,
        message: "`deleted_flag` in scd2 needs `event_timestamp_column`",
        hint: "by load time a key that left the source has no current version: remove it",
        is_broken: |options| options.deleted_flag.is_some() && !options.is_by_event(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "handle_deletes",
        code: ErrorCode::ConflictingOptions,
        message: "`handle_deletes` and `event_timestamp_column` exclude each other",
        hint: "a row that is missing has no time: say by delete_when which events delete",
        is_broken: |options| options.is_by_event() && options.handle_deletes() != HandleDeletes::Ignore,
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "max_delete_fraction",
        code: ErrorCode::ConflictingOptions,
        message: "`max_delete_fraction` and `event_timestamp_column` exclude each other",
        hint: "no key is found missing: an event says that it deletes; remove max_delete_fraction",
        is_broken: |options| options.is_by_event() && options.max_delete_fraction.is_some(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "on_duplicate",
        code: ErrorCode::ConflictingOptions,
        message: "`on_duplicate` and `event_timestamp_column` exclude each other",
        hint: "every event of a key is a row; of two at one time order_by decides by itself",
        is_broken: |options| options.is_by_event() && options.on_duplicate.is_some(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "first_valid_from",
        code: ErrorCode::ConflictingOptions,
        message: "`first_valid_from` and `event_timestamp_column` exclude each other",
        hint: "every version begins at its event: remove first_valid_from",
        is_broken: |options| options.is_by_event() && options.first_valid_from.is_some(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "open_end",
        code: ErrorCode::ConflictingOptions,
        message: "`open_end = \"infinity\"` and `event_timestamp_column` exclude each other",
        hint: "the end of an event is NULL where nothing follows it: remove open_end",
        is_broken: |options| options.is_by_event() && options.open_end() != OpenEnd::Null,
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "overwrite_columns",
        code: ErrorCode::ConflictingOptions,
        message: "`overwrite_columns` and `event_timestamp_column` exclude each other",
        hint: "an event holds what was known at its time: remove overwrite_columns",
        is_broken: |options| options.is_by_event() && !options.overwrite_columns().is_empty(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "force_path",
        code: ErrorCode::PathImpossible,
        message: "`force_path = \"client_diff\"` compares current versions, and events are compared by their time",
        hint: "remove it, or set it to \"staging\"",
        is_broken: |options| options.is_by_event() && options.force_path == Some(ForcePath::ClientDiff),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "row_hash",
        code: ErrorCode::ConflictingOptions,
        message: "`row_hash = \"none\"` and `event_timestamp_column` exclude each other",
        hint: "events are compared by their hashes: remove row_hash",
        is_broken: |options| options.is_by_event() && options.row_hash == Some(RowHash::None),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "force_path",
        code: ErrorCode::PathImpossible,
        message: "`force_path = \"client_diff\"` compares row hashes, and `row_hash = \"none\"` keeps none",
        hint: "remove one of the two",
        is_broken: |options| {
            options.force_path == Some(ForcePath::ClientDiff) && options.row_hash == Some(RowHash::None)
        },
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "hash_column",
        code: ErrorCode::ConflictingOptions,
        message: "`hash_column` names the row hash, and `row_hash = \"none\"` keeps none",
        hint: "remove one of the two",
        is_broken: |options| options.hash_column.is_some() && options.row_hash == Some(RowHash::None),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "repeats",
        code: ErrorCode::ConflictingOptions,
        message: "`repeats = \"collapse\"` and `ttl` exclude each other",
        hint: "a version that is confirmed again and again does not run out: remove one of the two",
        is_broken: |options| options.repeats() == Repeats::Collapse && options.ttl.is_some(),
    },
    Rule {
        modes: &[Mode::Scd2],
        option: "repeats",
        code: ErrorCode::ConflictingOptions,
        message: "`repeats = \"collapse\"` keeps the first and the last time of a value, and nothing to decide by between",
        hint: "remove order_by and on_same_time, or keep every event: repeats = \"keep\"",
        is_broken: |options| {
            options.repeats() == Repeats::Collapse
                && (options.order_by.is_some() || options.on_same_time() != OnSameTime::Replace)
        },
    },
];

const BY_LOAD: &str =
    "name the column that says when it happened, or remove the option: by load time the run's instant holds";

const WITHOUT_WATERMARK: &str = "name the column that only grows, or remove the option";
