//! Which pipeline waits for which, as a picture and as words.

use super::layers::{Boxes, layout};
use super::markup::Markup;
use super::outcome::Outcome;
use super::{Page, scrolling, section};
use crate::render::table::cut;
use indexmap::IndexMap;
use std::collections::HashMap;

const BOXES: Boxes = Boxes { width: 220, height: 34, between: 56, gap: 12 };

/// Room around the picture for lines.
const MARGIN: i32 = 4;

/// How much of a name a box holds.
const NAME_COLUMNS: usize = 26;

/// The section.
pub fn graph(out: &mut Markup, page: &Page<'_>) {
    section(out, "graph", "What waits for what", |section| {
        if page.edges.is_empty() {
            section.fixed("<p class=\"none\">No pipeline waits for another.</p>");
            return;
        }
        let layout = layout(page.edges, BOXES);
        let ended: HashMap<&str, Outcome> = page
            .overview
            .pipelines
            .iter()
            .filter_map(|row| Some((row.name.as_str(), Outcome::of(&row.last_ended()?.status))))
            .collect();
        let (width, height) = (layout.width + 2 * MARGIN, layout.height + 2 * MARGIN);
        let view = format!("{} {} {width} {height}", -MARGIN, -MARGIN);
        let title =
            format!("Graph of {} pipelines and {} dependencies", layout.nodes.len(), layout.edges.len());
        scrolling(section, "Graph of pipelines", |region| {
            let (wide, high) = (width.to_string(), height.to_string());
            let shape =
                [("role", "img"), ("class", "g"), ("viewBox", &view), ("width", &wide), ("height", &high)];
            region.inside("svg", &shape, |svg| {
                svg.leaf("title", &[], &title);
                svg.inside("defs", &[], |defs| {
                    let (wide, high) = (BOXES.width.to_string(), BOXES.height.to_string());
                    defs.empty("rect", &[("id", "box"), ("width", &wide), ("height", &high), ("rx", "8")]);
                });
                svg.inside("g", &[("class", "edges")], |edges| {
                    for points in &layout.edges {
                        edges.empty("path", &[("d", &curve(points))]);
                    }
                });
                for (name, x, y) in &layout.nodes {
                    node(svg, name, (*x, *y), ended.get(name).copied());
                }
            });
        });
        section.inside("details", &[], |words| {
            words.leaf("summary", &[], "In words");
            words.fixed("<ul>");
            for (name, awaited) in waiting(page.edges) {
                words.inside("li", &[], |item| {
                    item.name(name);
                    item.text(" waits for ");
                    for (place, upstream) in awaited.iter().enumerate() {
                        item.text(if place > 0 { ", " } else { "" });
                        item.name(upstream);
                    }
                });
            }
            words.fixed("</ul>");
        });
    });
}

/// Each pipeline that waits, with those for which it does.
fn waiting(edges: &[(String, String)]) -> IndexMap<&str, Vec<&str>> {
    let mut found: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (from, to) in edges {
        found.entry(to).or_default().push(from);
    }
    found
}

fn node(svg: &mut Markup, name: &str, (x, y): (i32, i32), ended: Option<Outcome>) {
    let class = ended.map_or("node", Outcome::class);
    let moved = format!("translate({x} {y})");
    svg.inside("g", &[("transform", &moved), ("class", class)], |group| {
        group.empty("use", &[("href", "#box")]);
        if let Some(outcome) = ended {
            group.empty("use", &[("href", outcome.point()), ("x", "17"), ("y", "7")]);
        }
        let shown = cut(name, NAME_COLUMNS);
        group.inside("text", &[("x", "32"), ("y", "22")], |text| {
            text.text(&shown);
            if shown != name {
                text.leaf("title", &[], name);
            }
        });
    });
}

/// A line through points that leaves and reaches each box from the side.
fn curve(points: &[(i32, i32)]) -> String {
    let mut path = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        match place {
            0 => path.push_str(&format!("M{x} {y}")),
            odd if odd % 2 == 1 => {
                let (from, height) = points[place - 1];
                let middle = (from + x) / 2;
                path.push_str(&format!("C{middle} {height} {middle} {y} {x} {y}"));
            }
            _ => path.push_str(&format!("H{x}")),
        }
    }
    path
}
