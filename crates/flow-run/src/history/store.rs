//! One method for each thing that is asked or written. What a run writes goes over a connection of the executor's own,
//! so that it survives a rollback of the load.

use super::rows;
use super::slots::{self, Claim};
use super::tables::hinted;
use crate::session::{ResultSet, Session, Signal, nth, unreadable};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::{MIGRATIONS, Migration, counts_of_failure, version_after};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{ExecutionPath, Status, StepReport};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Literal, Sql, text};
use ematix_flow_core::statement;

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
    /// The pipeline as it was called, whose pause keeps the run from beginning.
    pub unless_paused: Option<&'a str>,
    /// The run of several targets that it is a part of, or the one that it follows.
    pub parent: Option<&'a str>,
    /// The transform, where it is no load.
    pub step_name: Option<&'a str>,
    /// How long it is believed without a sign of life.
    pub lease: &'a Duration,
}

/// What came of entering a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Entered {
    /// It is entered, and has its slot if it serves one.
    Yes(Option<Claim>),
    /// It is not: another run serves the slot, or the pipeline is paused.
    No,
}

/// What came of renewing a lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewed {
    /// It is renewed.
    Yes,
    /// The run was taken for dead.
    Lost,
    /// It is renewed, and somebody wishes that the run ends.
    ToBeCancelled(String),
}

/// A slot of a schedule.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    /// Whose schedule.
    pub of: &'a str,
    /// When it was due, RFC 3339.
    pub at: &'a str,
}

/// What came of entering a run, and what was found on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whether it was entered.
    pub entered: Entered,
    /// Runs that gave no sign of life any more.
    pub lost: Vec<LostRun>,
}

/// A run that was marked as `lost`: the whole of it, no part and no transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRun {
    /// Its id.
    pub run_id: String,
    /// The pipeline.
    pub pipeline: String,
    /// The target.
    pub target: String,
    /// The load strategy.
    pub mode: String,
}

impl LostRun {
    fn read(row: &[Option<String>]) -> Option<LostRun> {
        let [run_id, pipeline, target, mode, whole] = row else { return None };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let whole = matches!(whole.as_deref(), Some("t" | "true" | "True"));
        whole.then(|| LostRun {
            run_id: text(run_id),
            pipeline: text(pipeline),
            target: text(target),
            mode: text(mode),
        })
    }
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

impl<'a> HistoryStore<'a> {
    /// What is remembered in the database of a session.
    pub fn on(session: &'a dyn Session) -> HistoryStore<'a> {
        HistoryStore { session, migrations: MIGRATIONS }
    }

    pub(super) fn version(&self) -> i32 {
        version_after(self.migrations)
    }

    // A run.

    /// Enters the run as `running`, with the claim of its slot, creating or migrating the metadata on the way, and marks
    /// runs that died as `lost`.
    ///
    /// # Errors
    /// `metadata_newer`; `permission_denied` with the GRANT that mends it.
    pub async fn begin(&self, start: &RunStart<'_>) -> Result<Entry> {
        let doing = "enter the run into the history";
        let sql = self.begin_sql(start);
        match self.session.write(doing, &sql).await {
            Ok(answers) => {
                if let Some(entered) = self.entered(start, &answers, doing)? {
                    self.end_lost(&answers).await;
                    return Ok(entered);
                }
            }
            Err(error) if self.session.says_missing(&error) => {}
            Err(error) => return Err(hinted(error)),
        }
        self.prepare(true).await?;
        let answers = self.session.write(doing, &sql).await.map_err(hinted)?;
        self.entered(start, &answers, doing)?
            .ok_or_else(|| unreadable(doing, "an older version of the metadata than was just made"))
    }

    /// Ends the sessions of runs that were just found lost: a paused process holds its locks still.
    async fn end_lost(&self, answers: &[ResultSet]) {
        let lost = answers.get(1).map(|answer| answer.rows.as_slice()).unwrap_or_default();
        let lost: Vec<String> = lost.iter().filter_map(|row| row.first()?.clone()).collect();
        if !lost.is_empty() {
            // What cannot be ended ends by its own time limit.
            let _ = self.session.signal_runs(&lost, Signal::Terminate).await;
        }
    }

    /// Metadata of another version are not written: each statement asks for its own.
    fn begin_sql(&self, start: &RunStart<'_>) -> String {
        let known = statement!("version_is", version = self.version());
        let (scheduled, slot) = (start.slot.map_or("", |slot| slot.of), start.slot.map(|slot| slot.at));
        let alone_since = self.alone_since();
        let may = match start.unless_paused {
            Some(name) => {
                sql!(
                    "{known}\n   AND {not}",
                    known = known.clone(),
                    not = statement!("is_not_paused", name = name)
                )
            }
            None => known.clone(),
        };
        let [take, claim] = slots::claim(start, alone_since.as_deref(), &may);
        let statements = [
            // Asked first and last: another run may migrate between two statements.
            statement!("version"),
            statement!("mark_lost", alone_since = alone_since.as_deref(), known = known.clone()),
            match start.step_name {
                None => statement!("enter_target", target = start.target, known = known.clone()),
                // It loads none.
                Some(_) => Sql::text("SELECT 1"),
            },
            take,
            claim,
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
                may = may
            ),
            statement!("version"),
        ];
        self.text(&Sql::join(statements, ";\n"))
    }

