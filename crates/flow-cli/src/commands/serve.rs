//! Serves slots of schedules: `flow run-due` once, `flow daemon` as they come.

use super::{run, tell_errors, transform};
use crate::console::Format;
use crate::exit;
use crate::jobs;
use crate::project::{self, Session};
use crate::render::progress::Screen;
use crate::render::report as render;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::{ExitCode, FlowError, Result};
use ematix_flow_core::graph::Graph;
use ematix_flow_core::report::{RunReport, Status, TransformReport};
use ematix_flow_run::execute::due::{DueItem, DueSlot, SkippedSlot};
use ematix_flow_run::execute::{Engine, Request, Stop};
use serde::Serialize;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use tokio::sync::watch;

/// What came of what was due.
pub struct Served {
    /// The runs of pipelines.
    pub runs: Vec<RunReport>,
    /// Those of transforms.
    pub transforms: Vec<TransformReport>,
    /// Slots that were not served, since what they wait for did not succeed.
    pub skipped: Vec<SkippedSlot>,
    /// What waits still, and for what.
    pub waiting: Vec<Waits>,
    /// What kept transforms from having a run.
    pub errors: Vec<FlowError>,
    /// What did not begin, since the process was asked to stop.
    pub left: Vec<String>,
    /// How it was asked.
    pub stop: Stop,
}

/// A pipeline that waits for another.
#[derive(Clone, Debug, Serialize)]
pub struct Waits {
    /// It.
    pub pipeline: String,
    /// The other.
    #[serde(rename = "for")]
    pub for_: String,
}

/// What came of one item.
#[derive(Default)]
pub struct OfItem {
    /// Its runs.
    pub runs: Vec<RunReport>,
    /// Its slots that were not served.
    pub skipped: Vec<SkippedSlot>,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// What could not be asked.
    pub error: Option<FlowError>,
}

impl Served {
    /// The exit codes of all of it.
    pub fn exit_codes(&self) -> impl Iterator<Item = ExitCode> {
        let runs = self.runs.iter().map(|report| exit::of_report(report, self.stop));
        let transforms = self.transforms.iter().map(|report| exit::of_transform(report, self.stop));
        let faults = self.errors.iter().map(|error| error.code.exit());
        runs.chain(transforms).chain(faults).chain([exit::of_rest(self.left.len(), self.stop)])
    }
}

/// Serves what is due, so many items at once, transforms last.
///
/// # Errors
/// When the operating system gives no thread or event loop.
pub fn serve(
    session: &Session,
    engine: &Engine,
    due: Vec<DueItem>,
    jobs: NonZeroUsize,
    started_by: &str,
) -> Result<Served> {
    let (transforms, pipelines): (Vec<DueItem>, Vec<DueItem>) =
        due.into_iter().partition(|item| item.is_transform);
    let screen = Screen::new(&session.console, jobs.get() > 1 && pipelines.len() > 1);
    // Each after those that it comes after, whose databases then say what became of them.
    let names_of_due: Vec<String> = pipelines.iter().map(|item| item.name.clone()).collect();
    let mut by_name: HashMap<String, DueItem> =
        pipelines.into_iter().map(|item| (item.name.clone(), item)).collect();
    let order = Graph::of(engine.project()).waiting(&names_of_due);
    let items = order
        .into_iter()
        .filter_map(|(name, waits_for)| Some(jobs::Waiting { item: by_name.remove(&name)?, waits_for }));
    let done =
        jobs::in_order(engine, items.collect(), jobs, async |engine, turn: jobs::Turn<DueItem>, stop| {
            let name = turn.item.name.clone();
            let came = slots_of_pipeline(session, engine, &screen, &turn.item, started_by, &stop).await;
            jobs::Ended { came: (name, came), may_follow: true }
        })?;
    drop(screen);
    let mut served = Served {
        runs: Vec::new(),
        transforms: Vec::new(),
        skipped: Vec::new(),
        waiting: Vec::new(),
        errors: Vec::new(),
        left: names(&done.left),
        stop: done.stop,
    };
    for (pipeline, came) in done.ended {
        served.runs.extend(came.runs);
        served.skipped.extend(came.skipped);
        served.waiting.extend(came.waits_for.map(|for_| Waits { pipeline, for_ }));
        served.errors.extend(came.error);
    }
    if served.stop == Stop::No {
        serve_transforms(session, engine, transforms, started_by, &mut served)?;
    } else {
        served.left.extend(names(&transforms));
    }
    Ok(served)
}

