//! One method for each thing that is asked or written. What a run writes goes over a connection of the executor's own,
//! so that it survives a rollback of the load.

use super::rows;
use super::tables::hinted;
use crate::session::{ResultSet, Session, nth, unreadable};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::hash::ENCODING_VERSION;
use ematix_flow_core::history::{MIGRATIONS, Migration, counts_as_json, counts_of_failure, version_after};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{ExecutionPath, RunRow, Status, StepReport, TransformRow, WatermarkRow};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Literal, Sql, text};
use ematix_flow_core::statement;
use jiff::Timestamp;

/// What is remembered in the database of a session.
#[derive(Clone, Copy)]
pub struct HistoryStore<'a> {
    pub(super) session: &'a dyn Session,
    pub(super) migrations: &'static [Migration],
}

/// What is recorded of a run when it begins.
pub struct RunStart<'a> {
    /// Its id.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// The load strategy; a transform has none.
    pub mode: Option<&'a str>,
    /// The target.
    pub target: &'a str,
    /// Who started it.
    pub started_by: &'a str,
    /// The slot it serves.
    pub slot: Option<Slot<'a>>,
    /// The run of several targets that it is a part of, or the one that it follows.
    pub parent: Option<&'a str>,
    /// The transform, where it is no load.
    pub step_name: Option<&'a str>,
    /// How long it is believed without a sign of life.
    pub lease: &'a Duration,
}

/// A slot of a schedule.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    /// Whose schedule.
    pub of: &'a str,
    /// When it was due, RFC 3339.
    pub at: &'a str,
}

/// What is recorded of a run that did not succeed.
pub struct Failure<'a> {
    /// Its status.
    pub status: Status,
    /// Why.
    pub error: &'a FlowError,
    /// The path that it took, once it was chosen.
    pub path: Option<ExecutionPath>,
    /// How many rows it had read.
    pub rows_in: i64,
}

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

