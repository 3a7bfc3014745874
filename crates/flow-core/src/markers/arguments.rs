//! What is written of a marker: its name, or its name with arguments.

use super::family::{Families, Family};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::sql;
use crate::sql::{Literal, Sql};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::borrow::Cow;

/// A marker as written: `"trim"`, `{ truncate = 256 }`, `{ replace = { old = "-", new = "" } }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Written(Json);

impl Written {
    /// The name, and the arguments where there are any.
    ///
    /// # Errors
    /// `invalid_value` for anything else.
    pub fn parts(&self) -> Result<(&str, Option<&Json>)> {
        match &self.0 {
            Json::String(name) => Ok((name, None)),
            Json::Object(table) if table.len() == 1 => {
                let (name, given) = table.iter().next().expect("it has one");
                Ok((name, Some(given)))
            }
            _ => Err(FlowError::new(
                ErrorCode::InvalidValue,
                "a marker is a name, or one name with its arguments",
            )
            .hint("write \"trim\", or { truncate = 256 }")),
        }
    }
}

impl JsonSchema for Written {
    fn schema_name() -> Cow<'static, str> {
        "Marker".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = super::ALL.iter().map(|(name, _)| *name).collect();
        json_schema!({
            "description": "A step of cleaning: a name, or a name with its arguments.",
            "anyOf": [
                { "type": "string", "enum": names },
                { "type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": { "enum": names } }
            ]
        })
    }
}

/// The arguments of a marker, or of whatever else has a name and values behind it.
pub struct Arguments<'a> {
    marker: &'static str,
    given: Option<&'a Json>,
}

impl<'a> Arguments<'a> {
    /// Those that were written behind a name.
    pub fn new(marker: &'static str, given: Option<&'a Json>) -> Arguments<'a> {
        Arguments { marker, given }
    }

    /// An error of this marker.
    pub fn wrong(&self, what: impl std::fmt::Display) -> FlowError {
        FlowError::new(ErrorCode::InvalidValue, format!("`{}` {what}", self.marker))
    }

    /// An error of this marker that was found in one of its arguments.
    pub fn of_this(&self, error: FlowError) -> FlowError {
        FlowError { message: format!("`{}`: {}", self.marker, error.message), ..error }
    }

    /// Nothing.
    pub fn none(&self) -> Result<()> {
        match self.given {
            None => Ok(()),
            Some(Json::Object(table)) if table.is_empty() => Ok(()),
            Some(_) => Err(self.wrong("takes no arguments").hint(format!("write \"{}\"", self.marker))),
        }
    }

    /// The one argument.
    pub fn only(&self) -> Result<&'a Json> {
        self.given
            .ok_or_else(|| self.wrong("needs an argument").hint(format!("write {{ {} = … }}", self.marker)))
    }

    /// The one argument, which is text.
    pub fn only_text(&self) -> Result<String> {
        match self.only()? {
            Json::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(self.wrong("takes text").hint(format!("write {{ {} = \"…\" }}", self.marker))),
        }
    }

    /// The one argument, which is a name or a list of names.
    pub fn only_names(&self) -> Result<Vec<String>> {
        names(self.only()?).ok_or_else(|| {
            let form = format!("write {{ {0} = \"…\" }}, or {{ {0} = [\"…\", \"…\"] }}", self.marker);
            self.wrong("takes a name or a list of names").hint(form)
        })
    }

    /// Arguments by name. One value without a name is the first.
    pub fn named(&self, known: &'static [&'static str]) -> Result<Named<'a>> {
        let mut fields = Vec::new();
        match self.given {
            None => {}
            Some(Json::Object(table)) => {
                for (name, value) in table {
                    let Some(known_name) = known.iter().find(|known| *known == name) else {
                        let error = FlowError::new(
                            ErrorCode::UnknownOption,
                            format!("`{}` has no argument `{name}`", self.marker),
                        );
                        return Err(match did_you_mean(name, known.iter().copied()) {
                            Some(near) => error.hint(format!("did you mean `{near}`?")),
                            None => error.hint(format!("its arguments are {}", known.join(", "))),
                        });
                    };
                    if !value.is_null() || *known_name == "otherwise" {
                        fields.push((*known_name, value));
                    }
                }
            }
            Some(value) => fields.push((known[0], value)),
        }
        Ok(Named { marker: self.marker, fields })
    }
}

