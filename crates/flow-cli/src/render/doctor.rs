//! What `flow doctor` prints: a line a check, grouped by connection and pipeline; GRANTs as SQL to paste.

use super::number::counted;
use super::style::{ERROR, FAINT, GOOD, HINT, STRONG, WARNING, paint};
use ematix_flow_core::report::{Check, DoctorReport, Health, LeastGrants, Patient};

/// The width of the widest name of a check.
const CHECK_WIDTH: usize = 10;

/// Every check, and how many are not well; `mistakes` is how many the files have.
pub fn report(report: &DoctorReport, mistakes: usize) -> String {
    let mut text = String::new();
    for (what, patients) in [("connection", &report.connections), ("pipeline", &report.pipelines)] {
        for patient in patients {
            text.push_str(&group(what, patient));
            text.push('\n');
        }
    }
    let looked = [
        counted(report.connections.len() as i64, "connection", "connections"),
        counted(report.pipelines.len() as i64, "pipeline", "pipelines"),
    ];
    let mut found = match (report.count(Health::Failed), report.count(Health::Warning)) {
        (0, 0) if mistakes > 0 => "nothing wrong with them".to_owned(),
        (0, 0) => "all is well".to_owned(),
        (failed, warnings) => {
            format!("{failed} failed, {}", counted(warnings as i64, "warning", "warnings"))
        }
    };
    if mistakes > 0 {
        let mistakes = counted(mistakes as i64, "mistake", "mistakes");
        found.push_str(&format!(
            "; {mistakes} in the files, and `flow run` refuses every pipeline until then"
        ));
    }
    text.push_str(&format!("{}: {found}\n", looked.join(", ")));
    text
}

fn group(what: &str, patient: &Patient) -> String {
    let mut text = format!("{what} {}  {}\n", paint(STRONG, &patient.name), paint(FAINT, &patient.about));
    patient.checks.iter().for_each(|check| text.push_str(&line(check)));
    text
}

fn line(check: &Check) -> String {
    let style = match check.state {
        Health::Ok => GOOD,
        Health::Warning => WARNING,
        Health::Failed => ERROR,
    };
    let state = paint(style, format_args!("{:7}", check.state.name()));
    let code = check.error.as_ref().map(|error| format!("[{}] ", error.code)).unwrap_or_default();
    let mut text = format!("  {state}  {:CHECK_WIDTH$}  {code}{}\n", check.check, check.message);
    if let Some(remedy) = &check.remedy {
        text.push_str(&format!("           {} {remedy}\n", paint(HINT, "hint:")));
    }
    text
}

/// GRANTs as SQL: everything that is no statement is a comment.
pub fn grants(all: &[LeastGrants]) -> String {
    let mut text = String::new();
    for (index, each) in all.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&comment(&format!(
            "{}: what {} needs on {}",
            each.pipeline, each.role, each.connection
        )));
        text.push_str(&comment(&each.address));
        if !each.first_run.is_empty() {
            text.push_str("-- until the first run has made what is not there:\n");
            each.first_run.iter().for_each(|statement| text.push_str(&format!("{statement}\n")));
            text.push_str("-- always:\n");
        }
        each.always.iter().for_each(|statement| text.push_str(&format!("{statement}\n")));
        each.afterwards.iter().for_each(|statement| {
            text.push_str(&comment(&format!("after the first run: {statement}")));
        });
        each.notes.iter().for_each(|note| text.push_str(&comment(&format!("besides: {note}"))));
    }
    text
}

/// A name may have line breaks, behind which nothing would be a comment any more.
fn comment(text: &str) -> String {
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    format!("-- {}\n", lines.join("\n-- "))
}
