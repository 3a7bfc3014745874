//! Dry-runs as a comment: how each ended and what it counted.

use super::About;
use super::escape::code;
use crate::render::report::{self, Counts, Ended};
use ematix_flow_core::report::RunReport;

/// The page of some dry-runs.
pub fn runs(about: &About<'_>, ended: &[Ended]) -> String {
    let all = || ended.iter().map(|ended| &ended.report);
    let mut page = about.page(&anstream::adapter::strip_str(&report::statuses(all())).to_string());
    page.paragraph("Everything was rolled back.");
    let rows: Vec<Vec<String>> = all().flat_map(|report| rows(about, report)).collect();
    page.table(&["pipeline", "status", "what"], &rows);
    about.fold_errors(&mut page, all().flat_map(|report| &report.error));
    for Ended { report, keys } in ended {
        if let Some(sample) = &report.sample {
            let name = code(&report.pipeline);
            let text = anstream::adapter::strip_str(&report::sample(sample, keys)).to_string();
            let lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
            let summary = format!("Rows of {name} that would change");
            page.folded(&summary, "text", &lines, &format!("rows of {name}"));
        }
    }
    page.finish("<code>--output json</code> has all of it")
}

fn rows(about: &About<'_>, report: &RunReport) -> Vec<Vec<String>> {
    let what = match &report.error {
        Some(error) => about.error(error),
        None => Counts::of(report).line(&report.mode).replace("  ", ", "),
    };
    let row = |status: &str, what| vec![code(&report.pipeline), status.to_owned(), what];
    let warnings = report.warnings.iter().map(|warning| row("warning", code(warning)));
    std::iter::once(row(report.status.name(), what)).chain(warnings).collect()
}
