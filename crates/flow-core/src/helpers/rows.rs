//! Rows on their way through the helpers: what each may name of them, and what it makes of them.

use crate::dialect::Dialect;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::markers::{Family, Raw};
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;

/// Rows `q` as they reach a helper.
pub struct Rows<'a> {
    /// The words of the database that reads them.
    pub dialect: &'a dyn Dialect,
    /// The layer that they come from.
    pub from: &'a Ident,
    /// Their columns, those among them that a `select` has taken out of sight.
    pub columns: &'a [Raw<'a>],
    /// The columns that are in sight.
    pub shown: &'a [Ident],
    /// The columns that only the load needs.
    pub hidden: &'a [Ident],
    /// The keys by which the pipeline knows its rows, where they are known.
    pub keys: &'a [Ident],
    /// The place of the helper among all, for names of its own.
    pub number: usize,
}

/// What a helper makes of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The query over them.
    pub query: Sql,
    /// The columns that are in sight behind it.
    pub shown: Vec<Ident>,
    /// The columns that are new.
    pub added: Vec<Ident>,
    /// How many rows were dropped beside each, where that is counted.
    pub dropped: Option<Ident>,
}

impl Rows<'_> {
    /// The column of that name, which `helper` wants.
    ///
    /// # Errors
    /// `unknown_column`, with the nearest name.
    pub fn column(&self, helper: &str, name: &Ident) -> Result<&TypeFacts> {
        let mut found = self.columns.iter().filter(|column| column.name == name.as_str());
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column.data_type),
            (Some(_), Some(_)) => Err(FlowError::new(
                ErrorCode::UnknownColumn,
                format!(
                    "`{helper}` names `{name}`, and the rows that reach it have two columns of that name"
                ),
            )
            .hint("give one of them another name in the query")),
            (None, _) => {
                let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
                let error = FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!("`{helper}` names the column `{name}`, which the rows that reach it do not have"),
                )
                .detail(format!("they have: {}", names.join(", ")));
                Err(match did_you_mean(name.as_str(), names) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("add it to the source's query"),
                })
            }
        }
    }

    /// Every column as it stands in ORDER BY where any order will do that is always the same. Values that are equal and
    /// not the same are told apart: 1.0 and 1.00, texts that a collation takes for one.
    pub fn in_any_order(&self) -> impl Iterator<Item = Sql> {
        let once = |name: &str| self.columns.iter().filter(|column| column.name == name).count() == 1;
        self.columns.iter().filter(move |column| once(column.name)).filter_map(move |column| {
            let name = Ident::new(column.name).ok()?;
            let value = sql!("q.{name}", name);
            use Family::{Boolean, Date, Integer, Numeric, Text, Time, Timestamp, TimestampTz};
            Some(match Family::of(column.data_type) {
                Boolean | Date | Integer | Time | Timestamp | TimestampTz => value,
                // No further text in the rows that are sorted.
                Text if column.data_type.deterministic => value,
                Numeric => {
                    sql!("{value}, {scale}({value})", value, scale = self.dialect.function("scale"))
                }
                _ => self.dialect.by_bytes(&self.dialect.plain_text(column.data_type, &value)),
            })
        })
    }

    /// Whether they have a column of that name.
    pub fn has(&self, name: &Ident) -> bool {
        self.columns.iter().any(|column| column.name == name.as_str())
    }

    /// Their columns but those that are replaced, as a list over `q`.
    pub fn all_but(&self, replaced: &[Ident]) -> Sql {
        if !replaced.iter().any(|name| self.has(name)) {
            return Sql::text("q.*");
        }
        // What has its name twice cannot be named.
        let once = |name: &str| self.columns.iter().filter(|column| column.name == name).count() == 1;
        let kept = self
            .columns
            .iter()
            .filter(|column| once(column.name) && replaced.iter().all(|name| name.as_str() != column.name))
            .filter_map(|column| Ident::new(column.name).ok());
        Sql::join(kept.chain(self.hidden.iter().cloned()).map(|name| sql!("q.{name}", name)), ", ")
    }

    /// The rows with further columns, or others in the place of those of their names.
    pub fn with(&self, added: &[(Ident, Sql)], beside: &Sql) -> Layer {
        let names: Vec<Ident> = added.iter().map(|(name, _)| name.clone()).collect();
        let values = added.iter().map(|(name, value)| sql!("{value} AS {name}", value, name));
        let kept = self.all_but(&names);
        let list = std::iter::once(kept).filter(|kept| !kept.is_empty()).chain(values);
        let query = sql!(
            "SELECT {list}\n  FROM {from} AS q{beside}",
            list = Sql::join(list, ",\n       "),
            from = self.from,
            beside
        );
        let mut shown = self.shown.to_vec();
        shown.extend(names.iter().filter(|name| !self.shown.contains(name)).cloned());
        Layer { query, shown, added: names, dropped: None }
    }

    /// Some of the rows, as they are; `end` follows the FROM.
    pub fn some(&self, end: &Sql) -> Layer {
        let query = sql!("SELECT q.*\n  FROM {from} AS q{end}", from = self.from, end);
        Layer { query, shown: self.shown.to_vec(), added: Vec::new(), dropped: None }
    }
}
