//! What is written of a marker: its name, or its name with arguments.

use super::family::{Families, Family};
use super::instants;
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

/// A value as it stands in SQL beside one of that family: times are in UTC where they name no zone.
///
/// # Errors
/// As [`literal`]; for text that is no such time.
pub fn literal_of(marker: &str, value: &Json, family: Option<Family>) -> Result<Sql> {
    literal_in(marker, value, family, "UTC")
}

/// As [`literal_of`], where times that name no zone are those of `zone`.
///
/// # Errors
/// As [`literal_of`].
pub fn literal_in(marker: &str, value: &Json, family: Option<Family>, zone: &str) -> Result<Sql> {
    match (value, family) {
        (Json::String(text), Some(family)) if instants::is_read(family) => {
            let time = instants::normal(text, family, zone).ok_or_else(|| no_time(marker, text, family))?;
            Ok(sql!("{text}", text = Literal::Text(time)))
        }
        _ => literal(marker, value),
    }
}

fn no_time(marker: &str, text: &str, family: Family) -> FlowError {
    let example = match family {
        Family::Date => "2026-01-31",
        Family::Timestamp => "2026-01-31 12:00:00",
        _ => "2026-01-31 12:00:00+01:00 (without a zone it is in UTC)",
    };
    let kind = Families::of(family);
    let error = FlowError::new(
        ErrorCode::InvalidValue,
        format!("`{marker}`: \"{text}\" is no value of type {kind} that means the same in every session"),
    );
    match text.trim().to_ascii_lowercase().as_str() {
        "now" | "today" | "tomorrow" | "yesterday" if marker == "default" => {
            error.hint("write an expression: { default = { sql = \"now()\" } }")
        }
        _ => error.hint(format!("write it as {example}")),
    }
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
        Json::String(text) if instants::all_read(needed) => {
            let read = |family: &Family| instants::normal(text, *family, "UTC").is_some();
            match instants::READ.iter().find(|family| needed.has(**family)) {
                Some(first) if !instants::READ.iter().filter(|family| needed.has(**family)).any(read) => {
                    return Err(no_time(marker, text, *first));
                }
                _ => true,
            }
        }
        Json::String(text) => {
            let is_number = text.trim().parse::<f64>().is_ok();
            let only_numbers = needed.both(numbers) == needed;
            let is_whole = text.trim().parse::<i64>().is_ok();
            needed != Families::of(Family::Boolean)
                && (!only_numbers || is_number)
                && (needed != Families::of(Family::Integer) || is_whole)
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
