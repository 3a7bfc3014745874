//! Reads the sections of a project from trees of values: of each file of TOML, and of what Python declares. Known ones
//! are read, later ones refused by name; every mistake is kept with its place.

mod apart;
mod check;
mod connections;
mod each;
mod environments;
mod features;
mod filled;
mod finish;
mod names;
mod sound;
mod targets;
mod transforms;
mod words;

pub(crate) use check::{Checker, Mistake};
pub(crate) use connections::secrets;
pub(crate) use finish::Reader;
pub use sound::{add_sound, keep_sound};
pub(crate) use words::{Kind, Owner, kind, section};

use super::environment::Environment;
use super::json_schema::definition;
use super::node::{Field, Node, Place, Table, Value};
use super::options::PipelineOptions;
use super::places::Thing;
use super::{Places, TableSpec};
use crate::cores;
use crate::error::{ErrorCode, FlowError, Location};
use check::is_attempted;
use finish::ReadPipeline;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::path::Path;

/// One file, or one registry, while it is read.
pub(crate) struct Document<'r, 's> {
    pub(crate) reader: &'r mut Reader,
    pub(crate) checker: Checker<'s>,
    /// Where each part of a file was written. Of a registry Python says it.
    pub(crate) places: Places,
    /// Where the paths in it start.
    pub(crate) directory: &'s Path,
    pub(crate) environment: &'s dyn Environment,
}

/// A table with a name.
struct Entry<'n> {
    name: String,
    table: &'n Table,
    place: Place,
    owner: Owner,
}

