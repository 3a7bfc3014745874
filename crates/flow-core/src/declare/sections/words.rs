//! What the reader says: whose option it is, what other tools call it, and what is still to come.

use crate::declare::node::{Node, Value};
use crate::declare::options::{FOREIGN_MODES, FOREIGN_WORDS, Support, option_info};
use crate::declare::project::quoted;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::libpq;

/// What kind of thing holds an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pipeline,
    Defaults,
    Connection,
    Table,
    Feature,
    Transform,
    Columns,
    Column,
    Source,
    Other,
}

/// Whose option it is, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) kind: Kind,
    /// ``pipeline `customers` ``.
    pub(crate) words: String,
    /// `[pipelines.customers]`.
    pub(crate) section: String,
}

impl Owner {
    /// ``pipeline `customers` `` of `[pipelines.customers]`.
    pub(crate) fn named(kind: Kind, list: &str, name: &str) -> Owner {
        let noun = match kind {
            Kind::Pipeline => "pipeline",
            Kind::Connection => "connection",
            Kind::Transform => "transform",
            Kind::Feature => "feature view",
            _ => "table",
        };
        Owner { kind, words: format!("{noun} `{name}`"), section: section(&[list, name]) }
    }

    /// `[defaults]`.
    pub(crate) fn defaults() -> Owner {
        Owner { kind: Kind::Defaults, words: "[defaults]".to_owned(), section: section(&["defaults"]) }
    }

    /// ``` `mode` of pipeline `customers` ```.
    pub(super) fn option(&self, name: &str) -> String {
        match name.strip_prefix("an entry of ") {
            Some(list) => format!("an entry of `{list}` of {}", self.words),
            None if self.kind == Kind::Columns => format!("column `{name}` of {}", self.words),
            None => format!("`{name}` of {}", self.words),
        }
    }

    /// The owner of what stands inside one of its tables.
    pub(super) fn inside(&self, reference: Option<&str>, name: &str) -> Owner {
        let with = |kind, words: String| Owner { kind, words, section: self.section.clone() };
        match (reference, self.kind, name) {
            (Some("FullColumnSpec"), ..) => with(Kind::Column, format!("column `{name}` of {}", self.words)),
            (None, Kind::Table | Kind::Feature, "columns") => Owner {
                kind: Kind::Columns,
                words: self.words.clone(),
                section: format!("{}.columns]", self.section.strip_suffix(']').unwrap_or(&self.section)),
            },
            (Some("SourceSpec"), Kind::Source, _) => {
                with(Kind::Source, format!("a member of {}", self.words))
            }
            (Some("SourceSpec"), ..) => with(Kind::Source, format!("`source` of {}", self.words)),
            _ => with(Kind::Other, self.option(name)),
        }
    }
}

/// `[tables."a b"]`: a header as one would write it.
pub(crate) fn section(parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| key(part)).collect();
    format!("[{}]", parts.join("."))
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { name.to_owned() } else { quoted(name) }
}

