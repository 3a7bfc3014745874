//! Which pipelines come after which: the names in `after`, as edges from upstream to downstream. Pure, and linear in
//! pipelines and edges.

mod circles;
mod judged;

pub use judged::{faults, keep_sound};

use crate::declare::ProjectSpec;
use indexmap::IndexSet;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The pipelines of a project in the order in which they can run.
///
/// ```
/// use ematix_flow_core::graph::Graph;
/// let names = ["report", "orders", "customers"].map(str::to_owned);
/// let graph = Graph::new(names, [(1, 0), (2, 0)]);
/// assert_eq!(graph.order().collect::<Vec<_>>(), ["orders", "customers", "report"]);
/// assert_eq!(graph.upstream("report").collect::<Vec<_>>(), ["orders", "customers"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    names: IndexSet<String>,
    /// Of each pipeline those that it comes after, in the order of the files.
    upstream: Vec<Vec<usize>>,
    /// Of each pipeline those that come after it, in the order of the files.
    downstream: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl Graph {
    /// The graph of a project. A name that is none of its pipelines is no edge: [`faults`] tells of it.
    pub fn of(project: &ProjectSpec) -> Graph {
        let edges = judged::edges(project);
        Graph::new(project.pipelines.keys().cloned(), edges)
    }

    /// A graph of names, and of edges from one that comes before to one that comes after, by their places.
    ///
    /// # Panics
    /// Where an edge leads to no name.
    pub fn new(
        names: impl IntoIterator<Item = String>,
        edges: impl IntoIterator<Item = (usize, usize)>,
    ) -> Graph {
        let names: IndexSet<String> = names.into_iter().collect();
        let mut upstream = vec![Vec::new(); names.len()];
        let mut downstream = vec![Vec::new(); names.len()];
        for (before, after) in edges {
            upstream[after].push(before);
            downstream[before].push(after);
        }
        for list in upstream.iter_mut().chain(&mut downstream) {
            list.sort_unstable();
            list.dedup();
        }
        let order = order(&upstream, &downstream);
        Graph { names, upstream, downstream, order }
    }

    /// The pipelines so that each comes after its upstreams; of those that could be next, the first of the files. What
    /// stands in a circle, or behind one, comes last.
    pub fn order(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|place| self.name(*place))
    }

    /// The pipelines that one comes after.
    pub fn upstream(&self, name: &str) -> impl Iterator<Item = &str> {
        self.beside(&self.upstream, name)
    }

    /// The pipelines that come after one.
    pub fn downstream(&self, name: &str) -> impl Iterator<Item = &str> {
        self.beside(&self.downstream, name)
    }

    /// All that lies before some pipelines, themselves among it, in the order of the files.
    pub fn with_all_upstream<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<&str> {
        self.reached(&self.upstream, names)
    }

    /// All that lies behind some pipelines, themselves among it, in the order of the files.
    pub fn with_all_downstream<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<&str> {
        self.reached(&self.downstream, names)
    }

    /// Every edge, from upstream to downstream, in the order of the files.
    pub fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        let of = |(after, all): (usize, &Vec<usize>)| {
            let edges: Vec<(usize, usize)> = all.iter().map(|before| (*before, after)).collect();
            edges
        };
        let edges = self.upstream.iter().enumerate().flat_map(of);
        edges.map(|(before, after)| (self.name(before), self.name(after)))
    }

    /// Some pipelines in their order, each with the places, in that list, of those among them that it waits for: its
    /// upstreams, and what lies behind an upstream that is not among them.
    pub fn waiting(&self, names: &[String]) -> Vec<(String, Vec<usize>)> {
        let mut place_of = vec![None; self.names.len()];
        for name in names {
            if let Some(place) = self.names.get_index_of(name) {
                place_of[place] = Some(usize::MAX);
            }
        }
        let mut waiting: Vec<(String, Vec<usize>)> = Vec::with_capacity(names.len());
        for place in self.order.iter().copied().filter(|place| place_of[*place].is_some()).collect::<Vec<_>>()
        {
            place_of[place] = Some(waiting.len());
            waiting.push((self.name(place).to_owned(), Vec::new()));
        }
        let chosen: Vec<usize> =
            self.order.iter().copied().filter(|place| place_of[*place].is_some()).collect();
        // Who looked at a pipeline last: no list is emptied for each of them.
        let mut seen = vec![usize::MAX; self.names.len()];
        for (own, place) in chosen.into_iter().enumerate() {
            let mut open = self.upstream[place].clone();
            while let Some(before) = open.pop() {
                if std::mem::replace(&mut seen[before], own) == own {
                    continue;
                }
                match place_of[before] {
                    Some(earlier) => waiting[own].1.push(earlier),
                    None => open.extend(&self.upstream[before]),
                }
            }
            waiting[own].1.sort_unstable();
        }
        waiting
    }

    fn name(&self, place: usize) -> &str {
        self.names.get_index(place).expect("places are of names")
    }

    fn beside<'g>(&'g self, sides: &'g [Vec<usize>], name: &str) -> impl Iterator<Item = &'g str> {
        let beside = self.names.get_index_of(name).map_or(&[][..], |place| &sides[place]);
        beside.iter().map(|place| self.name(*place))
    }

    fn reached<'n>(&self, sides: &[Vec<usize>], names: impl IntoIterator<Item = &'n str>) -> Vec<&str> {
        let mut reached = vec![false; self.names.len()];
        let mut open: Vec<usize> =
            names.into_iter().filter_map(|name| self.names.get_index_of(name)).collect();
        while let Some(place) = open.pop() {
            if !std::mem::replace(&mut reached[place], true) {
                open.extend(&sides[place]);
            }
        }
        let names = self.names.iter().zip(reached).filter(|(_, reached)| *reached);
        names.map(|(name, _)| name.as_str()).collect()
    }
}

fn order(upstream: &[Vec<usize>], downstream: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = upstream.iter().map(Vec::len).collect();
    let ready = (0..open.len()).filter(|place| open[*place] == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(Reverse).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(Reverse(place)) = ready.pop() {
        order.push(place);
        for after in &downstream[place] {
            open[*after] -= 1;
            if open[*after] == 0 {
                ready.push(Reverse(*after));
            }
        }
    }
    order.extend((0..open.len()).filter(|place| open[*place] > 0));
    order
}
