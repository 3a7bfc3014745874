//! What makes a table a feature view: a history by event time that training reads as of an instant, and serving by key.
//! The table itself is declared as any other, in a [`TableSpec`](super::TableSpec).

use super::options::{Mode, PipelineOptions};
use crate::duration::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The feature part of a declared table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// The name of the view, without its schema; the table's is this with the version behind it.
    #[serde(skip_deserializing)]
    pub view: String,
    /// The version: two of one name stand side by side, each with a table of its own, and the view shows the one that
    /// is declared last.
    #[serde(default = "first_version")]
    pub feature_version: String,
    /// The column that says when an event happened.
    pub event_timestamp_column: String,
    /// How long an event holds at most; for ever unless said.
    #[serde(default)]
    pub ttl: Option<Duration>,
    /// Keeps the newest event of each entity apart, for serving: `true` or `"view"` by a materialised view that is
    /// refreshed after each load, `"table"` by a table that the load itself keeps.
    #[serde(default)]
    pub online: OnlineSpec,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How old what is served may be; `flow features freshness` holds it to that.
    #[serde(default)]
    pub freshness: Option<Duration>,
}

fn first_version() -> String {
    "v1".to_owned()
}

impl FeatureSpec {
    /// The name of the version's table, without its schema.
    pub fn table(&self) -> String {
        format!("{}_{}", self.view, self.feature_version)
    }

    /// Gives the options of a pipeline that fills it what it says, where they say nothing; the names of those options.
    pub(crate) fn lay(&self, options: &mut PipelineOptions) -> Vec<&'static str> {
        let mode = options.mode.get_or_insert(Mode::OF_FEATURE_VIEWS);
        if *mode != Mode::OF_FEATURE_VIEWS {
            return Vec::new();
        }
        let mut laid = Vec::new();
        if options.event_timestamp_column.is_none() {
            options.event_timestamp_column = Some(self.event_timestamp_column.clone());
            laid.push("event_timestamp_column");
        }
        if options.ttl.is_none() && self.ttl.is_some() {
            options.ttl.clone_from(&self.ttl);
            laid.push("ttl");
        }
        laid
    }
}

/// Whether, and in what, the newest event of each entity is kept apart: a truth value or a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OnlineSpec {
    /// `true` is `"view"`.
    Switch(bool),
    /// In what.
    Kind(OnlineKind),
}

impl Default for OnlineSpec {
    fn default() -> OnlineSpec {
        OnlineSpec::Switch(false)
    }
}

impl OnlineSpec {
    /// In what, where at all.
    pub fn kind(self) -> Option<OnlineKind> {
        match self {
            OnlineSpec::Switch(false) => None,
            OnlineSpec::Switch(true) => Some(OnlineKind::View),
            OnlineSpec::Kind(kind) => Some(kind),
        }
    }
}

/// In what the newest event of each entity is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnlineKind {
    /// A materialised view, which is refreshed after each load.
    View,
    /// A table, which the load keeps in its own transaction: it is never older than the history.
    Table,
}

impl OnlineKind {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            OnlineKind::View => "view",
            OnlineKind::Table => "table",
        }
    }
}

impl fmt::Display for OnlineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
