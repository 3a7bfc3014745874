//! What is remembered of feature views: an entry for each version.

use super::SCHEMA;
use crate::dialect::{Dialect, Merged, Upsert};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use serde::Serialize;

/// The table of the entries, which metadata of an older version do not have.
pub const FEATURE_VIEWS: &str = "feature_views";

/// The entry of a version.
#[derive(Clone, Debug, Serialize)]
pub struct ViewMemory {
    /// The view, with its schema.
    pub name: String,
    /// The version.
    pub version: String,
    /// Its table.
    pub target: String,
    /// The columns of the entity.
    pub entity_keys: Vec<String>,
    /// When an event happened.
    pub event_column: String,
    /// Where an event begins to hold.
    pub begin_column: String,
    /// Where it ends.
    pub end_column: String,
    /// Marks the newest event.
    pub current_column: String,
    /// Marks an event that deletes.
    pub deleted_column: String,
    /// How long an event holds.
    pub ttl_ms: Option<u64>,
    /// In what the newest events are kept: `view` or `table`.
    pub online: Option<&'static str>,
    /// Where.
    pub online_relation: Option<String>,
    /// How old what is served may be.
    pub freshness_ms: Option<u64>,
    /// What it holds.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The pipeline that filled it last.
    pub pipeline: String,
    /// Whether the view shows it.
    pub is_shown: bool,
    /// The text by which a view that is right is known.
    pub view_digest: Option<String>,
    /// The same of what is served.
    pub online_digest: Option<String>,
    /// The same of this entry.
    #[serde(skip)]
    pub digest: String,
    /// The run that enters it.
    #[serde(skip)]
    pub run_id: String,
}

impl ViewMemory {
    /// All that it says, but for the run that does.
    pub fn described(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers have a JSON form")
    }
}

/// Enters a version of a feature view, or what has changed of it.
pub fn register_feature_view(dialect: &dyn Dialect, memory: &ViewMemory) -> Sql {
    let text = |text: &str| sql!("{text}", text = Literal::Text(text.to_owned()));
    let optional = |said: Option<&str>| said.map_or_else(|| Sql::text("NULL"), text);
    let length = |said: Option<u64>| match said.and_then(|length| i64::try_from(length).ok()) {
        Some(length) => sql!("{length}", length = Literal::Integer(length)),
        None => Sql::text("NULL"),
    };
    let values = [
        ("name", text(&memory.name)),
        ("version", text(&memory.version)),
        ("target", text(&memory.target)),
        ("entity_keys", dialect.text_list(&memory.entity_keys)),
        ("event_column", text(&memory.event_column)),
        ("begin_column", text(&memory.begin_column)),
        ("end_column", text(&memory.end_column)),
        ("current_column", text(&memory.current_column)),
        ("deleted_column", text(&memory.deleted_column)),
        ("ttl_ms", length(memory.ttl_ms)),
        ("online", optional(memory.online)),
        ("online_relation", optional(memory.online_relation.as_deref())),
        ("freshness_ms", length(memory.freshness_ms)),
        ("description", optional(memory.description.as_deref())),
        ("owner", optional(memory.owner.as_deref())),
        ("tags", dialect.text_list(&memory.tags)),
        ("pipeline_name", text(&memory.pipeline)),
        ("is_shown", Sql::text(if memory.is_shown { "TRUE" } else { "FALSE" })),
        ("view_digest", optional(memory.view_digest.as_deref())),
        ("online_digest", optional(memory.online_digest.as_deref())),
        ("declared_at", dialect.clock()),
        ("changed_at", dialect.clock()),
        ("digest", text(&memory.digest)),
        ("run_id", text(&memory.run_id)),
    ];
    let (names, values): (Vec<Ident>, Vec<Sql>) =
        values.into_iter().map(|(name, value)| (Ident::fixed(name), value)).unzip();
    // When it was declared first stays.
    let stays = ["name", "version", "declared_at"];
    let updates: Vec<(Ident, Merged)> = names
        .iter()
        .filter(|name| !stays.contains(&name.as_str()))
        .map(|name| (name.clone(), Merged::Replaced))
        .collect();
    let rows = sql!("SELECT {values}\n WHERE TRUE", values = Sql::join(values, ",\n       "));
    dialect.upsert(Upsert {
        table: &QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::fixed(FEATURE_VIEWS) },
        columns: &names,
        rows,
        keys: &names[..2],
        updates: &updates,
    })
}

/// Says of the other versions of a view that it shows them no longer.
pub fn hide_other_versions(name: &str, version: &str) -> Sql {
    statement!("hide_other_versions", name = name, version = version)
}
