//! A database of an engine that is only read as a source: it is asked for the rows from the watermark on, and the load
//! judges them as it judges those of any other.

use super::Engine;
use super::brought::Rows;
use super::http::sent;
use crate::session::Session;
use ematix_flow_core::check::ForeignSource;
use ematix_flow_core::error::Result;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_foreign::{Since, rows_of};

impl Engine {
    /// What such a database sends to this run.
    ///
    /// # Errors
    /// What its connection cannot be resolved by.
    pub(super) async fn of_foreign(
        &self,
        pipeline: &Pipeline,
        source: &ForeignSource,
        target: &dyn Session,
        reads_in_full: bool,
    ) -> Result<Rows> {
        let at = self.resolve(&source.connection)?;
        let mut since = None;
        if let Some(incremental) = &pipeline.incremental {
            let stored = match reads_in_full {
                true => None,
                false => self.stored_watermark(pipeline, incremental, target).await?,
            };
            // A lookback that does not fit the column is the plan's to refuse.
            let from = stored.and_then(|text| sent(&text, incremental).ok());
            since = Some(Since { column: incremental.column.to_string(), from });
        }
        Ok(Rows { source: rows_of(source, at, since, &pipeline.limits.read_timeout), once: Vec::new() })
    }
}
