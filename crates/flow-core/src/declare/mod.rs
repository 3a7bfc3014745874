//! What a project declares, as written: plain data that TOML and Python build alike.
//!
//! Nothing is resolved or judged here; that is the work of [`crate::check`]. Where each part was
//! written is kept beside the data, in [`Places`], so that a spec stays comparable.

pub mod duckdb_options;
pub mod environment;
pub mod features;
pub mod file_dsn;
pub mod files;
pub mod fingerprint;
pub mod for_each;
pub mod glob;
pub mod http;
pub mod interpolation;
pub mod json_schema;
pub mod mysql_dsn;
pub mod node;
pub mod notifications;
pub mod options;
mod places;
mod project;
pub mod registry;
mod sections;
pub mod source;
pub mod toml;
pub mod transforms;
pub mod variables;

pub use self::toml as toml_file;
pub use features::{FeatureSpec, OnlineKind, OnlineSpec};
pub use options::{MODES, Mode, OPTIONS, OptionInfo, PipelineOptions, Support};
pub use places::Places;
pub use project::{EnvironmentSpec, ProjectSpec, Tables};
pub use sections::{add_sound, keep_sound};
pub use source::{FrameSpec, SourceSpec};
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
    /// A URL or keyword string, as psql takes it, or `duckdb:` and a file.
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
    /// Program and words that print the password, run for each session: `["aws", "rds", "generate-db-auth-token", …]`.
    pub password_command: Option<Vec<Secret>>,
    /// File with passwords; `~/.pgpass` unless said.
    pub passfile: Option<String>,
    /// Section of a service file, which says what is not said here.
    pub service: Option<String>,
    /// Service file; `~/.pg_service.conf` unless said, then the system's.
    pub servicefile: Option<String>,
    /// `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`; unless said `verify-full`, and on this
    /// machine `prefer`.
    pub sslmode: Option<String>,
    /// File with the certificates to trust, or `system`.
    pub sslrootcert: Option<String>,
    /// File with the certificate that the server may ask for, and those between it and its authority.
    pub sslcert: Option<String>,
    /// File with the key of `sslcert`, which nobody else may read.
    pub sslkey: Option<String>,
    /// Passphrase of `sslkey`; better `${env:NAME}` or `${file:PATH}`.
    pub sslpassword: Option<Secret>,
    /// `allow`, `disable` to show no certificate, or `require` where the server must ask for one.
    pub sslcertmode: Option<String>,
    /// File with the revocation lists of the authorities.
    pub sslcrl: Option<String>,
    /// Directory with them, as `openssl rehash` names them.
    pub sslcrldir: Option<String>,
    /// `postgres`, or `direct` to save a round trip; from Postgres 17.
    pub sslnegotiation: Option<String>,
    /// `0` to tell no name before the encryption stands.
    pub sslsni: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub ssl_min_protocol_version: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub ssl_max_protocol_version: Option<String>,
    /// File that gets the keys of the encryption, for who debugs it.
    pub sslkeylogfile: Option<String>,
    /// `prefer`, `require` or `disable`: whether the login is bound to the server's certificate.
    pub channel_binding: Option<String>,
    /// Methods by which the server may ask who you are, or with `!` those by which not: `scram-sha-256`.
    pub require_auth: Option<String>,
    /// User of the system whom the server of a socket must be.
    pub requirepeer: Option<String>,
    /// How long to wait for the server, in seconds; 10 unless said, 0 is for ever.
    pub connect_timeout: Option<i64>,
    /// Command-line options for the session, as libpq sends them.
    pub options: Option<String>,
    /// Name in `pg_stat_activity`; pipeline and run unless said.
    pub application_name: Option<String>,
    /// Name in its place, where neither that nor PGAPPNAME says one.
    pub fallback_application_name: Option<String>,
    /// Which of several hosts will do: `any`, `read-write`, `read-only`, `primary`, `standby` or `prefer-standby`.
    pub target_session_attrs: Option<String>,
    /// `disable`, or `random` to try the hosts in any order.
    pub load_balance_hosts: Option<String>,
    /// 0 switches the system's questions off whether the other end is still there.
    pub keepalives: Option<i64>,
    /// Silence before the first of them, in seconds; 30 unless said.
    pub keepalives_idle: Option<i64>,
    /// Time between two of them, in seconds; 10 unless said.
    pub keepalives_interval: Option<i64>,
    /// How many may stay without an answer; 3 unless said.
    pub keepalives_count: Option<i64>,
    /// How long what was sent may stay unconfirmed, in milliseconds; as the system has it unless said.
    pub tcp_user_timeout: Option<i64>,
    /// Of DuckDB: how much memory it takes: `"1GB"`; four fifths of the machine's unless said.
    pub memory_limit: Option<String>,
    /// Of DuckDB: how many threads work; one for each core unless said.
    pub threads: Option<NonZeroU32>,
    /// Of DuckDB: directory for what does not fit into memory; beside the file unless said.
    pub temp_directory: Option<String>,
    /// Of DuckDB: the oldest version that is to read a file that is made: `"v1.0.0"`.
    pub storage_version: Option<String>,
    /// Of DuckDB, where `flow` is not Python's: its library, by path or by the name of a driver manifest; `duckdb`
    /// unless said, and then the loader's `libduckdb`.
    pub driver: Option<String>,
    /// Refused as a target; a file of DuckDB is opened for reading only.
    pub read_only: bool,
    /// The role that every session takes: `SET ROLE`.
    pub role: Option<String>,
    /// How many sessions this process has open there at once; as many as runs need unless said.
    pub max_connections: Option<NonZeroU32>,
    /// Settings of the session: `{ timezone = "UTC" }`.
    pub session: IndexMap<String, String>,
}

