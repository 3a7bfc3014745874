//! How the columns of a query are cleaned: layers around it, each a list of expressions under names. A layer is fenced
//! off where a later one says its expressions more than once, so that they are computed once.

use super::Chain;
use super::family::Family;
use super::parse::OnFailure;
use super::range;
use super::value::{Layer, Value};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::layers::{Layers, layer};
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::{DataType, TypeFacts};

/// A column of the source's query.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub data_type: &'a TypeFacts,
}

/// A column that is cleaned.
#[derive(Clone, Debug, PartialEq)]
pub struct Cleaned {
    /// Its name.
    pub name: Ident,
    /// Its value in the last layer.
    value: Sql,
    /// The name under which the source's own value is kept; `None` where it has none.
    raw: Option<Ident>,
    /// What of it cannot be read.
    reading: Option<(Reading, Sql)>,
    /// Whether its own value is to be hidden.
    hidden: bool,
}

/// A column whose text is read as something else.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The column.
    pub column: Ident,
    /// The column beside it that holds text which cannot be read.
    pub unread: Ident,
    /// What it is read as.
    pub kind: &'static str,
    /// The marker that reads it.
    pub marker: &'static str,
    /// Whether nobody is shown its text.
    pub hidden: bool,
    /// Whether the run ends if there is any.
    pub ends_the_run: bool,
}

/// The columns of a query and how they are cleaned.
#[derive(Clone, Debug, PartialEq)]
pub struct Cleaning {
    layers: Vec<Layer>,
    columns: Vec<Cleaned>,
    untouched: Vec<Ident>,
    /// The values on their way whose types only the server knows.
    asked: Vec<Ident>,
}

/// The name of a value on its way, behind so many markers.
fn type_of(column: usize, marker: usize) -> Ident {
    Ident::new(format!("_ematix_type_{column}_{marker}")).expect("a short name")
}

/// What of a value cannot be read, in a column of its own.
fn reading(value: &Value<'_>, number: usize, hidden: bool) -> Option<(Reading, Sql)> {
    let first = value.unread.first()?;
    let texts: Vec<Sql> = value.unread.iter().map(|unread| unread.text.clone()).collect();
    let text = sql!("COALESCE({texts})", texts = Sql::join(texts, ", "));
    let reading = Reading {
        column: value.column.clone(),
        unread: Ident::new(format!("_ematix_unread_{}", number + 1)).expect("a short name"),
        kind: first.kind,
        marker: first.marker,
        hidden,
        ends_the_run: value.unread.iter().any(|unread| unread.on_failure == OnFailure::Error),
    };
    Some((reading, text))
}

/// The name of the last layer, whose columns have their own names.
pub const CLEANED: &str = "cleaned";

