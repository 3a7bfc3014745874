//! Checks that names are names, types are types, and a source is one thing.

use super::filled::QueryText;
use super::words::{Owner, section};
use super::{Document, Entry};
use crate::declare::SourceSpec;
use crate::declare::interpolation::reason;
use crate::declare::node::{Node, Place, Table, Value};
use crate::declare::options::{Of, option_info};
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql::{Ident, QualifiedName};
use crate::types::DataType;

impl Document<'_, '_> {
    /// The names in the options of a pipeline.
    pub(super) fn column_options(&mut self, table: &Table, owner: &Owner) {
        for (name, field) in table.iter() {
            if option_info(name).is_some_and(|option| option.of == Of::Columns) {
                self.column_names(&field.node, &owner.section);
            }
        }
    }

    /// The names and types of a table.
    pub(super) fn table_names(&mut self, list: &str, entry: &Entry<'_>) {
        let (table, outer) = (entry.table, &entry.owner.section);
        if table.get("name").is_none_or(Node::is_null) {
            self.check(Ident::new(entry.name.as_str()), &entry.place, outer);
        }
        for (name, field) in table.iter() {
            match (name, &field.node.value) {
                ("schema" | "name" | "event_timestamp_column", Value::Text(name)) => {
                    self.check(Ident::new(name.as_str()), &field.node.place, outer);
                }
                ("primary_key" | "natural_key", _) => self.column_names(&field.node, outer),
                ("unique", Value::List(items)) => {
                    items.iter().for_each(|item| self.column_names(item, outer));
                }
                ("indexes", Value::List(items)) => items.iter().for_each(|item| self.index(item, outer)),
                ("columns", Value::Table(columns)) => {
                    let section = section(&[list, &entry.name, "columns"]);
                    for (name, column) in columns.iter() {
                        self.check(Ident::new(name), &column.key, &section);
                        self.column_type(&column.node, &section);
                    }
                }
                _ => {}
            }
        }
    }

    fn index(&mut self, node: &Node, section: &str) {
        let Value::Table(index) = &node.value else { return self.column_names(node, section) };
        if let Some(columns) = index.get("columns") {
            self.column_names(columns, section);
        }
        if let Some(name) = index.get("name").filter(|name| name.as_text().is_some()) {
            self.column_names(name, section);
        }
    }

    fn column_type(&mut self, column: &Node, section: &str) {
        let node = match &column.value {
            Value::Table(column) => column.get("type"),
            _ => Some(column),
        };
        if let Some((node, text)) = node.and_then(|node| Some((node, node.as_text()?))) {
            let text = text.trim();
            let name = text.strip_suffix('?').unwrap_or(text);
            self.check(DataType::parse(name), &node.place, section);
        }
    }

    fn column_names(&mut self, node: &Node, section: &str) {
        match &node.value {
            Value::Text(name) => self.check(Ident::new(name.as_str()), &node.place, section),
            Value::List(names) => names.iter().for_each(|name| self.column_names(name, section)),
            _ => {}
        }
    }

    fn check<T>(&mut self, result: Result<T>, place: &Place, section: &str) {
        if let Err(error) = result {
            self.checker.report(error, place, section, None);
        }
    }

    /// A source: one of query, query_file, table, union, files and http; the text of a file is read.
    pub(super) fn source(&mut self, node: &Node, entry: &Entry<'_>) -> Option<SourceSpec> {
        let raw = entry.table.get("source").and_then(Node::as_table);
        self.source_of(node, raw, &format!("`source` of {}", entry.owner.words), entry)
    }

