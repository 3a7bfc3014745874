//! A value on its way through the markers of its column.

use super::family::{Families, Family};
use super::parse::OnFailure;
use crate::dialect::Dialect;
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::{DataType, TypeFacts};

/// The expressions of a layer, each under its name; a layer sees those before it and the source's columns.
pub type Layer = Vec<(Ident, Sql)>;

/// Text that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// It, or NULL where it can.
    pub text: Sql,
    /// What it is read as.
    pub kind: &'static str,
    /// The marker that reads it.
    pub marker: &'static str,
    /// What becomes of it.
    pub on_failure: OnFailure,
}

/// A value on its way.
pub struct Value<'a> {
    /// The words of the database in which it is cleaned.
    pub dialect: &'a dyn Dialect,
    /// The column.
    pub column: &'a Ident,
    /// What its type is known to be; `None` where only the server knows.
    pub family: Option<Family>,
    /// The declared type of the column.
    pub declared: &'a DataType,
    /// Whether every marker behind leaves the type as it is, so that it is the column's.
    pub ends_in_declared: bool,
    /// What of it cannot be read.
    pub unread: Vec<Unread>,
    pub(super) sql: Sql,
    /// Its type as far as it is known to the letter.
    pub(super) facts: Option<TypeFacts>,
    pub(super) is_name: bool,
    pub(super) number: usize,
    pub(super) depth: usize,
    pub(super) layers: &'a mut Vec<Layer>,
}

impl Value<'_> {
    /// A function that every database has.
    pub fn function(&self, name: &'static str) -> Sql {
        self.dialect.function(name)
    }

    /// The value as it is now.
    pub fn sql(&self) -> Sql {
        self.sql.clone()
    }

    /// The value is another from here on.
    pub fn set(&mut self, sql: Sql, family: Option<Family>) {
        self.sql = sql;
        self.family = family;
        self.facts = None;
        self.is_name = false;
    }

    /// The value is another of the same type.
    pub fn keep(&mut self, sql: Sql) {
        let (family, facts) = (self.family, self.facts.take());
        self.set(sql, family);
        self.facts = facts;
    }

    /// The value is of that type from here on.
    pub fn set_typed(&mut self, sql: Sql, data_type: &DataType) {
        self.set(sql, Family::of_declared(data_type));
        self.facts = self.dialect.type_facts(data_type);
    }

    /// The value under a name, so that it is computed once however often it is said.
    pub fn named(&mut self) -> Sql {
        if !self.is_name {
            if self.layers.len() == self.depth {
                self.layers.push(Vec::new());
            }
            let layer = &mut self.layers[self.depth];
            let name =
                Ident::new(format!("_ematix_{}_{}", self.number, self.depth + 1)).expect("a short name");
            layer.push((name.clone(), std::mem::take(&mut self.sql)));
            self.depth += 1;
            self.sql = sql!("q.{name}", name);
            self.is_name = true;
        }
        self.sql.clone()
    }

    /// The value under that name too, for whoever asks of which type it is.
    pub(super) fn named_beside(&mut self, name: Ident) {
        if self.layers.len() == self.depth {
            self.layers.push(Vec::new());
        }
        let value = self.sql();
        self.layers[self.depth].push((name, value));
    }

    /// The value as text, the same under any setting.
    pub fn text(&mut self) -> Sql {
        let plain = match &self.facts {
            Some(facts) => facts.name == "text",
            None => self.family == Some(Family::Text),
        };
        if !plain {
            let text = match self.known_type() {
                Some(facts) => self.dialect.plain_text(&facts, &self.named()),
                None => {
                    let value = self.sql();
                    let text = self.dialect.type_name(&DataType::Text);
                    self.dialect.cast_to(&sql!("({value})", value), &text)
                }
            };
            self.set(sql!("({text})", text), Some(Family::Text));
        }
        self.sql()
    }

    /// Its type, to the letter or as its family has it.
    fn known_type(&self) -> Option<TypeFacts> {
        let of_family = || {
            let data_type = match self.family? {
                Family::Date => DataType::Date,
                Family::Timestamp => DataType::Timestamp,
                Family::TimestampTz => DataType::TimestampTz,
                Family::Float => DataType::Double,
                _ => return None,
            };
            self.dialect.type_facts(&data_type)
        };
        self.facts.clone().or_else(of_family)
    }

    /// Refuses a value of a type that is not among those.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn must_be(&self, marker: &str, takes: Families) -> Result<()> {
        match self.family {
            Some(family) if !takes.has(family) => {
                let kind = Families::of(family);
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!(
                        "`{marker}` in column `{}` takes {takes}; the value before it is {kind}",
                        self.column
                    ),
                );
                Err(match takes.parser() {
                    Some(parser) if family == Family::Text => error.hint(format!("put `{parser}` before it")),
                    _ => error.hint(format!("take `{marker}` out, or cast the value before it")),
                })
            }
            _ => Ok(()),
        }
    }
}
