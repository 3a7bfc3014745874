//! The load strategies as options describe them: for each what it knows, how options become it, and how the columns that
//! they name are held against the table.

use super::check::Check;
use crate::declare::options::*;
use crate::error::{ErrorCode, FlowError};
use crate::schema::Table;
use crate::sql::Ident;

/// A load strategy with what only it knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// Insert every source row.
    Append(Append),
    /// Replace the whole table.
    Truncate(Truncate),
    /// Update or insert by key.
    Merge(Merge),
    /// Keep the history of every key.
    Scd2(Scd2),
}

impl Strategy {
    /// The strategy's name.
    pub fn mode(&self) -> Mode {
        match self {
            Strategy::Append(_) => Mode::Append,
            Strategy::Truncate(_) => Mode::Truncate,
            Strategy::Merge(_) => Mode::Merge,
            Strategy::Scd2(_) => Mode::Scd2,
        }
    }

    /// The strategy that options describe.
    pub(super) fn of(mode: Mode, check: &mut Check<'_>, options: &PipelineOptions) -> Strategy {
        match mode {
            Mode::Append => Strategy::Append(Append::of(check, options)),
            Mode::Truncate => Strategy::Truncate(Truncate::of(options)),
            Mode::Merge => Strategy::Merge(Merge::of(check, options)),
            Mode::Scd2 => Strategy::Scd2(Scd2::of(check, options)),
        }
    }

    /// Whether a row of the source must be told from the others.
    pub(super) fn needs_keys(&self) -> bool {
        matches!(
            self,
            Strategy::Merge(_)
                | Strategy::Scd2(_)
                | Strategy::Truncate(Truncate { method: ReplaceMethod::Diff })
        )
    }

    /// Whether keys that left the source are marked, closed or deleted.
    pub(super) fn handles_deletes(&self) -> bool {
        match self {
            Strategy::Merge(merge) => merge.deletes != HandleDeletes::Ignore,
            Strategy::Scd2(scd2) => scd2.close_deleted,
            Strategy::Append(_) | Strategy::Truncate(_) => false,
        }
    }

    /// Holds the columns that its options name against the table.
    pub(super) fn columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        match self {
            Strategy::Merge(merge) => merge.columns(check, table, keys),
            Strategy::Scd2(scd2) => scd2.columns(check, table, keys),
            Strategy::Append(_) | Strategy::Truncate(_) => {}
        }
    }
}

/// What append knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Column of the time of loading.
    pub loaded_at: Option<Ident>,
    /// Column of the run's id.
    pub batch_id: Option<Ident>,
}

/// What truncate knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Truncate {
    /// How the table is emptied.
    pub method: ReplaceMethod,
}

/// What merge knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// Columns that are written; all but keys and managed columns when unsaid.
    pub update_columns: Option<Vec<Ident>>,
    /// What happens to keys that left the source.
    pub deletes: HandleDeletes,
    /// The largest share of keys that one run may delete.
    pub max_delete_fraction: f64,
    /// Column that marks a deleted row.
    pub deleted_flag: Ident,
}

/// What scd2 knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scd2 {
    /// Columns whose change opens a version.
    pub compare_columns: Option<Vec<Ident>>,
    /// Columns updated in the current version.
    pub overwrite_columns: Vec<Ident>,
    /// Whether keys that left the source are closed.
    pub close_deleted: bool,
    /// The largest share of keys that one run may close for it.
    pub max_delete_fraction: f64,
    /// Where a version begins.
    pub effective_from: Ident,
    /// Where a version ends.
    pub effective_to: Ident,
    /// Marks the current version.
    pub current_flag: Ident,
    /// The row hash.
    pub hash_column: Ident,
    /// Where the first version of a key begins.
    pub first_valid_from: FirstValidFrom,
    /// What stands in `effective_to` of the current version.
    pub open_end: OpenEnd,
}

/// Where the first version of a key begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstValidFrom {
    /// At the run's instant.
    Run,
    /// At 1970-01-01 00:00:00 UTC.
    Epoch,
    /// At the value of a column.
    Column(Ident),
}

impl Append {
    fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Append {
        let unwritten = PipelineOptions::defaults();
        Append {
            loaded_at: check.optional_name(
                "loaded_at_column",
                &options.loaded_at_column(),
                &unwritten.loaded_at_column,
            ),
            batch_id: check.optional_name(
                "batch_id_column",
                &options.batch_id_column(),
                &unwritten.batch_id_column,
            ),
        }
    }
}

impl Truncate {
    fn of(options: &PipelineOptions) -> Truncate {
        Truncate { method: options.replace_method() }
    }
}

impl Merge {
    fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Merge {
        Merge {
            update_columns: check.names("update_columns", &options.update_columns),
            deletes: options.handle_deletes(),
            max_delete_fraction: options.max_delete_fraction(),
            deleted_flag: check.name("deleted_flag", options.deleted_flag()),
        }
    }

    fn columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        if let Some(names) = &self.update_columns {
            check.known_columns("update_columns", names, table);
            check.not_keys("update_columns", names, keys);
        }
        check.not_declared("deleted_flag", &self.deleted_flag, table, self.deletes == HandleDeletes::Soft);
    }
}

impl Scd2 {
    fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Scd2 {
        Scd2 {
            compare_columns: check.names("compare_columns", &options.compare_columns),
            overwrite_columns: check
                .names("overwrite_columns", &options.overwrite_columns)
                .unwrap_or_default(),
            close_deleted: options.handle_deletes() == HandleDeletes::Soft,
            max_delete_fraction: options.max_delete_fraction(),
            effective_from: check.name("effective_from", options.effective_from()),
            effective_to: check.name("effective_to", options.effective_to()),
            current_flag: check.name("current_flag", options.current_flag()),
            hash_column: check.name("hash_column", options.hash_column()),
            first_valid_from: match options.first_valid_from().as_str() {
                "run" => FirstValidFrom::Run,
                "epoch" => FirstValidFrom::Epoch,
                column => check
                    .keep("first_valid_from", Ident::new(column))
                    .map_or(FirstValidFrom::Run, FirstValidFrom::Column),
            },
            open_end: options.open_end(),
        }
    }

    fn columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        if let Some(names) = &self.compare_columns {
            check.known_columns("compare_columns", names, table);
            check.not_keys("compare_columns", names, keys);
            for name in names.iter().filter(|name| self.overwrite_columns.contains(name)) {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    format!("the column `{name}` stands in both compare_columns and overwrite_columns"),
                );
                check.fail(
                    "overwrite_columns",
                    error.hint("a change either opens a version or is written in place"),
                );
            }
        }
        check.known_columns("overwrite_columns", &self.overwrite_columns, table);
        check.not_keys("overwrite_columns", &self.overwrite_columns, keys);
        if let FirstValidFrom::Column(name) = &self.first_valid_from {
            check.known_columns("first_valid_from", std::slice::from_ref(name), table);
        }
        let managed = [
            ("effective_from", &self.effective_from),
            ("effective_to", &self.effective_to),
            ("current_flag", &self.current_flag),
            ("hash_column", &self.hash_column),
        ];
        for (index, (part, name)) in managed.iter().enumerate() {
            check.not_declared(part, name, table, true);
            if let Some((other, _)) = managed[..index].iter().find(|(_, other)| other == name) {
                let error = FlowError::new(
                    ErrorCode::DuplicateName,
                    format!("`{part}` and `{other}` are both called `{name}`"),
                );
                check.fail(part, error);
            }
        }
    }
}