    /// `raw` is the source as it was before what is wrong with it was taken out.
    fn source_of(
        &mut self,
        node: &Node,
        raw: Option<&Table>,
        words: &str,
        entry: &Entry<'_>,
    ) -> Option<SourceSpec> {
        let section = &entry.owner.section;
        let table = node.as_table()?;
        let kinds = ["query", "query_file", "table", "union", "files", "http"];
        let written: Vec<_> = kinds.into_iter().filter(|name| table.contains(name)).collect();
        // What was refused above, a later kind of source or a mistake, is not reported again as missing.
        let said = |raw: &Table| raw.iter().filter(|(_, field)| !field.node.is_null()).count();
        let refused = raw.is_some_and(|raw| said(raw) > table.len());
        match written.as_slice() {
            [_] => {}
            [] if refused => return None,
            [] => {
                let error = FlowError::new(ErrorCode::MissingOption, format!("{words} names no rows"));
                let error = error
                    .hint("set query = \"SELECT …\", query_file = \"FILE.sql\", table = \"schema.table\", files = \"landing/*.csv\" or http = { url = \"https://…\" }");
                self.checker.report(error, &node.place, section, None);
                return None;
            }
            [first, others @ ..] => {
                for other in others {
                    let error = FlowError::new(
                        ErrorCode::ConflictingOptions,
                        format!("`{first}` and `{other}` of {words} exclude each other"),
                    );
                    let place = table.field(other).map_or(&node.place, |field| &field.key);
                    self.checker.report(error, place, section, None);
                }
                return None;
            }
        }
        self.of_files(table, words, section);
        if let Some(members) = table.get("union") {
            let own = table.get("connection").and_then(Node::as_text).map(str::to_owned);
            return self.union(members, own, words, entry);
        }
        if let Some((name, place)) = table.get("table").and_then(|node| Some((node.as_text()?, &node.place)))
        {
            self.check(QualifiedName::parse(name), place, section);
        }
        let file = table.get("query_file").map(|node| node.place.clone());
        let written = table.get("query").map(|node| node.place.clone());
        let mut source: SourceSpec = serde::Deserialize::deserialize(node).ok()?;
        source.directory = self.directory.to_path_buf();
        if let (Some(query), Some(place)) = (source.query.take(), written) {
            source.query = Some(self.filled_query(query, &QueryText::Written(&place), entry));
        }
        if let (Some(name), Some(place)) = (&source.query_file, file) {
            let text = self.query_of(name, &place, entry)?;
            let path = self.directory.join(name);
            source.query = Some(self.filled_query(text, &QueryText::File(&path), entry));
        }
        Some(source)
    }

    /// What belongs to files stands beside them alone, and what belongs to a connection does not.
    fn of_files(&mut self, table: &Table, words: &str, section: &str) {
        let (files, http) = (table.contains("files"), table.contains("http"));
        let format = table.get("format").and_then(Node::as_text);
        let misplaced = |name: &str| match name {
            "connection" if files || http => {
                Some(format!("`connection` of {words} has no meaning: the rows come from no database"))
            }
            "format" | "compression" | "csv" | "json" | "hive" | "storage" if !files => {
                Some(format!("`{name}` of {words} has no meaning: it belongs to `files`"))
            }
            "csv" | "json" if format.is_some_and(|format| format != name) => Some(format!(
                "`{name}` of {words} has no meaning for files of {}",
                format.unwrap_or_default()
            )),
            _ => None,
        };
        for (name, field) in table.iter() {
            if let Some(message) = misplaced(name) {
                let error = FlowError::new(ErrorCode::ConflictingOptions, message).hint("take it out");
                self.checker.report(error, &field.key, section, None);
            }
        }
    }

    /// Several sources, none of which is a union itself.
    fn union(
        &mut self,
        node: &Node,
        connection: Option<String>,
        words: &str,
        entry: &Entry<'_>,
    ) -> Option<SourceSpec> {
        let section = &entry.owner.section;
        let Value::List(members) = &node.value else { return None };
        let wrong = |message: String| FlowError::new(ErrorCode::InvalidValue, message);
        if members.is_empty() {
            let error = wrong(format!("`union` of {words} names no source"));
            let hint = "write union = [{ table = \"schema.one\" }, { table = \"schema.two\" }]";
            self.checker.report(error.hint(hint), &node.place, section, None);
            return None;
        }
        let mut union = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let words = format!("member {} of the `union` of {words}", index + 1);
            if member.as_table().is_some_and(|table| table.contains("union")) {
                let error = wrong(format!("{words} is a union itself"));
                self.checker.report(error.hint("put its members here"), &member.place, section, None);
                continue;
            }
            union.extend(self.source_of(member, None, &words, entry));
        }
        (union.len() == members.len()).then(|| SourceSpec { connection, union, ..SourceSpec::default() })
    }

    fn query_of(&mut self, name: &str, place: &Place, entry: &Entry<'_>) -> Option<String> {
        let path = self.directory.join(name);
        match self.environment.read_file(&path) {
            Ok(text) => Some(text),
            Err(error) => {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("the query file `{}` cannot be read: {}", path.display(), reason(&error)),
                );
                let error = error.hint("its path starts at the file it stands in");
                self.checker.report(error, place, &entry.owner.section, None);
                None
            }
        }
    }
}
