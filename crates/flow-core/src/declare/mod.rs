//! What a project declares, as written: plain data that TOML and Python build alike.
//!
//! Nothing is resolved or judged here; that is the work of [`crate::check`]. Where each part was
//! written is kept beside the data, in [`Places`], so that a spec stays comparable.

pub mod environment;
pub mod file_dsn;
pub mod fingerprint;
pub mod for_each;
pub mod glob;
pub mod interpolation;
pub mod json_schema;
pub mod node;
pub mod options;
mod project;
pub mod registry;
mod sections;
pub mod source;
pub mod toml;
pub mod transforms;
pub mod variables;

pub use self::toml as toml_file;
pub use options::{MODES, Mode, OPTIONS, OptionInfo, PipelineOptions, Support};
pub use project::{EnvironmentSpec, Places, ProjectSpec, Tables};
pub use sections::{add_sound, keep_sound};
pub use source::SourceSpec;
pub use transforms::TransformSpec;

use crate::markers::Written;
use crate::secret::Secret;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;

/// Where a connection leads, in libpq's words or as one DSN, before `${…}` is resolved.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionSpec {
    /// A URL or keyword string, as psql takes it.
    pub dsn: Option<Secret>,
    /// Host name, address or socket directory; several with commas between them.
    pub host: Option<String>,
    /// Address to connect to, where `host` shall not be looked up.
    pub hostaddr: Option<String>,
    /// Port; 5432 unless said.
    pub port: Option<PortSpec>,
    /// Database.
    pub dbname: Option<String>,
    /// Role.
    pub user: Option<String>,
    /// Password; better `${env:NAME}` or `${file:PATH}`.
    pub password: Option<Secret>,
    /// `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`.
    pub sslmode: Option<String>,
    /// File with the certificates to trust, or `system`.
    pub sslrootcert: Option<String>,
    /// How long to wait for the server, in seconds; 10 unless said.
    pub connect_timeout: Option<u64>,
    /// Command-line options for the session, as libpq sends them.
    pub options: Option<String>,
    /// Name in `pg_stat_activity`; pipeline and run unless said.
    pub application_name: Option<String>,
    /// Which of several hosts will do: `any`, `read-write` or `read-only`.
    pub target_session_attrs: Option<String>,
    /// `disable`, or `random` to try the hosts in any order.
    pub load_balance_hosts: Option<String>,
    /// Refused as a target.
    pub read_only: bool,
    /// How many sessions this process has open there at once; as many as runs need unless said.
    pub max_connections: Option<NonZeroU32>,
    /// Settings of the session: `{ timezone = "UTC" }`.
    pub session: IndexMap<String, String>,
}

impl ConnectionSpec {
    /// What is said of where it leads, in libpq's words; without `dsn`, `read_only`, `max_connections` and `session`.
    pub fn parameters(&self) -> Vec<(&'static str, Secret)> {
        let text = |name, value: &Option<String>| value.as_deref().map(|value| (name, Secret::from(value)));
        [
            text("host", &self.host),
            text("hostaddr", &self.hostaddr),
            self.port.as_ref().map(|port| ("port", Secret::from(port.to_string()))),
            text("dbname", &self.dbname),
            text("user", &self.user),
            self.password.clone().map(|password| ("password", password)),
            text("sslmode", &self.sslmode),
            text("sslrootcert", &self.sslrootcert),
            self.connect_timeout.map(|seconds| ("connect_timeout", Secret::from(seconds.to_string()))),
            text("options", &self.options),
            text("application_name", &self.application_name),
            text("target_session_attrs", &self.target_session_attrs),
            text("load_balance_hosts", &self.load_balance_hosts),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A port, or a string that becomes one: `"${env:PORT:-5432}"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortSpec {
    /// A number.
    Number(#[schemars(range(min = 1))] u16),
    /// A string, with one port for each of several hosts or with `${…}`.
    Text(String),
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortSpec::Number(number) => write!(f, "{number}"),
            PortSpec::Text(text) => f.write_str(text),
        }
    }
}

/// A destination table as declared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TableSpec {
    /// Schema; `public` unless said.
    pub schema: Option<String>,
    /// Name in the database, where it differs from the key of `[tables]`.
    pub name: Option<String>,
    /// What the table holds; becomes its comment.
    pub description: Option<String>,
    /// Columns of the primary key; one name needs no brackets.
    pub primary_key: Option<Names>,
    /// Columns of the natural key, by which source and target rows are matched.
    pub natural_key: Option<Names>,
    /// Further unique constraints, each a list of columns.
    pub unique: Vec<Names>,
    /// Further indexes: a list of columns each, or a table with `columns`, `unique`, `using`, `where`.
    pub indexes: Vec<IndexSpec>,
    /// Storage parameters: `{ fillfactor = 90 }`.
    pub options: IndexMap<String, ScalarSpec>,
    /// Columns in their order: name to type, or to a table.
    pub columns: IndexMap<String, ColumnSpec>,
}

/// One name or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// One name.
    One(String),
    /// A list of names.
    Many(Vec<String>),
}

impl Names {
    /// The names as a list.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Names::One(name) => vec![name.clone()],
            Names::Many(names) => names.clone(),
        }
    }
}

/// A column: its type in short (`"text?"`), or a table with more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ColumnSpec {
    /// `"bigint"`; `?` at the end allows NULL.
    Type(String),
    /// The type and what else belongs to the column.
    Full(Box<FullColumnSpec>),
}

/// The long form of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullColumnSpec {
    /// The type; `?` at the end allows NULL.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether the column belongs to the primary key.
    #[serde(default)]
    pub primary_key: bool,
    /// Whether the column belongs to the natural key.
    #[serde(default)]
    pub natural_key: bool,
    /// Whether its values are unique.
    #[serde(default)]
    pub unique: bool,
    /// The column's DEFAULT: a value, or `{ sql = "now()" }`.
    #[serde(default)]
    pub default: Option<DefaultSpec>,
    /// What the column holds; becomes its comment.
    #[serde(default)]
    pub description: Option<String>,
    /// How its values are cleaned on their way, from left to right: `["trim", { truncate = 256 }]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub normalize: Vec<Written>,
}

/// A column's DEFAULT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum DefaultSpec {
    /// An SQL expression.
    Sql {
        /// The expression: `now()`.
        sql: String,
    },
    /// A value.
    Value(ScalarSpec),
}

/// A plain value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScalarSpec {
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
}

/// An index: its columns, or a table with more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum IndexSpec {
    /// The columns; one name needs no brackets.
    Columns(Names),
    /// The long form.
    Full(FullIndexSpec),
}

/// The long form of an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullIndexSpec {
    /// The columns.
    pub columns: Names,
    /// The name; made from table and columns unless said.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it allows a value only once.
    #[serde(default)]
    pub unique: bool,
    /// The access method: `btree`, `gin`, `brin` …
    #[serde(default)]
    pub using: Option<String>,
    /// A condition for a partial index.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

/// A pipeline as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineSpec {
    /// Where the rows come from.
    pub source: SourceSpec,
    /// A key of `[tables]`, or a qualified name.
    pub target: String,
    /// Everything else, `[defaults]` applied.
    pub options: PipelineOptions,
}
