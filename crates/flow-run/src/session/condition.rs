//! How a server stands, as far as whoever has logged in may see it.

/// What `flow doctor` asks a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The process of the server that answered.
    pub process: String,
    /// Version of TLS and cipher of the server's own connection.
    pub tls: Option<String>,
    /// Whether it follows another server.
    pub standby: bool,
    /// Whether transactions only read unless they say otherwise.
    pub read_only: bool,
    /// Bytes of the database.
    pub bytes: Option<i64>,
    /// Transactions since the oldest row that is not frozen.
    pub age: i64,
    /// The age at which the server freezes by itself.
    pub freeze_max_age: i64,
    /// The database's encoding.
    pub encoding: String,
    /// The session's time zone.
    pub time_zone: String,
}
