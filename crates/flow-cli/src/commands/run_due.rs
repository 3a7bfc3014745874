//! `flow run-due`: what the schedules say is due, so many pipelines at once and then the transforms. Made to be called
//! every minute; a pipeline with faults in its files is reported and does not stop the others.

use super::serve::{Served, serve};
use super::{run, tell_errors};
use crate::args::RunDueArgs;
use crate::console::{Console, Format};
use crate::exit;
use crate::project::{Outcome, Session};
use crate::render::number::minute;
use crate::render::report as render;
use crate::render::style::{STRONG, paint};
use crate::selection;
use crate::signals;
use ematix_flow_core::error::FlowError;
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::due::{Look, NextSlot, SkippedSlot, Timetable};
use jiff::tz::TimeZone;
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

/// Who starts the runs, in the history.
const STARTED_BY: &str = "run-due";

/// How far the clock of a database may be behind that of whoever calls at the full minute.
const EDGE: Duration = Duration::from_secs(2);

/// Runs the pipelines that are due.
pub fn run_due(session: &Session, args: &RunDueArgs) -> Outcome {
    let selected = &args.selection;
    let (engine, mut errors) = session.sound_engine(&selection::said(selected))?;
    let selection = selection::choose(engine.project(), selected)?;
    // Who names pipelines means no transforms.
    let all = selected.names.is_empty() && selected.select.is_empty();
    let table = engine.timetable(&selection.names, all);
    errors.extend_from_slice(table.errors());
    let look = signals::block_on(async |_| look_at_the_edge(&engine, &table).await)?;
    let nothing =
        look.due.is_empty() && look.skipped.is_empty() && look.errors.is_empty() && errors.is_empty();
    let next = look.next.clone();
    let serving =
        Serving { started_by: STARTED_BY, jobs: args.jobs, metrics_file: args.metrics_file.as_deref() };
    let code = tell_and_serve(session, &engine, look, errors, &serving)?;
    if session.console.format() == Format::Human {
        tell_next(&session.console, nothing, next.as_ref());
    }
    Ok(code)
}

/// How what is due is served.
pub struct Serving<'a> {
    /// Who starts the runs, in the history.
    pub started_by: &'a str,
    /// How many run at once.
    pub jobs: NonZeroUsize,
    /// Where Prometheus reads of them.
    pub metrics_file: Option<&'a Path>,
}

/// Tells what a look has found, serves what is due and answers in the form that was asked for; `errors` are what is wrong
/// with what was left out.
///
/// # Errors
/// When the operating system gives no thread or event loop.
pub fn tell_and_serve(
    session: &Session,
    engine: &Engine,
    look: Look,
    mut errors: Vec<FlowError>,
    serving: &Serving<'_>,
) -> Outcome {
    let console = &session.console;
    errors.extend(look.errors);
    tell_errors(console, &errors);
    for skipped in &look.skipped {
        console.tell(&render::skipped(&skipped.pipeline, &skipped.why));
    }
    let mut served = serve(session, engine, look.due, serving.jobs, serving.started_by)?;
    run::tell_others(session, engine, served.runs.iter_mut().collect(), serving.metrics_file);
    run::tell_rest(console, &served.left);
    answer(session, &served, &look.skipped, &errors, look.next.as_ref());
    let faults = errors.iter().map(|error| error.code.exit());
    Ok(exit::shared(served.exit_codes().chain(faults)))
}

/// Looks, and once more where a slot is about to come: whatever calls us at the full minute goes by another clock than
/// the database, which may be a little behind.
async fn look_at_the_edge(engine: &Engine, table: &Timetable) -> Look {
    let first = engine.look(table, STARTED_BY).await;
    let Some(idle) = first.idle.filter(|idle| *idle <= EDGE) else { return first };
    tokio::time::sleep(idle + Duration::from_millis(5)).await;
    let mut look = engine.look(table, STARTED_BY).await;
    look.skipped.splice(0..0, first.skipped);
    look
}

/// The runs of a scheduler, in the form that was asked for.
fn answer(
    session: &Session,
    served: &Served,
    skipped: &[SkippedSlot],
    errors: &[FlowError],
    next: Option<&NextSlot>,
) {
    let console = &session.console;
    match console.format() {
        Format::Json => console.json(&document(served, skipped, errors, next)),
        Format::NdJson if !errors.is_empty() => console.json(&super::errors_document(errors)),
        Format::Human => {
            for waits in &served.waiting {
                console.tell(&format!("waiting  {}  for `{}`\n", paint(STRONG, &waits.pipeline), waits.for_));
            }
            run::tell_sum(console, &served.runs.iter().collect::<Vec<_>>());
        }
        Format::NdJson | Format::Markdown | Format::Github => {}
    }
}

fn tell_next(console: &Console, nothing: bool, next: Option<&NextSlot>) {
    let next = next
        .map(|next| format!("{} at {}", next.pipeline, minute(&next.at.to_string(), &TimeZone::system())));
    match (nothing, next) {
        (true, Some(next)) => console.tell(&format!("nothing due; next is {next}\n")),
        (true, None) => console.tell("nothing due: no pipeline has a schedule\n"),
        (false, Some(next)) => console.tell(&format!("next is {next}\n")),
        (false, None) => {}
    }
}

fn document(
    served: &Served,
    skipped: &[SkippedSlot],
    errors: &[FlowError],
    next: Option<&NextSlot>,
) -> serde_json::Value {
    let errors: Vec<&FlowError> = errors.iter().chain(&served.errors).collect();
    json!({
        "schema": "ematix.runs.v1",
        "runs": served.runs,
        "transforms": served.transforms,
        "skipped": skipped.iter().chain(&served.skipped).collect::<Vec<_>>(),
        "waiting": served.waiting,
        "errors": errors,
        "next": next,
    })
}
