//! Reads `[transforms]`, and the transforms that Python declares: functions, which have no SQL.

use super::{Document, Kind, definition};
use crate::declare::node::{Node, Value};
use crate::error::{ErrorCode, FlowError};

impl Document<'_, '_> {
    /// Reads `[transforms]`; of those that are `functions` only Python knows what they do.
    pub(crate) fn transforms(&mut self, transforms: &Node, functions: &[String]) {
        for entry in self.named("transforms", Kind::Transform, transforms, None) {
            let (good, _) =
                self.checker.table(entry.table, &entry.place, definition("TransformSpec"), &entry.owner);
            let is_function = functions.contains(&entry.name);
            let said = entry.table.get("sql").is_some_and(|node| !matches!(node.value, Value::Null));
            if !said && !is_function {
                let error =
                    FlowError::new(ErrorCode::MissingOption, format!("{} has no `sql`", entry.owner.words));
                let error = error.hint("set sql = \"REFRESH …\", or a list of statements");
                self.checker.report(error, &entry.place, &entry.owner.section, None);
            }
            if let Some(spec) = self.deserialize(&good, &[], &entry) {
                if is_function {
                    self.reader.project.functions.push(entry.name.clone());
                }
                self.reader.project.transforms.insert(entry.name, spec);
            }
        }
    }
}
