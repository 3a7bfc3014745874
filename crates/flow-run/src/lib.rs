//! What runs plans: sessions on servers, rows on their way, the history, the executor, and the questions that commands ask.
//!
//! The modules stand in the order in which they may use each other: each uses only those above it, and a
//! test holds them to it.

#![forbid(unsafe_code)]

pub mod session;
pub mod driver;
pub mod postgres;
pub mod duckdb;
pub mod transport;
pub mod history;
pub mod frames;
pub mod partitions;
pub mod features;
pub mod execute;
