//! What is written of a marker: its name, or its name with arguments.

use super::family::{Families, Family};
use crate::arguments::name_and_given;
pub use crate::arguments::{Arguments, Named};
use crate::error::{ErrorCode, FlowError, Result};
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
        name_and_given(&self.0, "marker", "\"trim\", or { truncate = 256 }")
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
