//! Holds the columns that options name against the table: they are declared, and ours are not.

use super::Check;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::schema::Table;
use crate::sql::Ident;

impl Check<'_> {
    pub(crate) fn known_columns(&mut self, part: &str, names: &[Ident], table: &Table) {
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

    pub(crate) fn not_keys(&mut self, part: &str, names: &[Ident], keys: &[Ident]) {
        for name in names.iter().filter(|name| keys.contains(name)) {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`{part}` names the key column `{name}`"),
            );
            self.fail(part, error.hint("a key identifies a row and never changes: leave it out"));
        }
    }

    /// The columns of ours, each with the option that names it: none is declared, and no two have one name.
    pub(crate) fn managed_names(&mut self, managed: &[(&str, &Ident)], table: &Table) {
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

    pub(crate) fn not_declared(&mut self, part: &str, name: &Ident, table: &Table, used: bool) {
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
