//! Feature views for people: a line each, one in full, and how old what is served is.

use super::number::{age, duration};
use super::style::{ERROR, GOOD, STRONG, paint};
use super::table::{Table, padded};
use ematix_flow_core::report::FeatureFreshness;
use serde::Serialize;

/// A feature view as `flow features list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedFeature {
    /// The key of its declaration.
    pub name: String,
    /// The view, `schema.name`.
    pub view: String,
    /// The version.
    pub version: String,
    /// Whether it is the version that the view shows.
    pub shown: bool,
    /// Its table.
    pub table: String,
    /// The columns of the entity.
    pub entity_keys: Vec<String>,
    /// When an event happened.
    pub event_timestamp_column: String,
    /// The other columns.
    pub features: Vec<String>,
    /// How long an event holds.
    pub ttl: Option<String>,
    /// In what the newest events are kept.
    pub online: Option<&'static str>,
    /// Where.
    pub served_from: Option<String>,
    /// How old what is served may be.
    pub freshness: Option<String>,
    /// What it holds.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The pipelines that fill it.
    pub pipelines: Vec<String>,
    /// Where it is declared, `file:line`.
    pub declared_at: Option<String>,
}

fn dash() -> String {
    "-".to_owned()
}

/// `NAME VIEW VERSION ENTITY TTL ONLINE PIPELINES`.
pub fn listed(features: &[ListedFeature]) -> String {
    if features.is_empty() {
        return "no feature views are declared\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "VIEW", "VERSION", "ENTITY", "TTL", "ONLINE", "PIPELINES"]);
    for feature in features {
        let version = match feature.shown {
            true => format!("{} shown", feature.version),
            false => feature.version.clone(),
        };
        table.row([
            paint(STRONG, &feature.name),
            feature.view.clone(),
            version,
            feature.entity_keys.join(", "),
            feature.ttl.clone().unwrap_or_else(dash),
            feature.online.map_or_else(dash, str::to_owned),
            if feature.pipelines.is_empty() { dash() } else { feature.pipelines.join(", ") },
        ]);
    }
    table.render()
}

/// One in full.
pub fn shown(feature: &ListedFeature) -> String {
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    let rows = [
        ("view", Some(feature.view.clone())),
        ("feature_version", Some(feature.version.clone())),
        ("shown", Some(if feature.shown { "yes" } else { "no, a later version is" }.to_owned())),
        ("table", Some(feature.table.clone())),
        ("entity", list(&feature.entity_keys)),
        ("event_timestamp_column", Some(feature.event_timestamp_column.clone())),
        ("features", list(&feature.features)),
        ("ttl", feature.ttl.clone()),
        ("online", feature.online.map(str::to_owned)),
        ("served from", feature.served_from.clone()),
        ("freshness", feature.freshness.clone()),
        ("description", feature.description.clone()),
        ("owner", feature.owner.clone()),
        ("tags", list(&feature.tags)),
        ("pipelines", list(&feature.pipelines)),
    ];
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = match &feature.declared_at {
        Some(place) => format!("{}\n", paint(STRONG, format!("{}  {place}", feature.name))),
        None => format!("{}\n", paint(STRONG, &feature.name)),
    };
    for (name, value) in rows {
        text.push_str(&format!("  {}  {}\n", padded(name, width), value.unwrap_or_else(|| "–".to_owned())));
    }
    text
}

/// `NAME SERVED FROM AGE MAY BE`, and whether it is stale.
pub fn freshness(features: &[FeatureFreshness]) -> String {
    if features.is_empty() {
        return "no feature views are declared\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "SERVED FROM", "AGE", "MAY BE", ""]);
    for feature in features {
        let old = feature.age_ms.and_then(|age| u64::try_from(age).ok());
        let judged = match (feature.stale, feature.freshness_ms) {
            (true, _) => paint(ERROR, "stale"),
            (false, Some(_)) => paint(GOOD, "fresh"),
            (false, None) => String::new(),
        };
        table.row([
            paint(STRONG, &feature.name),
            feature.served_from.clone(),
            old.map_or_else(|| "never loaded".to_owned(), age),
            feature.freshness_ms.map_or_else(dash, duration),
            judged,
        ]);
    }
    table.render()
}
