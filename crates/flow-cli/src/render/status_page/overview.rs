//! The head of the page and the table of pipelines.

use super::bars::{Bar, chart, drawn};
use super::markup::Markup;
use super::outcome::{Outcome, sign, summary};
use super::{Page, scrolling, section};
use crate::render::number::{age, duration, instant, minute, thousands};
use ematix_flow_core::report::{RunPoint, StatusRow};
use std::collections::HashSet;

/// When, for which project, and how it stands in five numbers.
pub fn header(out: &mut Markup, page: &Page<'_>) {
    let rows = &page.overview.pipelines;
    let now = page.now.to_string();
    out.fixed("<header><div class=\"top\"><div>");
    out.inside("h1", &[], |heading| heading.name(&page.project));
    out.inside("p", &[("class", "when")], |line| {
        line.text("Pipelines as of ");
        let zone = page.now.to_zoned(page.zone.clone()).strftime("%Z").to_string();
        line.leaf("time", &[("datetime", &now)], &format!("{} {zone}", instant(&now, &page.zone)));
    });
    out.fixed("</div>");
    let looks = rows.iter().filter(|row| row.needs_a_look()).count();
    let verdict = match looks {
        0 => ("verdict s", "all well".to_owned()),
        1 => ("verdict f", "1 needs a look".to_owned()),
        looks => ("verdict f", format!("{looks} need a look")),
    };
    out.inside("p", &[("class", verdict.0)], |line| {
        sign(line, if looks == 0 { Outcome::Good } else { Outcome::Failed });
        line.text(&verdict.1);
    });
    out.fixed("</div>");
    let of = |outcome| {
        rows.iter()
            .filter(|row| row.last_ended().is_some_and(|run| Outcome::of(&run.status) == outcome))
            .count()
    };
    let running = rows.iter().filter(|row| row.running_since.is_some()).count();
    let missed = rows.iter().filter(|row| row.missed_slot.is_some()).count();
    let tiles = [
        ("pipelines", rows.len(), ""),
        ("last run succeeded", of(Outcome::Good), "s"),
        ("last run failed or was held", of(Outcome::Failed) + of(Outcome::Held), "f"),
        ("missed their slot", missed, "w"),
        ("running now", running, "r"),
    ];
    out.fixed("<dl class=\"tiles\">");
    for (words, count, class) in tiles {
        let class = if count == 0 { "" } else { class };
        out.inside("div", &[], |tile| {
            tile.leaf("dt", &[], words);
            tile.leaf("dd", &[("class", class)], &thousands(count as i64));
        });
    }
    out.fixed("</dl><nav aria-label=\"Sections\"><ul>");
    let sections = [
        ("#pipelines", "Pipelines"),
        ("#timeline", "Timeline"),
        ("#charts", "Durations and rows"),
        ("#freshness", "Freshness"),
        ("#graph", "Graph"),
        ("#runs", "Runs"),
    ];
    for (to, words) in sections {
        out.inside("li", &[], |item| item.leaf("a", &[("href", to)], words));
    }
    out.fixed("</ul></nav></header>");
}

/// A row a pipeline.
pub fn pipelines(out: &mut Markup, page: &Page<'_>, told: &HashSet<&str>) {
    section(out, "pipelines", "Pipelines", |section| {
        if page.overview.pipelines.is_empty() {
            section.fixed("<p class=\"none\">No pipelines are declared.</p>");
            return;
        }
        scrolling(section, "Table of pipelines", |region| {
            region.fixed("<table class=\"pipelines\"><caption class=\"hidden\">Each pipeline with its last run, its lag and its next slot</caption><thead><tr>");
            let heads = [
                "Pipeline",
                "Last run",
                "Took",
                "Rows read",
                "Written",
                "Last success",
                "Next slot",
                "Last runs",
            ];
            for head in heads {
                region.leaf("th", &[("scope", "col")], head);
            }
            region.fixed("</tr></thead><tbody>");
            for (place, row) in page.overview.pipelines.iter().enumerate() {
                region.inside("tr", &[], |line| pipeline(line, page, (place, row), told));
            }
            region.fixed("</tbody></table>");
        });
    });
}

