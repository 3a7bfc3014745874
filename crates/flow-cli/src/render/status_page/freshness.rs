//! How old each table's data are, against what its schedule promises.

use super::markup::Markup;
use super::outcome::{Outcome, sign};
use super::{Page, scrolling, section};
use crate::render::number::{age, minute};
use ematix_flow_core::report::StatusRow;

/// How many intervals of the schedule a bar has room for.
const INTERVALS: f64 = 3.0;

/// How fresh a table is.
struct Fresh {
    outcome: Outcome,
    words: String,
    /// Its age, in intervals of the schedule.
    intervals: Option<f64>,
}

/// The section: the stalest first.
pub fn freshness(out: &mut Markup, page: &Page<'_>) {
    let mut rows: Vec<(&StatusRow, Fresh)> =
        page.overview.pipelines.iter().map(|row| (row, fresh(row, page))).collect();
    rows.sort_by(|(left, a), (right, b)| {
        // What nothing is promised of comes last.
        let promised = |fresh: &Fresh| fresh.outcome != Outcome::Skipped;
        let of =
            |fresh: &Fresh, row: &StatusRow| (promised(fresh), fresh.outcome, fresh.intervals, row.lag_ms);
        of(b, right).partial_cmp(&of(a, left)).unwrap_or(std::cmp::Ordering::Equal)
    });
    section(out, "freshness", "Freshness of tables", |section| {
        if rows.is_empty() {
            section.fixed("<p class=\"none\">No pipelines are declared.</p>");
            return;
        }
        section.fixed("<p class=\"none\">The mark on a bar is one interval of the schedule.</p>");
        scrolling(section, "Table of freshness", |region| {
            region.fixed("<table class=\"fresh\"><caption class=\"hidden\">Each table with the age of its data and its schedule</caption><thead><tr><th scope=\"col\">Table</th><th scope=\"col\">Schedule</th><th scope=\"col\">Age</th><th scope=\"col\">Against the schedule</th><th scope=\"col\">State</th></tr></thead><tbody>");
            for (row, fresh) in &rows {
                region.inside("tr", &[], |line| table(line, row, fresh));
            }
            region.fixed("</tbody></table>");
        });
    });
}

fn table(line: &mut Markup, row: &StatusRow, fresh: &Fresh) {
    line.leaf("th", &[("scope", "row")], &row.target);
    let schedule = match (&row.schedule, row.enabled) {
        (None, _) => "–".to_owned(),
        (Some(_), false) => "disabled".to_owned(),
        (Some(schedule), true) => format!("{schedule} {}", row.timezone),
    };
    line.leaf("td", &[], &schedule);
    let old = row.lag_ms.map(|ms| age(ms.unsigned_abs()));
    line.leaf("td", &[], old.as_deref().unwrap_or("–"));
    line.inside("td", &[], |cell| {
        let Some(intervals) = fresh.intervals else { return cell.text("–") };
        cell.inside("svg", &[("role", "img"), ("class", "gauge")], |svg| {
            svg.leaf("title", &[], &format!("{intervals:.1} intervals old"));
            let long = format!("{:.1}%", (intervals / INTERVALS * 100.0).clamp(1.0, 100.0));
            svg.empty("line", &[("x2", &long), ("class", fresh.outcome.class())]);
            svg.fixed("<path d=\"M53 0v14\"/>");
        });
    });
    line.inside("td", &[("class", fresh.outcome.class())], |cell| {
        sign(cell, fresh.outcome);
        cell.text(&fresh.words);
    });
}

fn fresh(row: &StatusRow, page: &Page<'_>) -> Fresh {
    let intervals = match (row.lag_ms, row.interval_ms) {
        (Some(lag), Some(interval)) if interval > 0 => Some(lag as f64 / interval as f64),
        _ => None,
    };
    let at = |slot: &str| minute(slot, &page.zone);
    let (outcome, words) = match (&row.missed_slot, &row.late_since, row.lag_ms) {
        (Some(slot), ..) => (Outcome::Held, format!("missed {}", at(slot))),
        (None, Some(slot), _) => (Outcome::Failed, format!("late since {}", at(slot))),
        (None, None, _) if row.running_since.is_some() => (Outcome::Running, "being loaded".to_owned()),
        (None, None, None) if row.runs.is_empty() => (Outcome::Skipped, "never loaded".to_owned()),
        (None, None, None) => (Outcome::Failed, "never loaded".to_owned()),
        (None, None, Some(_)) if row.next.is_none() => (Outcome::Skipped, "no schedule".to_owned()),
        (None, None, Some(_)) => (Outcome::Good, "on time".to_owned()),
    };
    Fresh { outcome, words, intervals }
}
