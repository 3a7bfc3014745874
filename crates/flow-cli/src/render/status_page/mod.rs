//! The page of `flow status --html`: one file, which nothing from elsewhere belongs to. Pure: what was read goes in,
//! a page comes out; the daemon serves the same.

mod bars;
mod charts;
mod freshness;
mod graph;
mod layers;
mod markup;
mod outcome;
mod overview;
mod runs;
#[cfg(test)]
mod tests;
mod timeline;

use ematix_flow_core::error::FlowError;
use ematix_flow_core::report::Overview;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use markup::Markup;
use outcome::{Outcome, SIGNS};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// What the project is called.
    pub project: String,
    /// Its pipelines and their runs.
    pub overview: &'a Overview,
    /// Which pipeline waits for which, upstream first.
    pub edges: &'a [(String, String)],
    /// What kept a database from answering.
    pub errors: &'a [FlowError],
    /// When that was.
    pub now: Timestamp,
    /// On whose clocks instants are shown.
    pub zone: TimeZone,
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page as text.
pub fn page(page: &Page<'_>) -> String {
    let mut out = Markup::default();
    out.fixed("<!doctype html>\n<html lang=\"en\">");
    head(&mut out, page);
    out.fixed("<body>");
    out.fixed("<a class=\"skip\" href=\"#main\">Skip to the pipelines</a>");
    out.fixed(SIGNS);
    overview::header(&mut out, page);
    out.fixed("<main id=\"main\">");
    unreachable(&mut out, page.errors);
    let told: HashSet<&str> = page.overview.logs.iter().map(|log| log.run.run_id.as_str()).collect();
    overview::pipelines(&mut out, page, &told);
    timeline::timeline(&mut out, page);
    charts::charts(&mut out, page);
    freshness::freshness(&mut out, page);
    graph::graph(&mut out, page);
    runs::runs(&mut out, page);
    out.fixed("</main>");
    out.inside("footer", &[], |footer| {
        footer.text(&format!("ematix-flow {}", env!("CARGO_PKG_VERSION")));
    });
    out.fixed("<script>");
    out.fixed(SCRIPT);
    out.fixed("</script></body></html>\n");
    out.finish()
}

fn head(out: &mut Markup, page: &Page<'_>) {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let looks = page.overview.pipelines.iter().filter(|row| row.needs_a_look()).count();
    let title = match looks {
        0 => format!("{}: all well", page.project),
        looks => format!("{}: {looks} need a look", page.project),
    };
    out.fixed("<head><meta charset=\"utf-8\">");
    out.open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
    out.fixed("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    out.fixed(
        "<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">",
    );
    out.leaf("title", &[], &title);
    out.fixed("<style>");
    out.fixed(STYLE);
    out.fixed("</style></head>");
}

/// A source of the policy: exactly this text may stand inline (CSP level 3, 6.7.2.5).
fn digest(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// A section with its heading, which names it.
fn section(out: &mut Markup, id: &'static str, heading: &str, content: impl FnOnce(&mut Markup)) {
    let named = format!("{id}-h");
    out.inside("section", &[("id", id), ("aria-labelledby", &named)], |section| {
        section.leaf("h2", &[("id", &named)], heading);
        content(section);
    });
}

/// What may be wider than a narrow screen: it moves by itself, by keyboard, too.
fn scrolling(out: &mut Markup, label: &str, content: impl FnOnce(&mut Markup)) {
    let named = [("class", "scroll"), ("role", "region"), ("tabindex", "0"), ("aria-label", label)];
    out.inside("div", &named, content);
}

fn unreachable(out: &mut Markup, errors: &[FlowError]) {
    if errors.is_empty() {
        return;
    }
    section(out, "unreachable", "Databases that did not answer", |section| {
        section.fixed("<ul class=\"errors\">");
        for error in errors {
            section.inside("li", &[], |item| {
                outcome::sign(item, Outcome::Failed);
                item.leaf("code", &[], error.code.name());
                item.text(" ");
                item.name(&error.message);
            });
        }
        section.fixed("</ul>");
    });
}
