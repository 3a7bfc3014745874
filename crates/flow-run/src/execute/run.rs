//! Executes one plan: waits for the target, gathers facts under its lock, runs the steps, commits.

use super::answers;
use super::gather::{self, Path};
use super::observer::Observer;
use super::route::Route;
use super::transfer::{self, Transferred};
use super::{Engine, Request, Stop};
use crate::history::{Failure, HistoryStore};
use crate::postgres::error::{Side, statement_error};
use crate::postgres::session::Session;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Cap, RunFacts, SourceFacts};
use ematix_flow_core::pipeline::{Pipeline, Strategy};
use ematix_flow_core::plan::{Action, Blame, Condition, Plan, Step, StepKind};
use ematix_flow_core::planner;
use ematix_flow_core::report::{ExecutionPath, SampleRow, Status, StepReport};
use ematix_flow_core::run_value::RunValue;
use ematix_flow_core::run_value::Values;
use ematix_flow_core::sql::{Literal, Quote};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a run leaves behind, however it ends.
#[derive(Default)]
pub struct Progress {
    /// The path, once it is chosen.
    pub path: Option<Path>,
    /// The plan, once it is made.
    pub plan: Option<Plan>,
    /// Numbers counted so far.
    pub values: Values,
    /// Steps done so far.
    pub steps: Vec<StepReport>,
    /// Rows of the sample.
    pub sample: Vec<SampleRow>,
    /// The watermark from which the run read.
    pub watermark_before: Option<String>,
    /// Whether another run serves the slot already.
    pub slot_taken: bool,
    /// Whether COMMIT was sent.
    pub commit_sent: bool,
}

impl Progress {
    /// What the history records of a run that ends here by an error.
    pub fn failure<'a>(&self, error: &'a FlowError) -> Failure<'a> {
        Failure {
            status: Status::of_error(error),
            error,
            path: self.path.as_ref().map(|path| path.path),
            rows_in: self.values.number(RunValue::RowsIn),
        }
    }

    /// Forgets what an attempt counted that left nothing behind.
    fn begin_again(&mut self) {
        self.values = Values::default();
        self.steps.clear();
        self.sample.clear();
    }
}

/// One run on its way.
pub struct Execution<'a> {
    /// Opens the source.
    pub engine: &'a Engine,
    /// The load's session on the target.
    pub session: &'a Session,
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What was asked for.
    pub request: &'a Request,
    /// Who follows it.
    pub observer: &'a dyn Observer,
    /// The run's id.
    pub run_id: &'a str,
}

