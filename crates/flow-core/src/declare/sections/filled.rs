//! Puts the variables of a project into the names that its files write: of pipelines, tables, columns, connections.

use super::words::section;
use super::{Document, Entry, position};
use crate::declare::for_each::Row;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::options::{Of, option_info};
use crate::declare::toml::SourceText;
use crate::declare::variables::{Scope, Unfilled};
use crate::error::{ErrorCode, FlowError};
use crate::query::names_in_braces;
use std::path::Path;

/// What of a pipeline names something, beside the options that name columns.
const NAMES: &[&str] = &["target_connection", "tags", "after"];

/// Helpers and expectations that are SQL, or have it in this argument.
const SQL_OF_STEPS: &[(&str, &str)] = &[
    ("filter_where", "condition"),
    ("with_column", "expression"),
    ("deduplicate_by", "order_by"),
    ("sql", "condition"),
];

/// Markers that are SQL. In the marker `sql` the braces are its own.
const SQL_OF_MARKERS: &[(&str, &str)] = &[("derive", "expression")];

/// What of a source names something.
const NAMES_OF_SOURCE: &[&str] = &["connection", "query_file"];

impl Document<'_, '_> {
    /// Fills the names of `[defaults]`.
    pub(crate) fn fill_defaults(&mut self, defaults: &mut Node) {
        if let Value::Table(table) = &mut defaults.value {
            self.fill_options(table, "[defaults]", &mut Vec::new());
        }
    }

    /// Fills the names of `[tables]` or `[features]`: their keys, `schema` and `name`.
    pub(crate) fn fill_tables(&mut self, list: &'static str, tables: &mut Node) {
        self.fill_named(tables, list, |document, _, table, at| {
            for name in
                ["schema", "name", "primary_key", "natural_key", "feature_version", "event_timestamp_column"]
            {
                if let Some(node) = table.get_mut(name) {
                    document.fill(node, at, &mut Vec::new());
                }
            }
            if let Some(Value::List(indexes)) = table.get_mut("indexes").map(|node| &mut node.value) {
                for index in indexes {
                    let columns = match &mut index.value {
                        Value::Table(index) => index.get_mut("columns"),
                        _ => Some(index),
                    };
                    if let Some(columns) = columns {
                        document.fill(columns, at, &mut Vec::new());
                    }
                }
            }
            if let Some(columns) = table.get_mut("columns") {
                document.fill_columns(columns, at);
            }
        });
    }

    /// Fills the names of `[pipelines]`; a query is filled where it is read.
    pub(crate) fn fill_pipelines(&mut self, pipelines: &mut Node) {
        self.fill_named(pipelines, "pipelines", |document, name, table, at| {
            let mut used = Vec::new();
            document.fill_pipeline(table, at, &mut used);
            document.reader.project.uses(name, used);
        });
    }

    /// Fills one of many pipelines, whose name is filled already.
    pub(super) fn fill_one(&mut self, name: &str, field: &mut Field, mut used: Vec<String>) {
        if let Value::Table(own) = &mut field.node.value {
            self.fill_pipeline(own, &section(&["pipelines", name]), &mut used);
        }
        self.reader.project.uses(name, used);
    }

    fn fill_pipeline(&mut self, table: &mut Table, at: &str, used: &mut Vec<String>) {
        if let Some(source) = table.get_mut("source") {
            self.fill_source(source, at, used);
        }
        self.fill_options(table, at, used);
        if let Some(Value::List(targets)) = table.get_mut("targets").map(|node| &mut node.value) {
            for target in targets {
                if let Value::Table(table) = &mut target.value {
                    self.fill_options(table, at, used);
                }
            }
        }
    }

    fn fill_source(&mut self, source: &mut Node, at: &str, used: &mut Vec<String>) {
        let Value::Table(source) = &mut source.value else { return };
        for name in NAMES_OF_SOURCE {
            if let Some(node) = source.get_mut(name) {
                self.fill(node, at, used);
            }
        }
        if let Some(table) = source.get_mut("table") {
            self.fill_qualified(table, at, used);
        }
        if let Some(Value::List(members)) = source.get_mut("union").map(|node| &mut node.value) {
            members.iter_mut().for_each(|member| self.fill_source(member, at, used));
        }
    }

    /// Fills the names and the statements of `[transforms]`.
    pub(crate) fn fill_transforms(&mut self, transforms: &mut Node) {
        self.fill_named(transforms, "transforms", |document, _, table, at| {
            if let Some(connection) = table.get_mut("connection") {
                document.fill(connection, at, &mut Vec::new());
            }
            if let Some(sql) = table.get_mut("sql") {
                document.fill_statements(sql, at, &mut Vec::new());
            }
        });
    }

