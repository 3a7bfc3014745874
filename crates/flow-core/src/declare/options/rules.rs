//! Which options exclude or need each other.

use super::{
    ForcePath, FutureWatermark, HandleDeletes, LateCommits, Mode, NullWatermark, OnDuplicate, PipelineOptions,
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
        is_broken: |options| options.on_duplicate() == OnDuplicate::Error && options.order_by.is_some(),
    },
    Rule {
        modes: &[Mode::Append, Mode::Truncate, Mode::Merge],
        option: "force_path",
        code: ErrorCode::PathImpossible,
        message: "`force_path = \"client_diff\"` compares the row hashes of a history",
        hint: "only scd2 keeps them: remove it, or set it to \"staging\"",
        is_broken: |options| options.force_path == Some(ForcePath::ClientDiff),
    },
];

const WITHOUT_WATERMARK: &str = "name the column that only grows, or remove the option";
