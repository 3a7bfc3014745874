//! How long the last runs of each pipeline took, and how many rows they wrote.

use super::bars::{Bar, chart, drawn};
use super::markup::Markup;
use super::outcome::Outcome;
use super::{Page, section};
use crate::render::number::{duration, thousands};
use ematix_flow_core::report::{RunPoint, StatusRow};

/// The section: a card a pipeline that has run.
pub fn charts(out: &mut Markup, page: &Page<'_>) {
    let rows = page.overview.pipelines.iter().enumerate();
    let ran: Vec<(usize, &StatusRow)> = rows.filter(|(_, row)| !row.runs.is_empty()).collect();
    section(out, "charts", "Durations and rows of the last runs", |section| {
        if ran.is_empty() {
            section.fixed("<p class=\"none\">Nothing has run yet.</p>");
            return;
        }
        section.fixed("<div class=\"cards\">");
        for (place, row) in ran {
            section.inside("figure", &[], |figure| card(figure, place, row));
        }
        section.fixed("</div>");
    });
}

fn card(card: &mut Markup, place: usize, row: &StatusRow) {
    card.leaf("figcaption", &[], &row.name);
    let longest = most(&row.runs, |run| run.duration_ms.unwrap_or(0)).map(|ms| duration(ms.unsigned_abs()));
    heading(card, "Took", longest.as_deref());
    chart(card, &format!("Durations of {} runs", row.runs.len()), |svg| {
        svg.empty("use", &[("href", &format!("#took-{place}"))]);
    });
    let written = row.runs.iter();
    let written: Vec<Bar> =
        written.map(|run| Bar { value: run.rows_written(), outcome: Outcome::of(&run.status) }).collect();
    heading(card, "Rows written", most(&row.runs, RunPoint::rows_written).map(thousands).as_deref());
    chart(card, &format!("Rows written by {} runs", row.runs.len()), |svg| {
        svg.inside("g", &[("class", "q")], |inner| drawn(inner, &written, true));
    });
}

fn most(runs: &[RunPoint], value: impl Fn(&RunPoint) -> i64) -> Option<i64> {
    runs.iter().filter(|run| run.status == "success").map(value).max()
}

fn heading(card: &mut Markup, what: &'static str, most: Option<&str>) {
    card.inside("p", &[], |line| {
        line.text(what);
        let most = most.map_or_else(|| "no success".to_owned(), |most| format!("at most {most}"));
        line.leaf("span", &[], &most);
    });
}
