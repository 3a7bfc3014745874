//! `flow plan` and `flow preview`: two readers of the same plan, with and without the databases.

use super::{tell_errors, tell_gone, validate};
use crate::args::PlanArgs;
use crate::console::{Format, Listing, written};
use crate::exit;
use crate::project::{self, Outcome, Session};
use crate::render::github::Annotations;
use crate::render::markdown;
use crate::render::plan::{self as render, Detail};
use crate::selection::{self, Selection};
use crate::signals;
use ematix_flow_core::declare::fingerprint::fingerprint;
use ematix_flow_core::error::{ExitCode, Result};
use ematix_flow_core::plan::{MarkKind, Plan};
use ematix_flow_core::report::{PlanReport, PlannedPipeline};
use ematix_flow_run::execute::{Engine, KnownEngines, Request};
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::mpsc;

/// Plans with the facts of the databases.
pub fn plan(session: &Session, args: &PlanArgs) -> Outcome {
    let wanted = selection::said(&args.selection);
    let (engine, selection) = prepared(session.connected_engine(&wanted)?, args)?;
    let answer = signals::block_on(async |stop| {
        let request =
            Request { full_scan: args.full_scan, ..project::request(args.overrides.options(), stop) };
        let mut answer = Answer::to(session, args, &engine, "plan");
        tell_gone(&session.console, &engine, &selection.names).await;
        for name in &selection.names {
            let plan = engine.plan(name, &request).await;
            answer.add(Made::of(&engine, name, plan, answer.listing.is_some()));
        }
        answer
    })?;
    answer.end(&selection)
}

/// Plans from the files alone.
pub fn preview(session: &Session, args: &PlanArgs) -> Outcome {
    let (engine, selection) = prepared(session.engine()?, args)?;
    let request = Request { full_scan: args.full_scan, ..project::offline_request(args.overrides.options()) };
    let mut answer = Answer::to(session, args, &engine, "preview");
    let is_document = answer.listing.is_some();
    let make = |name: &str, known: &KnownEngines| {
        Made::of(&engine, name, engine.preview(name, &request, known), is_document)
    };
    previews(&engine, &selection.names, make, |made| answer.add(made));
    answer.end(&selection)
}

/// So many plans are made at a time, by one thread; a few are not worth another.
const AT_ONCE: usize = 64;

/// Plans pipelines on every core, and gives the plans in the order of the pipelines. No thread is more than two batches
/// ahead, so that ten thousand plans are never held.
fn previews(
    engine: &Engine,
    names: &[String],
    make: impl Fn(&str, &KnownEngines) -> Made + Sync,
    mut each: impl FnMut(Made),
) {
    let known = &KnownEngines::default();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // What calls functions of Python calls them one after the other.
    let threads = if engine.project().called.is_empty() { cores.min(names.len() / AT_ONCE) } else { 1 };
    if threads < 2 {
        return names.iter().for_each(|name| each(make(name, known)));
    }
    std::thread::scope(|scope| {
        let make = &make;
        let begin = |first| {
            let (sender, made) = mpsc::sync_channel::<Vec<Made>>(1);
            scope.spawn(move || {
                for batch in names.chunks(AT_ONCE).skip(first).step_by(threads) {
                    if sender.send(batch.iter().map(|name| make(name, known)).collect()).is_err() {
                        return;
                    }
                }
            });
            made
        };
        let made: Vec<mpsc::Receiver<_>> = (0..threads).map(begin).collect();
        for (_, made) in names.chunks(AT_ONCE).zip(made.iter().cycle()) {
            // A thread that ends too early has panicked, which the scope tells.
            let Ok(plans) = made.recv() else { return };
            plans.into_iter().for_each(&mut each);
        }
    });
}

/// A plan as it is answered: written by whoever made it, so that nobody takes apart or writes what another one made.
struct Made {
    create: bool,
    change: bool,
    drifted: bool,
    faults: Vec<ExitCode>,
    shown: Shown,
}

