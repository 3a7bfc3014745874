//! The core of ematix-flow: what a project declares becomes a plan, and the plan a report.
//!
//! The modules stand in the order in which they may use each other: each uses only those above it, and a
//! test holds them to it. `planner` and `strategies` are one group: the planner asks a strategy what it
//! needs, and the strategy writes its steps with what the planner has resolved. Without the feature
//! `runtime` everything is pure: no connection, no clock, no randomness.

pub mod error;
pub mod copy_rows;
pub mod duration;
pub mod hash;
pub mod sql;
pub mod types;
pub mod dialect;
pub mod schema;
pub mod metadata;
pub mod query;
pub mod spec;
pub mod connections;
pub mod schedule;
pub mod pipeline;
pub mod facts;
pub mod marks;
pub mod plan;
pub mod report;
pub mod planner;
pub mod strategies;
#[cfg(feature = "runtime")]
pub mod postgres;
#[cfg(feature = "runtime")]
pub mod transport;
#[cfg(feature = "runtime")]
pub mod execute;
