//! Reads connections: their parameters, the form of their `${…}`, and what of them no message shows.

use super::super::check::Item;
use super::super::text::SourceText;
use super::super::words::{Kind, Owner};
use super::{Entry, FileReader};
use crate::declare::dsn::parse_dsn;
use crate::declare::interpolation::Template;
use crate::declare::json_schema::definition;
use crate::declare::libpq;
use crate::error::{ErrorCode, FlowError};
use toml::de::{DeTable, DeValue};

/// Keeps every value of a connection that may be a secret out of the excerpts.
pub(super) fn hide_secrets(source: &mut SourceText<'_>, tree: &DeTable<'_>) {
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
        "session",
    ];
    fn hide(source: &mut SourceText<'_>, item: &Item<'_>, depth: usize) {
        match item.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    if depth != 1 || !SAFE.contains(&key.get_ref().as_ref()) {
                        hide(source, value, depth + 1);
                    }
                }
            }
            DeValue::Array(array) => array.iter().for_each(|value| hide(source, value, depth + 1)),
            _ => source.hide(item.span()),
        }
    }
    if let Some((_, connections)) = tree.iter().find(|(key, _)| key.get_ref() == "connections") {
        hide(source, connections, 0);
    }
}

impl FileReader<'_, '_, '_> {
    pub(super) fn connections(&mut self, item: &Item<'_>) {
        for entry in self.named("connections", Kind::Connection, item) {
            let (good, _) = self.checker.table(
                entry.table,
                entry.span.clone(),
                definition("ConnectionSpec"),
                &entry.owner,
            );
            self.connection_values(&good, &entry);
            if let Some(connection) = self.deserialize(good, &entry) {
                self.reader.project.connections.insert(entry.name, connection);
            }
        }
    }

    fn connection_values(&mut self, table: &DeTable<'_>, entry: &Entry<'_, '_>) {
        let owner = &entry.owner;
        let has_dsn = table.keys().any(|key| key.get_ref() == "dsn");
        for (key, item) in table {
            let name = key.get_ref().as_ref();
            if has_dsn && !matches!(name, "dsn" | "read_only" | "session") {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    format!("`{name}` and `dsn` of {} exclude each other", owner.words),
                );
                let error =
                    error.hint("where a connection leads comes whole from one DSN or from the other options");
                self.checker.report(error, self.entry(key, item), &owner.section, None);
            }
            self.interpolations(item, owner);
            let DeValue::String(text) = item.get_ref() else { continue };
            if text.contains("${") {
                continue;
            }
            let checked = match name {
                "dsn" => parse_dsn(text).map(|_| ()),
                _ => libpq::check_parameter(name, text).map(|_| ()),
            };
            if let Err(error) = checked {
                let error = libpq::of_connection(error, &entry.name);
                self.checker.report(error, item.span(), &owner.section, None);
            }
        }
    }

    /// Checks the form of every `${…}`.
    fn interpolations(&mut self, item: &Item<'_>, owner: &Owner) {
        match item.get_ref() {
            DeValue::String(text) => {
                if let Err(malformed) = Template::parse(text) {
                    let error = FlowError {
                        hint: malformed.hint,
                        ..FlowError::new(ErrorCode::InvalidValue, malformed.message)
                    };
                    let span = self.checker.source.interpolation(item.span(), malformed.index);
                    self.checker.report(error, span, &owner.section, None);
                }
            }
            DeValue::Table(table) => table.values().for_each(|item| self.interpolations(item, owner)),
            _ => {}
        }
    }
}