impl Cleaning {
    /// Lays markers around the columns of a query; `None` where no column is cleaned.
    ///
    /// # Errors
    /// `invalid_value` for a marker that does not fit the source's type.
    pub fn around<'t>(
        chains: impl Iterator<Item = (&'t Ident, &'t DataType, &'t Chain)>,
        raw: &[Raw<'_>],
        told: &[Raw<'_>],
        keep_raw: bool,
        dialect: &dyn Dialect,
    ) -> Result<Option<Cleaning>> {
        let (mut layers, mut columns, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (name, declared, chain)) in chains.enumerate() {
            let found = raw.iter().find(|raw| raw.name == name.as_str());
            // A column that nobody gives is the error of whoever needs it.
            if found.is_none() && !chain.replaces() {
                continue;
            }
            let mut value = Value {
                dialect,
                column: name,
                family: found.map(|raw| Family::of(raw.data_type)),
                declared,
                sql: sql!("q.{name}", name),
                facts: found.map(|raw| raw.data_type.clone()),
                is_name: true,
                ends_in_declared: false,
                unread: Vec::new(),
                number: number + 1,
                depth: 0,
                layers: &mut layers,
            };
            let markers = chain.markers();
            for (index, marker) in markers.iter().enumerate() {
                value.ends_in_declared = markers[index + 1..].iter().all(|marker| marker.keeps_type());
                marker.apply(&mut value)?;
                let next = markers.get(index + 1);
                if value.family.is_none() && next.is_some_and(|next| next.depends_on_type()) {
                    let name = type_of(number + 1, index + 1);
                    match told.iter().find(|told| told.name == name.as_str()) {
                        Some(told) => {
                            value.family = Some(Family::of(told.data_type));
                            value.facts = Some(told.data_type.clone());
                        }
                        None => {
                            value.named_beside(name.clone());
                            asked.push(name);
                        }
                    }
                }
            }
            range::hold(&mut value)?;
            let reading = reading(&value, number, chain.hides());
            let raw = found
                .filter(|_| keep_raw)
                .map(|_| Ident::new(format!("_ematix_raw_{}", number + 1)).expect("a short name"));
            let (value, hidden) = (value.sql(), chain.hides());
            columns.push(Cleaned { name: name.clone(), value, raw, reading, hidden });
        }
        if columns.is_empty() {
            return Ok(None);
        }
        let is_cleaned = |name: &str| columns.iter().any(|column: &Cleaned| column.name.as_str() == name);
        let untouched = raw
            .iter()
            .filter(|column| !is_cleaned(column.name))
            // What has its name twice cannot be named.
            .filter(|column| raw.iter().filter(|other| other.name == column.name).count() == 1)
            .map(|column| Ident::new(column.name))
            .collect::<Result<_>>()?;
        Ok(Some(Cleaning { layers, columns, untouched, asked }))
    }

    /// The names of the cleaned columns.
    pub fn names(&self) -> impl Iterator<Item = &Ident> {
        self.columns.iter().map(|column| &column.name)
    }

    /// The columns whose text is read.
    pub fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.columns.iter().filter_map(|column| column.reading.as_ref().map(|(reading, _)| reading))
    }

    /// Whether the column of that name is cleaned.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name.as_str() == name)
    }

    /// The source's own value of a column, in a row `q` of the cleaned columns.
    pub fn raw(&self, name: &Ident) -> Sql {
        let kept =
            self.columns.iter().find(|column| column.name == *name).and_then(|column| column.raw.as_ref());
        sql!("q.{name}", name = kept.unwrap_or(name))
    }

    /// Lays the cleaning around those rows that meet `range`.
    pub fn lay(&self, layers: &mut Layers, range: &Sql) {
        let range = self.lay_steps(layers, range, &self.asked);
        let mut values: Vec<Sql> = self.untouched.iter().map(|name| sql!("q.{name}", name)).collect();
        for column in &self.columns {
            values.push(sql!("{value} AS {name}", value = column.value, name = column.name));
            if let Some(raw) = &column.raw {
                values.push(sql!("q.{name} AS {raw}", name = column.name, raw));
            }
            if let Some((reading, text)) = &column.reading {
                values.push(sql!("{text} AS {unread}", text, unread = reading.unread));
            }
        }
        let (values, from) = (Sql::join(values, ",\n       "), layers.last().clone());
        layers.lay(layer(CLEANED), &sql!("SELECT {values}\n  FROM {from} AS q{range}", values, from, range));
    }

    /// Lays the steps before the cleaned columns, without what is not said; gives what is left of the range.
    fn lay_steps(&self, layers: &mut Layers, range: &Sql, unsaid: &[Ident]) -> Sql {
        let mut range = range.clone();
        for (index, expressions) in self.layers.iter().enumerate() {
            let said = expressions.iter().filter(|(name, _)| !unsaid.contains(name));
            let values: Vec<Sql> = said.map(|(name, value)| sql!("{value} AS {name}", value, name)).collect();
            if values.is_empty() {
                continue;
            }
            let name = layer(&format!("step_{}", index + 1));
            let values = Sql::join(values, ",\n       ");
            // OFFSET 0 keeps the planner from writing an expression wherever its name stands.
            let from = layers.last().clone();
            let query = sql!(
                "SELECT q.*,\n       {values}\n  FROM {from} AS q{range}\nOFFSET 0",
                values,
                from,
                range
            );
            layers.lay(name, &query);
            range = Sql::empty();
        }
        range
    }

    /// The columns beside those of the rows: what the source had, and text that cannot be read.
    pub fn beside(&self) -> impl Iterator<Item = &Ident> {
        self.columns.iter().flat_map(|column| {
            column.raw.iter().chain(column.reading.as_ref().map(|(reading, _)| &reading.unread))
        })
    }

