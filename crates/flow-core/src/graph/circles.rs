//! Finds circles: one of each knot of pipelines that wait for each other.

use super::Graph;

impl Graph {
    /// Circles, each in the order in which its pipelines would run, from its first in the files on; one of every set of
    /// pipelines that all lie before and behind each other.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let knots = self.knots();
        let mut told = vec![false; self.names.len()];
        let mut circles = Vec::new();
        for start in 0..self.names.len() {
            let next = |place: usize| {
                self.upstream[place].iter().copied().find(|before| knots[*before] == knots[place])
            };
            if std::mem::replace(&mut told[knots[start]], true) {
                continue;
            }
            let mut path = Vec::new();
            let mut place_in = std::collections::HashMap::new();
            let mut at = Some(start);
            while let Some(place) = at {
                if let Some(first) = place_in.insert(place, path.len()) {
                    circles.push(self.in_words(path.split_off(first)));
                    break;
                }
                path.push(place);
                at = next(place);
            }
        }
        circles
    }

    /// A circle that was walked upstream.
    fn in_words(&self, mut circle: Vec<usize>) -> Vec<&str> {
        circle.reverse();
        let first = (0..circle.len()).min_by_key(|place| circle[*place]).unwrap_or_default();
        circle.rotate_left(first);
        circle.into_iter().map(|place| self.name(place)).collect()
    }

    /// Of each pipeline the place of the first with which it lies in a knot: in a graph without circles itself. By
    /// Kosaraju: <https://doi.org/10.1016/0898-1221(81)90008-0>; without recursion, since a chain may be long.
    fn knots(&self) -> Vec<usize> {
        let mut left = Vec::with_capacity(self.names.len());
        let mut seen = vec![false; self.names.len()];
        for start in 0..self.names.len() {
            let mut path = if std::mem::replace(&mut seen[start], true) { vec![] } else { vec![(start, 0)] };
            while let Some((place, at)) = path.last_mut() {
                let place = *place;
                match self.downstream[place].get(*at) {
                    Some(after) => {
                        *at += 1;
                        if !std::mem::replace(&mut seen[*after], true) {
                            path.push((*after, 0));
                        }
                    }
                    None => {
                        left.push(place);
                        path.pop();
                    }
                }
            }
        }
        let mut knots = vec![usize::MAX; self.names.len()];
        for start in left.into_iter().rev() {
            let mut open = vec![start];
            while let Some(place) = open.pop() {
                if knots[place] == usize::MAX {
                    knots[place] = start;
                    open.extend(&self.upstream[place]);
                }
            }
        }
        knots
    }
}