/// The kind and the name of a [`section`]: `tables` and `a b` of `[tables."a b".columns]`.
pub(crate) fn kind_and_name(section: &str) -> Option<(&str, String)> {
    let (kind, rest) = section.strip_prefix('[')?.strip_suffix(']')?.split_once('.')?;
    let Some(rest) = rest.strip_prefix('"') else {
        return Some((kind, rest.split('.').next()?.to_owned()));
    };
    let (mut name, mut letters) = (String::new(), rest.chars());
    loop {
        match letters.next()? {
            '"' => return Some((kind, name)),
            '\\' => name.push(letters.next()?),
            letter => name.push(letter),
        }
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        // Only Python says it.
        Value::Null => "None",
        Value::Text(_) => "a string",
        Value::Integer { .. } => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(true) => "true",
        Value::Boolean(false) => "false",
        Value::Moment(_) => "a date or time",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// The error for an option that a later version will have.
pub(crate) fn not_yet_supported(what: &str) -> FlowError {
    FlowError::new(ErrorCode::NotYetSupported, format!("{what} is not supported yet"))
        .hint("this version knows the name but cannot do it; take it out for now")
}

/// The error for a name that is known but not served by this version.
pub(super) fn not_yet(name: &str, node: &Node, owner: &Owner) -> Option<FlowError> {
    let known = match owner.kind {
        Kind::Pipeline | Kind::Defaults => {
            option_info(name).is_some_and(|info| info.support == Support::NotYet)
        }
        Kind::Connection => libpq::is_refused(name),
        Kind::Source => {
            matches!(name, "function" | "python" | "path" | "file" | "parquet")
        }
        Kind::Table | Kind::Feature => name == "partition_by",
        Kind::Transform => {
            matches!(name, "every" | "catchup" | "overlap" | "retries" | "misfire_grace" | "after")
        }
        Kind::Column | Kind::Columns | Kind::Other => false,
    };
    if !known {
        return None;
    }
    let error = not_yet_supported(&format!("`{name}` in {}", owner.words));
    Some(match (owner.kind, name, &node.value) {
        (Kind::Pipeline | Kind::Defaults, "strategy", Value::Text(_)) => error.hint("did you mean `mode`?"),
        (Kind::Connection, ..) => match libpq::reason(name) {
            Some(reason) => error.hint(reason),
            None => error,
        },
        _ => error,
    })
}

/// Whether what a later version will have says what this version does anyway, or nothing.
pub(super) fn stands_at_default(name: &str, node: &Node, owner: &Owner) -> bool {
    if node.is_null() {
        return not_yet(name, node, owner).is_some();
    }
    let (Kind::Connection, Some(text)) = (owner.kind, node.as_text()) else { return false };
    libpq::is_refused(name) && libpq::check_parameter(name, text) == Ok(false)
}

/// The option that was probably meant by an unknown name.
pub(super) fn meant<'k>(name: &str, known: &[&'k str], owner: &Owner) -> Option<&'k str> {
    if advice(name, owner).is_some() {
        return None;
    }
    let ours = foreign(name, owner);
    known
        .iter()
        .copied()
        .find(|known| Some(*known) == ours)
        .or_else(|| did_you_mean(name, known.iter().copied()))
}

/// Our name for a word of another tool.
fn foreign(name: &str, owner: &Owner) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let find = |words: &[(&'static str, &'static str)]| {
        words.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours)
    };
    match owner.kind {
        Kind::Pipeline | Kind::Defaults => find(FOREIGN_WORDS),
        Kind::Connection => find(&[
            ("url", "dsn"),
            ("uri", "dsn"),
            ("connection_string", "dsn"),
            ("conninfo", "dsn"),
            ("database", "dbname"),
            ("db", "dbname"),
            ("name", "dbname"),
            ("username", "user"),
            ("set_role", "role"),
            ("hostname", "host"),
            ("server", "host"),
            ("pass", "password"),
            ("passwd", "password"),
            ("pwd", "password"),
            ("ssl", "sslmode"),
            ("ssl_mode", "sslmode"),
            ("timeout", "connect_timeout"),
            ("readonly", "read_only"),
        ]),
        Kind::Feature if lower == "version" => Some("feature_version"),
        Kind::Feature if matches!(lower.as_str(), "event_time" | "timestamp_field" | "event_timestamp") => {
            Some("event_timestamp_column")
        }
        Kind::Feature if matches!(lower.as_str(), "entities" | "entity_keys" | "join_keys") => {
            Some("primary_key")
        }
        Kind::Table | Kind::Feature => find(&[
            ("keys", "primary_key"),
            ("pk", "primary_key"),
            ("unique_key", "natural_key"),
            ("fields", "columns"),
            ("table", "name"),
            ("comment", "description"),
            ("index", "indexes"),
            ("with", "options"),
        ]),
        Kind::Column => find(&[
            ("pk", "primary_key"),
            ("data_type", "type"),
            ("dtype", "type"),
            ("comment", "description"),
        ]),
        Kind::Source => find(&[
            ("sql", "query"),
            ("select", "query"),
            ("sql_file", "query_file"),
            ("from", "table"),
            ("conn", "connection"),
            ("name", "table"),
            ("union_all", "union"),
            ("sources", "union"),
        ]),
        Kind::Transform => find(&[
            ("query", "sql"),
            ("statement", "sql"),
            ("statements", "sql"),
            ("cron", "schedule"),
            ("target_connection", "connection"),
        ]),
        Kind::Columns | Kind::Other => None,
    }
}