impl Document<'_, '_> {
    /// The entries of `[connections]`, `[tables]`, `[features]`, `[pipelines]` or `[transforms]`, each a table.
    fn named<'n>(
        &mut self,
        list: &'static str,
        kind_of: Kind,
        node: &'n Node,
        environment: Option<&str>,
    ) -> Vec<Entry<'n>> {
        let singular = list.trim_end_matches('s');
        let section_path = match environment {
            Some(environment) => format!("{}.{list}", Places::path("environments", environment)),
            None => list.to_owned(),
        };
        let Value::Table(table) = &node.value else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{list}` must hold {list} by name, not be {}", kind(&node.value)),
            );
            self.checker.report(error.hint(format!("write [{list}.NAME]")), &node.place, "", None);
            return Vec::new();
        };
        let (mut entries, mut fields) = (Vec::new(), Vec::new());
        for (name, field) in table.iter() {
            let mut owner = Owner::named(kind_of, list, name);
            if let Some(environment) = environment {
                owner.words = format!("{} of environment `{environment}`", owner.words);
                owner.section = section(&["environments", environment, list, name]);
            }
            let Value::Table(inside) = &field.node.value else {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("{singular} `{name}` must be a table, not {}", kind(&field.node.value)),
                );
                let hint = if field.node.as_text().is_some() && kind_of == Kind::Connection {
                    format!("write {name} = {{ dsn = \"…\" }}")
                } else {
                    format!("write {} with its options below", owner.section)
                };
                self.checker.report(error.hint(hint), &field.node.place, &owner.section, None);
                continue;
            };
            if name.is_empty() || name.contains('\0') {
                let why = if name.is_empty() { "an empty name" } else { "a name that contains a zero byte" };
                let error = FlowError::new(ErrorCode::InvalidValue, format!("a {singular} has {why}"));
                self.checker.report(error, &field.key, &owner.section, None);
                continue;
            }
            let path = Places::path(&section_path, name);
            if let Some(first) = self.reader.project.places.get(&path) {
                let error =
                    FlowError::new(ErrorCode::DuplicateName, format!("{} is declared twice", owner.words))
                        .detail(format!("first at {}", position(&first)))
                        .hint("names hold for all files of a project");
                self.checker.report(error, &field.whole(), &owner.section, None);
                continue;
            }
            fields.push((path, field));
            entries.push(Entry { name: name.to_owned(), table: inside, place: field.whole(), owner });
        }
        if let Some(source) = self.checker.source {
            let written: Vec<(&Entry<'n>, &Field)> =
                entries.iter().zip(fields.iter().map(|(_, field)| *field)).collect();
            let things =
                cores::each(&written, |(entry, field)| Thing::written(source, &entry.owner.section, field));
            for ((path, _), thing) in fields.into_iter().zip(things) {
                self.places.keep(path, thing);
            }
        }
        entries
    }

    /// Reads `[defaults]`.
    pub(crate) fn defaults(&mut self, node: &Node) {
        let owner = Owner::defaults();
        let Value::Table(table) = &node.value else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("[defaults] must be a table, not {}", kind(&node.value)),
            );
            return self.checker.report(error, &node.place, "", None);
        };
        let (good, _) = self.checker.table(table, &node.place, definition("PipelineOptions"), &owner);
        let mut good = good.into_owned();
        self.of_one_pipeline(&mut good, &owner);
        self.column_options(table, &owner);
        self.reader.attempted_defaults.extend(table.names().map(str::to_owned));
        for (name, field) in good.iter() {
            let path = format!("defaults.{name}");
            if let Some(first) = self.reader.project.places.get(&path) {
                let error =
                    FlowError::new(ErrorCode::DuplicateName, format!("`{name}` is set twice in [defaults]"))
                        .detail(format!("first at {}", position(&first)))
                        .hint("[defaults] hold for all files of a project");
                self.checker.report(error, &field.whole(), &owner.section, None);
                continue;
            }
            self.record(&path, field, &owner.section);
        }
        let entry = Entry { name: String::new(), table, place: node.place.clone(), owner };
        if let Some(options) = self.deserialize::<PipelineOptions>(&good, &[], &entry) {
            // What an earlier file said stays.
            self.reader.defaults = options.overlaid(&self.reader.defaults);
        }
    }

    /// Takes out of defaults what can only be said of one pipeline.
    fn of_one_pipeline(&mut self, defaults: &mut Table, owner: &Owner) {
        if let Some(field) = defaults.take("after") {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "`after` in {} would have every pipeline wait for the same, also those that it names",
                    owner.words
                ),
            );
            self.checker.report(
                error.hint("say it in each pipeline that comes after another"),
                &field.key,
                &owner.section,
                None,
            );
        }
    }

    /// Reads `[tables]`.
    pub(crate) fn tables(&mut self, tables: &Node) {
        let entries = self.named("tables", Kind::Table, tables, None);
        entries.iter().for_each(|entry| self.columns_of("tables", entry));
        let read = self.judged(&entries, |document, entry| document.table(entry));
        let tables = &mut *self.reader.project.tables;
        tables.reserve(entries.len());
        for (entry, table) in entries.into_iter().zip(read) {
            if let Some(table) = table {
                tables.insert(entry.name, table);
            }
        }
    }

    fn table(&mut self, entry: &Entry<'_>) -> Option<TableSpec> {
        let (good, _) = self.checker.table(entry.table, &entry.place, definition("TableSpec"), &entry.owner);
        self.table_names("tables", entry);
        // A table whose name cannot be read is no other table of that name.
        let said = |option: &str| entry.table.get(option).is_some_and(|node| !node.is_null());
        if ["schema", "name"].into_iter().any(|option| said(option) && !good.contains(option)) {
            return None;
        }
        if self.is_table_too(entry) { None } else { self.deserialize(&good, &[], entry) }
    }

    /// Where the columns of a table were written.
    fn columns_of(&mut self, list: &str, entry: &Entry<'_>) {
        let section = section(&[list, &entry.name, "columns"]);
        self.places.columns(&Places::path(list, &entry.name), &section);
    }

    /// Reads `[pipelines]`.
    pub(crate) fn pipelines(&mut self, pipelines: &Node) {
        let schema = definition("PipelineSection");
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let apart = pipelines.as_table().and_then(|table| self.apart(table));
        let apart = apart.map(|table| Node { value: Value::Table(table), place: pipelines.place.clone() });
        let entries = self.named("pipelines", Kind::Pipeline, apart.as_ref().unwrap_or(pipelines), None);
        let read = self.judged(&entries, |document, entry| document.pipeline(entry, schema, &known));
        for (entry, read) in entries.into_iter().zip(read) {
            if let Some(read) = read {
                self.reader.pipelines.insert(entry.name, read);
            }
        }
    }

    fn pipeline(
        &mut self,
        entry: &Entry<'_>,
        schema: &'static Json,
        known: &[&str],
    ) -> Option<Box<ReadPipeline>> {
        let (good, complete) = self.checker.table(entry.table, &entry.place, schema, &entry.owner);
        self.column_options(entry.table, &entry.owner);
        let source = good.get("source").and_then(|source| self.source(source, entry));
        let target = good.get("target").and_then(|target| {
            let spot = self.checker.spot(&target.place, &entry.owner.section);
            target.as_text().map(|name| (name.to_owned(), spot))
        });
        let written = entry.table.iter().filter(|(_, field)| !field.node.is_null());
        let mut attempted: finish::Attempted =
            written.map(|(name, field)| (name.to_owned(), field.key.order())).collect();
        if is_attempted(entry.table, "mode", known, &entry.owner) {
            attempted.entry("mode".to_owned()).or_insert(entry.place.order());
        }
        let spot = self.checker.spot(&entry.place, &entry.owner.section);
        let options = self.deserialize(&good, &["source", "target"], entry)?;
        Some(Box::new(ReadPipeline { source: source.filter(|_| complete), target, options, attempted, spot }))
    }

    /// Remembers where a thing and everything in it was written.
    fn record(&mut self, path: &str, field: &Field, section: &str) {
        if let Some(source) = self.checker.source {
            self.places.keep(path.to_owned(), Thing::written(source, section, field));
        }
    }

    /// The Rust value of what passed the checks, but for what is read by itself.
    fn deserialize<T: DeserializeOwned>(
        &mut self,
        good: &Table,
        without: &[&str],
        entry: &Entry<'_>,
    ) -> Option<T> {
        match good.read(without) {
            Ok(value) => Some(value),
            Err(error) => {
                // Not reached as long as the schema says all that serde asks for.
                let error =
                    FlowError::new(ErrorCode::InvalidValue, format!("{}: {error}", entry.owner.words));
                self.checker.report(error, &entry.place, &entry.owner.section, None);
                None
            }
        }
    }
}

/// `pipelines.toml:3:1`.
pub(crate) fn position(location: &Location) -> String {
    format!("{}:{}:{}", location.file, location.line, location.column)
}
