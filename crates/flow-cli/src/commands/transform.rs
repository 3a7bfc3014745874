//! `flow transform`: lists what runs after loads or by itself, and runs one of them.

use super::{DONE, print_items, tell_errors};
use crate::args::TransformCommand;
use crate::console::{Console, Format};
use crate::exit;
use crate::project::{self, Outcome, Session};
use crate::render::lists::{self, ListedTransform};
use crate::render::report as render;
use crate::signals;
use ematix_flow_core::declare::{PipelineOptions, ProjectSpec, TransformSpec};
use ematix_flow_core::error::Result;
use ematix_flow_core::pipeline::{DEFAULT_CONNECTION, named_transform};
use ematix_flow_core::report::{Status, TransformReport};
use ematix_flow_core::schedule::Schedule;
use ematix_flow_run::execute::observer::Silent;
use ematix_flow_run::execute::{Engine, Request};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Does what was asked with transforms.
pub fn transform(session: &Session, command: &TransformCommand) -> Outcome {
    match command {
        TransformCommand::List => list(session),
        TransformCommand::Run { name } => run(session, name),
    }
}

fn list(session: &Session) -> Outcome {
    let project = session.project()?;
    let listed: Vec<ListedTransform> =
        project.transforms.iter().map(|(name, spec)| listed(&project, name, spec)).collect();
    let console = &session.console;
    if console.is_human() {
        console.out(&lists::transforms(&listed, &TimeZone::system()));
    } else {
        print_items(console, "ematix.transform-list.v1", "transforms", &listed);
    }
    DONE
}

fn listed(project: &ProjectSpec, name: &str, spec: &TransformSpec) -> ListedTransform {
    let is_function = project.functions.iter().any(|function| function == name);
    let timezone = spec.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
    ListedTransform {
        name: name.to_owned(),
        kind: if is_function { "function" } else { "sql" },
        connection: spec.connection.clone().unwrap_or_else(|| DEFAULT_CONNECTION.to_owned()),
        schedule: spec.schedule.clone(),
        next: spec.schedule.as_deref().and_then(|line| next_slot(line, &timezone)),
        timezone,
        description: spec.description.clone(),
    }
}

/// The next slot of a schedule that can be read; a mistake in it is `run`'s to report.
fn next_slot(line: &str, timezone: &str) -> Option<String> {
    let schedule = Schedule::cron(line, timezone, Default::default()).ok()?;
    schedule.next_after(Timestamp::now()).map(|slot| slot.to_string())
}

fn run(session: &Session, name: &str) -> Outcome {
    let engine = session.engine()?;
    // What is wrong with it is told at once, all of it.
    named_transform(engine.project(), name)?;
    let (report, stop) = signals::block_on(async |stop| {
        let request = project::request(PipelineOptions::default(), stop.clone());
        let report = one(session, &engine, name, &request).await;
        let stop = *stop.borrow();
        (report, stop)
    })?;
    let report = report?;
    if matches!(session.console.format(), Format::Json | Format::NdJson) {
        session.console.json(&document(&report));
    }
    Ok(exit::of_transform(&report, stop))
}

/// Runs one transform and tells how it ended.
///
/// # Errors
/// What keeps it from having a run.
pub async fn one(
    session: &Session,
    engine: &Engine,
    name: &str,
    request: &Request,
) -> Result<TransformReport> {
    let report = engine.run_transform(name, request, &Silent).await?;
    tell_end(&session.console, &report);
    Ok(report)
}

/// The error and the last line, on stderr.
fn tell_end(console: &Console, report: &TransformReport) {
    if let Some(error) = &report.error {
        tell_errors(console, std::slice::from_ref(error));
    }
    if console.logs_json() {
        return super::log_line(
            console,
            if report.error.is_some() { "error" } else { "info" },
            &format!("{} {}", report.name, report.status.name()),
            json!({ "transform": report }),
        );
    }
    let line = render::transform(report);
    match report.status {
        Status::Success | Status::Skipped => console.tell(&line),
        // With -q the error says it all.
        _ if console.quiet() => {}
        _ => console.err(&line),
    }
}

/// The document of one run.
pub fn document(report: &TransformReport) -> Value {
    let mut document = json!({ "schema": "ematix.transform-run.v1" });
    if let (Some(document), Value::Object(fields)) = (document.as_object_mut(), json!(report)) {
        document.extend(fields);
    }
    document
}
