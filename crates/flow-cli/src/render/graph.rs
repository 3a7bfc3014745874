//! Which pipelines come after which: as a tree, as a flowchart of Mermaid, and for Graphviz.

use super::style::{FAINT, STRONG, paint};
use super::table::Table;
use serde::Serialize;

/// A pipeline of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The name.
    pub name: String,
    /// The load strategy.
    pub mode: Option<String>,
    /// The cron line, or the interval as `every 15m`.
    pub schedule: Option<String>,
    /// The zone of the schedule.
    pub timezone: String,
    /// How long ago its upstreams may have succeeded.
    pub freshness: Option<String>,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// Whether its schedule fires.
    pub enabled: bool,
}

impl Node {
    fn schedule(&self) -> Option<String> {
        let schedule = self.schedule.as_ref()?;
        Some(if self.enabled { schedule.clone() } else { format!("{schedule}, disabled") })
    }

    /// `scd2 · 0 * * * *`.
    fn remark(&self) -> String {
        self.mode.clone().into_iter().chain(self.schedule()).collect::<Vec<_>>().join(" · ")
    }
}

/// The signs before a name, from which on a tree begins anew at the left.
const WIDEST: usize = 90;

/// An edge: the places of upstream and downstream.
type Edge = (usize, usize);

/// Below each pipeline what comes after it. What comes after several stands in full below the first of them.
pub fn tree(nodes: &[Node], edges: &[Edge]) -> String {
    if nodes.is_empty() {
        return "no pipelines are declared\n".to_owned();
    }
    let mut below = vec![Vec::new(); nodes.len()];
    let mut is_root = vec![true; nodes.len()];
    for (from, to) in edges {
        below[*from].push(*to);
        is_root[*to] = false;
    }
    let mut table = Table::new(&["NAME", "MODE", "SCHEDULE"]);
    let mut shown = vec![false; nodes.len()];
    // Without recursion: a chain may be long.
    let roots = (0..nodes.len()).filter(|place| is_root[*place]).rev();
    let mut open: Vec<(usize, String, String)> =
        roots.map(|place| (place, String::new(), String::new())).collect();
    while let Some((place, own, inner)) = open.pop() {
        let node = &nodes[place];
        if std::mem::replace(&mut shown[place], true) {
            let again = format!("{own}{}", paint(FAINT, format_args!("{} (above)", node.name)));
            table.row([again, String::new(), String::new()]);
            continue;
        }
        let dash = || "–".to_owned();
        table.row([
            format!("{own}{}", paint(STRONG, &node.name)),
            node.mode.clone().unwrap_or_else(dash),
            node.schedule().unwrap_or_else(dash),
        ]);
        // A chain of thousands is no wider than a page.
        let inner = if inner.chars().count() < WIDEST { inner } else { "… ".to_owned() };
        for (number, after) in below[place].iter().rev().enumerate() {
            let (branch, stem) = if number == 0 { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            open.push((*after, format!("{inner}{branch}"), format!("{inner}{stem}")));
        }
    }
    table.render()
}

/// A flowchart: <https://mermaid.js.org/syntax/flowchart.html>.
pub fn mermaid(nodes: &[Node], edges: &[Edge]) -> String {
    // A sign of the syntax is written by its number: "Entity codes to escape characters".
    let plain = |text: &str| -> String {
        let sign = |sign: char| match sign {
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | ';' | '*' | '_' => format!("#{};", u32::from(sign)),
            sign if sign.is_control() => format!("#{};", u32::from(sign)),
            sign => sign.to_string(),
        };
        text.chars().map(sign).collect()
    };
    let mut text = "flowchart LR\n".to_owned();
    for (place, node) in nodes.iter().enumerate() {
        let remark = match node.remark() {
            remark if remark.is_empty() => remark,
            remark => format!("<br/>{}", plain(&remark)),
        };
        text.push_str(&format!("  p{place}[\"{}{remark}\"]\n", plain(&node.name)));
    }
    for (from, to) in edges {
        text.push_str(&format!("  p{from} --> p{to}\n"));
    }
    text
}

/// A digraph: <https://graphviz.org/doc/info/lang.html>.
pub fn dot(nodes: &[Node], edges: &[Edge]) -> String {
    // A label is an escString, in which `&` begins an entity besides.
    let plain = |text: &str| -> String {
        let sign = |sign: char| match sign {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '&' => "&amp;".to_owned(),
            '\n' => "\\n".to_owned(),
            sign => sign.to_string(),
        };
        text.chars().map(sign).collect()
    };
    let mut text = "digraph pipelines {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for (place, node) in nodes.iter().enumerate() {
        let remark = match node.remark() {
            remark if remark.is_empty() => remark,
            remark => format!("\\n{}", plain(&remark)),
        };
        let style = if node.enabled { "" } else { ", style=dashed" };
        text.push_str(&format!("  p{place} [label=\"{}{remark}\"{style}];\n", plain(&node.name)));
    }
    for (from, to) in edges {
        text.push_str(&format!("  p{from} -> p{to};\n"));
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;

    fn nodes() -> Vec<Node> {
        let node = |name: &str, schedule: Option<&str>, enabled| Node {
            name: name.into(),
            mode: Some("merge".into()),
            schedule: schedule.map(str::to_owned),
            timezone: "UTC".into(),
            freshness: None,
            tags: Vec::new(),
            enabled,
        };
        vec![
            node("orders", Some("every 15m"), true),
            node("customers", Some("0 * * * *"), true),
            node("order \"facts\"", None, true),
            node("report", Some("0 8 * * *"), false),
            node("alone", None, true),
        ]
    }

    const EDGES: &[Edge] = &[(0, 2), (1, 2), (0, 3), (2, 3)];

    #[test]
    fn a_tree_shows_each_pipeline_once_in_full() {
        assert_eq!(
            plain(&tree(&nodes(), EDGES)),
            "\
NAME                      MODE   SCHEDULE
orders                    merge  every 15m
├─ order \"facts\"          merge  –
│  └─ report              merge  0 8 * * *, disabled
└─ report (above)
customers                 merge  0 * * * *
└─ order \"facts\" (above)
alone                     merge  –
"
        );
    }

    #[test]
    fn a_long_chain_begins_anew_at_the_left() {
        let node = |place: usize| Node { name: format!("p{place}"), ..nodes()[0].clone() };
        let chain: Vec<Node> = (0..2_000).map(node).collect();
        let edges: Vec<Edge> = (1..2_000).map(|place| (place - 1, place)).collect();
        let text = plain(&tree(&chain, &edges));
        assert_eq!(text.lines().count(), 2_001);
        assert!(text.lines().all(|line| line.chars().count() < 130));
        assert!(text.lines().nth(32).unwrap().starts_with("… └─ p31"), "{text}");
    }

    #[test]
    fn a_flowchart_and_a_digraph_hold_names_of_any_signs() {
        assert_eq!(
            mermaid(&nodes()[..3], &EDGES[..2]),
            "\
flowchart LR
  p0[\"orders<br/>merge · every 15m\"]
  p1[\"customers<br/>merge · 0 #42; #42; #42; #42;\"]
  p2[\"order #34;facts#34;<br/>merge\"]
  p0 --> p2
  p1 --> p2
"
        );
        assert_eq!(
            dot(&nodes()[2..4], &[(0, 1)]),
            "\
digraph pipelines {
  rankdir=LR;
  node [shape=box];
  p0 [label=\"order \\\"facts\\\"\\nmerge\"];
  p1 [label=\"report\\nmerge · 0 8 * * *, disabled\", style=dashed];
  p0 -> p1;
}
"
        );
    }
}
