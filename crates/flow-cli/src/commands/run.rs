//! `flow run` and `flow dry-run`: one pipeline after another, each to its report.

use super::{log_line, tell_errors, tell_gone, validate};
use crate::args::{DryRunArgs, RunArgs, SelectionArgs};
use crate::console::{Console, Format};
use crate::exit;
use crate::jobs;
use crate::project::{self, Outcome, Session};
use crate::render::github::Annotations;
use crate::render::progress::Screen;
use crate::render::style::{STRONG, paint};
use crate::render::{diagnostic, markdown, report as render, report::Ended};
use crate::selection::{self, Selection};
use crate::signals;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_run::execute::{Engine, Request};
use serde_json::json;
use std::num::NonZeroUsize;

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
    let done = jobs::side_by_side(engine, selection.names.clone(), wish.jobs, async |engine, name, stop| {
        let request = Request {
            full_scan: wish.full_scan,
            dry_run: wish.dry_run,
            sample: wish.sample,
            started_by: wish.started_by.to_owned(),
            ..project::request(wish.overrides.clone(), stop)
        };
        let ended = one(session, engine, &screen, &name, &request).await;
        match session.console.format() {
            Format::NdJson => session.console.json(&ended.report),
            Format::Github => {
                let (places, workspace) = (&engine.project().places, &session.workspace());
                session.console.out(&Annotations { places, workspace }.run(&ended.report));
            }
            Format::Human | Format::Json | Format::Markdown => {}
        }
        ended
    })?;
    drop(screen);
    answer(session, command, selection, &done.ended);
    tell_rest(&session.console, &done.left);
    let codes = done.ended.iter().map(|ended| exit::of_report(&ended.report, done.stop));
    Ok(exit::shared(codes.chain([exit::of_rest(done.left.len(), done.stop)])))
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
    let report = engine.run(name, request, &progress).await;
    progress.finish(&report);
    let keys = progress.keys();
    progress.above(|| tell(&session.console, name, &report, &keys));
    Ended { report, keys }
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
    if let Some(error) = &report.error {
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
