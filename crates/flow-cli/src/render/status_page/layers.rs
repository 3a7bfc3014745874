//! Where the pipelines of a graph stand: in layers from left to right, each after all that it waits for, in an order
//! within a layer in which few edges cross (Sugiyama, Tagawa and Toda 1981: barycentres, a few sweeps). Pure, over
//! names and edges.

use std::collections::BTreeMap;

/// How wide and high a pipeline is drawn, and what is left free around it.
#[derive(Clone, Copy, Debug)]
pub struct Boxes {
    /// From left to right.
    pub width: i32,
    /// From top to bottom.
    pub height: i32,
    /// Between two layers.
    pub between: i32,
    /// Between two pipelines of a layer.
    pub gap: i32,
}

/// A graph that has its places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout<'a> {
    /// The whole width.
    pub width: i32,
    /// The whole height.
    pub height: i32,
    /// Each pipeline with the left upper corner of its box.
    pub nodes: Vec<(&'a str, i32, i32)>,
    /// Each edge as the points that it passes, from the right side of a box to the left side of another.
    pub edges: Vec<Vec<(i32, i32)>>,
}

/// How often the layers are put in order after their neighbours; the last time after what they wait for, so that a
/// tree has no crossing.
const SWEEPS: usize = 7;

/// Finds the places. What an edge of a circle says is left out: there is none among declared pipelines.
pub fn layout(edges: &[(String, String)], boxes: Boxes) -> Layout<'_> {
    let mut names: Vec<&str> = Vec::new();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    let mut arcs: Vec<(usize, usize)> = Vec::new();
    for (from, to) in edges {
        let ends = [from, to].map(|name| {
            *index.entry(name.as_str()).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            })
        });
        arcs.push((ends[0], ends[1]));
    }
    let layer_of = layers(names.len(), &mut arcs);
    let mut graph = Layered::new(&layer_of, &arcs);
    graph.order();
    graph.placed(&names, boxes)
}

