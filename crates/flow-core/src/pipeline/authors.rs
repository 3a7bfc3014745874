//! The markers and helpers of a pipeline, each with a query that says as little as there can be beside it: whoever sends
//! them one after the other knows which one a server refuses.

use super::Pipeline;
use super::prepared::{Prepared, declared};
use crate::dialect::Dialect;
use crate::error::Location;
use crate::facts::SourceFacts;
use crate::markers::Cleaning;
use crate::sql;
use crate::sql::{Ident, Sql};

/// A marker or a helper.
#[derive(Clone, Debug)]
pub struct Author {
    /// What it is called: ``` `derive` of column `price` ```.
    pub what: String,
    /// Where it is written.
    pub place: Option<Location>,
    /// What computes it for every row, and all that it stands upon.
    pub alone: Sql,
}

/// Those of a pipeline, in the order in which they are laid around its query; as far as the source is known.
pub fn of_layers(pipeline: &Pipeline, source: &SourceFacts, dialect: &dyn Dialect) -> Vec<Author> {
    let query = Sql::user(pipeline.source.query.text());
    let count = dialect.function("count");
    let table = declared(&pipeline.target);
    let mut authors = Vec::new();
    for (name, chain) in table.iter().flat_map(|table| &table.cleaning) {
        let declared = &table.and_then(|table| table.column(name)).expect("it is declared").data_type;
        for (index, marker) in chain.names().enumerate() {
            let first = chain.first(index + 1);
            let one = std::iter::once((name, declared, &first));
            let Ok(Some(cleaning)) = Cleaning::around(one, &source.raw(), &[], false, dialect) else {
                continue;
            };
            let alone = sql!(
                "SELECT {count}(l.{name}) FROM (\n{cleaned}\n) AS l",
                count,
                name,
                cleaned = cleaning.types_of(&query)
            );
            let what = format!("`{marker}` of column `{name}`");
            authors.push(Author { what, place: chain.place(index).cloned(), alone });
        }
    }
    // Of the rows behind each helper the server was asked, until it refused.
    for known in 1..=pipeline.helpers.len().min(source.helped.len() + 1) {
        let steps = &pipeline.helpers[..known];
        let prepared = Prepared::of(pipeline, table, steps, source, false, dialect);
        let Some(rows) = prepared.ok().and_then(|prepared| prepared.types_of(&query)) else { continue };
        let step = &steps[known - 1];
        let (alone, all) = (Ident::fixed("l"), count.clone());
        let alone = sql!("SELECT {all}({alone}.*) FROM (\n{rows}\n) AS {alone}", all, alone, rows);
        authors.push(Author { what: format!("`{}`", step.helper.name()), place: step.place.clone(), alone });
    }
    authors
}
