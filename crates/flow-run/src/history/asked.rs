//! What commands ask of the runs and of what is known of a target.

use super::HistoryStore;
use crate::session::{nth, unreadable};
use ematix_flow_core::error::Result;
use ematix_flow_core::hash::ENCODING_VERSION;
use ematix_flow_core::history::counts_as_json;
use ematix_flow_core::report::{RunRow, RunsWanted, Served, StepReport, TransformRow};
use ematix_flow_core::sql::Sql;
use ematix_flow_core::statement;

/// When a pipeline last succeeded: seconds since 1970.
#[derive(Clone, Debug)]
pub struct LastRuns {
    /// Its name.
    pub pipeline: String,
    /// The last time.
    pub last: f64,
    /// The time before.
    pub before: Option<f64>,
}

impl HistoryStore<'_> {
    /// The last runs of some pipelines, newest first.
    ///
    /// # Errors
    /// As the server says.
    pub async fn runs(&self, pipelines: &[String], wanted: &RunsWanted) -> Result<Vec<RunRow>> {
        let sql = statement!(
            "runs",
            run = self.run_row(),
            pipelines = pipelines,
            limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX),
            since = wanted.since.map(|since| since.to_string()).as_deref(),
            failed = wanted.failed
        );
        self.rows("read the history", &sql).await
    }

    /// The runs of some pipelines that are under way; no parts and no transforms.
    ///
    /// # Errors
    /// As the server says.
    pub async fn under_way(&self, pipelines: &[String]) -> Result<Vec<RunRow>> {
        let alone_since = self.alone_since();
        let sql = statement!(
            "under_way",
            run = self.run_row(),
            pipelines = pipelines,
            alone_since = alone_since.as_deref()
        );
        self.rows("look for what is running", &sql).await
    }

    /// When each pipeline last succeeded, and when before that: seconds since 1970.
    ///
    /// # Errors
    /// As the server says.
    pub async fn last_two_runs(&self) -> Result<Vec<LastRuns>> {
        const DOING: &str = "read which pipelines have run";
        let answers = self.ask(DOING, &statement!("last_two_runs")).await?;
        let number = |cell: &Option<String>| cell.as_deref().and_then(|text| text.parse::<f64>().ok());
        let rows = &crate::session::nth(&answers, 0, DOING)?.rows;
        let known = rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), last, before] => {
                Some(LastRuns { pipeline: name.clone(), last: number(last)?, before: number(before) })
            }
            _ => None,
        });
        Ok(known.collect())
    }

    /// The runs whose id ends in some digits.
    ///
    /// # Errors
    /// As the server says.
    pub async fn run_by_suffix(&self, digits: &str) -> Result<Vec<RunRow>> {
        let digits = digits.to_lowercase();
        let sql = statement!("runs_by_suffix", run = self.run_row(), digits = &digits);
        self.rows("look the run up", &sql).await
    }

    /// The transforms that ran after some runs, or that those are; metadata of before know none.
    ///
    /// # Errors
    /// As the server says.
    pub async fn transforms_of(&self, run_ids: &[String]) -> Result<Vec<TransformRow>> {
        if run_ids.is_empty() || !self.is_current().await? {
            return Ok(Vec::new());
        }
        self.rows("read the transforms", &statement!("transforms_of", run_ids = run_ids)).await
    }

    pub(super) fn run_row(&self) -> Sql {
        statement!("run_row", alone_since = self.alone_since().as_deref(), counts = counts_as_json())
    }

    /// The steps of a run.
    ///
    /// # Errors
    /// As the server says.
    pub async fn steps_of(&self, run_id: &str) -> Result<Vec<StepReport>> {
        self.rows("read the steps", &statement!("steps_of", run_id = run_id)).await
    }

    /// The columns that the row hashes of a target are of; `None` where it has none of this encoding.
    ///
    /// # Errors
    /// As the server says.
    pub async fn compare_set_of(&self, target: &str) -> Result<Option<Vec<String>>> {
        let doing = "look for the compared columns";
        let encoding_version = i64::from(ENCODING_VERSION);
        let sql = statement!("compare_set_of", target = target, encoding_version = encoding_version);
        let answers = self.ask(doing, &sql).await?;
        let answer = nth(&answers, 0, doing)?;
        if answer.rows.is_empty() {
            return Ok(None);
        }
        let Some(json) = &answer.only_row(1, doing)?[0] else { return Ok(None) };
        serde_json::from_str(json)
            .map(Some)
            .map_err(|error| unreadable(doing, &format!("a set that is no JSON: {error}")))
    }

    /// The number of the last run of a target that had committed by then: zero where none had, `None` where no run is
    /// remembered.
    ///
    /// # Errors
    /// `invalid_value` where a later one that had committed may be forgotten; as the server says.
    pub async fn last_run_known(&self, target: &str, known_at: &str) -> Result<Option<i64>> {
        if !self.exists().await? {
            return Ok(None);
        }
        let doing = "look for the last run that had committed";
        let sql = statement!("last_run_known", target = target, known_at = known_at);
        let answers = self.ask(doing, &sql).await?;
        let answer = nth(&answers, 0, doing)?;
        if answer.rows.is_empty() {
            return Ok(None);
        }
        let number = answer.only_number(doing)?;
        self.judge_known(target, number).await?;
        Ok(Some(number))
    }

    /// The last load of a target that is shown where it is served; `refresh` is the step that brings it there.
    ///
    /// # Errors
    /// As the server says.
    pub async fn served_since(&self, target: &str, refresh: Option<&str>) -> Result<Served> {
        let statement = statement!("served_since", target = target, refresh = refresh);
        let mut found: Vec<Served> = self.rows("read when the features were loaded", &statement).await?;
        Ok(found.pop().unwrap_or_default())
    }
}
