//! What runs after a load, as written: `transforms_post` of a pipeline, and `[transforms.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A step after the load: SQL, or a table with more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PostTransform {
    /// SQL text; several statements are one transaction.
    Sql(String),
    /// The long form.
    Full(FullPostTransform),
}

impl PostTransform {
    /// The name of the transform that it refers to.
    pub fn refers_to(&self) -> Option<&str> {
        match self {
            PostTransform::Sql(_) => None,
            PostTransform::Full(full) => full.transform_ref.as_deref(),
        }
    }
}

/// A step after the load with more: its SQL, or the name of a transform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullPostTransform {
    /// SQL text, or a list of statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<Statements>,
    /// The name of a transform, instead of `sql`: a key of `[transforms]`, or a function of Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform_ref: Option<String>,
    /// Whether its statements are one transaction; `false` for what cannot be in one, as VACUUM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<bool>,
    /// What its failure means for those after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// SQL text, or a list of statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Statements {
    /// One text, with one or several statements.
    One(String),
    /// A list of such texts.
    Many(Vec<String>),
}

impl Statements {
    /// The texts.
    pub fn texts(&self) -> &[String] {
        match self {
            Statements::One(text) => std::slice::from_ref(text),
            Statements::Many(texts) => texts,
        }
    }
}

/// What the failure of a step after the load means for those after it; the run has failed in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They do not run.
    #[default]
    Stop,
    /// They run all the same.
    Continue,
}

/// A transform with a name: SQL that pipelines refer to, or that runs by itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformSpec {
    /// The connection that it runs on; unless said, after a load the target's, alone `default`.
    pub connection: Option<String>,
    /// SQL text, or a list of statements.
    pub sql: Option<Statements>,
    /// Whether its statements are one transaction; `false` for what cannot be in one, as VACUUM.
    pub transaction: Option<bool>,
    /// Five-field cron line.
    pub schedule: Option<String>,
    /// Time zone of the schedule; `UTC` unless said.
    pub timezone: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}
