//! What is written of a helper: its name with its arguments.

use crate::arguments::name_and_given;
use crate::error::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::borrow::Cow;

/// A helper as written: `{ filter_where = "region IS NOT NULL" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Written(Json);

impl Written {
    /// The name, and the arguments where there are any.
    ///
    /// # Errors
    /// `invalid_value` for anything else.
    pub fn parts(&self) -> Result<(&str, Option<&Json>)> {
        name_and_given(&self.0, "helper", "{ filter_where = \"region IS NOT NULL\" }")
    }
}

impl JsonSchema for Written {
    fn schema_name() -> Cow<'static, str> {
        "Helper".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = super::ALL.iter().map(|(name, _)| *name).collect();
        json_schema!({
            "description": "A step over all rows of the source: one name with its arguments.",
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": { "enum": names }
        })
    }
}
