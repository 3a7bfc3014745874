//! The core of ematix-flow: what a project declares becomes a plan, and the plan a report.
//!
//! The modules stand in the order in which they may use each other: each uses only those above it, and a
//! test holds them to it. Everything is pure: no connection, no clock, no randomness.

#![forbid(unsafe_code)]

pub mod secret;
pub mod error;
pub mod cores;
pub mod copy_rows;
pub mod duration;
pub mod hash;
pub mod run_value;
pub mod sql;
pub mod types;
pub mod dialect;
pub mod engine;
pub mod query;
pub mod arguments;
pub mod layers;
pub mod markers;
pub mod helpers;
pub mod expectations;
pub mod schema;
pub mod history;
pub mod libpq;
pub mod declare;
pub mod connections;
pub mod schedule;
pub mod check;
pub mod graph;
pub mod facts;
pub mod marks;
pub mod plan;
pub mod report;
pub mod pipeline;
pub mod reading;
pub mod strategies;
pub mod features;
pub mod planner;
pub mod difference;
pub mod adoption;
