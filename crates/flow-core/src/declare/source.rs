//! Where rows come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source as written: a connection and one of `query`, `query_file`, `table`, or a `union` of such sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSpec {
    /// The connection's name; `default` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// One SELECT statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A file with one SELECT statement; relative to the file it stands in.
    // The reader of the file puts its text into `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_file: Option<String>,
    /// A table or view: `schema.table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The rows of several sources, by the names of their columns; each has a connection of its own, or this one's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub union: Vec<SourceSpec>,
}

impl SourceSpec {
    /// The connections that it reads, as they are written: each once.
    pub fn connections(&self) -> Vec<Option<&str>> {
        let own = self.connection.as_deref();
        if self.union.is_empty() {
            return vec![own];
        }
        let mut found: Vec<Option<&str>> = Vec::new();
        for member in &self.union {
            let connection = member.connection.as_deref().or(own);
            if !found.contains(&connection) {
                found.push(connection);
            }
        }
        found
    }

    /// The first connection that it reads, as it is written.
    pub fn first_connection(&self) -> Option<&str> {
        self.connections()[0]
    }
}
