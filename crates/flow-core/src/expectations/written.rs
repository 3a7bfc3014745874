//! What is written of an expectation: its kind with arguments, and its policy beside.

use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::borrow::Cow;

/// What becomes of rows that fail an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The run ends before a row is written.
    Fail,
    /// The report says so, and the load stands.
    Warn,
    /// They are put aside, and the others are loaded.
    Quarantine,
}

impl Policy {
    const ALL: [(Policy, &str); 3] =
        [(Policy::Fail, "fail"), (Policy::Warn, "warn"), (Policy::Quarantine, "quarantine")];

    fn read(given: &Json) -> Result<Policy> {
        let words = || Policy::ALL.iter().map(|(_, word)| *word);
        let said = given.as_str().unwrap_or_default();
        if let Some((policy, _)) = Policy::ALL.iter().find(|(_, word)| *word == said) {
            return Ok(*policy);
        }
        let error = FlowError::new(ErrorCode::InvalidValue, format!("there is no policy {given}"));
        let meant = match said {
            "error" | "raise" | "abort" => Some("fail"),
            "drop" | "reject" => Some("quarantine"),
            _ => did_you_mean(said, words()),
        };
        Err(match meant {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("policy is one of {}", words().collect::<Vec<_>>().join(", "))),
        })
    }
}

/// An expectation as written: `{ not_null = "email" }`, `{ unique = "id", policy = "warn" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Written(Json);

/// The parts of what is written.
pub struct Parts<'a> {
    /// The name of the kind.
    pub kind: &'a str,
    /// Its arguments.
    pub given: &'a Json,
    /// What becomes of rows that fail it.
    pub policy: Policy,
}

impl Parts<'_> {
    /// As TOML has it: `not_null = "email"`.
    pub fn text(&self) -> String {
        format!("{} = {}", self.kind, toml(self.given))
    }
}

impl Written {
    /// Kind, arguments and policy.
    ///
    /// # Errors
    /// `invalid_value` for anything else, `unknown_option` for a name beside them.
    pub fn parts(&self) -> Result<Parts<'_>> {
        let no_form = || {
            FlowError::new(
                ErrorCode::InvalidValue,
                "an expectation is one name with its arguments, and a policy beside it",
            )
            .hint("write { not_null = \"email\" }, or { not_null = \"email\", policy = \"warn\" }")
        };
        let Json::Object(table) = &self.0 else { return Err(no_form()) };
        let policy = table.get("policy").map_or(Ok(Policy::Fail), Policy::read)?;
        let mut others = table.iter().filter(|(name, _)| *name != "policy");
        let is_kind = |name: &str| super::ALL.iter().any(|(kind, _)| *kind == name);
        match (others.next(), others.next(), others.next()) {
            (Some((kind, given)), None, _) => Ok(Parts { kind, given, policy }),
            (Some((one, _)), Some((other, _)), None) if is_kind(one) != is_kind(other) => {
                let unknown = if is_kind(one) { other } else { one };
                let error = FlowError::new(
                    ErrorCode::UnknownOption,
                    format!("an expectation has no option `{unknown}`"),
                );
                Err(match did_you_mean(unknown, ["policy"]) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("beside its name stands its policy alone"),
                })
            }
            _ => Err(no_form()),
        }
    }
}

impl JsonSchema for Written {
    fn schema_name() -> Cow<'static, str> {
        "Expectation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = super::ALL.iter().map(|(name, _)| *name).collect();
        let policies: Vec<&str> = Policy::ALL.iter().map(|(_, word)| *word).collect();
        let known: Vec<&str> = names.iter().copied().chain(["policy"]).collect();
        json_schema!({
            "description": "What the rows of a run must hold: a name with its arguments, and what becomes of rows that fail it.",
            "type": "object",
            "minProperties": 1,
            "maxProperties": 2,
            "propertyNames": { "enum": known },
            "properties": {
                "policy": {
                    "description": "What becomes of rows that fail it; fail where nothing is said.",
                    "type": "string",
                    "enum": policies
                }
            }
        })
    }
}

/// A value as TOML has it in one line.
fn toml(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Json::Object(table) => {
            let fields: Vec<String> =
                table.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        plain => plain.to_string(),
    }
}