/// What to say beside a name that belongs elsewhere.
pub(super) fn advice(name: &str, owner: &Owner) -> Option<&'static str> {
    match (owner.kind, name) {
        (Kind::Pipeline, "query" | "query_file" | "table" | "connection" | "source_connection") => {
            Some("belongs into source = { connection = \"…\", query = \"…\" }")
        }
        (Kind::Defaults, "source" | "target") => Some("belongs into each pipeline"),
        (Kind::Column, "nullable" | "null" | "not_null" | "required") => {
            Some("columns are NOT NULL; write \"text?\" for one that may be NULL")
        }
        (
            Kind::Table,
            "feature_version" | "event_timestamp_column" | "ttl" | "online" | "owner" | "tags" | "freshness",
        ) => Some("belongs to a feature view: declare it in [features.NAME]"),
        (Kind::Source, "url" | "records" | "params" | "paginate" | "auth" | "headers") => {
            Some("belongs into source = { http = { url = \"https://…\" } }")
        }
        (Kind::Source, "schema") => Some("write table = \"schema.table\""),
        _ => None,
    }
}

/// Our word for a value of another tool.
pub(super) fn foreign_value(name: &str, value: &str) -> Option<&'static str> {
    let lower = value.to_ascii_lowercase();
    let words: &[(&str, &'static str)] = match name {
        "mode" => FOREIGN_MODES,
        "handle_deletes" => {
            &[("invalidate", "soft"), ("close", "soft"), ("delete", "hard"), ("none", "ignore")]
        }
        "on_duplicate" => &[("last", "latest"), ("fail", "error")],
        "on_drift" | "on_empty_source" | "null_watermark" => {
            &[("fail", "error"), ("raise", "error"), ("warn", "ignore")]
        }
        _ => &[],
    };
    words.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours)
}

/// How a value is written whose form was missed.
pub(super) fn form(name: &str, owner: &Owner) -> Option<&'static str> {
    match (owner.kind, name) {
        (_, "source") => {
            Some("write source = { connection = \"crm\", query = \"SELECT …\" }, or table = \"schema.table\"")
        }
        (_, "columns") => {
            Some("write columns = { id = \"bigint\", email = \"text?\" }, or [tables.NAME.columns]")
        }
        (Kind::Columns, _) => Some("write the type, as in \"text?\", or { type = \"text?\", … }"),
        (_, "transforms_post") => {
            Some("write transforms_post = [\"ANALYZE …\", { transform_ref = \"NAME\" }]")
        }
        (_, "an entry of transforms_post") => {
            Some("write SQL in quotes, { sql = \"…\" }, or { transform_ref = \"NAME\" }")
        }
        (_, "notify" | "an entry of notify") => Some(
            "write notify = [{ on = [\"failed\"], webhook = \"https://…\" }], or { command = [\"PROGRAM\"] }",
        ),
        (_, "paginate") => Some(
            "write \"link_header\", { cursor = \"next\" }, { page = \"page\" } or { offset = \"offset\", limit = 100 }",
        ),
        (_, "http") => Some("write http = { url = \"https://…\", records = \"items\" }"),
        (_, "auth") => Some("write auth = { bearer = \"${env:TOKEN}\" }"),
        (_, "default") => Some("write a value, or { sql = \"now()\" }"),
        (_, "loaded_at_column" | "batch_id_column") => Some("false leaves the column out"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_says_its_kind_and_its_name_back() {
        for name in ["customers", "a.b", "a \"b\"", "back\\slash", "]", "", "ends\\"] {
            for parts in [&["tables", name][..], &["tables", name, "columns"]] {
                assert_eq!(kind_and_name(&section(parts)), Some(("tables", name.to_owned())));
            }
        }
        assert_eq!(kind_and_name(&section(&["defaults"])), None);
    }
}
