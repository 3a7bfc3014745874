//! Talking to Postgres: connecting, asking, and saying what went wrong.

mod addresses;
pub mod cancel;
mod certificates;
pub mod connect;
mod connect_error;
mod driver;
pub mod error;
mod grants;
mod inspect;
mod parameters;
mod pool;
pub mod session;
pub mod tls;
mod tls_error;
mod transaction;

pub use driver::PostgresDriver;
