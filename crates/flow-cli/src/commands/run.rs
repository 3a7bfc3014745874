//! `flow run` and `flow dry-run`: one pipeline after another, each to its report.

use super::{log_line, tell_errors, tell_gone, validate};
use crate::args::{DryRunArgs, RunArgs, SelectionArgs};
use crate::console::{Console, Format};
use crate::exit;
use crate::jobs::{self, Turn, Waiting};
use crate::project::{self, Outcome, Session};
use crate::render::github::Annotations;
use crate::render::progress::Screen;
use crate::render::style::{STRONG, paint};
use crate::render::{diagnostic, markdown, report as render, report::Ended};
use crate::selection::{self, Selection};
use crate::signals;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::graph::Graph;
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_run::execute::{Engine, Request};
use ematix_flow_telemetry::prometheus;
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// What a command wants of every pipeline that it runs.
pub struct Wish {
    /// Options for this once.
    pub overrides: PipelineOptions,
    /// Whether the watermark is ignored.
    pub full_scan: bool,
    /// Whether everything is rolled back.
    pub dry_run: bool,
    /// Rows of the sample that a dry-run shows.
    pub sample: usize,
    /// Who started it, for the history.
    pub started_by: &'static str,
    /// How many run at once.
    pub jobs: NonZeroUsize,
    /// The file that Prometheus reads.
    pub metrics_file: Option<PathBuf>,
}

/// Runs pipelines once.
pub fn run(session: &Session, args: &RunArgs) -> Outcome {
    let wish = Wish {
        overrides: args.overrides.options(),
        full_scan: args.full_scan,
        dry_run: args.dry_run,
        sample: 0,
        started_by: "cli",
        jobs: args.jobs,
        metrics_file: args.metrics_file.clone(),
    };
    let command = if args.dry_run { "dry-run" } else { "run" };
    choose_and_perform(session, &args.selection, command, wish)
}

/// Runs pipelines and rolls back.
pub fn dry_run(session: &Session, args: &DryRunArgs) -> Outcome {
    let wish = Wish {
        overrides: args.overrides.options(),
        full_scan: args.full_scan,
        dry_run: true,
        sample: args.sample,
        started_by: "cli",
        jobs: NonZeroUsize::MIN,
        metrics_file: None,
    };
    choose_and_perform(session, &args.selection, "dry-run", wish)
}

fn choose_and_perform(session: &Session, selection: &SelectionArgs, command: &str, wish: Wish) -> Outcome {
    // Without a name nothing is asked of a database: what is missing is said.
    let engine = match selection::is_nothing(selection) {
        true => session.engine()?,
        false => session.connected_engine(&selection::said(selection))?,
    };
    let selection = selection::choose_some(engine.project(), selection, command)?;
    perform(session, &engine, &selection, command, wish)
}

/// Runs pipelines, once all of them are found to be without faults.
pub fn perform(
    session: &Session,
    engine: &Engine,
    selection: &Selection,
    command: &str,
    wish: Wish,
) -> Outcome {
    let faults = validate::faults(engine, &selection.names, &wish.overrides);
    if !faults.is_empty() {
        return Err(faults.into());
    }
    if selection.names.is_empty() {
        session.console.tell("no pipeline is selected\n");
    }
    signals::block_on(async |_| tell_gone(&session.console, engine, &selection.names).await)?;
    let screen = Screen::new(&session.console, wish.jobs.get() > 1 && selection.names.len() > 1);
    let order = Graph::of(engine.project()).waiting(&selection.names);
    let names: Vec<String> = order.iter().map(|(name, _)| name.clone()).collect();
    let items = order.into_iter().map(|(item, waits_for)| Waiting { item, waits_for }).collect();
    let mut done = jobs::in_order(engine, items, wish.jobs, async |engine, turn: Turn<String>, stop| {
        let request = Request {
            full_scan: wish.full_scan,
            dry_run: wish.dry_run,
            sample: wish.sample,
            started_by: wish.started_by.to_owned(),
            ..project::request(wish.overrides.clone(), stop)
        };
        let kept_by: Vec<&str> = turn.kept_by.iter().map(|place| names[*place].as_str()).collect();
        let ended = match kept_by.as_slice() {
            [] => one(session, engine, &screen, &turn.item, &request).await,
            kept_by => kept(session, engine, &screen, &turn.item, kept_by, &request),
        };
        match session.console.format() {
            Format::NdJson => session.console.json(&ended.report),
            Format::Github => {
                let (places, workspace) = (&engine.project().places, &session.workspace());
                session.console.out(&Annotations { places, workspace }.run(&ended.report));
            }
            Format::Human | Format::Json | Format::Markdown => {}
        }
        let may_follow = ended.report.status == Status::Success;
        jobs::Ended { came: ended, may_follow }
    })?;
    drop(screen);
    let reports: Vec<&mut RunReport> = done.ended.iter_mut().map(|ended| &mut ended.report).collect();
    tell_others(session, engine, reports, wish.metrics_file.as_deref());
    answer(session, command, selection, &done.ended);
    tell_rest(&session.console, &done.left);
    let codes = done.ended.iter().map(|ended| exit::of_report(&ended.report, done.stop));
    Ok(exit::shared(codes.chain([exit::of_rest(done.left.len(), done.stop)])))
}

