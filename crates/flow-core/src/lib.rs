//! The core of ematix-flow: what a project declares becomes a plan, and the plan a report.
//!
//! The modules stand in the order in which they may use each other; a test holds them to it.

pub mod connections;
pub mod dialect;
pub mod duration;
pub mod error;
#[cfg(feature = "runtime")]
pub mod execute;
pub mod facts;
pub mod hash;
pub mod metadata;
pub mod pipeline;
pub mod plan;
pub mod planner;
#[cfg(feature = "runtime")]
pub mod postgres;
pub mod query;
pub mod report;
pub mod schedule;
pub mod schema;
pub mod spec;
pub mod sql;
pub mod strategies;
pub mod types;
