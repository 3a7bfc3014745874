//! Reads `[features]`: each is a table with a feature part, and pipelines name it as they name a table.

use super::{Document, Entry, Kind, definition};
use crate::declare::features::FeatureSpec;
use crate::declare::node::{Field, Node, Table};
use crate::declare::{Places, TableSpec};
use crate::error::{ErrorCode, FlowError};
use crate::sql::Ident;

impl Document<'_, '_> {
    /// Reads `[features]`.
    pub(crate) fn features(&mut self, features: &Node) {
        for entry in self.named("features", Kind::Feature, features, None) {
            let schema = definition("FeatureSection");
            let (good, complete) = self.checker.table(entry.table, &entry.place, schema, &entry.owner);
            self.columns_of("features", &entry);
            self.table_names("features", &entry);
            if self.is_table_too(&entry) {
                continue;
            }
            let said = |option: &str| entry.table.get(option).is_some_and(|node| !node.is_null());
            let unread = |option: &&str| said(option) && !good.contains(option);
            // Without its event column or its version nobody knows which table it is.
            if !complete || ["schema", "name", "feature_version"].iter().any(unread) {
                continue;
            }
            let mut good = good.into_owned();
            let part = part_of(&mut good);
            let Some(table) = self.deserialize::<TableSpec>(&good, &[], &entry) else { continue };
            let Some(mut feature) = self.deserialize::<FeatureSpec>(&part, &[], &entry) else { continue };
            feature.view = table.name.clone().unwrap_or_else(|| entry.name.clone());
            let place = entry.table.get("feature_version").map_or(&entry.place, |node| &node.place);
            if feature.feature_version.is_empty() {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("`feature_version` of {} is empty", entry.owner.words),
                );
                self.checker.report(error.hint("write \"v1\""), place, &entry.owner.section, None);
                continue;
            }
            let name = feature.table();
            if let Err(error) = Ident::new(name.as_str()) {
                self.checker.report(error, place, &entry.owner.section, None);
                continue;
            }
            let schema = table.schema.as_deref().unwrap_or("public");
            if let Some((key, _)) = self.reader.project.tables.called(schema, &name) {
                let error = FlowError::new(
                    ErrorCode::DuplicateName,
                    format!(
                        "{} has the table `{schema}.{name}`, which is that of `{key}`",
                        entry.owner.words
                    ),
                );
                let hint =
                    "two versions of one view stand side by side where each says its own feature_version";
                self.checker.report(error.hint(hint), place, &entry.owner.section, None);
                continue;
            }
            let table = TableSpec { name: Some(name), feature: Some(Box::new(feature)), ..table };
            self.reader.project.tables.insert(entry.name, table);
        }
    }

    /// Refuses a name that is a table's and a feature view's: pipelines name both alike.
    pub(super) fn is_table_too(&mut self, entry: &Entry<'_>) -> bool {
        let Some(other) = self.reader.project.tables.get(&entry.name) else { return false };
        let words = format!("`{}` is declared as a table and as a feature view", entry.name);
        let mut error = FlowError::new(ErrorCode::DuplicateName, words)
            .hint("pipelines name both as their target: give one of them another name");
        let path = Places::path(other.section(), &entry.name);
        let first = self.places.find(&path).or_else(|| self.reader.project.places.find(&path));
        if let Some(first) = first {
            error = error.detail(format!("first at {}", super::position(&first)));
        }
        self.checker.report(error, &entry.place, &entry.owner.section, None);
        true
    }
}

/// Takes what no other table has out of a section.
fn part_of(section: &mut Table) -> Table {
    let of_tables = &definition("TableSpec")["properties"];
    let (of_table, part): (Vec<_>, Vec<_>) =
        std::mem::take(section).into_iter().partition(|(name, _)| of_tables.get(name).is_some());
    let table = |fields: Vec<(String, Field)>| {
        let mut table = Table::default();
        fields.into_iter().for_each(|(name, field)| table.insert(name, field));
        table
    };
    *section = table(of_table);
    table(part)
}
