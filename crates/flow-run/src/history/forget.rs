//! What is forgotten of runs that ended long ago, a part at a time, and how much of a target's history is there still.

use super::HistoryStore;
use crate::session::nth;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::sql::Sql;
use ematix_flow_core::statement;

/// How many runs and slots go by one statement, and by how many statements after a run: what has grown for years goes
/// over some runs, and none of them takes notably longer.
const BATCH: i64 = 500;
const BATCHES: usize = 4;

impl HistoryStore<'_> {
    /// Forgets runs of a pipeline and its slots that ended longer ago than this, with their steps and the transforms that
    /// followed them; what the next run, a rewind or `flow status` goes by stays.
    ///
    /// # Errors
    /// As the server says; what went before is gone.
    pub async fn forget_old(&self, pipeline: &str, target: &str, keep: &Duration) -> Result<()> {
        let doing = "forget old runs";
        let keep = i64::try_from(keep.milliseconds()).unwrap_or(i64::MAX);
        for _ in 0..BATCHES {
            let old = statement!(
                "runs_to_forget",
                pipeline = pipeline,
                target = target,
                keep = keep,
                limit = BATCH
            );
            let answers = self.ask(doing, &old).await?;
            let ids = nth(&answers, 0, doing)?.rows.iter().filter_map(|row| row.first()?.clone());
            let ids: Vec<String> = ids.collect();
            if !ids.is_empty() {
                let statements = [
                    statement!("forget_steps", run_ids = ids.as_slice()),
                    statement!("forget_runs", run_ids = ids.as_slice()),
                ];
                self.session.write(doing, &self.text(&Sql::join(statements, ";\n"))).await?;
            }
            if ids.len() < BATCH as usize {
                break;
            }
        }
        let slots = statement!("forget_slots", scheduled = pipeline, keep = keep, limit = BATCH);
        self.session.write(doing, &self.text(&slots)).await.map(|_| ())
    }

    /// How many runs of a target that stand after one are no longer remembered.
    ///
    /// # Errors
    /// As the server says.
    pub async fn forgotten_since(&self, target: &str, number: i64) -> Result<i64> {
        let doing = "look whether all runs since are remembered";
        let answers =
            self.ask(doing, &statement!("forgotten_since", target = target, number = number)).await?;
        let answer = nth(&answers, 0, doing)?;
        match answer.rows.is_empty() {
            true => Ok(0),
            false => answer.only_number(doing),
        }
    }

    /// Refuses to say what was known after a run, where the ones behind it are no longer remembered: by then a later one
    /// may have been.
    ///
    /// # Errors
    /// `invalid_value`.
    pub async fn judge_known(&self, target: &str, number: i64) -> Result<()> {
        match self.forgotten_since(target, number).await? {
            0 => Ok(()),
            forgotten => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("what was known of {target} then is not remembered: {} since", runs_gone(forgotten)),
            )
            .hint("ask for a later time, or name a run; history_keep says how long runs are remembered")),
        }
    }
}

fn runs_gone(count: i64) -> String {
    match count {
        1 => "its history lacks 1 run".to_owned(),
        _ => format!("its history lacks {count} runs"),
    }
}
