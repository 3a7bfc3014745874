//! Where rows come from.

use super::files::{Compression, CsvSpec, FileFormat, JsonSpec};
use super::http::HttpSpec;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A source as written: a connection and one of `query`, `query_file`, `table`, or a `union` of such sources; or `files`; or `http`.
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
    /// Files: a path, a glob or an address; relative to the file it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// Of which format the files are; from the ending of their names unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<FileFormat>,
    /// How the files are compressed; from the ending of their names unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How values are told apart in files of CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvSpec>,
    /// How files of JSON are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonSpec>,
    /// Whether `year=2026/` in a path is a column; true unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hive: Option<bool>,
    /// Where an object store is, by the names that its own tools use: `endpoint`, `region` …
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub storage: IndexMap<String, String>,
    /// An API that answers JSON over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Box<HttpSpec>>,
    /// Where relative paths of `files` start: the directory of the file that this stands in.
    #[schemars(skip)]
    #[serde(skip)]
    pub directory: PathBuf,
    /// Rows that Python hands over.
    // Only a registry says it.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameSpec>,
    /// The rows of several sources, by the names of their columns; each has a connection of its own, or this one's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub union: Vec<SourceSpec>,
}

impl SourceSpec {
    /// Whether its rows come from elsewhere than a database.
    pub fn is_brought(&self) -> bool {
        self.files.is_some() || self.http.is_some() || self.frame.is_some()
    }

    /// Where its rows come from, in a word: the first connection, `files`, `http` or `frame`.
    pub fn place(&self) -> &str {
        match (&self.files, &self.http, &self.frame) {
            (Some(_), ..) => "files",
            (_, Some(_), _) => "http",
            (.., Some(_)) => "frame",
            _ => self.first_connection().unwrap_or("default"),
        }
    }

    /// The connections that it reads, as they are written: each once.
    pub fn connections(&self) -> Vec<Option<&str>> {
        if self.is_brought() {
            return Vec::new();
        }
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
        self.connections().first().copied().flatten()
    }
}

/// Rows that Python hands over, as the core knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameSpec {
    /// The number by which Python finds them.
    pub id: u64,
    /// What they are, for people: `a DataFrame of polars`.
    pub words: String,
}
