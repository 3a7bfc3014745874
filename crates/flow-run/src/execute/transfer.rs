//! The steps in which rows pass through the client.

use super::brought::crossing;
use super::observer::Observer;
use super::route::Reads;
use crate::session::Session;
use crate::transport::asked::QueryRows;
use crate::transport::bring::bring;
use crate::transport::compare::{Statements, compare};
use crate::transport::copy::copy;
use crate::transport::{Broken, Passed};
use ematix_flow_arrow::BatchSource;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::{Action, Bring, Compare, Copy};
use ematix_flow_core::run_value::RunValue;
use ematix_flow_core::run_value::Values;

/// How a transfer ended.
pub enum Transferred {
    /// All rows have passed.
    Done(Passed),
    /// The client could not compare, and why: nothing was written.
    GivenUp(String),
}

/// Copies rows, and counts those that came. Each session sends what its own statement says.
pub async fn copy_rows(
    plan: &Copy,
    sources: &[&dyn Session],
    target: &dyn Session,
    silence: &Duration,
    observer: &dyn Observer,
    values: &mut Values,
) -> Result<Transferred> {
    let from = |source: &&dyn Session| source.facts().dialect;
    let reads: Vec<(&dyn Session, String)> = sources
        .iter()
        .zip(&plan.reads)
        .map(|(source, read)| (*source, read.fill(values, from(source))))
        .collect();
    let write = plan.write.fill(values, target.facts().dialect);
    let mut tell = |passed| observer.passing(passed);
    let passed = match copy(&reads, target, plan, &write, silence, &mut tell).await {
        Ok(passed) => passed,
        Err(broken) => return ended(broken),
    };
    values.set(RunValue::RowsIn, passed.rows);
    Ok(Transferred::Done(passed))
}

/// Compares rows, and counts what came.
pub async fn compare_rows(
    plan: &Compare,
    source: &dyn Session,
    target: &dyn Session,
    silence: &Duration,
    observer: &dyn Observer,
    values: &mut Values,
) -> Result<Transferred> {
    let (from, to) = (source.facts().dialect, target.facts().dialect);
    let (known, read, write) =
        (plan.known.fill(values, to), plan.read.fill(values, from), plan.write.fill(values, to));
    let statements = Statements { known: &known, read: &read, write: &write };
    let mut tell = |passed| observer.passing(passed);
    let compared = match compare(source, target, plan, &statements, silence, &mut tell).await {
        Ok(compared) => compared,
        Err(broken) => return ended(broken),
    };
    values.set(RunValue::RowsIn, compared.passed.rows);
    values.set(RunValue::RowsNullKey, compared.null_keys);
    values.set(RunValue::RowsRepeated, compared.repeated);
    Ok(Transferred::Done(compared.passed))
}

/// Takes rows as Arrow, and counts those that came.
pub async fn bring_rows(
    plan: &Bring,
    reads: Reads<'_>,
    target: &dyn Session,
    silence: &Duration,
    observer: &dyn Observer,
    values: &mut Values,
) -> Result<Passed> {
    let columns = crossing(&plan.columns)?;
    let asked = match (&plan.read, reads.session) {
        (Some(asking), Some(source)) => {
            let statement = asking.statement.fill(values, source.facts().dialect);
            let asked = QueryRows::new(source, &plan.rows, &statement, asking.columns.clone(), silence);
            asked.schema(&columns).await?;
            Some(asked)
        }
        _ => None,
    };
    let rows = asked.as_ref().map(|asked| asked as &dyn BatchSource).or(reads.brought).ok_or_else(|| {
        FlowError::new(
            ErrorCode::SourceFailed,
            format!("the plan takes rows that nobody brings: {}", plan.rows),
        )
    })?;
    let write = plan.write.fill(values, target.facts().dialect);
    let mut tell = |passed| observer.passing(passed);
    match bring(rows, target, columns, (&plan.into, &write), plan.run.as_deref(), &mut tell).await {
        Ok(passed) => {
            values.set(RunValue::RowsIn, passed.rows);
            Ok(passed)
        }
        Err(Broken::Failed(error)) => Err(error),
        Err(Broken::GivenUp(why)) => Err(FlowError::new(ErrorCode::SourceFailed, why)),
    }
}

fn ended(broken: Broken) -> Result<Transferred> {
    match broken {
        Broken::GivenUp(why) => Ok(Transferred::GivenUp(why)),
        Broken::Failed(error) => Err(error),
    }
}

/// The session on the source that a step needs.
pub fn source_of<'s>(source: Option<&'s dyn Session>, action: &Action) -> Result<&'s dyn Session> {
    source.ok_or_else(|| {
        FlowError::new(ErrorCode::SourceFailed, format!("the plan reads a source that is not open: {action}"))
    })
}