    /// Since when no other process can have had a run here, as the statements take it.
    pub(super) fn alone_since(&self) -> Option<String> {
        self.session.alone_since().map(|since| since.to_string())
    }

    /// A statement as the session's engine words it.
    pub(super) fn text(&self, sql: &Sql) -> String {
        sql.to_text(self.session.facts().dialect)
    }

    /// What came of it; `None` where the metadata are older.
    fn entered(&self, start: &RunStart<'_>, answers: &[ResultSet], doing: &str) -> Result<Option<Entry>> {
        if self.read_version(nth(answers, 6, doing)?)? != self.version() {
            return Ok(None);
        }
        let claim = slots::claimed(start, nth(answers, 4, doing)?, doing)?;
        let entered = match nth(answers, 5, doing)?.affected {
            1 => Entered::Yes(claim),
            // Older when it was asked, and migrated since.
            _ if self.read_version(nth(answers, 0, doing)?)? != self.version() => return Ok(None),
            _ => Entered::No,
        };
        let lost = nth(answers, 1, doing)?.rows.iter().filter_map(|row| LostRun::read(row)).collect();
        Ok(Some(Entry { entered, lost }))
    }

    /// Renews the leases of runs that end together, and of their slot.
    ///
    /// # Errors
    /// As the server says.
    pub async fn renew(&self, run_ids: &[&str], claim: Option<&Claim>, lease: &Duration) -> Result<Renewed> {
        if self.session.alone_since().is_some() {
            return Ok(Renewed::Yes);
        }
        let doing = "renew the lease";
        let mut statements = vec![statement!("renew_leases", run_ids = run_ids, lease = milliseconds(lease))];
        statements.extend(claim.map(|claim| slots::renew(claim, lease)));
        let answers = self.session.write(doing, &self.text(&Sql::join(statements, ";\n"))).await?;
        let renewed = nth(&answers, 0, doing)?;
        if renewed.affected != run_ids.len() as i64
            || claim.is_some() && nth(&answers, 1, doing)?.affected != 1
        {
            return Ok(Renewed::Lost);
        }
        let wish = renewed.rows.iter().find_map(|row| row.first()?.clone());
        Ok(wish.map_or(Renewed::Yes, Renewed::ToBeCancelled))
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

    /// Records that a transform has succeeded, with what its function returned and its slot. `false`: it was taken for dead.
    ///
    /// # Errors
    /// As the server says.
    pub async fn succeed_alone(
        &self,
        run_id: &str,
        claim: Option<&Claim>,
        metrics: Option<&str>,
    ) -> Result<bool> {
        let doing = "record how the transform ended";
        let mut statements = vec![statement!("succeed_alone", run_id = run_id, metrics = metrics)];
        statements.extend(claim.map(slots::fence));
        let answers = self.session.write(doing, &self.text(&Sql::join(statements, ";\n"))).await?;
        Ok(answers.iter().all(|answer| answer.affected == 1))
    }

    /// Forgets a run that was entered before it was found that files or usage are wrong.
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

    pub(super) async fn ask(&self, doing: &str, sql: &Sql) -> Result<Vec<ResultSet>> {
        match self.session.ask(Blame::Target, doing, &self.text(sql)).await {
            Err(error) => Err(self.explained(error).await),
            answers => answers,
        }
    }

    pub(super) async fn rows<T: serde::de::DeserializeOwned>(
        &self,
        doing: &str,
        sql: &Sql,
    ) -> Result<Vec<T>> {
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
pub fn host() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
}
