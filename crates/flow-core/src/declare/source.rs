//! Where rows come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source as written: a connection and one of `query`, `query_file`, `table`.
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
}