    /// The columns that the source has too, each with the source's own, and whether a row `l` of a layer has another
    /// value there than the source had.
    fn compared(&self, dialect: &dyn Dialect) -> impl Iterator<Item = (&Ident, &Ident, Sql)> {
        let text = dialect.type_name(&DataType::Text);
        self.columns.iter().filter_map(move |column| {
            let raw = column.raw.as_ref()?;
            let as_text = |name: &Ident| dialect.cast_to(&sql!("l.{name}", name), &text);
            let (after, before) = (as_text(&column.name), as_text(raw));
            Some((&column.name, raw, sql!("{after} IS DISTINCT FROM {before}", after, before)))
        })
    }

    /// Some rows of a layer with values that are not what the source had, before and after, as a JSON array: with the
    /// columns that `keys` name.
    pub fn sample(&self, layer: &Ident, keys: &[Ident], rows: usize, dialect: &dyn Dialect) -> Sql {
        let object = dialect.function("jsonb_build_object");
        let pair = |name: &Ident, value: &Ident| {
            sql!("{text}, l.{value}", text = Literal::Text(name.to_string()), value)
        };
        let keys: Vec<Sql> =
            keys.iter().filter(|key| !self.has(key.as_str())).map(|key| pair(key, key)).collect();
        let of = |values: Vec<Sql>| {
            sql!("{object}({pairs})", object, pairs = Sql::join(keys.iter().cloned().chain(values), ", "))
        };
        let is_hidden =
            |name: &Ident| self.columns.iter().any(|column| column.name == *name && column.hidden);
        let own = |(name, raw, _): (&Ident, &Ident, Sql)| match is_hidden(name) {
            true => sql!("{text}, '…'", text = Literal::Text(name.to_string())),
            false => pair(name, raw),
        };
        let before = of(self.compared(dialect).map(own).collect());
        let after = of(self.compared(dialect).map(|(name, ..)| pair(name, name)).collect());
        let differs: Vec<Sql> = self.compared(dialect).map(|(_, _, differs)| differs).collect();
        if differs.is_empty() {
            return Sql::text("NULL");
        }
        sql!(
            "(SELECT {array}(s.row) FROM (SELECT {object}('before', {before}, 'after', {after}) AS row\n                    FROM {layer} AS l WHERE {differs} LIMIT {rows}) AS s)",
            array = dialect.function("jsonb_agg"),
            object,
            before,
            after,
            layer,
            differs = Sql::join(differs, " OR "),
            rows = Literal::Integer(rows as i64)
        )
    }

    /// How many values of each column are not what the source had, as a JSON object over the rows of a layer.
    pub fn changed(&self, layer: &Ident, dialect: &dyn Dialect) -> Sql {
        let pairs = self.compared(dialect).map(|(name, _, differs)| {
            sql!(
                "{name}, {count}",
                name = Literal::Text(name.to_string()),
                count = dialect.count_where(&differs)
            )
        });
        sql!(
            "(SELECT {object}({pairs}) FROM {layer} AS l)",
            object = dialect.function("jsonb_build_object"),
            pairs = Sql::join(pairs, ", "),
            layer
        )
    }

    /// The values on their way whose types the markers behind them have to know, in a row of the last step but the
    /// cleaned columns; `None` where there is none.
    pub fn asked(&self, user: &Sql) -> Option<Sql> {
        if self.asked.is_empty() {
            return None;
        }
        let mut layers = Layers::over(user);
        self.lay_steps(&mut layers, &Sql::empty(), &[]);
        let list = Sql::join(self.asked.iter().map(|name| sql!("q.{name}", name)), ", ");
        Some(layers.select(&list, &Sql::empty()))
    }

    /// The cleaned columns of a query, for whoever asks of which types they are.
    pub fn types_of(&self, user: &Sql) -> Sql {
        let list = Sql::join(self.names().map(|name| sql!("q.{name}", name)), ", ");
        let mut layers = Layers::over(user);
        self.lay(&mut layers, &Sql::empty());
        layers.select(&list, &Sql::empty())
    }
}
