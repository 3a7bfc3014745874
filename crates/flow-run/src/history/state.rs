//! What is known of pipelines and of their last runs, in one question each.

use super::tables::{READ_VERSION, hinted};
use super::{HistoryStore, rows};
use crate::session::nth;
use ematix_flow_core::error::Result;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{PausedRow, RunLog, RunPoint, RunRow};
use ematix_flow_core::sql::Sql;
use ematix_flow_core::statement;
use serde::Deserialize;

/// What is known of a pipeline.
#[derive(Clone, Debug, Deserialize)]
pub struct KnownState {
    /// Its name.
    pub pipeline: String,
    /// Its last run.
    pub last_run: Option<RunRow>,
    /// The end of its last success, RFC 3339 in UTC.
    pub last_success: Option<String>,
    /// Milliseconds since then.
    pub lag_ms: Option<i64>,
    /// The last slot of its schedule that was served, or seen.
    pub last_slot: Option<String>,
    /// Who keeps it from running.
    pub paused: Option<PausedRow>,
    /// Its last runs, oldest first.
    pub runs: Vec<RunPoint>,
}

impl HistoryStore<'_> {
    /// What is known of some pipelines, each with its last runs; `None` where nothing is remembered. One question.
    ///
    /// # Errors
    /// `metadata_newer`; as the server says.
    pub async fn states(&self, pipelines: &[String], limit: usize) -> Result<Option<Vec<KnownState>>> {
        let doing = "read the history";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let asked = |paused: Sql| {
            let states = statement!(
                "states",
                run = self.run_row(),
                paused = paused,
                pipelines = pipelines,
                limit = limit,
                alone_since = self.alone_since().as_deref()
            );
            self.text(&Sql::join([statement!("version"), states], ";\n"))
        };
        let mut answers = self.session.ask(Blame::Target, doing, &asked(statement!("pause_in_states"))).await;
        if answers.as_ref().is_err_and(|error| self.session.says_missing(error)) {
            if !self.exists().await? {
                return Ok(None);
            }
            // Older metadata know no pauses.
            answers = self.session.ask(Blame::Target, doing, &asked(Sql::text("NULL"))).await;
        }
        match answers {
            Ok(answers) => {
                self.read_version(nth(&answers, 0, READ_VERSION)?)?;
                rows(&answers[1..], doing).map(Some)
            }
            Err(error) => {
                let error = self.explained(error).await;
                Err(self.session.complete(hinted(error), "").await)
            }
        }
    }

    /// Some runs with their steps, newest first.
    ///
    /// # Errors
    /// As the server says.
    pub async fn logs(&self, run_ids: &[String]) -> Result<Vec<RunLog>> {
        if run_ids.is_empty() {
            return Ok(Vec::new());
        }
        self.rows("read the steps", &statement!("logs", run = self.run_row(), run_ids = run_ids)).await
    }
}
