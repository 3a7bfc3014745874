//! How the metadata stand: their version, and what runs that died have left.

use super::{HistoryStore, rows};
use crate::session::nth;
use ematix_flow_core::error::Result;
use ematix_flow_core::history::{SCHEMA, tables};
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_core::statement;
use serde::Deserialize;

/// A run that has given no sign of life since its lease ran out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Silent {
    /// The pipeline.
    pub pipeline: String,
    /// The run.
    pub run_id: String,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
}

/// How the metadata stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataCondition {
    /// The version that is there.
    pub version: i32,
    /// The version that this program writes.
    pub known: i32,
    /// Runs that have given no sign of life.
    pub silent: Vec<Silent>,
    /// Tables of runs that are over, by their names in SQL.
    pub orphans: Vec<String>,
    /// How many runs are remembered.
    pub runs: i64,
    /// When the first of them began, RFC 3339 in UTC.
    pub since: Option<String>,
}

impl HistoryStore<'_> {
    /// How the metadata stand; `None` where there are none yet.
    ///
    /// # Errors
    /// `metadata_newer`; `permission_denied` with the GRANT that mends it.
    pub async fn condition(&self) -> Result<Option<MetadataCondition>> {
        let Some(version) = self.found().await? else { return Ok(None) };
        let mut condition =
            MetadataCondition { version, known: self.version(), ..MetadataCondition::default() };
        let doing = "count the runs";
        let remembered = self.ask(doing, &statement!("remembered")).await.map_err(super::tables::hinted)?;
        if let [Some(runs), since] = nth(&remembered, 0, doing)?.only_row(2, doing)? {
            condition.runs = runs.parse().unwrap_or_default();
            condition.since = since.clone();
        }
        // Where one process has the whole database, no other has left anything.
        if self.session.alone_since().is_none() {
            let doing = "look for what runs have left";
            let silent = self.ask(doing, &statement!("silent_runs")).await.map_err(super::tables::hinted)?;
            condition.silent = rows(&silent, doing)?;
            let orphans =
                self.ask(doing, &statement!("orphaned_stages")).await.map_err(super::tables::hinted)?;
            let names = &nth(&orphans, 0, doing)?.rows;
            condition.orphans = names.iter().filter_map(|row| row.first()?.clone()).collect();
        }
        Ok(Some(condition))
    }

    /// The tables of the metadata.
    pub fn table_names(&self) -> Vec<QualifiedName> {
        let names = tables(self.migrations).into_iter();
        names.filter_map(|name| QualifiedName::new(SCHEMA, name).ok()).collect()
    }
}
