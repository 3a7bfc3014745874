//! Checks that names are names, types are types, and a source is one thing.

use super::super::check::Item;
use super::super::words::{Owner, section};
use super::{COLUMN_OPTIONS, Entry, FileReader};
use crate::declare::SourceSpec;
use crate::declare::interpolation::reason;
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql::{Ident, QualifiedName};
use crate::types::DataType;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

impl FileReader<'_, '_, '_> {
    /// The names in the options of a pipeline.
    pub(super) fn column_options(&mut self, table: &DeTable<'_>, owner: &Owner) {
        for (key, item) in table {
            if COLUMN_OPTIONS.contains(&key.get_ref().as_ref()) {
                self.column_names(item, &owner.section);
            }
        }
    }

    /// The names and types of a table.
    pub(super) fn table_names(&mut self, table: &DeTable<'_>, entry: &Entry<'_, '_>) {
        let outer = &entry.owner.section;
        if !table.contains_key("name") {
            self.check(Ident::new(entry.name.as_str()), entry.span.clone(), outer);
        }
        for (key, item) in table {
            match (key.get_ref().as_ref(), item.get_ref()) {
                ("schema" | "name", DeValue::String(name)) => {
                    self.check(Ident::new(name.as_ref()), item.span(), outer)
                }
                ("primary_key" | "natural_key", _) => self.column_names(item, outer),
                ("unique", DeValue::Array(items)) => {
                    items.iter().for_each(|item| self.column_names(item, outer))
                }
                ("indexes", DeValue::Array(items)) => items.iter().for_each(|item| self.index(item, outer)),
                ("columns", DeValue::Table(columns)) => {
                    let section = section(&["tables", &entry.name, "columns"]);
                    for (key, column) in columns {
                        self.check(Ident::new(key.get_ref().as_ref()), key.span(), &section);
                        self.column_type(column, &section);
                    }
                }
                _ => {}
            }
        }
    }

    fn index(&mut self, item: &Item<'_>, section: &str) {
        let DeValue::Table(index) = item.get_ref() else { return self.column_names(item, section) };
        if let Some(columns) = index.get("columns") {
            self.column_names(columns, section);
        }
        if let Some(name) = index.get("name").filter(|name| name.get_ref().is_str()) {
            self.column_names(name, section);
        }
    }

    fn column_type(&mut self, column: &Item<'_>, section: &str) {
        let item = match column.get_ref() {
            DeValue::Table(column) => column.get("type"),
            _ => Some(column),
        };
        if let Some((item, text)) = item.and_then(|item| Some((item, item.get_ref().as_str()?))) {
            let text = text.trim();
            let name = text.strip_suffix('?').unwrap_or(text);
            self.check(DataType::parse(name), item.span(), section);
        }
    }

    fn column_names(&mut self, item: &Item<'_>, section: &str) {
        match item.get_ref() {
            DeValue::String(name) => self.check(Ident::new(name.as_ref()), item.span(), section),
            DeValue::Array(names) => names.iter().for_each(|name| self.column_names(name, section)),
            _ => {}
        }
    }

    fn check<T>(&mut self, result: Result<T>, span: Range<usize>, section: &str) {
        if let Err(error) = result {
            self.checker.report(error, span, section, None);
        }
    }

    /// A source: one of query, query_file and table; the text of a file is read.
    pub(super) fn source(&mut self, item: &Item<'_>, entry: &Entry<'_, '_>) -> Option<SourceSpec> {
        let DeValue::Table(table) = item.get_ref() else { return None };
        let section = &entry.owner.section;
        let written: Vec<_> =
            ["query", "query_file", "table"].into_iter().filter(|name| table.contains_key(*name)).collect();
        // What was refused above, a later kind of source or a mistake, is not reported again as missing.
        let raw = entry.table.get("source").and_then(|source| source.get_ref().as_table());
        let refused = raw.is_some_and(|raw| raw.len() > table.len());
        match written.as_slice() {
            [_] => {}
            [] if refused => return None,
            [] => {
                let error = FlowError::new(
                    ErrorCode::MissingOption,
                    format!("`source` of {} names no rows", entry.owner.words),
                );
                let error = error
                    .hint("set query = \"SELECT …\", query_file = \"FILE.sql\" or table = \"schema.table\"");
                self.checker.report(error, item.span(), section, None);
                return None;
            }
            [first, others @ ..] => {
                for other in others {
                    let error = FlowError::new(
                        ErrorCode::ConflictingOptions,
                        format!(
                            "`{first}` and `{other}` of `source` of {} exclude each other",
                            entry.owner.words
                        ),
                    );
                    let span = table.get_key_value(*other).map_or(item.span(), |(key, _)| key.span());
                    self.checker.report(error, span, section, None);
                }
                return None;
            }
        }
        if let Some((name, item)) = table.get("table").and_then(|item| Some((item.get_ref().as_str()?, item)))
        {
            self.check(QualifiedName::parse(name), item.span(), section);
        }
        let mut source: SourceSpec =
            serde::Deserialize::deserialize(toml::de::ValueDeserializer::from(item.clone())).ok()?;
        if let Some(name) = &source.query_file {
            let path = self.directory.join(name);
            match self.reader.environment.read_file(&path) {
                Ok(text) => source.query = Some(text),
                Err(error) => {
                    let error = FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("the query file `{}` cannot be read: {}", path.display(), reason(&error)),
                    );
                    let span = table.get("query_file").map_or(item.span(), |item| item.span());
                    self.checker.report(
                        error.hint("its path starts at the file it stands in"),
                        span,
                        section,
                        None,
                    );
                    return None;
                }
            }
        }
        Some(source)
    }
}