impl Execution<'_> {
    /// Takes the target, chooses the path, plans, executes and commits (or, in a dry-run, rolls back).
    ///
    /// The path comes under the lock: runs that wait would else hold a source's connection each, and behind
    /// a pooler keep all of them from each other.
    pub async fn run(&self, progress: &mut Progress) -> Result<()> {
        let history = HistoryStore::on(self.session);
        let prepared = !self.request.dry_run || history.is_current().await?;
        self.take_targets(&[lock_key(&self.pipeline.target_key())]).await?;
        if !prepared {
            history.prepare(false).await?;
        }
        if let Some(why) = self.attempt(None, progress).await? {
            // Nothing was written: the rows are read again, and staged.
            self.session.ask("give the comparison up", "ROLLBACK TO ematix_attempt").await?;
            progress.begin_again();
            if let Some(again) = self.attempt(Some(why), progress).await? {
                return Err(FlowError::new(ErrorCode::TargetFailed, again));
            }
        }
        settle(&self.pipeline.strategy, &mut progress.values);
        self.stop_if_asked()?;
        if self.request.dry_run {
            self.session.ask("roll the dry-run back", "ROLLBACK").await?;
            return Ok(());
        }
        progress.commit_sent = true;
        self.session.ask("commit", "COMMIT").await?;
        Ok(())
    }

    /// Plans and executes; answers why a comparison in the client was given up.
    async fn attempt(&self, given_up: Option<String>, progress: &mut Progress) -> Result<Option<String>> {
        let route = unless_asked(&self.request.stop, self.engine.route(self.pipeline, self.session)).await?;
        let outcome = self.take_route(&route, given_up, None, progress).await;
        if let Some(source) = route.source {
            match &outcome {
                Ok(None) => source.close().await,
                // It may be in the middle of its rows.
                Ok(Some(_)) | Err(_) => source.abandon().await,
            }
        }
        outcome
    }

    /// Plans and executes on a path that is chosen; `read` is what is known of the source where it was read before.
    pub async fn take_route(
        &self,
        route: &Route,
        given_up: Option<String>,
        read: Option<&(SourceFacts, Cap)>,
        progress: &mut Progress,
    ) -> Result<Option<String>> {
        progress.path = Some(route.path.clone());
        let run = RunFacts {
            id: self.run_id.to_owned(),
            instant: String::new(),
            dry_run: self.request.dry_run,
            sample: self.request.sample,
            full_scan: self.request.full_scan,
            version: env!("CARGO_PKG_VERSION"),
        };
        let gathering = gather::facts(self.session, self.pipeline, route, run, true);
        let mut facts = match route.source {
            // What waits for a lock of the source is cancelled with it.
            Some(_) => unless_asked(&self.request.stop, gathering).await?,
            None => gathering.await?,
        };
        facts.client_diff_given_up = given_up;
        if let Some((source, cap)) = read {
            facts.cap = cap.clone();
            for column in &mut facts.source.columns {
                column.stamped = source.column(&column.name).is_some_and(|known| known.stamped);
            }
        }
        progress.watermark_before = facts.watermark.as_ref().and_then(|stored| stored.last_value.clone());
        let plan = planner::plan(self.pipeline, &facts, &Postgres)?;
        progress.path = Some(Path { path: plan.path, reason: plan.path_reason.clone() });
        if plan.path == ExecutionPath::ClientDiff {
            self.session.ask("mark where the run begins", "SAVEPOINT ematix_attempt").await?;
        }
        self.observer.planned(&self.pipeline.name, &plan);
        progress.plan = Some(plan.clone());
        for step in &plan.steps {
            if let Some(why) = self.step(step, route.source.as_ref(), progress).await? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Begins the transaction that holds the target's lock. Whoever waits, waits outside of it: a
    /// transaction that waits would keep a pooler's connection from the one that it waits for.
    pub async fn take_targets(&self, keys: &[i64]) -> Result<()> {
        let tries: Vec<String> =
            keys.iter().map(|key| format!("SELECT pg_catalog.pg_try_advisory_xact_lock({key})")).collect();
        let limit = self.pipeline.limits.lock_timeout.as_std();
        let waiting = Instant::now();
        let mut told = false;
        let mut pause = Duration::from_millis(20);
        loop {
            self.stop_if_asked()?;
            let sql = format!("{}; {}{}", self.session.begin(false), tries.join("; "), self.limits());
            let answers = self.session.ask("take the target", &sql).await?;
            let taken = answers.iter().filter(|set| {
                set.columns.first().is_some_and(|name| name == "pg_try_advisory_xact_lock")
                    && set.value() == Some("t")
            });
            if taken.count() == keys.len() {
                return Ok(());
            }
            self.session.ask("wait for the target", "ROLLBACK").await?;
            if waiting.elapsed() >= limit {
                return Err(FlowError::new(
                    ErrorCode::Locked,
                    format!("another run holds {}", self.pipeline.target.name()),
                )
                .detail(format!(
                    "waited {} s (lock_timeout)",
                    self.pipeline.limits.lock_timeout.milliseconds() as f64 / 1000.0
                ))
                .hint("`flow status` shows which; run again when it is done, or raise lock_timeout"));
            }
            if !told {
                self.observer.waiting(&self.pipeline.name);
                told = true;
            }
            // Jitter from the run's own id keeps waiting runs from stepping on each other's feet.
            let jitter = u64::from(self.run_id.bytes().last().unwrap_or(0)) % 17;
            tokio::time::sleep(
                pause.min(limit.saturating_sub(waiting.elapsed())) + Duration::from_millis(jitter),
            )
            .await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    fn limits(&self) -> String {
        let limits = &self.pipeline.limits;
        let mut sql = format!(
            "; SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
            limits.lock_timeout.milliseconds().max(1),
            limits.lease.milliseconds() * 2
        );
        // A process that was killed is found while its statement runs, where the server's system can tell.
        sql.push_str(
            "; SELECT pg_catalog.set_config('client_connection_check_interval', '2s', true) WHERE pg_catalog.version() ~ 'linux|darwin|bsd'",
        );
        if let Some(limit) = &limits.statement_timeout {
            sql.push_str(&format!("; SET LOCAL statement_timeout = {}", limit.milliseconds()));
        }
        sql
    }

    pub fn stop_if_asked(&self) -> Result<()> {
        match *self.request.stop.borrow() {
            Stop::No => Ok(()),
            stop => Err(cancelled(stop)),
        }
    }

    /// Does one step; answers why a comparison in the client was given up.
    async fn step(
        &self,
        step: &Step,
        source: Option<&Session>,
        progress: &mut Progress,
    ) -> Result<Option<String>> {
        self.stop_if_asked()?;
        if let Some(Condition::Positive(slot)) = &step.when
            && progress.values.number(*slot) <= 0
        {
            return Ok(None);
        }
        if step.kind == StepKind::Finish {
            settle(&self.pipeline.strategy, &mut progress.values);
        }
        self.observer.step_started(step);
        let started = Instant::now();
        let mut bytes = None;
        let rows = match &step.action {
            Action::Execute(statement) => {
                let sql = statement.fill(&progress.values, &Postgres);
                let answers = self.session.run(&sql).await.map_err(|error| self.step_error(&error, step))?;
                let path = progress.path.as_ref().map_or(ExecutionPath::SameDatabase, |path| path.path);
                answers::take(step, path, &answers, &mut progress.values, &mut progress.sample)?
            }
            Action::AskSource(statement) => {
                let source = transfer::source_of(source, &step.action)?;
                let sql = statement.to_string();
                let asked = source.ask_source(&step.purpose, &sql);
                unless_asked(&self.request.stop, awake(self.session, self.pipeline, asked)).await?;
                None
            }
            action @ (Action::Copy(_) | Action::Compare(_)) => {
                let source = transfer::source_of(source, action)?;
                let passing = self.transfer(action, source, &mut progress.values);
                match unless_asked(&self.request.stop, passing).await? {
                    Transferred::Done(passed) => {
                        // Nothing holds the source's old rows back while the target is written, and a query that
                        // reads its own target would keep TRUNCATE waiting for this very run. The rows are here
                        // whatever becomes of that session.
                        let ending =
                            async { Ok(source.ask_source("end the reading", "COMMIT").await.is_ok()) };
                        unless_asked(&self.request.stop, ending).await?;
                        bytes = Some(passed.bytes);
                        Some(passed.rows)
                    }
                    Transferred::GivenUp(why) => return Ok(Some(why)),
                }
            }
        };
        let report = StepReport {
            n: step.n,
            kind: step.kind.name().to_owned(),
            purpose: step.purpose.clone(),
            rows,
            bytes,
            milliseconds: started.elapsed().as_secs_f64() * 1000.0,
        };
        self.observer.step_finished(&report);
        progress.steps.push(report);
        Ok(None)
    }

    async fn transfer(&self, action: &Action, source: &Session, values: &mut Values) -> Result<Transferred> {
        match action {
            Action::Copy(copy) => {
                transfer::copy_rows(copy, source, self.session, self.observer, values).await
            }
            Action::Compare(compare) => {
                transfer::compare_rows(compare, source, self.session, self.observer, values).await
            }
            Action::Execute(_) | Action::AskSource(_) => unreachable!("statements transfer no rows"),
        }
    }

    fn step_error(&self, error: &tokio_postgres::Error, step: &Step) -> FlowError {
        let state = error.as_db_error().map(|db| db.code().code().to_owned()).unwrap_or_default();
        let written = state.starts_with("23") || state.starts_with("P0") || state == "42501";
        let side = match step.blame {
            Blame::Source => Side::Source,
            Blame::SourceUnlessWritten if !written => Side::Source,
            Blame::SourceUnlessWritten | Blame::Target => Side::Target,
        };
        let error = statement_error(error, side, &step.purpose);
        if state == "42501" && step.kind == StepKind::Ddl && error.message.starts_with("must be owner") {
            return error.hint(format!("its owner runs once: {}", step.action));
        }
        error
    }
}

/// Does what cannot be cancelled on a server, connecting above all, until the process is asked to stop.
pub async fn unless_asked<T>(
    stop: &watch::Receiver<Stop>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut stop = stop.clone();
    tokio::select! {
        biased;
        done = work => done,
        stop = asked(&mut stop) => Err(cancelled(stop)),
    }
}

/// Waits for the source, and lets the target's server know that this process is not a paused one.
pub async fn awake<T>(
    target: &Session,
    pipeline: &Pipeline,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut beat = tokio::time::interval(pipeline.limits.lease.as_std() / 2);
    beat.tick().await;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = beat.tick() => {
                target.ask("stay awake", "SELECT").await?;
            }
        }
    }
}

/// Waits for the wish to stop; a sender that is gone will never have one.
pub async fn asked(stop: &mut watch::Receiver<Stop>) -> Stop {
    let turned = stop.wait_for(|stop| *stop != Stop::No).await.map(|stop| *stop);
    match turned {
        Ok(stop) => stop,
        Err(_) => std::future::pending().await,
    }
}

/// The error of a run that was asked to stop.
pub fn cancelled(stop: Stop) -> FlowError {
    let by = if stop == Stop::Terminate { "SIGTERM" } else { "Ctrl-C" };
    FlowError::new(ErrorCode::Cancelled, format!("the run was stopped by {by}"))
        .hint("it was cancelled on the server and rolled back: nothing was written")
        .context("signal", if stop == Stop::Terminate { "SIGTERM" } else { "SIGINT" })
}

/// The numbers that follow from others: what is left of the rows read.
pub fn settle(strategy: &Strategy, values: &mut Values) {
    let n = |slot| values.number(slot);
    let rest = n(RunValue::RowsIn)
        - n(RunValue::RowsInserted)
        - n(RunValue::RowsUpdated)
        - n(RunValue::RowsDeduplicated)
        - n(RunValue::RowsRejected);
    match strategy {
        Strategy::Append(_) => values.set(RunValue::RowsSkipped, rest),
        Strategy::Truncate(_) => {}
        Strategy::Merge(_) | Strategy::Scd2(_) => {
            values.set(RunValue::RowsUnchanged, rest - n(RunValue::RowsSkipped))
        }
    }
}

/// The advisory lock of a target.
pub fn lock_key(target: &str) -> i64 {
    let digest = Sha256::digest(format!("ematix-flow target {target}").as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// A value as it stands in SQL.
pub fn literal(value: &str) -> String {
    Postgres.literal(&Literal::Text(value.to_owned()))
}
