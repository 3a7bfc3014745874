//! Reads connections: their parameters, the form of their `${…}`, and what of them no message shows.

use super::words::{Kind, Owner};
use super::{Document, Entry};
use crate::declare::ConnectionSpec;
use crate::declare::duckdb_options::{DUCKDB_OPTIONS, of_duckdb};
use crate::declare::file_dsn::{DuckDbPlace, duckdb_place, sqlite_file};
use crate::declare::interpolation::Template;
use crate::declare::json_schema::definition;
use crate::declare::mysql_dsn::mysql_dsn;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::engine::Foreign;
use crate::error::{ErrorCode, FlowError, Result};
use crate::libpq::{self, parse_dsn};
use crate::sql::Ident;
use indexmap::IndexMap;
use std::ops::Range;

/// The bytes of every value of a connection, an API or a notification that may be a secret: no excerpt shows them.
pub(crate) fn secrets(file: &Table) -> Vec<Range<usize>> {
    const SAFE: &[&str] = &[
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcertmode",
        "sslcrl",
        "sslcrldir",
        "sslnegotiation",
        "sslsni",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "sslkeylogfile",
        "channel_binding",
        "connect_timeout",
        "options",
        "application_name",
        "target_session_attrs",
        "load_balance_hosts",
        "passfile",
        "service",
        "servicefile",
        "require_auth",
        "requirepeer",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "read_only",
        "role",
        "max_connections",
        "session",
        "memory_limit",
        "threads",
        "temp_directory",
        "storage_version",
        "driver",
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
    for notification in notifications(file) {
        for part in ["webhook", "headers", "command"] {
            notification.get(part).into_iter().for_each(|node| hide(&mut found, node, 0));
        }
    }
    for api in apis(file) {
        for part in ["url", "headers", "params", "auth", "body"] {
            api.get(part).into_iter().for_each(|node| hide(&mut found, node, 2));
        }
    }
    // Somebody may write a key where its place belongs.
    for hash in file.get("tables").into_iter().flat_map(hashes) {
        hide(&mut found, hash, 0);
    }
    found
}

/// Everyone who is told by pipelines and by defaults, as written.
fn notifications(file: &Table) -> Vec<&Table> {
    let tables = |name: &str| file.get(name).and_then(Node::as_table).into_iter().flat_map(Table::iter);
    let environments = tables("environments").filter_map(|(_, field)| field.node.as_table()?.get("defaults"));
    let pipelines = tables("pipelines").map(|(_, field)| &field.node);
    let owners = pipelines.chain(file.get("defaults")).chain(environments);
    let lists = owners.filter_map(|owner| match &owner.as_table()?.get("notify")?.value {
        Value::List(items) => Some(items),
        _ => None,
    });
    lists.flatten().filter_map(Node::as_table).collect()
}

/// Every API that pipelines read, as written.
fn apis(file: &Table) -> Vec<&Table> {
    let pipelines = file.get("pipelines").and_then(Node::as_table).into_iter().flat_map(Table::iter);
    let sources = pipelines.filter_map(|(_, field)| field.node.as_table()?.get("source")?.as_table());
    sources.filter_map(|source| source.get("http")?.as_table()).collect()
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
            if let Some(connection) = self.deserialize(&good, &[], &entry) {
                read.insert(entry.name, connection);
            }
        }
        read
    }

    fn connection_values(&mut self, table: &Table, entry: &Entry<'_>) {
        let owner = &entry.owner;
        let leads = Leads::of(table);
        for (name, field) in table.iter() {
            let refused = leads.refuse(name).filter(|_| !matches!(field.node.value, Value::Boolean(false)));
            if let Some((error, hint)) = &refused {
                let error = FlowError::new(ErrorCode::ConflictingOptions, error.replace("{}", &owner.words));
                self.checker.report(error.hint(*hint), &field.whole(), &owner.section, None);
            }
            if name == "password_command" && refused.is_none() {
                self.password_command(table, field, entry);
            }
            self.interpolations(&field.node, owner);
            match name {
                "role" => self.role(field, entry),
                _ => self.parameter(name, field, entry),
            }
        }
    }

    /// A role has a name as Postgres keeps it.
    fn role(&mut self, field: &Field, entry: &Entry<'_>) {
        let Some(text) = field.node.as_text().filter(|text| !text.contains("${")) else { return };
        if let Err(error) = Ident::new(text) {
            self.checker.report(error, &field.node.place, &entry.owner.section, None);
        }
    }

    fn password_command(&mut self, table: &Table, field: &Field, entry: &Entry<'_>) {
        let owner = &entry.owner;
        if table.contains("password") {
            let words = format!("`password` and `password_command` of {} exclude each other", owner.words);
            let error = FlowError::new(ErrorCode::ConflictingOptions, words)
                .hint("take one out: the password comes from the one or from the other");
            self.checker.report(error, &field.whole(), &owner.section, None);
        }
        if matches!(&field.node.value, Value::List(words) if words.is_empty()) {
            let words = format!("`password_command` of {} names no program", owner.words);
            let error = FlowError::new(ErrorCode::InvalidValue, words)
                .hint("it is a list: [\"pass\", \"show\", \"crm\"]; no shell reads it");
            self.checker.report(error, &field.node.place, &owner.section, None);
        }
    }

    fn parameter(&mut self, name: &str, field: &Field, entry: &Entry<'_>) {
        let Some(text) = field.node.as_text().filter(|text| !text.contains("${")) else { return };
        let checked = match name {
            "dsn" => check_dsn(text),
            name if DUCKDB_OPTIONS.contains(&name) => of_duckdb(name, text),
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
            Value::List(items) => items.iter().for_each(|item| self.interpolations(item, owner)),
            _ => {}
        }
    }
}

