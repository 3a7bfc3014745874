//! Markers of values that stand for others: NULL, defaults, lists.

use super::Marker;
use super::arguments::{Arguments, literal, literal_fits, literal_of};
use super::family::{Families, Family};
use super::value::Value;
use crate::error::Result;
use crate::query;
use crate::sql;
use crate::sql::Sql;
use serde_json::Value as Json;
use std::sync::Arc;

/// What a value is replaced by, or compared with.
#[derive(Debug)]
enum Given {
    Plain(Json),
    Expression(String),
}

impl Given {
    fn sql(&self, marker: &str, family: Option<Family>) -> Result<Sql> {
        match self {
            Given::Plain(value) => literal_of(marker, value, family),
            Given::Expression(text) => Ok(Sql::user(text)),
        }
    }
}

/// NULL becomes a value.
#[derive(Debug)]
struct Default(Given);

impl Marker for Default {
    fn name(&self) -> &'static str {
        "default"
    }

    fn takes(&self) -> Option<Families> {
        None
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn keeps_type(&self) -> bool {
        true
    }

    fn fits(&self, needed: Families) -> Result<()> {
        match &self.0 {
            Given::Plain(value) => literal_fits("default", value, needed),
            Given::Expression(_) => Ok(()),
        }
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let default = self.0.sql("default", value.family)?;
        value.keep(sql!("COALESCE({value}, {default})", value = value.sql(), default));
        Ok(())
    }
}

pub fn default(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let given = match arguments.only()? {
        Json::Null => {
            return Err(arguments.wrong("by NULL changes nothing").hint("give a value, or take it out"));
        }
        Json::Object(table) if table.len() == 1 && table.contains_key("sql") => match &table["sql"] {
            Json::String(text) => {
                query::check_expression(text)?;
                Given::Expression(text.clone())
            }
            _ => {
                return Err(arguments
                    .wrong("takes text after `sql`")
                    .hint("write { default = { sql = \"now()\" } }"));
            }
        },
        value => {
            literal("default", value)?;
            Given::Plain(value.clone())
        }
    };
    Ok(Arc::new(Default(given)))
}

/// A value becomes NULL.
#[derive(Debug)]
struct NullIf(Json);

impl Marker for NullIf {
    fn name(&self) -> &'static str {
        "nullif"
    }

    fn takes(&self) -> Option<Families> {
        None
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn keeps_type(&self) -> bool {
        true
    }

    fn fits(&self, needed: Families) -> Result<()> {
        literal_fits("nullif", &self.0, needed)
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let null = literal_of("nullif", &self.0, value.family)?;
        value.keep(sql!("NULLIF({value}, {null})", value = value.sql(), null));
        Ok(())
    }
}

pub fn nullif(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let value = arguments.only()?;
    literal("nullif", value)?;
    Ok(Arc::new(NullIf(value.clone())))
}

/// Each value of a list becomes another.
#[derive(Debug)]
struct MapValues {
    pairs: Vec<(Json, Json)>,
    /// What becomes of others; `None`: they stay.
    otherwise: Option<Json>,
}

impl MapValues {
    /// Whether a text among whole numbers, or NULL for every other, gives another type.
    fn changes_type(&self) -> bool {
        let same = |a: &Json, b: &Json| a.is_null() || b.is_null() || a.is_string() == b.is_string();
        !self.pairs.iter().all(|(from, to)| same(from, to))
    }
}

impl Marker for MapValues {
    fn name(&self) -> &'static str {
        "map_values"
    }

    fn takes(&self) -> Option<Families> {
        // A key in quotes is text, or what has a text.
        None
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn keeps_type(&self) -> bool {
        !self.changes_type()
    }

    fn fits(&self, needed: Families) -> Result<()> {
        self.pairs
            .iter()
            .map(|(_, to)| to)
            .chain(&self.otherwise)
            .try_for_each(|to| literal_fits("map_values", to, needed))
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let family = value.family;
        let kept = family.filter(|_| self.keeps_type());
        let named = value.named();
        let mut cases = Sql::empty();
        for (from, to) in &self.pairs {
            let (from, to) = (literal_of("map_values", from, family)?, literal_of("map_values", to, kept)?);
            cases.push(&sql!(" WHEN {from} THEN {to}", from, to));
        }
        let otherwise = match &self.otherwise {
            Some(otherwise) => literal_of("map_values", otherwise, kept)?,
            None => named.clone(),
        };
        let mapped = sql!("CASE {named}{cases} ELSE {otherwise} END", named, cases, otherwise);
        match self.keeps_type() {
            true => value.keep(mapped),
            false => value.set(mapped, None),
        }
        Ok(())
    }
}

pub fn map_values(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["values", "otherwise"])?;
    let wrong = || {
        arguments
            .wrong("takes values by name, or a list of pairs")
            .hint("write { map_values = { values = { m = \"male\", f = \"female\" } } }")
    };
    let pairs: Vec<(Json, Json)> = match named.needed("values")? {
        Json::Object(table) => {
            table.iter().map(|(from, to)| (Json::String(from.clone()), to.clone())).collect()
        }
        Json::Array(items) => items
            .iter()
            .map(|item| match item.as_array().map(Vec::as_slice) {
                Some([from, to]) => Ok((from.clone(), to.clone())),
                _ => Err(wrong()),
            })
            .collect::<Result<_>>()?,
        _ => return Err(wrong()),
    };
    if pairs.is_empty() {
        return Err(wrong());
    }
    if pairs.iter().any(|(from, _)| from.is_null()) {
        return Err(arguments
            .wrong("knows no value NULL")
            .hint("NULL becomes a value by the marker `default`"));
    }
    for (from, to) in &pairs {
        literal("map_values", from)?;
        literal("map_values", to)?;
    }
    Ok(Arc::new(MapValues { pairs, otherwise: named.get("otherwise").cloned() }))
}
