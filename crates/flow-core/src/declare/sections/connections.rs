//! Reads connections: their parameters, the form of their `${…}`, and what of them no message shows.

use super::words::{Kind, Owner};
use super::{Document, Entry};
use crate::declare::ConnectionSpec;
use crate::declare::file_dsn::duckdb_file;
use crate::declare::interpolation::Template;
use crate::declare::json_schema::definition;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::error::{ErrorCode, FlowError};
use crate::libpq::{self, parse_dsn};
use indexmap::IndexMap;
use std::ops::Range;

/// The bytes of every value of a connection that may be a secret: no excerpt shows them.
pub(crate) fn secrets(file: &Table) -> Vec<Range<usize>> {
    const SAFE: &[&str] = &[
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "sslmode",
        "sslrootcert",
        "connect_timeout",
        "options",
        "application_name",
        "target_session_attrs",
        "load_balance_hosts",
        "read_only",
        "max_connections",
        "session",
    ];
    fn hide(found: &mut Vec<Range<usize>>, node: &Node, depth: usize) {
        match (&node.value, &node.place) {
            (Value::Table(table), _) => {
                for (name, field) in table.iter() {
                    if depth != 1 || !SAFE.contains(&name) {
                        hide(found, &field.node, depth + 1);
                    }
                }
            }
            (Value::List(items), _) => items.iter().for_each(|item| hide(found, item, depth + 1)),
            (_, Place::Bytes(span)) => found.push(span.clone()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let environments = file.get("environments").and_then(Node::as_table).into_iter().flat_map(Table::iter);
    let of_environments = environments.filter_map(|(_, field)| field.node.as_table()?.get("connections"));
    for connections in file.get("connections").into_iter().chain(of_environments) {
        hide(&mut found, connections, 0);
    }
    // Somebody may write a key where its place belongs.
    for hash in file.get("tables").into_iter().flat_map(hashes) {
        hide(&mut found, hash, 0);
    }
    found
}

/// What is written of every marker `hash` of a file's tables.
fn hashes(tables: &Node) -> Vec<&Node> {
    fn inside<'n>(node: &'n Node, name: Option<&str>) -> Vec<&'n Node> {
        let Value::Table(table) = &node.value else { return Vec::new() };
        let named = |found: &&str| name.is_none_or(|name| name == *found);
        table.iter().filter(|(found, _)| named(found)).map(|(_, field)| &field.node).collect()
    }
    let columns = inside(tables, None).into_iter().flat_map(|table| inside(table, Some("columns")));
    let chains = columns
        .flat_map(|columns| inside(columns, None))
        .flat_map(|column| inside(column, Some("normalize")));
    let markers = chains.flat_map(|chain| match &chain.value {
        Value::List(markers) => markers.as_slice(),
        _ => &[],
    });
    markers.flat_map(|marker| inside(marker, Some("hash"))).collect()
}

impl Document<'_, '_> {
    /// Reads `[connections]`.
    pub(crate) fn connections(&mut self, connections: &Node) {
        let read = self.connections_of(connections, None);
        self.reader.project.connections.extend(read);
    }

    /// Connections by name, of the files or of an environment.
    pub(super) fn connections_of(
        &mut self,
        connections: &Node,
        environment: Option<&str>,
    ) -> IndexMap<String, ConnectionSpec> {
        let mut read = IndexMap::new();
        for entry in self.named("connections", Kind::Connection, connections, environment) {
            let (good, _) =
                self.checker.table(entry.table, &entry.place, definition("ConnectionSpec"), &entry.owner);
            self.connection_values(&good, &entry);
            if let Some(connection) = self.deserialize(good, &entry) {
                read.insert(entry.name, connection);
            }
        }
        read
    }

    fn connection_values(&mut self, table: &Table, entry: &Entry<'_>) {
        let owner = &entry.owner;
        let has_dsn = table.contains("dsn");
        for (name, field) in table.iter() {
            if has_dsn && !matches!(name, "dsn" | "read_only" | "max_connections" | "session") {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    format!("`{name}` and `dsn` of {} exclude each other", owner.words),
                );
                let error =
                    error.hint("where a connection leads comes whole from one DSN or from the other options");
                self.checker.report(error, &field.whole(), &owner.section, None);
            }
            let is_file =
                || table.get("dsn").and_then(Node::as_text).is_some_and(|dsn| dsn.starts_with("duckdb:"));
            if name == "max_connections" && is_file() {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    format!(
                        "`max_connections` says nothing of {}: a DuckDB file is opened once",
                        owner.words
                    ),
                );
                let error = error.hint("leave it out: runs that use the file take turns");
                self.checker.report(error, &field.whole(), &owner.section, None);
            }
            self.interpolations(&field.node, owner);
            self.parameter(name, field, entry);
        }
    }

    fn parameter(&mut self, name: &str, field: &Field, entry: &Entry<'_>) {
        let Some(text) = field.node.as_text().filter(|text| !text.contains("${")) else { return };
        let checked = match name {
            "dsn" => match duckdb_file(text) {
                Ok(None) => parse_dsn(text).map(|_| ()),
                read => read.map(|_| ()),
            },
            _ => libpq::check_parameter(name, text).map(|_| ()),
        };
        if let Err(error) = checked {
            let error = libpq::of_connection(error, &entry.name);
            self.checker.report(error, &field.node.place, &entry.owner.section, None);
        }
    }

    /// Checks the form of every `${…}`.
    fn interpolations(&mut self, node: &Node, owner: &Owner) {
        match &node.value {
            Value::Text(text) => {
                if let Err(malformed) = Template::parse(text) {
                    let error = FlowError {
                        hint: malformed.hint,
                        ..FlowError::new(ErrorCode::InvalidValue, malformed.message)
                    };
                    let place = match (&node.place, self.checker.source) {
                        (Place::Bytes(span), Some(source)) => {
                            Place::Bytes(source.interpolation(span.clone(), malformed.index))
                        }
                        (place, _) => place.clone(),
                    };
                    self.checker.report(error, &place, &owner.section, None);
                }
            }
            Value::Table(table) => {
                table.iter().for_each(|(_, field)| self.interpolations(&field.node, owner));
            }
            _ => {}
        }
    }
}
