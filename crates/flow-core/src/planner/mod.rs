//! From a checked pipeline and facts to a plan. Pure: no clock, no randomness, no connection.

mod definition;
mod finish;
mod means;
pub mod parts;
pub mod rewind;
mod rounding;

pub use finish::fence;

use crate::engine::Ends;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::Facts;
use crate::features;
use crate::pipeline::Resolved;
use crate::pipeline::{Brought, Pipeline};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Child, Header, MarkKind, Part, PhaseName, Plan, Subject};
use crate::reading;

/// Makes the plan.
///
/// A table that has drifted has a plan too, which says so and is refused.
///
/// # Errors
/// Missing columns or indexes, a query that writes, and everything else that makes the run impossible before it
/// starts.
pub fn plan(pipeline: &Pipeline, facts: &Facts, ends: &Ends<'_>) -> Result<Plan> {
    let mut load = Resolved::resolve(pipeline, facts, *ends)?;
    reading::choose(&mut load)?;
    reads_new_files_alone(&load)?;
    let mut builder = PlanBuilder::new(*ends);
    let refused = match steps(&load, &mut builder) {
        Err(drift) if drift.code == ErrorCode::Drift => Some(refused(drift, &mut builder)),
        done => done.map(|()| None)?,
    };
    let header = Header {
        mode: pipeline.strategy.mode().name().to_owned(),
        keys: load.keys.iter().map(ToString::to_string).collect(),
        keys_reason: load.keys_reason.map(str::to_owned),
        path: load.path,
        path_reason: load.path_reason.clone(),
        target: load.table.name.clone(),
        compared: load.compared.iter().map(ToString::to_string).collect(),
    };
    let part = Part {
        target: load.table.name.clone(),
        path: load.path,
        stages_nothing: builder.stages_nothing,
        warnings: builder.warnings.clone(),
    };
    Ok(Plan {
        header,
        parts: vec![part],
        phases: builder.take_phases(),
        marks: builder
            .marks
            .into_iter()
            .map(|mark| mark.reckoned(facts.target.live.as_ref(), &load.keys))
            .collect(),
        notes: builder.notes,
        warnings: builder.warnings,
        // Nothing follows a load that is refused.
        after: match refused {
            None => after(&load),
            Some(_) => Vec::new(),
        },
        refused,
    })
}

/// Files that were loaded are not read again, whatever a load needs of them.
fn reads_new_files_alone(load: &Resolved<'_>) -> Result<()> {
    let once = load.pipeline.source.brought.as_ref().is_some_and(Brought::is_loaded_once);
    if !once || !load.need.in_full || load.facts.run.full_scan {
        return Ok(());
    }
    let (name, table) = (&load.pipeline.name, &load.table.name);
    let message = format!(
        "{table} gains a column that is compared, for which all rows are read, and `incremental = \"files\"` reads the new files"
    );
    let error = FlowError::new(ErrorCode::WatermarkMismatch, message);
    Err(error.hint(format!("run it once with `flow run {name} --full-scan`")))
}

/// What follows the commit: what the user declares reads what is served as it is then.
fn after(load: &Resolved<'_>) -> Vec<Child> {
    let transforms = load.pipeline.after.iter().cloned().map(Child::Transform);
    features::children(load).into_iter().chain(transforms).collect()
}

fn steps(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    builder.phase(PhaseName::Prepare);
    features::before_load(load, builder);
    definition::before_load(load, builder)?;
    load.pipeline.strategy.steps(load, builder)?;
    builder.phase(PhaseName::Apply);
    definition::after_load(load, builder);
    features::after_load(load, builder)?;
    builder.phase(PhaseName::Record);
    features::remember(load, builder);
    finish::steps(load, builder);
    Ok(())
}

/// Leaves what differs of a plan that cannot be run.
fn refused(drift: FlowError, builder: &mut PlanBuilder<'_>) -> FlowError {
    builder.take_phases();
    if !builder.marks.iter().any(|mark| mark.mark == MarkKind::Drift) {
        let lines: Vec<&str> =
            std::iter::once(&drift.message).chain(&drift.details).map(String::as_str).collect();
        builder.mark(Subject::Drift, lines.join("\n  "));
        builder.note(format!("a run is refused: {}", drift.hint.as_deref().unwrap_or("settle this first")));
    }
    drift
}
