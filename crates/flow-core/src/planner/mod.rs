//! From a checked pipeline and facts to a plan. Pure: no clock, no randomness, no connection.

mod definition;
mod finish;
mod means;
pub mod parts;

use crate::engine::Ends;
use crate::error::Result;
use crate::facts::Facts;
use crate::pipeline::Pipeline;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Header, Part, PhaseName, Plan};
use crate::reading;

/// Makes the plan.
///
/// # Errors
/// Drift, missing columns or indexes, a query that writes, and everything else that makes the run
/// impossible before it starts.
pub fn plan(pipeline: &Pipeline, facts: &Facts, ends: &Ends<'_>) -> Result<Plan> {
    let mut load = Resolved::resolve(pipeline, facts, *ends)?;
    reading::choose(&mut load)?;
    let mut builder = PlanBuilder::new(*ends);
    builder.phase(PhaseName::Prepare);
    definition::before_load(&load, &mut builder)?;
    pipeline.strategy.steps(&load, &mut builder)?;
    builder.phase(PhaseName::Apply);
    definition::after_load(&load, &mut builder);
    builder.phase(PhaseName::Record);
    finish::steps(&load, &mut builder);
    let header = Header {
        mode: pipeline.strategy.mode().name().to_owned(),
        keys: load.keys.iter().map(ToString::to_string).collect(),
        keys_reason: load.keys_reason.map(str::to_owned),
        path: load.path,
        path_reason: load.path_reason.clone(),
        target: load.table.name.clone(),
        compared: load.compared.iter().map(ToString::to_string).collect(),
    };
    let part = Part { target: load.table.name.clone(), path: load.path, warnings: builder.warnings.clone() };
    Ok(Plan {
        header,
        parts: vec![part],
        phases: builder.take_phases(),
        marks: builder.marks,
        notes: builder.notes,
        warnings: builder.warnings,
    })
}