fn pipeline(line: &mut Markup, page: &Page<'_>, (place, row): (usize, &StatusRow), told: &HashSet<&str>) {
    line.inside("th", &[("scope", "row")], |cell| {
        cell.leaf("div", &[], &row.name);
        cell.inside("small", &[], |below| {
            below.text(row.mode.as_deref().unwrap_or("no mode"));
            below.text(" → ");
            below.name(&row.target);
        });
    });
    let last = row.last_ended();
    line.inside("td", &[], |cell| {
        match last {
            Some(run) => ended(cell, page, &row.name, run, told),
            None => cell.text("never ran"),
        }
        if let Some(since) = &row.running_since {
            cell.inside("small", &[], |below| {
                sign(below, Outcome::Running);
                below.text(&format!("running since {}", minute(since, &page.zone)));
            });
        }
    });
    let counted = last.filter(|run| run.status == "success");
    let shown = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    number(line, &shown(last.and_then(|run| run.duration_ms).map(|ms| duration(ms.unsigned_abs()))));
    number(line, &shown(counted.and_then(|run| run.rows_in).map(thousands)));
    number(line, &shown(counted.map(|run| thousands(run.rows_written()))));
    number(line, &shown(row.lag_ms.map(|ms| format!("{} ago", age(ms.unsigned_abs())))));
    line.inside("td", &[], |cell| {
        match (&row.next, &row.schedule) {
            _ if row.paused.is_some() => cell.text("paused"),
            (Some(next), _) => cell.text(&minute(next, &page.zone)),
            (None, Some(_)) if !row.enabled => cell.text("disabled"),
            _ => cell.text("no schedule"),
        }
        if let Some(pause) = &row.paused {
            cell.inside("small", &[("class", "w")], |below| {
                sign(below, Outcome::Held);
                let why = pause.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                below.text(&format!("since {} by {}{why}", minute(&pause.since, &page.zone), pause.by));
            });
        }
        if let Some(slot) = &row.missed_slot {
            cell.inside("small", &[("class", "w")], |below| {
                sign(below, Outcome::Held);
                below.text(&format!("missed {}", minute(slot, &page.zone)));
            });
        }
    });
    line.inside("td", &[], |cell| {
        if row.runs.is_empty() {
            cell.text("–");
        } else {
            let bars: Vec<Bar> = row.runs.iter().map(took).collect();
            let title = format!("Last runs: {}", summary(row.runs.iter().map(|run| run.status.as_str())));
            // Drawn once: its card shows it larger.
            chart(cell, &title, |svg| {
                let own = format!("took-{place}");
                svg.inside("g", &[("id", &own), ("class", "q")], |inner| drawn(inner, &bars, false));
            });
        }
    });
}

fn number(line: &mut Markup, text: &str) {
    line.leaf("td", &[], text);
}

fn ended(cell: &mut Markup, page: &Page<'_>, name: &str, run: &RunPoint, told: &HashSet<&str>) {
    let outcome = Outcome::of(&run.status);
    cell.inside("span", &[("class", &format!("o {}", outcome.class()))], |words| {
        sign(words, outcome);
        if told.contains(run.run_id.as_str()) {
            let (to, label) = (format!("#run-{}", run.run_id), format!("{}: last run of {name}", run.status));
            words.leaf("a", &[("href", &to), ("aria-label", &label)], &run.status);
        } else {
            words.text(&run.status);
        }
    });
    cell.inside("small", &[], |below| {
        below.text(&minute(&run.started_at, &page.zone));
        if let Some(code) = &run.error_code {
            below.text(" ");
            below.leaf("code", &[], code);
        }
    });
}

/// How long a run took, as a bar.
pub fn took(run: &RunPoint) -> Bar {
    Bar { value: run.duration_ms.unwrap_or(0), outcome: Outcome::of(&run.status) }
}
