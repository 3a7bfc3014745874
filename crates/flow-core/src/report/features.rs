//! How old what is served of feature views is.

use serde::{Deserialize, Serialize};

/// A feature view with the age of what is served of it, for `flow features freshness`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeatureFreshness {
    /// The key of its declaration.
    pub name: String,
    /// The view, `schema.name`.
    pub view: String,
    /// The version.
    pub version: String,
    /// What is read where it is served: its table, or the relation beside it.
    pub served_from: String,
    /// When the last load began that it shows, RFC 3339 in UTC.
    pub as_of: Option<String>,
    /// Milliseconds since then.
    pub age_ms: Option<i64>,
    /// How old it may be.
    pub freshness_ms: Option<u64>,
    /// Whether it is older than that; a view that says nothing of it is never.
    pub stale: bool,
}

impl FeatureFreshness {
    /// With what was found of it.
    #[must_use]
    pub fn found(self, found: Served) -> FeatureFreshness {
        let late = |limit: u64| found.age_ms.is_none_or(|age| age > i64::try_from(limit).unwrap_or(i64::MAX));
        let stale = self.freshness_ms.is_some_and(late);
        FeatureFreshness { as_of: found.as_of, age_ms: found.age_ms, stale, ..self }
    }
}

/// Since when what is served is as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Served {
    /// When the last load began that it shows, RFC 3339 in UTC.
    pub as_of: Option<String>,
    /// Milliseconds since then.
    pub age_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_its_word_or_was_never_loaded_is_stale() {
        let stale = |limit, age| {
            let view = FeatureFreshness { freshness_ms: limit, ..FeatureFreshness::default() };
            view.found(Served { as_of: None, age_ms: age }).stale
        };
        assert!(stale(Some(1_000), Some(1_001)) && stale(Some(1_000), None));
        assert!(!stale(Some(1_000), Some(1_000)) && !stale(None, Some(9_999_999)) && !stale(None, None));
    }
}
