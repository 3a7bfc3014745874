//! Layers around a query: WITH source AS (the query), and each layer a readable CTE over the one before it.

use crate::sql;
use crate::sql::{Ident, Sql};

/// A query with layers around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    with: Sql,
    last: Ident,
}

impl Layers {
    /// A query, in parentheses, without any layer around it.
    pub fn over(query: &Sql) -> Layers {
        let last = layer(SOURCE);
        Layers { with: sql!("WITH {last} AS {query}", last, query), last }
    }

    /// The name of the last layer.
    pub fn last(&self) -> &Ident {
        &self.last
    }

    /// Lays one more around them: a query over [`Layers::last`].
    pub fn lay(&mut self, name: Ident, query: &Sql) {
        self.with.push(&sql!(",\n{name} AS (\n{query}\n)", name, query));
        self.last = name;
    }

    /// A statement over any of them, by their names.
    pub fn ask(&self, statement: &Sql) -> Sql {
        sql!("{with}\n{statement}", with = self.with, statement)
    }

    /// A query over rows `q` of the last layer, with what else stands in its FROM.
    pub fn select(&self, list: &Sql, beside: &Sql) -> Sql {
        sql!(
            "{with}\nSELECT {list}\n  FROM {last} AS q{beside}",
            with = self.with,
            list,
            last = self.last,
            beside
        )
    }
}

/// The name of a layer in SQL. It has a blank in it: an expression of the user's that reads a table `source` or `limit`
/// means that table.
pub fn layer(label: &str) -> Ident {
    Ident::new(format!("{label}{ROWS}")).expect("a short name")
}

/// What a layer is called.
pub fn label(layer: &Ident) -> &str {
    layer.as_str().strip_suffix(ROWS).unwrap_or(layer.as_str())
}

const ROWS: &str = " rows";

/// What the query itself is called.
pub const SOURCE: &str = "source";