fn serve_transforms(
    session: &Session,
    engine: &Engine,
    due: Vec<DueItem>,
    started_by: &str,
    served: &mut Served,
) -> Result<()> {
    let done = jobs::side_by_side(engine, due, NonZeroUsize::MIN, async |engine, item, stop| {
        slots_of_transform(session, engine, &item, started_by, &stop).await
    })?;
    for came in done.ended.into_iter().flatten() {
        match came {
            Ok(report) => served.transforms.push(report),
            Err(error) => served.errors.push(error),
        }
    }
    served.left.extend(names(&done.left));
    served.stop = done.stop;
    Ok(())
}

/// Serves the slots of one item, and tells how each ended; what came of those of a pipeline.
pub async fn item(
    session: &Session,
    engine: &Engine,
    screen: &Screen<'_>,
    item: &DueItem,
    started_by: &str,
    stop: &watch::Receiver<Stop>,
) -> OfItem {
    if item.is_transform {
        slots_of_transform(session, engine, item, started_by, stop).await;
        return OfItem::default();
    }
    slots_of_pipeline(session, engine, screen, item, started_by, stop).await
}

async fn slots_of_pipeline(
    session: &Session,
    engine: &Engine,
    screen: &Screen<'_>,
    item: &DueItem,
    started_by: &str,
    stop: &watch::Receiver<Stop>,
) -> OfItem {
    let turn = match engine.turn(item, started_by).await {
        Ok(turn) => turn,
        Err(error) => {
            tell_errors(&session.console, std::slice::from_ref(&error));
            return OfItem { error: Some(error), ..OfItem::default() };
        }
    };
    for skipped in &turn.skipped {
        session.console.tell(&render::skipped(&skipped.pipeline, &skipped.why));
    }
    let mut reports = Vec::new();
    for slot in &turn.slots {
        if *stop.borrow() != Stop::No {
            break;
        }
        let request = serving(slot, started_by, stop.clone());
        let report = run::one(session, engine, screen, &item.name, &request).await.report;
        if session.console.format() == Format::NdJson {
            session.console.json(&report);
        }
        let went_well = matches!(report.status, Status::Success | Status::Skipped);
        reports.push(report);
        // What comes after waits for it.
        if !went_well {
            break;
        }
    }
    OfItem { runs: reports, skipped: turn.skipped, waits_for: turn.waits_for, error: None }
}

async fn slots_of_transform(
    session: &Session,
    engine: &Engine,
    item: &DueItem,
    started_by: &str,
    stop: &watch::Receiver<Stop>,
) -> Vec<Result<TransformReport>> {
    let console = &session.console;
    let mut came = Vec::new();
    for slot in &item.slots {
        let request = serving(slot, started_by, stop.clone());
        let served = transform::one(session, engine, &item.name, &request).await;
        match &served {
            Ok(report) if console.format() == Format::NdJson => console.json(&transform::document(report)),
            Ok(_) => {}
            Err(error) => tell_errors(console, std::slice::from_ref(error)),
        }
        came.push(served);
    }
    came
}

fn serving(slot: &DueSlot, started_by: &str, stop: watch::Receiver<Stop>) -> Request {
    Request {
        started_by: started_by.to_owned(),
        slot: Some(slot.at),
        slot_start: slot.from,
        ..project::request(PipelineOptions::default(), stop)
    }
}

fn names(items: &[DueItem]) -> Vec<String> {
    items.iter().map(|item| item.name.clone()).collect()
}
