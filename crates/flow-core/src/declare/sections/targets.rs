//! Several targets of one pipeline: each becomes a pipeline of its own, `NAME/target`, beside one that stands for all.
//! What the pipeline says besides holds for each target, unless the target says otherwise.

use super::{Document, kind, section};
use crate::declare::ProjectSpec;
use crate::declare::node::{Field, Node, Table, Value};
use crate::error::{ErrorCode, FlowError};
use indexmap::IndexMap;
use std::collections::{HashMap, HashSet};

/// Options of the pipeline that no target of several has for itself.
const OF_THE_WHOLE: &[&str] = &[
    "schedule",
    "every",
    "timezone",
    "first_run",
    "after",
    "freshness",
    "enabled",
    "tags",
    "description",
    "owner",
    "notify",
    "read_timeout",
    AFTER,
];

/// What runs after the one commit: once, for all targets, and for a target what it says itself.
const AFTER: &str = "transforms_post";

impl Document<'_, '_> {
    /// The pipelines, each target of several as one; nothing where no pipeline has several.
    pub(super) fn apart(&mut self, pipelines: &Table) -> Option<Table> {
        let several = |field: &Field| field.node.as_table().is_some_and(|own| own.contains("targets"));
        if !pipelines.iter().any(|(_, field)| several(field)) {
            return None;
        }
        let mut out = Table::default();
        for (name, field) in pipelines.iter() {
            match field.node.as_table().and_then(|own| Some((own, own.field("targets")?))) {
                None => self.add(&mut out, name.to_owned(), field.clone()),
                Some((own, targets)) => self.of_several(&mut out, name, field, own, targets),
            }
        }
        Some(out)
    }

    fn of_several(&mut self, out: &mut Table, name: &str, field: &Field, own: &Table, targets: &Field) {
        let at = section(&["pipelines", name]);
        let wrong = |message: String| FlowError::new(ErrorCode::InvalidValue, message);
        let items = match &targets.node.value {
            Value::List(items) if !items.is_empty() => items,
            other => {
                let found = if matches!(other, Value::List(_)) { "an empty list" } else { kind(other) };
                let error =
                    wrong(format!("`targets` of pipeline `{name}` must be a list of tables, not {found}"));
                let hint = "write targets = [{ target = \"…\", mode = \"…\" }, …]";
                return self.checker.report(error.hint(hint), &targets.node.place, &at, None);
            }
        };
        if own.contains("target") {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`target` and `targets` of pipeline `{name}` exclude each other"),
            );
            return self.checker.report(error, &targets.key, &at, None);
        }
        let mut parts: Vec<(String, Field)> = Vec::new();
        for item in items {
            let target = item.as_table().and_then(|table| table.get("target")).and_then(Node::as_text);
            let (Some(table), Some(target)) = (item.as_table(), target) else {
                let error =
                    wrong(format!("each of the `targets` of pipeline `{name}` is a table with a `target`"));
                self.checker.report(error, &item.place, &at, None);
                continue;
            };
            self.refuse_what_is_of_the_whole(name, table, &at);
            let mut part = format!("{name}/{target}");
            if parts.iter().any(|(other, _)| *other == part) {
                // Refused where they are put together, by the target that both load.
                part = format!("{part} ({})", parts.len() + 1);
            }
            let shared = own.iter().filter(|(name, _)| *name != "targets" && !OF_THE_WHOLE.contains(name));
            let value = Value::Table(laid_over(shared, table.iter()));
            let node = Node { value, place: item.place.clone() };
            parts.push((part, Field { key: item.place.clone(), node }));
        }
        let Some(first) = items.first().and_then(Node::as_table).filter(|_| parts.len() == items.len())
        else {
            return;
        };
        let own = own.iter().filter(|(name, _)| *name != "targets");
        let first = first.iter().filter(|(name, _)| *name != AFTER);
        let whole = Value::Table(laid_over(first, own));
        let names = parts.iter().map(|(part, _)| part.clone()).collect();
        // The whole comes first: what is wrong with what it says is told of it.
        let node = Node { value: whole, place: field.node.place.clone() };
        self.add(out, name.to_owned(), Field { key: field.key.clone(), node });
        for (part, field) in parts {
            self.add(out, part, field);
        }
        self.reader.together.push((name.to_owned(), names));
    }

    /// All targets are loaded by one run, at one time: what says so of one of them would be ignored.
    fn refuse_what_is_of_the_whole(&mut self, pipeline: &str, target: &Table, at: &str) {
        for name in OF_THE_WHOLE.iter().filter(|name| **name != AFTER) {
            if let Some(field) = target.field(name).filter(|field| !field.node.is_null()) {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("`{name}` is of the whole pipeline `{pipeline}`, not of one of its targets"),
                );
                self.checker.report(error.hint(format!("put it in {at}")), &field.key, at, None);
            }
        }
    }

    fn add(&mut self, out: &mut Table, name: String, field: Field) {
        if out.contains(&name) {
            let error = FlowError::new(
                ErrorCode::DuplicateName,
                format!("the pipeline `{name}` is declared twice, once as one of several targets"),
            );
            return self.checker.report(error, &field.key, &section(&["pipelines", &name]), None);
        }
        out.insert(name, field);
    }
}

/// Fields with others over them.
fn laid_over<'n>(
    under: impl Iterator<Item = (&'n str, &'n Field)>,
    over: impl Iterator<Item = (&'n str, &'n Field)>,
) -> Table {
    let mut out = Table::default();
    under.chain(over).for_each(|(name, field)| out.insert(name, field.clone()));
    out
}

/// Takes the pipelines that are one of several targets out of the list, and puts them under the one that stands for all.
pub(super) fn gather(project: &mut ProjectSpec, together: &[(String, Vec<String>)]) {
    if together.is_empty() {
        return;
    }
    let parts: HashSet<&str> = together.iter().flat_map(|(_, parts)| parts).map(String::as_str).collect();
    let (mut apart, mut whole) = (HashMap::new(), IndexMap::with_capacity(project.pipelines.len()));
    for (name, spec) in std::mem::take(&mut project.pipelines) {
        if parts.contains(name.as_str()) {
            apart.insert(name, spec);
        } else {
            whole.insert(name, spec);
        }
    }
    project.pipelines = whole;
    for (name, parts) in together {
        let read = parts.iter().map(|part| apart.remove(part).map(|spec| (part.clone(), spec)));
        match read.collect() {
            Some(parts) => drop(project.together.insert(name.clone(), parts)),
            // Without one of its targets it is another pipeline.
            None => drop(project.pipelines.shift_remove(name)),
        }
    }
}
