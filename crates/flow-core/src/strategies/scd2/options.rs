//! What options make of SCD2, and how the columns that they name are held against the table.

use crate::check::Check;
use crate::declare::options::*;
use crate::error::{ErrorCode, FlowError};
use crate::schema::Table;
use crate::sql::Ident;

/// What scd2 knows.
#[derive(Debug)]
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
#[derive(Debug)]
pub enum FirstValidFrom {
    /// At the run's instant.
    Run,
    /// At 1970-01-01 00:00:00 UTC.
    Epoch,
    /// At the value of a column.
    Column(Ident),
}

impl Scd2 {
    /// What options make of it.
    pub fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Scd2 {
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

    /// Holds the columns that options name against the table.
    pub fn columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
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
        check.managed_names(&managed, table);
    }
}