impl<'a> HistoryStore<'a> {
    /// What is remembered in the database of a session.
    pub fn on(session: &'a dyn Session) -> HistoryStore<'a> {
        HistoryStore { session, migrations: MIGRATIONS }
    }

    pub(super) fn version(&self) -> i32 {
        version_after(self.migrations)
    }

    // A run.

    /// Enters the run as `running`, creating or migrating the metadata on the way, and marks runs that died as `lost`.
    /// `false`: another run serves the slot already, and nothing was entered.
    ///
    /// # Errors
    /// `metadata_newer`; `permission_denied` with the GRANT that mends it.
    pub async fn begin(&self, start: &RunStart<'_>) -> Result<bool> {
        let doing = "enter the run into the history";
        let sql = self.begin_sql(start);
        match self.session.write(doing, &sql).await {
            Ok(answers) => {
                if let Some(entered) = self.entered(&answers, doing)? {
                    return Ok(entered);
                }
            }
            Err(error) if self.session.says_missing(&error) => {}
            Err(error) => return Err(hinted(error)),
        }
        self.prepare(true).await?;
        let answers = self.session.write(doing, &sql).await.map_err(hinted)?;
        self.entered(&answers, doing)?
            .ok_or_else(|| unreadable(doing, "an older version of the metadata than was just made"))
    }

    /// Metadata of another version are not written: each statement asks for its own.
    fn begin_sql(&self, start: &RunStart<'_>) -> String {
        let known = statement!("version_is", version = self.version());
        let (scheduled, slot) = (start.slot.map_or("", |slot| slot.of), start.slot.map(|slot| slot.at));
        let statements = [
            statement!("mark_lost", alone_since = self.alone_since().as_deref(), known = known.clone()),
            match start.step_name {
                None => statement!("enter_target", target = start.target, known = known.clone()),
                // It loads none.
                Some(_) => Sql::text("SELECT 1"),
            },
            statement!(
                "claim_slot",
                run_id = start.run_id,
                scheduled = scheduled,
                slot = slot,
                known = known.clone()
            ),
            statement!(
                "enter_run",
                run_id = start.run_id,
                pipeline = start.pipeline,
                mode = start.mode,
                target = start.target,
                started_by = start.started_by,
                host = host().as_deref(),
                pid = i64::from(std::process::id()),
                program = env!("CARGO_PKG_VERSION"),
                slot = slot,
                scheduled = scheduled,
                parent = start.parent,
                step_name = start.step_name,
                lease = milliseconds(start.lease),
                known = known
            ),
            // Asked last: what was entered before is then of this version.
            statement!("version"),
        ];
        self.text(&Sql::join(statements, ";\n"))
    }

    /// Since when no other process can have had a run here, as the statements take it.
    fn alone_since(&self) -> Option<String> {
        self.session.alone_since().map(|since| since.to_string())
    }

    /// A statement as the session's engine words it.
    pub(super) fn text(&self, sql: &Sql) -> String {
        sql.to_text(self.session.facts().dialect)
    }

    /// Whether the run was entered; `None` where the metadata are older.
    fn entered(&self, answers: &[ResultSet], doing: &str) -> Result<Option<bool>> {
        let version = self.read_version(nth(answers, 4, doing)?)?;
        Ok((version == self.version()).then_some(nth(answers, 3, doing)?.affected == 1))
    }

    /// Renews the leases of runs that end together. `false`: one was taken for dead.
    ///
    /// # Errors
    /// As the server says.
    pub async fn renew(&self, run_ids: &[&str], lease: &Duration) -> Result<bool> {
        if self.session.alone_since().is_some() {
            return Ok(true);
        }
        let doing = "renew the lease";
        let sql = statement!("renew_leases", run_ids = run_ids, lease = milliseconds(lease));
        let answers = self.session.write(doing, &self.text(&sql)).await?;
        Ok(nth(&answers, 0, doing)?.affected == run_ids.len() as i64)
    }

    /// Records how a run ended that did not succeed.
    ///
    /// # Errors
    /// As the server says.
    pub async fn fail(&self, run_id: &str, failure: &Failure<'_>) -> Result<()> {
        let mut lines = vec![failure.error.message.as_str()];
        lines.extend(failure.error.details.iter().map(String::as_str));
        let sql = statement!(
            "fail",
            run_id = run_id,
            status = failure.status.name(),
            error = &lines.join("\n"),
            error_code = failure.error.code.name(),
            path = failure.path.map(|path| path.name()),
            counts = counts_of_failure(failure.rows_in)
        );
        self.session.write("record how the run ended", &self.text(&sql)).await.map(|_| ())
    }

    /// Records that a transform has succeeded, with what its function returned. `false`: it was taken for dead.
    ///
    /// # Errors
    /// As the server says.
    pub async fn succeed_alone(&self, run_id: &str, metrics: Option<&str>) -> Result<bool> {
        let doing = "record how the transform ended";
        let sql = self.text(&statement!("succeed_alone", run_id = run_id, metrics = metrics));
        let answers = self.session.write(doing, &sql).await?;
        Ok(nth(&answers, 0, doing)?.affected == 1)
    }

    /// Forgets a run that was entered before it was found that files or usage are wrong; its slot is to be served still.
    ///
    /// # Errors
    /// As the server says.
    pub async fn forget(&self, run_id: &str) -> Result<()> {
        let sql = self.text(&statement!("forget_run", run_id = run_id));
        self.session.write("forget what was no run", &sql).await.map(|_| ())
    }

    /// Records what can be recorded only after the commit: its time, and the steps.
    ///
    /// # Errors
    /// As the server says.
    pub async fn after_commit(&self, run_id: &str, steps: &[StepReport]) -> Result<()> {
        let mut statements = vec![statement!("enter_commit", run_id = run_id)];
        statements.extend(steps_statement(run_id, steps));
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.write("record the commit", &sql).await.map(|_| ())
    }

    /// Records the steps of a run that did not succeed.
    ///
    /// # Errors
    /// As the server says.
    pub async fn record_steps(&self, run_id: &str, steps: &[StepReport]) -> Result<()> {
        let Some(sql) = steps_statement(run_id, steps) else { return Ok(()) };
        self.session.write("record the steps", &self.text(&sql)).await.map(|_| ())
    }

    /// The status of a run as its row says: the answer after a lost COMMIT.
    ///
    /// # Errors
    /// As the server says.
    pub async fn status_of(&self, run_id: &str) -> Result<Option<String>> {
        let doing = "look the run up";
        let questions = [statement!("wait_for_the_row"), statement!("status_of", run_id = run_id)];
        let answers = self.session.write(doing, &self.text(&Sql::join(questions, ";\n"))).await?;
        let answer = nth(&answers, 1, doing)?;
        match answer.rows.is_empty() {
            true => Ok(None),
            false => Ok(Some(answer.only_value(doing)?.to_owned())),
        }
    }

    // What commands ask.

    /// The last runs of some pipelines, newest first.
    ///
    /// # Errors
    /// As the server says.
    pub async fn runs(&self, pipelines: &[String], limit: usize) -> Result<Vec<RunRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = statement!("runs", run = self.run_row(), pipelines = pipelines, limit = limit);
        self.rows("read the history", &sql).await
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

    fn run_row(&self) -> Sql {
        statement!("run_row", alone_since = self.alone_since().as_deref(), counts = counts_as_json())
    }

    /// The steps of a run.
    ///
    /// # Errors
    /// As the server says.
    pub async fn steps_of(&self, run_id: &str) -> Result<Vec<StepReport>> {
        self.rows("read the steps", &statement!("steps_of", run_id = run_id)).await
    }

    /// The last slot of a pipeline's schedule that was served, or seen.
    ///
    /// # Errors
    /// As the server says.
    pub async fn last_slot(&self, pipeline: &str) -> Result<Option<Timestamp>> {
        let doing = "look for the last slot";
        let answers = self.ask(doing, &statement!("last_slot", pipeline = pipeline)).await?;
        match &nth(&answers, 0, doing)?.only_row(1, doing)?[0] {
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| unreadable(doing, &format!("`{text}`, which is no instant"))),
            None => Ok(None),
        }
    }

