//! Holds the columns that options name against the table: they are declared, and ours are not.

use super::check::Check;
use super::{FirstValidFrom, Strategy, declared_keys};
use crate::declare::options::*;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::schema::Table;
use crate::sql::Ident;

impl Check<'_> {
    pub(super) fn known_columns(&mut self, part: &str, names: &[Ident], table: &Table) {
        for name in names {
            if table.column(name).is_none()
                && self.errors.iter().all(|error| error.code != ErrorCode::UnknownType)
            {
                let error = FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!(
                        "`{part}` names the column `{name}`, which table `{}` does not have",
                        table.name.name
                    ),
                );
                let near =
                    did_you_mean(name.as_str(), table.columns.iter().map(|column| column.name.as_str()));
                self.fail(
                    part,
                    match near {
                        Some(near) => error.hint(format!("did you mean `{near}`?")),
                        None => error,
                    },
                );
            }
        }
    }

    /// Columns that options name must be declared, and ours must not be.
    pub(super) fn columns(&mut self, table: &Table, keys: Option<&[Ident]>, strategy: &Strategy) {
        let table_name = table.name.name.to_string();
        if let Some(keys) = keys {
            self.known_columns("keys", keys, table);
        }
        let effective = keys.map(<[Ident]>::to_vec).unwrap_or_else(|| declared_keys(table).0);
        let needs_keys = matches!(strategy, Strategy::Merge(_) | Strategy::Scd2(_)) || self.wants_latest();
        if needs_keys && effective.is_empty() {
            let error = FlowError::new(
                ErrorCode::MissingKeys,
                format!(
                    "pipeline has no keys: neither `keys` nor a natural or primary key of table `{table_name}`"
                ),
            );
            self.fail("", error.hint("set keys = [\"…\"] to the columns that identify a row in the source"));
        }
        match strategy {
            Strategy::Merge(merge) => {
                if let Some(names) = &merge.update_columns {
                    self.known_columns("update_columns", names, table);
                    self.not_keys("update_columns", names, &effective);
                }
                self.not_declared(
                    "deleted_flag",
                    &merge.deleted_flag,
                    table,
                    merge.deletes == HandleDeletes::Soft,
                );
            }
            Strategy::Scd2(scd2) => {
                if let Some(names) = &scd2.compare_columns {
                    self.known_columns("compare_columns", names, table);
                    self.not_keys("compare_columns", names, &effective);
                    for name in names.iter().filter(|name| scd2.overwrite_columns.contains(name)) {
                        let error = FlowError::new(
                            ErrorCode::ConflictingOptions,
                            format!(
                                "the column `{name}` stands in both compare_columns and overwrite_columns"
                            ),
                        );
                        self.fail(
                            "overwrite_columns",
                            error.hint("a change either opens a version or is written in place"),
                        );
                    }
                }
                self.known_columns("overwrite_columns", &scd2.overwrite_columns, table);
                self.not_keys("overwrite_columns", &scd2.overwrite_columns, &effective);
                if let FirstValidFrom::Column(name) = &scd2.first_valid_from {
                    self.known_columns("first_valid_from", std::slice::from_ref(name), table);
                }
                let managed = [
                    ("effective_from", &scd2.effective_from),
                    ("effective_to", &scd2.effective_to),
                    ("current_flag", &scd2.current_flag),
                    ("hash_column", &scd2.hash_column),
                ];
                for (index, (part, name)) in managed.iter().enumerate() {
                    self.not_declared(part, name, table, true);
                    if let Some((other, _)) = managed[..index].iter().find(|(_, other)| other == name) {
                        let error = FlowError::new(
                            ErrorCode::DuplicateName,
                            format!("`{part}` and `{other}` are both called `{name}`"),
                        );
                        self.fail(part, error);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn wants_latest(&self) -> bool {
        let name = self.path.trim_start_matches("pipelines.");
        self.project
            .pipelines
            .get(name)
            .is_some_and(|spec| spec.options.on_duplicate == Some(OnDuplicate::Latest))
    }

    pub(super) fn not_keys(&mut self, part: &str, names: &[Ident], keys: &[Ident]) {
        for name in names.iter().filter(|name| keys.contains(name)) {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`{part}` names the key column `{name}`"),
            );
            self.fail(part, error.hint("a key identifies a row and never changes: leave it out"));
        }
    }

    pub(super) fn not_declared(&mut self, part: &str, name: &Ident, table: &Table, used: bool) {
        if used && table.column(name).is_some() {
            let error = FlowError::new(
                ErrorCode::DuplicateName,
                format!("the column `{name}` of table `{}` is managed by the load strategy", table.name.name),
            );
            self.fail(
                part,
                error.hint(format!("remove it from [tables], or rename ours with {part} = \"…\"")),
            );
        }
    }
}