    /// Fills SQL that runs after a load: a text, a list, or the `sql` of a table.
    fn fill_statements(&mut self, node: &mut Node, at: &str, used: &mut Vec<String>) {
        match &mut node.value {
            Value::Text(text) => match self.scope().query(text, used) {
                Ok(filled) => *text = filled,
                Err(unfilled) => self.unfilled(*unfilled, &node.place, at),
            },
            Value::List(items) => items.iter_mut().for_each(|item| self.fill_statements(item, at, used)),
            Value::Table(table) => {
                if let Some(sql) = table.get_mut("sql") {
                    self.fill_statements(sql, at, used);
                }
            }
            _ => {}
        }
    }

    /// Fills the SQL in a list of helpers, expectations or markers: `sql` says which of them have it, and in which argument.
    fn fill_steps(&mut self, steps: &mut Node, sql: &[(&str, &str)], at: &str, used: &mut Vec<String>) {
        let Value::List(items) = &mut steps.value else { return };
        for item in items {
            let Value::Table(step) = &mut item.value else { continue };
            for (name, field) in step.iter_mut() {
                let Some((_, inside)) = sql.iter().find(|(step, _)| *step == name) else { continue };
                match &mut field.node.value {
                    Value::Table(arguments) => {
                        if let Some(text) = arguments.get_mut(inside) {
                            self.fill_statements(text, at, used);
                        }
                    }
                    _ => self.fill_statements(&mut field.node, at, used),
                }
            }
        }
    }

    /// Fills the names of the columns of a table, and the SQL that their values come from.
    fn fill_columns(&mut self, columns: &mut Node, at: &str) {
        let Value::Table(table) = &mut columns.value else { return };
        for (written, mut field) in std::mem::take(table) {
            let Some(name) = self.filled(&written, &field.key, at, &mut Vec::new()) else { continue };
            let chain = match &mut field.node.value {
                Value::Table(column) => column.get_mut("normalize"),
                _ => None,
            };
            if let Some(chain) = chain {
                self.fill_steps(chain, SQL_OF_MARKERS, at, &mut Vec::new());
            }
            self.keep(table, "columns", at, name, field);
        }
    }

    fn fill_options(&mut self, table: &mut Table, at: &str, used: &mut Vec<String>) {
        for (name, field) in table.iter_mut() {
            if name == "target" {
                self.fill_qualified(&mut field.node, at, used);
            } else if name == "transforms_post" {
                self.fill_statements(&mut field.node, at, used);
            } else if name == "transforms_pre" || name == "expect" {
                self.fill_steps(&mut field.node, SQL_OF_STEPS, at, used);
            } else if NAMES.contains(&name)
                || option_info(name).is_some_and(|option| option.of == Of::Columns)
            {
                self.fill(&mut field.node, at, used);
            }
        }
    }

    /// Fills the keys of a list of things with names, and each thing by what is given.
    fn fill_named(
        &mut self,
        node: &mut Node,
        list: &'static str,
        fill: impl Fn(&mut Self, &str, &mut Table, &str),
    ) {
        let Value::Table(table) = &mut node.value else { return };
        for (written, mut field) in std::mem::take(table) {
            if list == "pipelines" && field.node.as_table().is_some_and(|own| own.contains("for_each")) {
                self.each(table, written, field);
                continue;
            }
            let mut used = Vec::new();
            let Some(name) = self.filled(&written, &field.key, &section(&[list, &written]), &mut used) else {
                continue;
            };
            if list == "pipelines" {
                self.reader.project.uses(&name, used);
            }
            let at = section(&[list, &name]);
            if let Value::Table(inside) = &mut field.node.value {
                fill(self, &name, inside, &at);
            }
            self.keep(table, list, &at, name, field);
        }
    }

    /// Keeps a thing under its filled name, which may be that of another.
    pub(super) fn keep(
        &mut self,
        table: &mut Table,
        list: &'static str,
        at: &str,
        name: String,
        field: Field,
    ) {
        let Some(first) = table.field(&name) else { return table.insert(name, field) };
        let error = FlowError::new(
            ErrorCode::DuplicateName,
            format!("two {list} are called `{name}` once their variables are filled in"),
        );
        let error = match self.checker.spot(&first.whole(), at).location() {
            Some(place) => error.detail(format!("first at {}", position(&place))),
            None => error,
        };
        self.checker.report(error, &field.whole(), at, None);
    }