/// Sees to it that all is told that others shall know of runs, and says what was missed: in reports that are printed
/// later, and on stderr.
pub fn tell_others(
    session: &Session,
    engine: &Engine,
    mut reports: Vec<&mut RunReport>,
    metrics_file: Option<&Path>,
) {
    let mut missed = session.telemetry.finish().enter(reports.iter_mut().map(|report| &mut **report));
    if let Some(file) = metrics_file {
        let reports: Vec<&RunReport> = reports.iter().map(|report| &**report).collect();
        let declared: Vec<&str> = engine.project().pipelines.keys().map(String::as_str).collect();
        if let Err(error) = prometheus::enter(file, &reports, &declared) {
            missed.push(format!("the metrics were not written to {}: {error}", file.display()));
        }
    }
    tell_missed(session, missed);
}

/// What could not be told to others.
pub fn tell_missed(session: &Session, missed: Vec<String>) {
    for words in missed {
        match session.console.logs_json() {
            true => log_line(&session.console, "warn", &words, json!({})),
            false => session.console.tell(&diagnostic::warning(&words)),
        }
    }
}

/// Names the pipelines that a signal has kept from beginning.
pub fn tell_rest(console: &Console, left: &[String]) {
    if !left.is_empty() {
        console.tell(&format!("asked to stop; not run: {}\n", left.join(", ")));
    }
}

/// Runs one pipeline and tells how it ended.
pub async fn one(
    session: &Session,
    engine: &Engine,
    screen: &Screen<'_>,
    name: &str,
    request: &Request,
) -> Ended {
    let spec = &engine.project().pipelines[name];
    let progress = screen.follow(name, project::source_connection(spec), project::target_connection(spec));
    // Who sits at a terminal sees it: nobody is called from his bed by somebody who tries things.
    let notify = request.slot.is_some() || !session.console.can_ask();
    let report = session.telemetry.run(engine, name, request, &progress, notify).await;
    progress.finish(&report);
    let keys = progress.keys();
    progress.above(|| tell(&session.console, name, &report, &keys));
    Ended { report, keys }
}

/// A pipeline that is not run, since others that come before it did not end in success.
fn kept(
    session: &Session,
    engine: &Engine,
    screen: &Screen<'_>,
    name: &str,
    kept_by: &[&str],
    request: &Request,
) -> Ended {
    let spec = &engine.project().pipelines[name];
    let progress = screen.follow(name, project::source_connection(spec), project::target_connection(spec));
    let report = engine.kept(name, kept_by, request);
    progress.finish(&report);
    progress.above(|| tell_end(&session.console, &report));
    Ended { report, keys: Vec::new() }
}

/// How a run ended, and what else is told of it to people.
fn tell(console: &Console, name: &str, report: &RunReport, keys: &[String]) {
    tell_end(console, report);
    if console.is_human() {
        for part in std::iter::once(report).chain(&report.targets).filter(|part| !part.layers.is_empty()) {
            let name = if report.targets.is_empty() { name } else { &part.target };
            console.out(&format!("{}\n{}", paint(STRONG, name), render::layers(&part.layers)));
        }
    }
    if let Some(sample) = report.sample.as_ref().filter(|_| console.is_human()) {
        console.out(&format!("{}\n{}", paint(STRONG, name), render::sample(sample, keys)));
    }
}

/// The error, the warnings and the last line of a run, on stderr.
fn tell_end(console: &Console, report: &RunReport) {
    if console.logs_json() {
        for warning in &report.warnings {
            log_line(
                console,
                "warn",
                warning,
                json!({ "pipeline": report.pipeline, "run_id": report.run_id }),
            );
        }
        let level = if report.error.is_some() { "error" } else { "info" };
        let message = format!("{} {}", report.pipeline, report.status.name());
        log_line(console, level, &message, json!({ "run": report }));
        return;
    }
    // Why it was not started stands in its line.
    if let Some(error) = report.error.as_ref().filter(|_| report.status != Status::Skipped) {
        tell_errors(console, std::slice::from_ref(error));
    }
    // Where nobody watches, the last line is all; the report has the rest.
    if console.shows_progress() || console.verbose() > 0 {
        for warning in &report.warnings {
            console.tell(&diagnostic::warning(warning));
        }
    }
    let line = render::line(report);
    match report.status {
        Status::Success | Status::Skipped => console.tell(&line),
        // With -q the error says it all.
        _ if console.quiet() => {}
        _ => console.err(&line),
    }
}

/// What several runs came to; one says it by its own line.
pub fn tell_sum(console: &Console, reports: &[&RunReport]) {
    if reports.len() > 1 {
        console.tell(&render::footer(reports));
    }
}

fn answer(session: &Session, command: &str, selection: &Selection, ended: &[Ended]) {
    let console = &session.console;
    let reports: Vec<&RunReport> = ended.iter().map(|ended| &ended.report).collect();
    match console.format() {
        Format::Json => match reports.as_slice() {
            [only] if selection.single => console.json(only),
            _ => console.json(&json!({ "schema": "ematix.runs.v1", "runs": reports })),
        },
        Format::Markdown => session.page(command, |about| markdown::runs(about, ended)),
        // Printed as they came.
        Format::NdJson | Format::Github => {}
        Format::Human => tell_sum(console, &reports),
    }
}
