//! The sessions that read a table at once, each a part of it and all at one instant.

use super::Engine;
use super::route::limits;
use crate::session::Session;
use ematix_flow_core::error::Result;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::Blame;

/// Opens as many sessions on the source, each in a transaction that reads at the instant of the first: it begins now, so
/// it is younger than every lock that the run's own session on the source holds.
///
/// # Errors
/// As [`Session::begin_shared`]; what could not be connected to.
pub(super) async fn open(
    engine: &Engine,
    pipeline: &Pipeline,
    count: usize,
) -> Result<Vec<Box<dyn Session>>> {
    let limits = limits(pipeline);
    let mut readers: Vec<Box<dyn Session>> = Vec::new();
    let mut instant: Option<String> = None;
    for number in 1..=count {
        let what = format!("source {} {number}", pipeline.name);
        let reader = engine.open_in_turn(pipeline, &pipeline.source.connection, &what, |_| ()).await?;
        instant = Some(reader.begin_shared(Blame::Source, instant.as_deref(), Some(&limits)).await?);
        readers.push(reader);
    }
    Ok(readers)
}

/// Lets them go: where the rows have not all come, each may be in the middle of its own.
pub(super) async fn close(readers: Vec<Box<dyn Session>>, all_came: bool) {
    for reader in readers {
        match all_came {
            true => reader.close().await,
            false => reader.abandon().await,
        }
    }
}
