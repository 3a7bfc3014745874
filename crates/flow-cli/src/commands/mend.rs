//! `flow rewind` and `flow backfill`: the two commands that write history anew. Both show first what they will do, and
//! ask.

use super::run::{self, tell_others};
use crate::args::{BackfillArgs, RewindArgs};
use crate::console::Format;
use crate::exit;
use crate::project::{self, Outcome, Session};
use crate::render::number::counted;
use crate::render::plan::{Detail, report as rendered};
use crate::render::progress::Screen;
use crate::{selection, signals};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_core::facts::{RunNamed, SourcePart};
use ematix_flow_core::plan::Plan;
use ematix_flow_core::report::{PlanReport, PlannedPipeline, RunReport, Status};
use ematix_flow_run::execute::{Engine, PlannedRewind, Request, Stop};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

/// Puts a target back to what a run had left.
pub fn rewind(session: &Session, args: &RewindArgs) -> Outcome {
    refuse_silence(session, "rewind", args.yes || args.dry_run)?;
    let engine = named(session, &args.name)?;
    let planned = signals::block_on(async |stop| {
        engine.plan_rewind(&args.name, &args.to, &project::request(PipelineOptions::default(), stop)).await
    })??;
    show(session, &args.name, &planned.plan);
    session.console.tell(&sum(&planned));
    let question = format!("Put {} back to run {}?", planned.plan.header.target, planned.to.number);
    if !agreed(session, args.yes || args.dry_run, &question) {
        return Ok(ExitCode::Success);
    }
    // The run that was shown, whatever has committed since.
    let to = RunNamed::Number(planned.to.number);
    perform(session, &engine, &args.name, |stop| Request {
        rewind: Some(to.clone()),
        dry_run: args.dry_run,
        ..project::request(PipelineOptions::default(), stop)
    })
}

/// Loads a source once more, or a part of it, at once or in slices.
pub fn backfill(session: &Session, args: &BackfillArgs) -> Outcome {
    refuse_silence(session, "backfill", args.yes || args.dry_run)?;
    let part = SourcePart { from: args.from.clone(), to: args.to.clone(), is_followed: false };
    let slices = match &args.batch_by {
        Some(length) => part.in_slices(length, Timestamp::now())?,
        None => vec![part.clone()],
    };
    let engine = named(session, &args.name)?;
    let request = |slice: &SourcePart, stop| Request {
        backfill: Some(slice.clone()),
        dry_run: args.dry_run,
        ..project::request(PipelineOptions::default(), stop)
    };
    let plan = signals::block_on(async |stop| engine.plan(&args.name, &request(&slices[0], stop)).await)??;
    show(session, &args.name, &plan);
    let what = if part.is_all() { "all of its source" } else { "that part of its source" };
    let runs = if slices.len() > 1 { format!(", in {} runs", slices.len()) } else { String::new() };
    let question = format!("Load {what} into {} again{runs}?", plan.header.target);
    if !agreed(session, args.yes || args.dry_run, &question) {
        return Ok(ExitCode::Success);
    }
    match args.batch_by {
        Some(_) => in_slices(session, &engine, args, &slices, request),
        None => perform(session, &engine, &args.name, |stop| request(&slices[0], stop)),
    }
}

/// One run after another, to the first that fails: what it leaves is said, so that another command can go on.
fn in_slices(
    session: &Session,
    engine: &Engine,
    args: &BackfillArgs,
    slices: &[SourcePart],
    request: impl Fn(&SourcePart, watch::Receiver<Stop>) -> Request,
) -> Outcome {
    let console = &session.console;
    let (mut ended, stop) = signals::block_on(async |stop| {
        let screen = Screen::new(console, false);
        let mut all = Vec::with_capacity(slices.len());
        for (index, slice) in slices.iter().enumerate() {
            console.tell(&format!("slice {} of {}: {}\n", index + 1, slices.len(), slice.words()));
            let ended = run::one(session, engine, &screen, &args.name, &request(slice, stop.clone())).await;
            if console.format() == Format::NdJson {
                console.json(&ended.report);
            }
            let is_good = ended.report.status == Status::Success;
            all.push(ended);
            if !is_good {
                console.tell(&format!("hint: go on with {}\n", command_from(args, slice)));
                break;
            }
        }
        (all, *stop.borrow())
    })?;
    tell_others(session, engine, ended.iter_mut().map(|ended| &mut ended.report).collect(), None);
    let reports: Vec<&RunReport> = ended.iter().map(|ended| &ended.report).collect();
    if console.format() == Format::Json {
        console.json(&json!({ "schema": "ematix.runs.v1", "runs": reports }));
    }
    Ok(reports.last().map_or(ExitCode::Success, |report| exit::of_report(report, stop)))
}

/// The command that loads a slice and those behind it.
fn command_from(args: &BackfillArgs, slice: &SourcePart) -> String {
    let option = |name: &str, value: &Option<String>| {
        value.as_ref().map_or_else(String::new, |value| format!(" --{name} {value}"))
    };
    let ends = [option("from", &slice.from), option("to", &args.to), option("batch-by", &args.batch_by)];
    format!("flow backfill {}{}", args.name, ends.concat())
}

fn named(session: &Session, name: &str) -> Result<Engine, project::Failure> {
    let engine = session.connected_engine(&[name.to_owned()])?;
    selection::one(engine.project(), name)?;
    Ok(engine)
}

/// Nobody is there who could answer.
fn refuse_silence(session: &Session, command: &str, decided: bool) -> Result<(), FlowError> {
    if decided || session.console.can_ask() {
        return Ok(());
    }
    let message =
        format!("`flow {command}` asks before it writes history anew, and nobody is there to answer");
    Err(FlowError::new(ErrorCode::MissingOption, message)
        .hint("add --yes; --dry-run shows what would happen"))
}

fn agreed(session: &Session, decided: bool, question: &str) -> bool {
    if decided || session.console.confirm(question) {
        return true;
    }
    session.console.tell("left as it was\n");
    false
}

/// The plan, for people.
fn show(session: &Session, name: &str, plan: &Plan) {
    if session.console.format() == Format::Human {
        let planned = PlannedPipeline::of(name.to_owned(), Ok(plan.clone()));
        let report = PlanReport { pipelines: vec![planned], ..PlanReport::default() };
        let text = rendered(&report, Detail { sql: session.console.verbose() > 0, unmarked: true });
        // Nothing of it is created or drifts: its sum would say nothing.
        let steps = text.trim_end().rsplit_once('\n').map_or(text.as_str(), |(steps, _)| steps);
        session.console.tell(&format!("{steps}\n"));
    }
}

fn sum(planned: &PlannedRewind) -> String {
    let versions = |count| counted(count, "version", "versions");
    format!(
        "Rewind: {} undone, {} brought back, {} gone\n",
        counted(planned.since.runs, "run", "runs"),
        versions(planned.back),
        versions(planned.gone)
    )
}

fn perform(
    session: &Session,
    engine: &Engine,
    name: &str,
    request: impl Fn(watch::Receiver<Stop>) -> Request,
) -> Outcome {
    let (mut ended, stop) = signals::block_on(async |stop| {
        let screen = Screen::new(&session.console, false);
        let ended = run::one(session, engine, &screen, name, &request(stop.clone())).await;
        (ended, *stop.borrow())
    })?;
    tell_others(session, engine, vec![&mut ended.report], None);
    match session.console.format() {
        Format::Json | Format::NdJson => session.console.json(&ended.report),
        Format::Human | Format::Markdown | Format::Github => {}
    }
    Ok(exit::of_report(&ended.report, stop))
}
