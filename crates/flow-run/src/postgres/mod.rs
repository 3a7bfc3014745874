//! Talking to Postgres: connecting, asking, and saying what went wrong.

mod addresses;
mod asked;
pub mod cancel;
mod certificates;
mod client_certificate;
pub mod connect;
mod condition;
mod connect_error;
mod driver;
pub mod error;
mod grants;
mod inspect;
mod key_log;
mod parameters;
mod passfile;
pub mod password_command;
mod pool;
mod pulse;
mod revocation;
mod role;
mod row_security;
pub mod serving;
pub mod session;
mod session_attributes;
mod stream;
pub mod text_value;
pub mod tls;
mod tls_error;
mod transaction;

pub use driver::PostgresDriver;
