//! What options make of SCD2, and how the columns that they name are held against the table.

use crate::check::Check;
use crate::declare::options::{HandleDeletes, OpenEnd, PipelineOptions, RowHash};
use crate::dialect::Dialect;
use crate::error::{ErrorCode, FlowError};
use crate::schema::{LiveTable, Table};
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
    /// Whether there is one, where that is said.
    pub row_hash: Option<RowHash>,
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
            // Who names the column asks for it.
            row_hash: options.row_hash.or(options.hash_column.is_some().then_some(RowHash::Emx1)),
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

    /// Whether versions have a row hash: as said, else as an existing table has it, else where it costs little.
    pub fn keeps_hash(&self, live: Option<&LiveTable>, dialect: &dyn Dialect) -> bool {
        match (self.row_hash, live) {
            (Some(kind), _) => kind == RowHash::Emx1,
            (None, Some(live)) if live.column(self.hash_column.as_str()).is_some() => true,
            (None, _) => dialect.keeps_row_hash(),
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
        let mut managed = vec![
            ("effective_from", &self.effective_from),
            ("effective_to", &self.effective_to),
            ("current_flag", &self.current_flag),
        ];
        if self.row_hash != Some(RowHash::None) {
            managed.push(("hash_column", &self.hash_column));
        }
        check.managed_names(&managed, table);
    }
}
