//! When each pipeline ran: a line a pipeline, a bar a run as long as it took.

use super::markup::Markup;
use super::outcome::{Outcome, summary};
use super::{Page, section};
use crate::render::number::{duration, instant};
use ematix_flow_core::report::{RunPoint, StatusRow};
use jiff::{SignedDuration, Timestamp, ToSpan, Unit, ZonedRound};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A run that took less is drawn so long, of 4000.
const SHORTEST: f64 = 8.0;

/// Up to so many runs each one says when it was and how long it took.
const TITLED: usize = 400;

/// The stretch of time that is drawn.
struct Window {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// The last day; where nothing ran in it, all that is known.
    fn of(page: &Page<'_>) -> Window {
        let to = page.now;
        let day = to - DAY;
        let starts = page.overview.pipelines.iter().flat_map(|row| &row.runs).filter_map(begun);
        let (mut oldest, mut in_day) = (day, false);
        for start in starts {
            oldest = oldest.min(start);
            in_day |= start >= day;
        }
        Window { from: if in_day { day } else { oldest }, to }
    }

    /// Where an instant lies, in percent of the width.
    fn place(&self, at: Timestamp) -> f64 {
        let whole = self.to.duration_since(self.from).as_secs_f64().max(1.0);
        (at.duration_since(self.from).as_secs_f64() / whole * 100.0).clamp(0.0, 100.0)
    }
}

fn begun(run: &RunPoint) -> Option<Timestamp> {
    run.started_at.parse().ok()
}

/// The section.
pub fn timeline(out: &mut Markup, page: &Page<'_>) {
    let window = Window::of(page);
    let within = |run: &&RunPoint| begun(run).is_some_and(|start| start >= window.from);
    let rows: Vec<(&StatusRow, Vec<&RunPoint>)> = page
        .overview
        .pipelines
        .iter()
        .map(|row| (row, row.runs.iter().filter(within).collect()))
        .filter(|(_, runs): &(_, Vec<_>)| !runs.is_empty())
        .collect();
    let heading = if window.to.duration_since(window.from) == DAY { "The last 24 hours" } else { "Timeline" };
    section(out, "timeline", heading, |section| {
        if rows.is_empty() {
            section.fixed("<p class=\"none\">Nothing has run yet.</p>");
            return;
        }
        legend(section);
        let titled = rows.iter().map(|(_, runs)| runs.len()).sum::<usize>() <= TITLED;
        axis(section, page, &window);
        section.fixed("<ol class=\"lines\">");
        for (row, runs) in &rows {
            section.inside("li", &[], |line| {
                line.leaf("span", &[("class", "who")], &row.name);
                let title = summary(runs.iter().map(|run| run.status.as_str()));
                line.inside("svg", &[("role", "img")], |svg| {
                    svg.leaf("title", &[], &title);
                    drawn(svg, page, &window, runs, titled);
                });
            });
        }
        section.fixed("</ol>");
        let silent = page.overview.pipelines.len() - rows.len();
        if silent > 0 {
            let words = if silent == 1 { "pipeline has" } else { "pipelines have" };
            section.leaf("p", &[("class", "none")], &format!("{silent} other {words} not run in this time."));
        }
    });
}

fn legend(out: &mut Markup) {
    out.fixed("<ul class=\"legend\" aria-label=\"Signs\">");
    for outcome in Outcome::ALL {
        out.inside("li", &[], |item| {
            super::outcome::sign(item, outcome);
            item.text(outcome.words());
        });
    }
    out.fixed("</ul>");
}

/// Round hours, or days where the window is long.
fn axis(out: &mut Markup, page: &Page<'_>, window: &Window) {
    let hours = window.to.duration_since(window.from).as_hours();
    let (step, form) = match hours {
        ..=48 => (4, "%H:%M"),
        49..=336 => (24, "%m-%d"),
        more => ((more / 6 / 24 * 24).max(24), "%m-%d"),
    };
    let mut at = window.from.to_zoned(page.zone.clone());
    let whole = ZonedRound::new().smallest(Unit::Day).mode(jiff::RoundMode::Trunc);
    at = at.round(whole).unwrap_or(at);
    out.fixed("<div class=\"axis\"><span></span>");
    out.open("svg", &[("width", "100%"), ("height", "16"), ("aria-hidden", "true")]);
    // A window has few steps; a calendar that ends is none of ours.
    for _ in 0..64 {
        let instant = at.timestamp();
        if instant > window.to {
            break;
        }
        let place = window.place(instant);
        if instant >= window.from && place < 96.0 {
            let words = at.strftime(form).to_string();
            out.leaf("text", &[("x", &format!("{place:.1}%")), ("y", "12")], &words);
        }
        let Ok(next) = at.checked_add(step.hours()) else { break };
        at = next;
    }
    out.close("svg");
    out.close("div");
}

/// Strokes as long as runs took; what did not go well has its sign, too.
fn drawn(svg: &mut Markup, page: &Page<'_>, window: &Window, runs: &[&RunPoint], titled: bool) {
    let of = |outcome| runs.iter().filter(move |run| Outcome::of(&run.status) == outcome);
    let stretched = [("viewBox", "0 -10 4000 20"), ("preserveAspectRatio", "none")];
    svg.inside("svg", &stretched, |strokes| {
        for outcome in Outcome::ALL {
            let all: Vec<(String, &RunPoint)> =
                of(outcome).filter_map(|run| Some((stroke(page, window, run)?, *run))).collect();
            if titled {
                for (path, run) in &all {
                    strokes.inside("path", &[("class", outcome.class()), ("d", path)], |stroke| {
                        stroke.leaf("title", &[], &told(run, page));
                    });
                }
            } else if !all.is_empty() {
                let path: String = all.iter().map(|(path, _)| path.as_str()).collect();
                strokes.empty("path", &[("class", outcome.class()), ("d", &path)]);
            }
        }
    });
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Good) {
        for run in of(outcome) {
            let Some(start) = begun(run) else { continue };
            let left = format!("{:.1}%", window.place(start));
            let place = [("href", outcome.point()), ("x", left.as_str())];
            match titled {
                true => svg.inside("use", &place, |sign| sign.leaf("title", &[], &told(run, page))),
                false => svg.empty("use", &place),
            }
        }
    }
}

fn stroke(page: &Page<'_>, window: &Window, run: &RunPoint) -> Option<String> {
    let start = begun(run)?;
    let took = run.duration_ms.map(SignedDuration::from_millis);
    let end = took.map_or(page.now, |took| start.checked_add(took).unwrap_or(page.now));
    let from = window.place(start) * 40.0;
    let long = (window.place(end) * 40.0 - from).max(SHORTEST);
    Some(format!("M{from:.0} 0h{long:.0}"))
}

fn told(run: &RunPoint, page: &Page<'_>) -> String {
    let took = run.duration_ms.map(|ms| format!(", {}", duration(ms.unsigned_abs()))).unwrap_or_default();
    let code = run.error_code.as_deref().map(|code| format!(", {code}")).unwrap_or_default();
    format!("{} {}{took}{code}", instant(&run.started_at, &page.zone), run.status)
}
