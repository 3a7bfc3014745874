//! `flow run-due`: what the schedules say is due, one pipeline after another and then the transforms. Made to be called
//! every minute; a pipeline with faults in its files is reported and does not stop the others.

use super::{run, tell_errors, transform};
use crate::args::RunDueArgs;
use crate::console::Format;
use crate::exit;
use crate::jobs;
use crate::project::{self, Outcome, Session};
use crate::render::progress::Screen;
use crate::selection;
use crate::signals;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::report::{RunReport, Status, TransformReport};
use ematix_flow_run::execute::{Request, Stop};
use serde_json::json;
use std::num::NonZeroUsize;

/// Runs the pipelines that are due.
pub fn run_due(session: &Session, args: &RunDueArgs) -> Outcome {
    let console = &session.console;
    let selected = &args.selection;
    let (engine, mut errors) = session.sound_engine(&selection::said(selected))?;
    let selection = selection::choose(engine.project(), selected)?;
    let mut sound: Vec<String> = Vec::new();
    for name in selection.names {
        match engine.validate(&name) {
            faults if faults.is_empty() => sound.push(name),
            faults => errors.extend(faults),
        }
    }
    // Who names pipelines means no transforms.
    let all = selected.names.is_empty() && selected.select.is_empty();
    let (due, due_transforms) = signals::block_on(async |_| {
        let (due, faults) = engine.due(&sound).await;
        errors.extend(faults);
        let (transforms, faults) = if all { engine.due_transforms().await } else { (Vec::new(), Vec::new()) };
        errors.extend(faults);
        (due, transforms)
    })?;
    tell_errors(console, &errors);
    if due.is_empty() && due_transforms.is_empty() && errors.is_empty() {
        console.tell("nothing due\n");
    }
    let serving = |slot, stop| Request {
        started_by: "run-due".to_owned(),
        slot: Some(slot),
        ..project::request(PipelineOptions::default(), stop)
    };
    let screen = Screen::new(console, args.jobs.get() > 1 && due.len() > 1);
    let runs = jobs::side_by_side(&engine, due, args.jobs, async |engine, (name, slot), stop| {
        let report = run::one(session, engine, &screen, &name, &serving(slot, stop)).await.report;
        if console.format() == Format::NdJson {
            console.json(&report);
        }
        report
    })?;
    drop(screen);
    let mut left: Vec<String> = runs.left.into_iter().map(|(name, _)| name).collect();
    let mut stop = runs.stop;
    let mut transforms: Vec<TransformReport> = Vec::new();
    if stop == Stop::No {
        let served = jobs::side_by_side(
            &engine,
            due_transforms,
            NonZeroUsize::MIN,
            async |engine, (name, slot), stop| {
                let served = transform::one(session, engine, &name, &serving(slot, stop)).await;
                match &served {
                    Ok(report) if console.format() == Format::NdJson => {
                        console.json(&transform::document(report))
                    }
                    Ok(_) => {}
                    Err(error) => tell_errors(console, std::slice::from_ref(error)),
                }
                served
            },
        )?;
        for came in served.ended {
            match came {
                Ok(report) => transforms.push(report),
                Err(error) => errors.push(error),
            }
        }
        left.extend(served.left.into_iter().map(|(name, _)| name));
        stop = served.stop;
    } else {
        left.extend(due_transforms.into_iter().map(|(name, _)| name));
    }
    let reports = runs.ended;
    run::tell_rest(console, &left);
    match console.format() {
        Format::Json => console.json(&document(&reports, &transforms, &errors)),
        Format::NdJson if !errors.is_empty() => console.json(&super::errors_document(&errors)),
        Format::Human => run::tell_sum(console, &reports.iter().collect::<Vec<_>>()),
        Format::NdJson | Format::Markdown | Format::Github => {}
    }
    let runs = reports.iter().map(|report| exit::of_report(report, stop));
    let of_transforms = transforms.iter().map(|report| exit::of_transform(report, stop));
    let faults = errors.iter().map(|error| error.code.exit());
    Ok(exit::shared(runs.chain(of_transforms).chain(faults).chain([exit::of_rest(left.len(), stop)])))
}

fn document(
    reports: &[RunReport],
    transforms: &[TransformReport],
    errors: &[FlowError],
) -> serde_json::Value {
    let skipped: Vec<&str> = reports
        .iter()
        .filter(|report| report.status == Status::Skipped)
        .map(|report| report.pipeline.as_str())
        .collect();
    json!({
        "schema": "ematix.runs.v1",
        "runs": reports,
        "transforms": transforms,
        "skipped": skipped,
        "errors": errors,
    })
}
