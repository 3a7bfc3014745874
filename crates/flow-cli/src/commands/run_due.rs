//! `flow run-due`: what the schedules say is due, one pipeline after another and then the transforms. Made to be called
//! every minute; a pipeline with faults in its files is reported and does not stop the others.

use super::{run, tell_errors, transform};
use crate::args::SelectionArgs;
use crate::console::Format;
use crate::exit;
use crate::project::{self, Outcome, Session};
use crate::selection;
use crate::signals;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::report::{RunReport, Status, TransformReport};
use ematix_flow_run::execute::{Request, Stop};
use serde_json::json;

/// Runs the pipelines that are due.
pub fn run_due(session: &Session, args: &SelectionArgs) -> Outcome {
    let console = &session.console;
    let (engine, mut errors) = session.sound_engine(&selection::said(args))?;
    let engine = engine.pooled();
    let selection = selection::choose(engine.project(), args)?;
    let mut sound: Vec<String> = Vec::new();
    for name in selection.names {
        match engine.validate(&name) {
            faults if faults.is_empty() => sound.push(name),
            faults => errors.extend(faults),
        }
    }
    // Who names pipelines means no transforms.
    let all = args.names.is_empty() && args.select.is_empty();
    let (reports, transforms, left, stop) = signals::block_on(async |stop| {
        let (due, faults) = engine.due(&sound).await;
        errors.extend(faults);
        let (due_transforms, faults) =
            if all { engine.due_transforms().await } else { (Vec::new(), Vec::new()) };
        errors.extend(faults);
        tell_errors(console, &errors);
        if due.is_empty() && due_transforms.is_empty() && errors.is_empty() {
            console.tell("nothing due\n");
        }
        let serving = |slot| Request {
            started_by: "run-due".to_owned(),
            slot: Some(slot),
            ..project::request(PipelineOptions::default(), stop.clone())
        };
        let mut reports: Vec<RunReport> = Vec::new();
        let mut left: Vec<String> = Vec::new();
        for (name, slot) in due {
            if *stop.borrow() != Stop::No {
                left.push(name);
                continue;
            }
            let request = serving(slot);
            let report = run::one(session, &engine, &name, &request).await.report;
            if console.format() == Format::NdJson {
                console.json(&report);
            }
            reports.push(report);
        }
        let mut transforms: Vec<TransformReport> = Vec::new();
        for (name, slot) in due_transforms {
            if *stop.borrow() != Stop::No {
                left.push(name);
                continue;
            }
            let request = serving(slot);
            match transform::one(session, &engine, &name, &request).await {
                Ok(report) => {
                    if console.format() == Format::NdJson {
                        console.json(&transform::document(&report));
                    }
                    transforms.push(report);
                }
                Err(error) => {
                    tell_errors(console, std::slice::from_ref(&error));
                    errors.push(error);
                }
            }
        }
        engine.close().await;
        let stop = *stop.borrow();
        (reports, transforms, left, stop)
    })?;
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
