//! MySQL and MariaDB: one query in a consistent snapshot that only reads, row by row by the binary protocol.

mod condition;
mod connect;
mod error;
mod source;
mod types;
mod values;

pub use connect::ask;
pub use source::MySqlSource;
