//! `flow plan` and `flow preview`: two readers of the same plan, with and without the databases.

use super::{print_items, tell_errors, tell_gone, validate};
use crate::args::PlanArgs;
use crate::console::Format;
use crate::exit;
use crate::project::{self, Outcome, Session};
use crate::render::github::Annotations;
use crate::render::markdown;
use crate::render::plan::{self as render, Detail};
use crate::selection::{self, Selection};
use crate::signals;
use ematix_flow_core::error::{ExitCode, Result};
use ematix_flow_core::plan::{MarkKind, Plan};
use ematix_flow_core::report::{PlanReport, PlannedPipeline};
use ematix_flow_run::execute::{Engine, Request};
use serde_json::json;

/// Plans with the facts of the databases.
pub fn plan(session: &Session, args: &PlanArgs) -> Outcome {
    let wanted = selection::said(&args.selection);
    let (engine, selection) = prepared(session.connected_engine(&wanted)?, args)?;
    let report = signals::block_on(async |stop| {
        let request =
            Request { full_scan: args.full_scan, ..project::request(args.overrides.options(), stop) };
        let mut planned = Vec::new();
        tell_gone(&session.console, &engine, &selection.names).await;
        for name in &selection.names {
            planned.push((name.clone(), engine.plan(name, &request).await));
        }
        summed(planned)
    })?;
    answer(session, args, &engine, &selection, &report, "plan")
}

/// Plans from the files alone.
pub fn preview(session: &Session, args: &PlanArgs) -> Outcome {
    let (engine, selection) = prepared(session.engine()?, args)?;
    let request = Request { full_scan: args.full_scan, ..project::offline_request(args.overrides.options()) };
    let planned = selection.names.iter().map(|name| (name.clone(), engine.preview(name, &request))).collect();
    answer(session, args, &engine, &selection, &summed(planned), "preview")
}

fn prepared(engine: Engine, args: &PlanArgs) -> Result<(Engine, Selection), project::Failure> {
    let selection = selection::choose(engine.project(), &args.selection)?;
    let faults = validate::faults(&engine, &selection.names, &args.overrides.options());
    if faults.is_empty() { Ok((engine, selection)) } else { Err(faults.into()) }
}

fn summed(planned: Vec<(String, Result<Plan>)>) -> PlanReport {
    let mut report = PlanReport::default();
    for (pipeline, plan) in planned {
        let planned = PlannedPipeline::of(pipeline, plan);
        let has = |kind| planned.plan.iter().flat_map(|plan| &plan.marks).any(|mark| mark.mark == kind);
        report.create += usize::from(has(MarkKind::Create));
        report.change += usize::from(has(MarkKind::Change));
        report.drifted += usize::from(has(MarkKind::Drift));
        report.pipelines.push(planned);
    }
    report
}

fn answer(
    session: &Session,
    args: &PlanArgs,
    engine: &Engine,
    selection: &Selection,
    report: &PlanReport,
    command: &str,
) -> Outcome {
    let console = &session.console;
    let schema = &format!("ematix.{command}.v1");
    let detail =
        Detail { sql: args.sql, unmarked: selection.names.len() == 1 || args.sql || console.verbose() > 0 };
    match console.format() {
        Format::Human => console.out(&render::report(report, detail)),
        Format::Markdown => {
            session.page(command, |about| markdown::plan(about, report, detail));
            for planned in report.pipelines.iter().filter(|planned| !planned.faults().is_empty()) {
                tell_errors(console, planned.faults());
            }
            console.tell(&render::last_line(report));
        }
        Format::Github => {
            let (places, workspace) = (&engine.project().places, &session.workspace());
            let annotations = Annotations { places, workspace };
            report.pipelines.iter().for_each(|planned| console.out(&annotations.plan(planned)));
            console.tell(&render::last_line(report));
        }
        Format::NdJson => print_items(console, schema, "pipelines", &report.pipelines),
        Format::Json => console.json(&json!({
            "schema": schema,
            "pipelines": report.pipelines,
            "create": report.create,
            "change": report.change,
            "drifted": report.drifted,
        })),
    }
    let errors = report.pipelines.iter().flat_map(PlannedPipeline::faults).map(|error| error.code.exit());
    match exit::shared(errors) {
        ExitCode::Success if args.exit_code && report.create + report.change + report.drifted > 0 => {
            Ok(ExitCode::Changed)
        }
        code => Ok(code),
    }
}
