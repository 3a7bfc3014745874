//! The core of ematix-flow: what a project declares becomes a plan, and the plan a report.
//!
//! The modules stand in the order in which they may use each other; a test holds them to it.

pub mod error;
pub mod duration;
pub mod types;
pub mod sql;
pub mod hash;
pub mod dialect;
pub mod query;
pub mod schema;
pub mod spec;
pub mod connections;
pub mod schedule;
pub mod pipeline;
pub mod plan;
pub mod report;
pub mod facts;
pub mod metadata;
pub mod planner;
pub mod strategies;
#[cfg(feature = "runtime")]
pub mod postgres;
#[cfg(feature = "runtime")]
pub mod execute;
