//! The last runs, each with its facts, its error and its steps.

use super::markup::Markup;
use super::outcome::{Outcome, sign};
use super::{Page, section};
use crate::render::number::{counted, duration, instant, step_duration, thousands};
use crate::render::table::cut;
use ematix_flow_core::report::{RunLog, RunRow};

/// How much of an error is shown; `flow logs RUN` prints all.
const ERROR_CHARACTERS: usize = 2000;

/// The section.
pub fn runs(out: &mut Markup, page: &Page<'_>) {
    section(out, "runs", "Runs", |section| {
        if page.overview.logs.is_empty() {
            section.fixed("<p class=\"none\">Nothing has run yet.</p>");
            return;
        }
        section.fixed(
            "<p class=\"none\">The last runs of all pipelines, and the last of each that needs a look.</p>",
        );
        for log in &page.overview.logs {
            section.inside("details", &[("id", &format!("run-{}", log.run.run_id))], |run| {
                run.inside("summary", &[], |line| headline(line, &log.run, page));
                told(run, log, page);
            });
        }
    });
}

fn headline(line: &mut Markup, run: &RunRow, page: &Page<'_>) {
    let outcome = Outcome::of(&run.status);
    line.inside("span", &[("class", &format!("o {}", outcome.class()))], |words| {
        sign(words, outcome);
        words.text(&run.status);
    });
    line.text(" ");
    line.leaf("bdi", &[("class", "who")], &run.pipeline);
    line.text(" ");
    line.leaf("span", &[("class", "at")], &instant(&run.started_at, &page.zone));
    if let Some(took) = run.duration_ms {
        line.text(" ");
        line.leaf("span", &[("class", "at")], &duration(took.unsigned_abs()));
    }
    if let Some(code) = &run.error_code {
        line.text(" ");
        line.leaf("code", &[], code);
    }
}

fn told(out: &mut Markup, log: &RunLog, page: &Page<'_>) {
    let run = &log.run;
    let of = |mode: &String| match &run.path {
        Some(path) => format!("{mode}, {path}"),
        None => mode.clone(),
    };
    let by = |by: &String| match &run.host {
        Some(host) => format!("{by} on {host}"),
        None => by.clone(),
    };
    let facts = [
        ("run", Some(run.run_id.clone())),
        ("target", Some(run.target.clone())),
        ("mode", run.mode.as_ref().map(of)),
        ("rows read", run.rows_in.map(thousands)),
        ("rows written", (run.status == "success").then(|| thousands(run.rows_written()))),
        ("watermark", run.watermark_after.clone()),
        ("started by", run.started_by.as_ref().map(by)),
    ];
    out.fixed("<dl class=\"facts\">");
    for (what, value) in facts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.leaf("dt", &[], what);
            out.leaf("dd", &[], &value);
        }
    }
    out.fixed("</dl>");
    if let Some(error) = &run.error {
        out.leaf(
            "pre",
            &[("class", "error"), ("dir", "auto"), ("tabindex", "0")],
            &cut(error, ERROR_CHARACTERS),
        );
    }
    for transform in &run.transforms {
        out.inside("p", &[("class", "after")], |line| {
            sign(line, Outcome::of(&transform.status));
            line.text("after the commit: ");
            line.name(&transform.name);
            line.text(&format!(" {} {}", transform.status, instant(&transform.started_at, &page.zone)));
            if let Some(error) = &transform.error {
                line.text(": ");
                line.name(&cut(error, ERROR_CHARACTERS));
            }
        });
    }
    steps(out, log);
}

fn steps(out: &mut Markup, log: &RunLog) {
    if log.steps.is_empty() {
        out.fixed("<p class=\"none\">No steps were recorded.</p>");
        return;
    }
    out.fixed("<ol class=\"steps\">");
    for step in &log.steps {
        out.inside("li", &[], |line| {
            line.leaf("b", &[], &step.kind);
            line.text(" ");
            line.leaf("span", &[], &step.purpose);
            let rows = step.rows.map(|rows| counted(rows, "row", "rows")).unwrap_or_default();
            line.leaf("i", &[], &format!(" {rows} "));
            line.leaf("i", &[], &step_duration(step.milliseconds));
        });
    }
    out.fixed("</ol>");
}
