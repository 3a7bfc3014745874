//! Plans as a comment: what would change and what that risks, the SQL folded.

use super::About;
use super::escape::code;
use crate::render::github::unsaid_warnings;
use crate::render::number::counted;
use crate::render::plan::{Detail, head, marked, risk, statement, sum};
use ematix_flow_core::error::{ExitCode, FlowError};
use ematix_flow_core::plan::{Plan, Risk};
use ematix_flow_core::report::{PlanReport, PlannedPipeline};

/// The page of some plans.
pub fn plan(about: &About<'_>, report: &PlanReport, detail: Detail) -> String {
    let faulty = report.pipelines.iter().filter(|planned| !planned.faults().is_empty()).count();
    let mut title = sum(report);
    if faulty > 0 {
        title.push_str(&format!(", {faulty} without a plan"));
    }
    let mut page = about.page(&title);
    let unmarked = report.pipelines.iter().filter(|planned| is_unmarked(planned)).count();
    if unmarked > 0 {
        let count = counted(unmarked as i64, "pipeline", "pipelines");
        page.paragraph(&format!("{count} without a mark: a run would only move rows."));
    }
    let rows: Vec<Vec<String>> = report.pipelines.iter().flat_map(|planned| rows(about, planned)).collect();
    page.table(&["pipeline", "mark", "what", "risk"], &rows);
    about.fold_errors(&mut page, report.pipelines.iter().flat_map(|planned| &planned.errors));
    for planned in &report.pipelines {
        let Some(plan) = &planned.plan else { continue };
        if plan.refused.is_none() && (!plan.marks.is_empty() || detail.unmarked) {
            let name = code(&planned.pipeline);
            let pieces = steps(&planned.pipeline, plan);
            page.folded(&format!("SQL of {name}"), "sql", &pieces, &format!("the SQL of {name}"));
        }
    }
    page.finish(&format!("<code>flow {} --sql</code> prints all of it", about.command))
}

fn is_unmarked(planned: &PlannedPipeline) -> bool {
    planned.errors.is_empty() && planned.plan.iter().all(|plan| plan.marks.is_empty())
}

fn rows(about: &About<'_>, planned: &PlannedPipeline) -> Vec<Vec<String>> {
    let name = code(&planned.pipeline);
    let row = |mark: String, what, risk: &str| vec![name.clone(), mark, what, risk.to_owned()];
    let mut rows = Vec::new();
    if let Some(plan) = &planned.plan {
        for mark in marked(plan).into_iter().flat_map(|group| group.marks) {
            rows.push(row(code(&mark.mark.to_string()), code(&mark.what), &risk(mark)));
        }
        for warning in unsaid_warnings(plan) {
            rows.push(row("warning".to_owned(), code(warning), ""));
        }
    }
    for error in planned.faults() {
        rows.push(row("error".to_owned(), about.error(error), risk_of(error)));
    }
    rows
}

fn risk_of(error: &FlowError) -> &'static str {
    match error.code.exit() {
        ExitCode::Refused => Risk::NeedsPerson.words(),
        _ => "no plan",
    }
}

/// What a plan says of itself, then a piece a step.
fn steps(name: &str, plan: &Plan) -> Vec<String> {
    let mut about = remark(anstream::adapter::strip_str(&head(name, plan)).to_string().trim_end());
    for note in &plan.notes {
        about.push_str(&remark(&format!("note: {note}")));
    }
    let step = |step: &ematix_flow_core::plan::Step| {
        let purpose = remark(&format!("{} {}: {}", step.n, step.kind.name(), step.purpose));
        format!("\n{purpose}{}\n", statement(&step.action.to_string()))
    };
    std::iter::once(about).chain(plan.steps().map(step)).collect()
}

/// Text as comments of SQL, however many lines it has.
fn remark(text: &str) -> String {
    text.lines().map(|line| format!("-- {line}\n")).collect()
}