/// Of each node the length of the longest way to it; arcs that close a circle are taken out.
fn layers(count: usize, arcs: &mut Vec<(usize, usize)>) -> Vec<usize> {
    let mut layer = vec![0; count];
    let mut waits = vec![0_usize; count];
    let mut downstream = vec![Vec::new(); count];
    for (from, to) in arcs.iter() {
        waits[*to] += 1;
        downstream[*from].push(*to);
    }
    let mut ready: Vec<usize> = (0..count).filter(|node| waits[*node] == 0).collect();
    let mut done = vec![false; count];
    while let Some(node) = ready.pop() {
        done[node] = true;
        for to in &downstream[node] {
            layer[*to] = layer[*to].max(layer[node] + 1);
            waits[*to] -= 1;
            if waits[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    arcs.retain(|(from, to)| done[*from] && done[*to]);
    layer
}

/// Nodes in layers, with a stand-in in every layer that an edge passes.
struct Layered {
    layers: Vec<Vec<usize>>,
    /// From a layer to the next.
    arcs: Vec<(usize, usize)>,
    /// The nodes that each edge passes.
    ways: Vec<Vec<usize>>,
    /// How many are no stand-ins.
    real: usize,
}

impl Layered {
    fn new(layer_of: &[usize], arcs: &[(usize, usize)]) -> Layered {
        let mut layers = vec![Vec::new(); layer_of.iter().max().map_or(0, |last| last + 1)];
        for (node, layer) in layer_of.iter().enumerate() {
            layers[*layer].push(node);
        }
        let real = layer_of.len();
        let mut graph = Layered { layers, arcs: Vec::new(), ways: Vec::new(), real };
        let mut next = real;
        for (from, to) in arcs {
            let mut way = vec![*from];
            for layer in graph.layers.iter_mut().take(layer_of[*to]).skip(layer_of[*from] + 1) {
                layer.push(next);
                way.push(next);
                next += 1;
            }
            way.push(*to);
            graph.arcs.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
            graph.ways.push(way);
        }
        graph
    }

    /// Where each node stands in its layer, from 0 to 1.
    fn positions(&self, count: usize) -> Vec<f64> {
        let mut places = vec![0.0; count];
        for layer in &self.layers {
            for (place, node) in layer.iter().enumerate() {
                places[*node] = (place as f64 + 0.5) / layer.len() as f64;
            }
        }
        places
    }

    /// Puts each layer in the order of the middle of its neighbours, down and up.
    fn order(&mut self) {
        let count = self.layers.iter().map(Vec::len).sum();
        let (mut above, mut below) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        for (from, to) in &self.arcs {
            above[*to].push(*from);
            below[*from].push(*to);
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            let neighbours: &[Vec<usize>] = if down { &above } else { &below };
            let last = self.layers.len();
            for step in 1..last {
                let at = if down { step } else { last - 1 - step };
                let places = self.positions(count);
                let middle = |node: usize| match neighbours[node].as_slice() {
                    [] => places[node],
                    all => all.iter().map(|other| places[*other]).sum::<f64>() / all.len() as f64,
                };
                let mut keyed: Vec<(f64, usize)> =
                    self.layers[at].iter().map(|node| (middle(*node), *node)).collect();
                // What has the same middle stays in its order.
                keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
                self.layers[at] = keyed.into_iter().map(|(_, node)| node).collect();
            }
        }
    }

    fn placed<'a>(&self, names: &[&'a str], boxes: Boxes) -> Layout<'a> {
        let row = boxes.height + boxes.gap;
        let column = boxes.width + boxes.between;
        let highest = self.layers.iter().map(Vec::len).max().unwrap_or(0) as i32;
        let mut at: BTreeMap<usize, (i32, i32)> = BTreeMap::new();
        for (number, layer) in (0..).zip(&self.layers) {
            let above = (highest - layer.len() as i32) * row / 2;
            for (place, node) in (0..).zip(layer) {
                at.insert(*node, (number * column, above + place * row));
            }
        }
        let middle = |y: i32| y + boxes.height / 2;
        let edges = self.ways.iter().map(|way| {
            let mut points = Vec::new();
            for (place, node) in way.iter().enumerate() {
                let (x, y) = at[node];
                if place > 0 {
                    points.push((x, middle(y)));
                }
                if place + 1 < way.len() {
                    points.push((x + boxes.width, middle(y)));
                }
            }
            points
        });
        let nodes = names.iter().enumerate().map(|(node, name)| (*name, at[&node].0, at[&node].1));
        debug_assert_eq!(names.len(), self.real, "stand-ins have no names");
        Layout {
            width: (self.layers.len() as i32 * column - boxes.between).max(0),
            height: (highest * row - boxes.gap).max(0),
            nodes: nodes.collect(),
            edges: edges.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXES: Boxes = Boxes { width: 100, height: 30, between: 50, gap: 10 };

    fn edges(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    #[test]
    fn each_stands_after_all_that_it_waits_for_and_edges_do_not_run_through_boxes() {
        let edges = edges(&[("a", "b"), ("b", "c"), ("a", "c")]);
        let found = layout(&edges, BOXES);
        assert_eq!(found.nodes, [("a", 0, 20), ("b", 150, 0), ("c", 300, 20)]);
        assert_eq!((found.width, found.height), (400, 70));
        assert_eq!(
            found.edges,
            [
                vec![(100, 35), (150, 15)],
                vec![(250, 15), (300, 35)],
                vec![(100, 35), (150, 55), (250, 55), (300, 35)],
            ]
        );
    }

    #[test]
    fn edges_that_need_not_cross_do_not() {
        let edges = edges(&[("a", "x"), ("b", "y"), ("c", "z"), ("c", "x2"), ("a", "z2")]);
        let found = layout(&edges, BOXES);
        let mut ends: Vec<(i32, i32)> =
            found.edges.iter().map(|points| (points[0].1, points[points.len() - 1].1)).collect();
        ends.sort_unstable();
        assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{ends:?}");
    }

    #[test]
    fn a_tree_has_no_crossing() {
        let name = |number: usize| format!("p{number}");
        let edges: Vec<(String, String)> = (1..100).map(|number| (name(number / 3), name(number))).collect();
        let found = layout(&edges, BOXES);
        let crossing = |one: &Vec<(i32, i32)>, other: &Vec<(i32, i32)>| {
            one[0].0 == other[0].0 && (one[0].1 - other[0].1).signum() * (one[1].1 - other[1].1).signum() < 0
        };
        let pairs = found.edges.iter().flat_map(|one| found.edges.iter().map(move |other| (one, other)));
        assert_eq!(pairs.filter(|(one, other)| crossing(one, other)).count(), 0);
    }

    #[test]
    fn nothing_and_a_circle_have_a_layout() {
        assert_eq!(layout(&[], BOXES), Layout::default());
        let circle = edges(&[("a", "b"), ("b", "a"), ("c", "d")]);
        assert_eq!(layout(&circle, BOXES).edges.len(), 1);
    }
}