/// Arguments by name.
pub struct Named<'a> {
    marker: &'static str,
    fields: Vec<(&'static str, &'a Json)>,
}

impl<'a> Named<'a> {
    fn wrong(&self, what: impl std::fmt::Display) -> FlowError {
        FlowError::new(ErrorCode::InvalidValue, format!("`{}`: {what}", self.marker))
    }

    /// The value, where it was written.
    pub fn get(&self, name: &'static str) -> Option<&'a Json> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value, which must have been written.
    pub fn needed(&self, name: &'static str) -> Result<&'a Json> {
        self.get(name).ok_or_else(|| {
            FlowError::new(ErrorCode::MissingOption, format!("`{}` has no `{name}`", self.marker))
                .hint(format!("write {{ {} = {{ {name} = … }} }}", self.marker))
        })
    }

    /// Text, where it was written.
    pub fn text(&self, name: &'static str) -> Result<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(format!("`{name}` is text"))),
        }
    }

    /// A name or a list of names, where it was written.
    pub fn names(&self, name: &'static str) -> Result<Option<Vec<String>>> {
        let wrong = || self.wrong(format!("`{name}` is a name or a list of names"));
        self.get(name).map(|value| names(value).ok_or_else(wrong)).transpose()
    }

    /// Text that must have been written.
    pub fn needed_text(&self, name: &'static str) -> Result<String> {
        self.needed(name)?;
        Ok(self.text(name)?.expect("it is there"))
    }
}

/// A name, or several different ones.
fn names(value: &Json) -> Option<Vec<String>> {
    let names: Vec<String> = match value {
        Json::String(name) => vec![name.clone()],
        Json::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let distinct = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    (distinct && !names.is_empty() && !names.iter().any(String::is_empty)).then_some(names)
}

/// A value as it stands in SQL: text where the types of both sides say the rest.
///
/// # Errors
/// `invalid_value` for a list or a table.
pub fn literal(marker: &str, value: &Json) -> Result<Sql> {
    let literal = match value {
        Json::Null => Literal::Null,
        Json::Bool(truth) => Literal::Boolean(*truth),
        Json::String(text) => Literal::Text(text.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Literal::Integer(number),
            None => return Ok(sql!("{text}", text = Literal::Text(number.to_string()))),
        },
        Json::Array(_) | Json::Object(_) => {
            return Err(FlowError::new(ErrorCode::InvalidValue, format!("`{marker}` takes a plain value"))
                .hint("lists and tables are written as the text of their JSON"));
        }
    };
    Ok(sql!("{literal}", literal))
}

/// Whether a value can be one of these types.
///
/// # Errors
/// `invalid_value`.
pub fn literal_fits(marker: &'static str, value: &Json, needed: Families) -> Result<()> {
    let numbers = Families::numbers();
    let fits = match value {
        Json::Null => true,
        Json::Bool(_) => needed.has(Family::Boolean) || needed.has(Family::Other),
        Json::Number(number) => {
            needed.meets(numbers) && (number.is_i64() || needed != Families::of(Family::Integer))
        }
        // Of a number its digits may stand in quotes.
        Json::String(text) => {
            let is_number = text.trim().parse::<f64>().is_ok();
            let only_numbers = needed.both(numbers) == needed;
            needed != Families::of(Family::Boolean) && (!only_numbers || is_number)
        }
        Json::Array(_) | Json::Object(_) => true,
    };
    if fits {
        return Ok(());
    }
    let written = match value {
        Json::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    Err(FlowError::new(
        ErrorCode::InvalidValue,
        format!("`{marker}`: {written} is no value of type {needed}"),
    )
    .hint("give a value of the type that the column has at this place"))
}
