//! Checks options: which exclude each other, and what each means to its load strategy.

use super::check::Check;
use super::{Append, FirstValidFrom, Incremental, Limits, Merge, Scd2, Strategy, Truncate};
use crate::declare::options::*;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError};
use crate::schedule::Schedule;
use crate::sql::Ident;

impl Check<'_> {
    pub(super) fn exclusions(&mut self, mode: Mode, options: &PipelineOptions) {
        let deletes = options.handle_deletes.unwrap_or_default();
        let conflict = |message: &str| FlowError::new(ErrorCode::ConflictingOptions, message);
        if options.incremental_column.is_some()
            && deletes != HandleDeletes::Ignore
            && matches!(mode, Mode::Merge | Mode::Scd2)
        {
            let error = conflict("`handle_deletes` and `incremental_column` exclude each other")
                .hint("deletes are seen only in a full reading: remove one of the two");
            self.fail("handle_deletes", error);
        }
        if options.incremental_column.is_some() && mode == Mode::Truncate {
            let error =
                conflict("`truncate` replaces the whole table, so it cannot read from a watermark on")
                    .hint("remove incremental_column, or choose merge or append");
            self.fail("incremental_column", error);
        }
        if mode == Mode::Scd2 && deletes == HandleDeletes::Hard {
            let error =
                conflict("`handle_deletes = \"hard\"` would delete history, which scd2 exists to keep")
                    .hint("use \"soft\": it closes the current version of a key that left the source");
            self.fail("handle_deletes", error);
        }
        if options.incremental_column.is_none() {
            for (part, written) in [
                ("lookback", options.lookback.as_ref().is_some_and(|lookback| !lookback.is_zero())),
                ("null_watermark", options.null_watermark.is_some_and(|word| word != NullWatermark::Error)),
                ("late_commits", options.late_commits.is_some_and(|word| word != LateCommits::Auto)),
            ] {
                if written {
                    let error = FlowError::new(
                        ErrorCode::MissingOption,
                        format!("`{part}` needs `incremental_column`"),
                    );
                    self.fail(part, error.hint("name the column that only grows, or remove the option"));
                }
            }
        }
        match (options.on_duplicate.unwrap_or_default(), &options.order_by) {
            (OnDuplicate::Latest, None) => {
                let error =
                    FlowError::new(ErrorCode::MissingOption, "`on_duplicate = \"latest\"` needs `order_by`");
                self.fail(
                    "on_duplicate",
                    error.hint("say which row of a key is kept: order_by = \"updated_at DESC\""),
                );
            }
            (OnDuplicate::Error, Some(_)) => {
                let error =
                    FlowError::new(ErrorCode::MissingOption, "`order_by` needs `on_duplicate = \"latest\"`");
                self.fail("order_by", error.hint("add on_duplicate = \"latest\", or remove order_by"));
            }
            _ => {}
        }
        if let Some(fraction) = options.max_delete_fraction
            && !(0.0..=1.0).contains(&fraction)
        {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("max_delete_fraction = {fraction} is not between 0 and 1"),
            );
            self.fail("max_delete_fraction", error.hint("it is a share: 0.1 allows one key in ten"));
        }
        if options.parallel.is_some_and(|parallel| parallel != 1) {
            let error = FlowError::new(ErrorCode::NotYetSupported, "`parallel` is not supported yet");
            self.fail("parallel", error.hint("remove it, or set it to 1"));
        }
        if options.force_path == Some(ForcePath::ClientDiff) && mode != Mode::Scd2 {
            let error = FlowError::new(
                ErrorCode::PathImpossible,
                "`force_path = \"client_diff\"` compares the row hashes of a history",
            );
            self.fail("force_path", error.hint("only scd2 keeps them: remove it, or set it to \"staging\""));
        }
    }

    pub(super) fn strategy(&mut self, mode: Mode, options: &PipelineOptions) -> Strategy {
        match mode {
            Mode::Append => Strategy::Append(Append {
                loaded_at: self.optional_name("loaded_at_column", &options.loaded_at_column, "_loaded_at"),
                batch_id: self.optional_name("batch_id_column", &options.batch_id_column, "_batch_id"),
            }),
            Mode::Truncate => {
                Strategy::Truncate(Truncate { method: options.replace_method.unwrap_or_default() })
            }
            Mode::Merge => Strategy::Merge(Merge {
                update_columns: self.names("update_columns", &options.update_columns),
                deletes: options.handle_deletes.unwrap_or_default(),
                max_delete_fraction: options.max_delete_fraction.unwrap_or(0.5),
                deleted_flag: self.name_or("deleted_flag", &options.deleted_flag, "is_deleted"),
            }),
            Mode::Scd2 => Strategy::Scd2(Scd2 {
                compare_columns: self.names("compare_columns", &options.compare_columns),
                overwrite_columns: self
                    .names("overwrite_columns", &options.overwrite_columns)
                    .unwrap_or_default(),
                close_deleted: options.handle_deletes == Some(HandleDeletes::Soft),
                max_delete_fraction: options.max_delete_fraction.unwrap_or(0.5),
                effective_from: self.name_or("effective_from", &options.effective_from, "valid_from"),
                effective_to: self.name_or("effective_to", &options.effective_to, "valid_to"),
                current_flag: self.name_or("current_flag", &options.current_flag, "is_current"),
                hash_column: self.name_or("hash_column", &options.hash_column, "row_hash"),
                first_valid_from: match options.first_valid_from.as_deref() {
                    None | Some("run") => FirstValidFrom::Run,
                    Some("epoch") => FirstValidFrom::Epoch,
                    Some(column) => self
                        .keep("first_valid_from", Ident::new(column))
                        .map_or(FirstValidFrom::Run, FirstValidFrom::Column),
                },
                open_end: options.open_end.unwrap_or_default(),
            }),
        }
    }

    pub(super) fn optional_name(
        &mut self,
        part: &str,
        value: &Option<NameOrOff>,
        default: &'static str,
    ) -> Option<Ident> {
        match value {
            None => Some(Ident::fixed(default)),
            Some(NameOrOff::Off(false)) => None,
            Some(NameOrOff::Off(true)) => Some(Ident::fixed(default)),
            Some(NameOrOff::Name(name)) => self.keep(part, Ident::new(name)),
        }
    }

    pub(super) fn incremental(&mut self, options: &PipelineOptions) -> Option<Incremental> {
        let column = self.keep("incremental_column", Ident::new(options.incremental_column.as_ref()?))?;
        Some(Incremental {
            column,
            lookback: options.lookback.clone().unwrap_or(Lookback::Number(0)),
            on_null: options.null_watermark.unwrap_or_default(),
            late_commits: options.late_commits.unwrap_or_default(),
        })
    }

    pub(super) fn schedule(&mut self, options: &PipelineOptions) -> Option<Schedule> {
        let timezone = options.timezone.as_deref().unwrap_or("UTC");
        let first_run = options.first_run.unwrap_or_default();
        match (&options.schedule, &options.every) {
            (Some(_), Some(_)) => {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    "`schedule` and `every` exclude each other",
                );
                self.fail("every", error.hint("keep the cron line or the interval"));
                None
            }
            (Some(line), None) => self.keep("schedule", Schedule::cron(line, timezone, first_run)),
            (None, Some(every)) => self.keep("every", Schedule::every(every, timezone, first_run)),
            (None, None) => {
                if options.timezone.is_some() {
                    self.keep("timezone", Schedule::cron("* * * * *", timezone, first_run));
                }
                None
            }
        }
    }

    pub(super) fn limits(&mut self, options: &PipelineOptions) -> Limits {
        let lease =
            options.lease.clone().unwrap_or_else(|| Duration::parse("60s").expect("a duration of ours"));
        if lease.milliseconds() < 1_000 {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("lease = \"{lease}\" is shorter than a second"),
            );
            self.fail(
                "lease",
                error.hint("it is renewed four times in its length: give the network time to answer"),
            );
        }
        Limits {
            lock_timeout: options
                .lock_timeout
                .clone()
                .unwrap_or_else(|| Duration::parse("60s").expect("a duration of ours")),
            statement_timeout: options.statement_timeout.clone(),
            run_timeout: options.run_timeout.clone(),
            lease,
        }
    }
}
