//! Checks the expectations of a pipeline: each can be read, and names columns that the target has.

use super::{Check, Target};
use crate::declare::options::PipelineOptions;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::expectations::{Expected, Policy};
use crate::markers::Family;
use crate::schema::{Table, rejected_rows};
use crate::sql::QualifiedName;

impl Check<'_> {
    pub(crate) fn expectations(
        &mut self,
        options: &PipelineOptions,
        target: Option<&Target>,
    ) -> Vec<Expected> {
        let mut found = Vec::new();
        for (index, written) in options.expect().iter().enumerate() {
            let part = format!("expect.{index}");
            let project = self.project;
            let declared = |key: &str| {
                let table = project.tables.get(key)?;
                let schema = table.schema.as_deref().unwrap_or("public");
                QualifiedName::new(schema, table.name.as_deref().unwrap_or(key)).ok()
            };
            let Some(mut expected) = self.keep(&part, Expected::read(written, &declared)) else { continue };
            expected.place = project.places.find(&format!("{}.{part}", self.path));
            if let Some(Target::Declared(table)) = target {
                self.fits_table(&part, &expected, table);
            }
            found.push(expected);
        }
        let first = found.iter().position(|expected| expected.policy == Policy::Quarantine);
        if let (Some(index), Some(target)) = (first, target) {
            self.has_room_for_rejected_rows(&format!("expect.{index}"), target);
        }
        found
    }

    /// The table beside the target can have its name, and its own columns beside those of the target.
    fn has_room_for_rejected_rows(&mut self, part: &str, target: &Target) {
        let Some(name) = self.keep(part, rejected_rows::table_of(target.name())) else { return };
        let Target::Declared(table) = target else { return };
        for column in table.columns.iter().filter(|column| rejected_rows::is_own(column.name.as_str())) {
            self.fail(part, rejected_rows::own_name(&column.name, &name));
        }
    }

    /// Its columns are declared, and of types that it can be asked of.
    fn fits_table(&mut self, part: &str, expected: &Expected, table: &Table) {
        let lacking: Vec<_> = expected
            .expectation
            .columns()
            .into_iter()
            .filter(|name| table.column(name).is_none())
            .cloned()
            .collect();
        for name in &lacking {
            let error = FlowError::new(
                ErrorCode::UnknownColumn,
                format!(
                    "`{}` names the column `{name}`, which table `{}` does not have",
                    expected.kind, table.name.name
                ),
            );
            let near = did_you_mean(name.as_str(), table.columns.iter().map(|column| column.name.as_str()));
            self.fail(
                part,
                match near {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("expectations are asked of the rows as the target will have them"),
                },
            );
        }
        if lacking.is_empty() {
            let family = |name: &_| Family::of_declared(&table.column(name)?.data_type);
            self.keep(part, expected.expectation.fits(&family));
        }
    }
}