/// What a section says of where it leads.
enum Leads {
    /// To DuckDB.
    DuckDb(DuckDbPlace),
    /// To what is only read; and what it is called.
    Foreign(Foreign),
    /// By a DSN, to what is not known before it is filled, or is no DuckDB.
    Dsn { known: bool },
    /// By libpq's parameters, or by what another place says.
    Parameters { some: bool },
}

/// What says nothing of where a connection leads.
const BESIDE: &[&str] = &["dsn", "password_command", "read_only", "role", "max_connections", "session"];

impl Leads {
    fn of(table: &Table) -> Leads {
        let is_parameter = |name: &str| !BESIDE.contains(&name) && !DUCKDB_OPTIONS.contains(&name);
        match table.get("dsn").and_then(Node::as_text) {
            Some(dsn) => match duckdb_place(dsn) {
                Ok(Some(place)) => Leads::DuckDb(place),
                Err(_) => Leads::Dsn { known: false },
                Ok(None) => match Foreign::of_dsn(dsn) {
                    Some(engine) => Leads::Foreign(engine),
                    None => Leads::Dsn { known: !dsn.starts_with("${") },
                },
            },
            None => Leads::Parameters { some: table.iter().any(|(name, _)| is_parameter(name)) },
        }
    }

    /// Why an option does not belong to the connection `{}`, and what to do.
    fn refuse(&self, name: &str) -> Option<(String, &'static str)> {
        let is_duckdb = DUCKDB_OPTIONS.contains(&name);
        let is_parameter = !is_duckdb && !BESIDE.contains(&name);
        let nothing = |why: &str| format!("`{name}` says nothing of {{}}: {why}");
        match self {
            Leads::DuckDb(_) if name == "max_connections" => Some((
                nothing("a DuckDB file is opened once"),
                "leave it out: runs that use the file take turns",
            )),
            Leads::DuckDb(_) if name == "role" => Some((nothing("DuckDB knows no roles"), "leave it out")),
            Leads::DuckDb(_) if name == "password_command" || is_parameter => {
                Some((nothing("DuckDB has no server"), "leave it out"))
            }
            Leads::DuckDb(DuckDbPlace::Memory) if name == "read_only" => {
                Some((nothing("a database in memory begins empty"), "leave it out, or name a file"))
            }
            Leads::DuckDb(DuckDbPlace::Memory) if name == "storage_version" => {
                Some((nothing("a database in memory is no file"), "leave it out, or name a file"))
            }
            Leads::DuckDb(DuckDbPlace::Handed) if is_duckdb => Some((
                nothing("it is open already"),
                "say it where you open it: duckdb.connect(…, config={…})",
            )),
            Leads::Foreign(engine) if is_duckdb => {
                Some((nothing(&format!("it leads to {}", engine.shown())), "leave it out"))
            }
            Leads::Foreign(_) | Leads::Dsn { .. } if is_parameter => Some((
                format!("`{name}` and `dsn` of {{}} exclude each other"),
                "where a connection leads comes whole from one DSN or from the other options",
            )),
            Leads::Dsn { known: true } | Leads::Parameters { some: true } if is_duckdb => {
                Some((nothing("it does not lead to DuckDB"), "leave it out"))
            }
            _ => None,
        }
    }
}

fn check_dsn(text: &str) -> Result<()> {
    if duckdb_place(text)?.is_none() && sqlite_file(text)?.is_none() && mysql_dsn(text)?.is_none() {
        parse_dsn(text)?;
    }
    Ok(())
}