impl ConnectionSpec {
    /// What is said of where it leads, in libpq's words; without `dsn`, `password_command`, `read_only`, `role`,
    /// `max_connections`, `session` and what is DuckDB's.
    pub fn parameters(&self) -> Vec<(&'static str, Secret)> {
        let text = |name, value: &Option<String>| value.as_deref().map(|value| (name, Secret::from(value)));
        let number = |name, value: Option<i64>| value.map(|value| (name, Secret::from(value.to_string())));
        [
            text("host", &self.host),
            text("hostaddr", &self.hostaddr),
            self.port.as_ref().map(|port| ("port", Secret::from(port.to_string()))),
            text("dbname", &self.dbname),
            text("user", &self.user),
            self.password.clone().map(|password| ("password", password)),
            text("sslmode", &self.sslmode),
            text("sslrootcert", &self.sslrootcert),
            text("sslcert", &self.sslcert),
            text("sslkey", &self.sslkey),
            self.sslpassword.clone().map(|passphrase| ("sslpassword", passphrase)),
            text("sslcertmode", &self.sslcertmode),
            text("sslcrl", &self.sslcrl),
            text("sslcrldir", &self.sslcrldir),
            text("sslnegotiation", &self.sslnegotiation),
            text("sslsni", &self.sslsni),
            text("ssl_min_protocol_version", &self.ssl_min_protocol_version),
            text("ssl_max_protocol_version", &self.ssl_max_protocol_version),
            text("sslkeylogfile", &self.sslkeylogfile),
            text("channel_binding", &self.channel_binding),
            text("passfile", &self.passfile),
            text("service", &self.service),
            text("servicefile", &self.servicefile),
            text("require_auth", &self.require_auth),
            text("requirepeer", &self.requirepeer),
            number("connect_timeout", self.connect_timeout),
            text("options", &self.options),
            text("application_name", &self.application_name),
            text("target_session_attrs", &self.target_session_attrs),
            text("fallback_application_name", &self.fallback_application_name),
            text("load_balance_hosts", &self.load_balance_hosts),
            number("keepalives", self.keepalives),
            number("keepalives_idle", self.keepalives_idle),
            number("keepalives_interval", self.keepalives_interval),
            number("keepalives_count", self.keepalives_count),
            number("tcp_user_timeout", self.tcp_user_timeout),
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
    /// What makes it a feature view; a section of `[features]` has it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub feature: Option<Box<FeatureSpec>>,
}

impl TableSpec {
    /// The section of the project in which it stands.
    pub fn section(&self) -> &'static str {
        if self.feature.is_some() { "features" } else { "tables" }
    }
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

    /// The names, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names,
        }
        .iter()
        .map(String::as_str)
    }

    /// Whether no name is said.
    pub fn is_empty(&self) -> bool {
        matches!(self, Names::Many(names) if names.is_empty())
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
