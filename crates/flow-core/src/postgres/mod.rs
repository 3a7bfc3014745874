//! Talking to Postgres: connecting, asking, and saying what went wrong.

pub mod connect;
pub mod error;
pub mod grants;
pub mod inspect;
pub mod session;
pub mod tls;