enum Shown {
    /// An item of a document.
    Written(String),
    /// A part of a page.
    Planned(Box<PlannedPipeline>),
}

impl Made {
    fn of(engine: &Engine, pipeline: &str, plan: Result<Plan>, is_document: bool) -> Made {
        let mut planned = PlannedPipeline::of(pipeline.to_owned(), plan);
        planned.declaration = fingerprint(engine.project(), pipeline);
        let has = |kind| planned.plan.iter().flat_map(|plan| &plan.marks).any(|mark| mark.mark == kind);
        Made {
            create: has(MarkKind::Create),
            change: has(MarkKind::Change),
            drifted: has(MarkKind::Drift),
            faults: planned.faults().iter().map(exit::of_error).collect(),
            shown: match is_document {
                true => Shown::Written(written(&planned)),
                false => Shown::Planned(Box::new(planned)),
            },
        }
    }
}

fn prepared(engine: Engine, args: &PlanArgs) -> Result<(Engine, Selection), project::Failure> {
    let selection = selection::choose(engine.project(), &args.selection)?;
    let faults = validate::faults(&engine, &selection.names, &args.overrides.options());
    if faults.is_empty() { Ok((engine, selection)) } else { Err(faults.into()) }
}

/// What is answered, plan by plan. A document is printed as it goes; ten thousand plans need not be kept for it.
struct Answer<'a> {
    session: &'a Session,
    args: &'a PlanArgs,
    engine: &'a Engine,
    command: &'static str,
    listing: Option<Listing<'a>>,
    /// The sums, and the plans of what is shown as one page.
    report: PlanReport,
    faults: Vec<ExitCode>,
}

impl<'a> Answer<'a> {
    fn to(session: &'a Session, args: &'a PlanArgs, engine: &'a Engine, command: &'static str) -> Answer<'a> {
        let console = &session.console;
        let is_document = matches!(console.format(), Format::Json | Format::NdJson);
        let listing = is_document.then(|| console.listing(&format!("ematix.{command}.v1"), "pipelines"));
        Answer { session, args, engine, command, listing, report: PlanReport::default(), faults: Vec::new() }
    }

    fn add(&mut self, made: Made) {
        self.report.create += usize::from(made.create);
        self.report.change += usize::from(made.change);
        self.report.drifted += usize::from(made.drifted);
        self.faults.extend(made.faults);
        match made.shown {
            Shown::Written(item) => self.listing.iter_mut().for_each(|listing| listing.written(&item)),
            Shown::Planned(planned) => self.report.pipelines.push(*planned),
        }
    }

    fn end(self, selection: &Selection) -> Outcome {
        let Answer { session, args, engine, command, listing, report, faults } = self;
        let console = &session.console;
        let unmarked = selection.names.len() == 1 || args.sql || console.verbose() > 0;
        let detail = Detail { sql: args.sql, unmarked };
        match (listing, console.format()) {
            (Some(listing), _) => listing.end(&[
                ("create", json!(report.create)),
                ("change", json!(report.change)),
                ("drifted", json!(report.drifted)),
            ]),
            (None, Format::Markdown) => {
                session.page(command, |about| markdown::plan(about, &report, detail));
                for planned in report.pipelines.iter().filter(|planned| !planned.faults().is_empty()) {
                    tell_errors(console, planned.faults());
                }
                console.tell(&render::last_line(&report));
            }
            (None, Format::Github) => {
                let (places, workspace) = (&engine.project().places, &session.workspace());
                let annotations = Annotations { places, workspace };
                report.pipelines.iter().for_each(|planned| console.out(&annotations.plan(planned)));
                console.tell(&render::last_line(&report));
            }
            (None, _) => console.out(&render::report(&report, detail)),
        }
        match exit::shared(faults) {
            ExitCode::Success if args.exit_code && report.create + report.change + report.drifted > 0 => {
                Ok(ExitCode::Changed)
            }
            code => Ok(code),
        }
    }
}
