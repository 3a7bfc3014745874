//! One pipeline for each table, value or row: what a `for_each` asks of a database, and what it is answered.
//!
//! The answer is a fact like any other: a project is read from its files and the answers, and nothing is asked meanwhile.

use super::glob::{covers, is_glob};
use crate::error::Location;
use crate::sql::Literal;
use indexmap::IndexMap;

/// What one member is made of: names and values.
pub type Row = IndexMap<String, Literal>;

/// What a `for_each` asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The connection that is asked.
    pub connection: String,
    /// The rows of this query; without one the tables that there are.
    pub query: Option<String>,
    /// Where it stands.
    pub place: Option<Location>,
}

/// What a connection answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Tables and views, by schema and name.
    Tables(Vec<Relation>),
    /// The rows of a query.
    Rows(Vec<Row>),
}

/// Answers by the pipeline whose `for_each` asked.
pub type Answers = IndexMap<String, Answer>;

/// A table or a view of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether a glob takes it: a table, partitioned or not; what is a view, a partition or another server's is named.
    pub by_glob: bool,
}

/// A pipeline that is one of many.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The pipeline that declares all of them.
    pub of: String,
    /// What this one is made of.
    pub row: Row,
}

impl Relation {
    fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether a pattern means it.
    fn is_meant(&self, pattern: &str) -> bool {
        match is_glob(pattern) {
            true => self.by_glob && covers(pattern, &self.qualified()),
            false => self.qualified() == pattern,
        }
    }
}

/// The tables that patterns mean as rows, and the patterns that mean nothing.
pub fn chosen(patterns: &[&str], relations: &[Relation]) -> (Vec<Row>, Vec<usize>) {
    let (taken, idle) = meant(patterns, relations);
    let rows = taken.into_iter().map(|relation| {
        let text = |text: &str| Literal::Text(text.to_owned());
        Row::from([("schema".to_owned(), text(&relation.schema)), ("table".to_owned(), text(&relation.name))])
    });
    (rows.collect(), idle)
}

/// The tables that patterns mean, those with `!` left out, and the patterns that mean nothing.
pub fn meant<'r>(patterns: &[&str], relations: &'r [Relation]) -> (Vec<&'r Relation>, Vec<usize>) {
    let mut taken = vec![false; relations.len()];
    let mut idle = Vec::new();
    let negative = |pattern: &&str| pattern.starts_with('!');
    for wanted in [false, true] {
        for (index, pattern) in patterns.iter().enumerate().filter(|(_, each)| negative(each) == wanted) {
            let pattern = pattern.trim_start_matches('!');
            let mut found = false;
            for (relation, taken) in relations.iter().zip(&mut taken) {
                let meant = match wanted {
                    false => relation.is_meant(pattern),
                    true => *taken && covers(pattern, &relation.qualified()),
                };
                found |= meant;
                *taken = if meant { !wanted } else { *taken };
            }
            if !found {
                idle.push(index);
            }
        }
    }
    let taken = relations.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(relation, _)| relation);
    idle.sort_unstable();
    (taken.collect(), idle)
}

/// The glob that covers the name of every member: `mirror_*` of `mirror_{table}`.
pub fn name_glob(name: &str) -> String {
    let (mut out, mut rest) = (String::new(), name);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((_, left)) => {
                out.push('*');
                rest = left;
            }
            None => {
                rest = after;
                break;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether selectors may mean a member of a pipeline that stands for many; where there is none they mean all.
pub fn may_mean(selectors: &[String], many: &str) -> bool {
    let glob = name_glob(many);
    let may = |selector: &String| {
        selector == many || selector.contains(['*', '?', ':', ',', '+']) || covers(&glob, selector)
    };
    selectors.is_empty() || selectors.iter().any(may)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(name: &str, by_glob: bool) -> Relation {
        Relation { schema: "app".to_owned(), name: name.to_owned(), by_glob }
    }

    #[test]
    fn globs_take_tables_and_names_take_anything() {
        let all =
            [relation("a", true), relation("audit_a", true), relation("part", false), relation("v", false)];
        let names = |patterns: &[&str]| {
            let (rows, idle) = chosen(patterns, &all);
            let names: Vec<String> =
                rows.iter().map(|row| super::super::variables::text_of(&row["table"])).collect();
            (names.join(" "), idle)
        };
        assert_eq!(names(&["app.*", "!app.audit_*"]), ("a".to_owned(), vec![]));
        assert_eq!(names(&["!app.audit_*", "app.*", "app.v"]), ("a v".to_owned(), vec![]));
        assert_eq!(names(&["app.x*", "app.a", "!app.v"]), ("a".to_owned(), vec![0, 2]));
        assert_eq!(names(&["app.part"]), ("part".to_owned(), vec![]));
    }

    #[test]
    fn a_name_with_variables_becomes_a_glob() {
        assert_eq!(name_glob("a_{b}_{c}"), "a_*_*");
        assert_eq!(name_glob("plain"), "plain");
    }
}