    /// The variables that there are where the reader is.
    fn scope(&self) -> Scope<'_> {
        let pending = self.reader.pending.as_ref().map(Option::as_deref);
        Scope { variables: &self.reader.variables, row: &self.reader.row, pending }
    }

    fn fill_qualified(&mut self, node: &mut Node, at: &str, used: &mut Vec<String>) {
        let Value::Text(text) = &mut node.value else { return };
        match self.scope().qualified_name(text, used) {
            Ok(filled) => *text = filled,
            Err(unfilled) => self.unfilled(*unfilled, &node.place, at),
        }
    }

    /// Fills a text, or every text of a list.
    fn fill(&mut self, node: &mut Node, at: &str, used: &mut Vec<String>) {
        match &mut node.value {
            Value::Text(text) if text.contains(['{', '}']) => {
                if let Some(filled) = self.filled(text, &node.place, at, used) {
                    *text = filled;
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.fill(item, at, used)),
            _ => {}
        }
    }

    /// A text of one of many pipelines.
    pub(super) fn text_of(&mut self, node: &Node, at: &str) -> Option<String> {
        let text = node.as_text()?;
        Some(self.filled(text, &node.place, at, &mut Vec::new()).unwrap_or_else(|| text.to_owned()))
    }

    /// A query that `for_each` asks.
    pub(super) fn filled_text(&mut self, text: String, place: &Place, at: &str) -> String {
        let none = Row::new();
        let scope = Scope { variables: &self.reader.variables, row: &none, pending: None };
        match scope.query(&text, &mut Vec::new()) {
            Ok(filled) => filled,
            Err(unfilled) => {
                self.unfilled(*unfilled, place, at);
                text
            }
        }
    }

    pub(super) fn filled(
        &mut self,
        text: &str,
        place: &Place,
        at: &str,
        used: &mut Vec<String>,
    ) -> Option<String> {
        if !text.contains(['{', '}']) {
            return Some(text.to_owned());
        }
        match self.scope().name(text, used) {
            Ok(filled) => Some(filled),
            Err(unfilled) => {
                self.unfilled(*unfilled, place, at);
                None
            }
        }
    }

    fn unfilled(&mut self, unfilled: Unfilled, place: &Place, at: &str) {
        let place = match (place, self.checker.source) {
            (Place::Bytes(span), Some(source)) => Place::Bytes(source.part(span.clone(), &unfilled.part)),
            (place, _) => place.clone(),
        };
        self.checker.report(unfilled.error, &place, at, unfilled.label);
    }

    /// The query of a source with its variables in their places: `{name}` an identifier, `:name` a value. Python fills
    /// its queries itself.
    pub(super) fn filled_query(&mut self, text: String, from: &QueryText<'_>, entry: &Entry<'_>) -> String {
        if self.checker.source.is_none() {
            return text;
        }
        let mut used = Vec::new();
        let none = Row::new();
        // What is one of several targets says what its pipeline says.
        let whole = entry.name.rsplit_once('/').map_or(entry.name.as_str(), |(whole, _)| whole);
        let of = |name: &str| self.reader.project.members.get(name).map(|member| &member.row);
        let pending = |name: &str| self.reader.unasked.get(name);
        let scope = Scope {
            variables: &self.reader.variables,
            row: of(&entry.name).or_else(|| of(whole)).unwrap_or(&none),
            pending: pending(&entry.name).or_else(|| pending(whole)).map(Option::as_deref),
        };
        let filled = scope.query(&text, &mut used);
        self.reader.project.uses(&entry.name, used);
        if text.contains('{') && names_in_braces(&text).is_ok_and(|names| !names.is_empty()) {
            self.reader.project.identified.push(entry.name.clone());
        }
        match (filled, from) {
            (Ok(filled), _) => return filled,
            (Err(unfilled), QueryText::Written(place)) => {
                self.unfilled(*unfilled, place, &entry.owner.section);
            }
            (Err(unfilled), QueryText::File(path)) => {
                let source = SourceText::new(path.display().to_string(), text.clone());
                let span = source.part(0..text.len(), &unfilled.part);
                let mut location = source.location(span, &entry.owner.section);
                if let Some(excerpt) = &mut location.excerpt {
                    excerpt.label = unfilled.label;
                }
                let mistake = super::Mistake { error: unfilled.error.at(location), order: None };
                self.checker.mistakes.push(mistake);
            }
        }
        text
    }
}

/// Where the text of a query stands.
pub(super) enum QueryText<'p> {
    /// In the file that is read.
    Written(&'p Place),
    /// In a file of its own.
    File(&'p Path),
}