    /// Remembers the slot before which a schedule was first seen.
    ///
    /// # Errors
    /// As the server says.
    pub async fn seen(&self, pipeline: &str, slot: &Timestamp) -> Result<()> {
        let sql = self.text(&statement!("seen", pipeline = pipeline, slot = &slot.to_string()));
        self.session.write("remember when the schedule was first seen", &sql).await.map(|_| ())
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

    // Watermarks.

    /// The stored watermarks of some pipelines.
    ///
    /// # Errors
    /// As the server says.
    pub async fn watermarks(&self, pipelines: &[String]) -> Result<Vec<WatermarkRow>> {
        self.rows("read the watermarks", &statement!("watermarks", pipelines = pipelines)).await
    }

    /// Sets a watermark and forgets what was loaded; commits the transaction that holds the target.
    ///
    /// # Errors
    /// As the server says.
    pub async fn set_watermark(
        &self,
        pipeline: &str,
        column: &str,
        value: &str,
        column_type: &str,
    ) -> Result<()> {
        let statements = [
            statement!("forget_ledger", pipeline = pipeline),
            statement!(
                "set_watermark",
                pipeline = pipeline,
                column = column,
                value = value,
                column_type = column_type
            ),
            Sql::text("COMMIT"),
        ];
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.ask(Blame::Target, "store the watermark", &sql).await.map(|_| ())
    }

    /// Forgets a watermark and what was loaded; commits the transaction that holds the target.
    ///
    /// # Errors
    /// As the server says.
    pub async fn reset_watermark(&self, pipeline: &str) -> Result<()> {
        let statements = [
            statement!("forget_ledger", pipeline = pipeline),
            statement!("forget_watermark", pipeline = pipeline),
            Sql::text("COMMIT"),
        ];
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.ask(Blame::Target, "forget the watermark", &sql).await.map(|_| ())
    }

    async fn ask(&self, doing: &str, sql: &Sql) -> Result<Vec<ResultSet>> {
        match self.session.ask(Blame::Target, doing, &self.text(sql)).await {
            Err(error) => Err(self.explained(error).await),
            answers => answers,
        }
    }

    async fn rows<T: serde::de::DeserializeOwned>(&self, doing: &str, sql: &Sql) -> Result<Vec<T>> {
        rows(&self.ask(doing, sql).await?, doing)
    }
}

/// The error of a run whose row is no longer `running`.
pub fn lease_lost() -> FlowError {
    FlowError::new(ErrorCode::LeaseLost, "the run was taken for dead while it was running, and rolls back")
        .hint("its process was paused for longer than its lease: run it again, or raise lease")
}

fn steps_statement(run_id: &str, steps: &[StepReport]) -> Option<Sql> {
    if steps.is_empty() {
        return None;
    }
    let steps = steps.iter().map(|step| {
        sql!(
            "({run_id}, {n}, {kind}, {purpose}, {rows}, {milliseconds})",
            run_id = text(run_id),
            n = Literal::Integer(step.n as i64),
            kind = text(step.kind.as_str()),
            purpose = text(step.purpose.as_str()),
            rows = step.rows.map_or(Literal::Null, Literal::Integer),
            milliseconds = Literal::Float((step.milliseconds * 1000.0).round() / 1000.0)
        )
    });
    Some(statement!("record_steps", steps = Sql::join(steps, ",\n       ")))
}

fn milliseconds(lease: &Duration) -> i64 {
    i64::try_from(lease.milliseconds()).unwrap_or(i64::MAX)
}

/// The name of this machine; a static binary has only the kernel to ask.
fn host() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
}
