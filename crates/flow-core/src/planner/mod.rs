//! From a checked pipeline and facts to a plan. Pure: no clock, no randomness, no connection.

pub mod builder;
pub mod client;
pub mod definition;
pub mod finish;
pub mod guards;
mod inferred;
pub mod load;
pub mod reading;
pub mod stage;

use crate::dialect::Dialect;
use crate::error::Result;
use crate::facts::Facts;
use crate::pipeline::{Pipeline, Strategy};
use crate::plan::Plan;
use crate::strategies;
use builder::PlanBuilder;
use load::Load;

/// Makes the plan.
///
/// # Errors
/// Drift, missing columns or indexes, a query that writes, and everything else that makes the run
/// impossible before it starts.
pub fn plan(pipeline: &Pipeline, facts: &Facts, dialect: &dyn Dialect) -> Result<Plan> {
    let load = Load::resolve(pipeline, facts, dialect)?;
    let mut builder = PlanBuilder::new(dialect);
    definition::before_load(&load, &mut builder)?;
    match &pipeline.strategy {
        Strategy::Append(append) => strategies::append::steps(&load, append, &mut builder)?,
        Strategy::Truncate(truncate) => strategies::truncate::steps(&load, truncate, &mut builder)?,
        Strategy::Merge(merge) => strategies::merge::steps(&load, merge, &mut builder)?,
        Strategy::Scd2(scd2) => strategies::scd2::steps(&load, scd2, &mut builder)?,
    }
    definition::after_load(&load, &mut builder);
    finish::steps(&load, &mut builder);
    Ok(Plan {
        mode: pipeline.strategy.mode().name().to_owned(),
        keys: load.keys.iter().map(ToString::to_string).collect(),
        keys_reason: load.keys_reason.map(str::to_owned),
        path: load.path,
        path_reason: load.path_reason.clone(),
        target: load.table.name.clone(),
        compared: load.compared.iter().map(ToString::to_string).collect(),
        marks: builder.marks,
        notes: builder.notes,
        warnings: builder.warnings,
        steps: builder.steps,
    })
}
