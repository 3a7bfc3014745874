//! Executes one plan: waits for the target, gathers facts under its lock, runs the steps, commits.

use super::answers;
use super::gather::{self, Path};
use super::observer::Observer;
use super::route::Route;
use super::targets::{Targets, of_target};
use super::transfer::{self, Transferred};
use super::{Engine, Request, Stop};
use crate::history::HistoryStore;
use crate::postgres::error::{Side, statement_error};
use crate::postgres::session::Session;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::RunFacts;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Action, Blame, Condition, Plan, Step, StepKind};
use ematix_flow_core::report::{ExecutionPath, SampleRow, StepReport};
use ematix_flow_core::run_value::Values;
use ematix_flow_core::sql::{Literal, Quote};
use ematix_flow_core::strategies;
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
    /// What each target has come to.
    pub parts: Vec<PartProgress>,
    /// Steps done for all targets together.
    pub shared: Vec<StepReport>,
    /// Whether another run serves the slot already.
    pub slot_taken: bool,
    /// Whether COMMIT was sent.
    pub commit_sent: bool,
}

/// What one target has come to.
#[derive(Clone, Default)]
pub struct PartProgress {
    /// Numbers counted so far.
    pub values: Values,
    /// Steps done so far.
    pub steps: Vec<StepReport>,
    /// Rows of the sample.
    pub sample: Vec<SampleRow>,
    /// The watermark from which the run read.
    pub watermark_before: Option<String>,
}

impl Progress {
    /// Before anything is done for so many targets.
    pub fn of(targets: usize) -> Progress {
        Progress { parts: (0..targets).map(|_| PartProgress::default()).collect(), ..Progress::default() }
    }

    /// The numbers of all targets together.
    pub fn total(&self) -> Values {
        let mut total = Values::default();
        self.parts.iter().for_each(|part| total.add_all(&part.values));
        total
    }

    /// Every step that was done, in the order of the plan.
    pub fn all_steps(&self) -> Vec<StepReport> {
        let mut steps: Vec<StepReport> =
            self.parts.iter().flat_map(|part| part.steps.clone()).chain(self.shared.clone()).collect();
        steps.sort_by_key(|step| step.n);
        steps
    }

    /// What each run of the history has come to: its numbers and its steps.
    pub fn of_runs<'a>(&'a self, targets: &'a Targets) -> Vec<(&'a str, Values, &'a [StepReport])> {
        let mut runs = Vec::new();
        if targets.are_several() {
            runs.push((targets.run_id.as_str(), self.total(), self.shared.as_slice()));
        }
        let each = targets.each.iter().zip(&self.parts);
        runs.extend(
            each.map(|(target, part)| (target.run_id.as_str(), part.values.clone(), part.steps.as_slice())),
        );
        runs
    }

    /// Forgets what an attempt counted that left nothing behind.
    fn begin_again(&mut self) {
        self.parts.iter_mut().for_each(|part| *part = PartProgress::default());
        self.shared.clear();
    }
}

/// One run on its way.
pub struct Execution<'a> {
    /// Opens the source.
    pub engine: &'a Engine,
    /// The load's session on the target.
    pub session: &'a Session,
    /// What is loaded.
    pub targets: &'a Targets,
    /// What was asked for.
    pub request: &'a Request,
    /// Who follows it.
    pub observer: &'a dyn Observer,
}

impl Execution<'_> {
    /// Takes the targets, chooses the path, plans, executes and commits (or, in a dry-run, rolls back).
    ///
    /// The path comes under the lock: runs that wait would else hold a source's connection each, and behind
    /// a pooler keep all of them from each other.
    pub async fn run(&self, progress: &mut Progress) -> Result<()> {
        let history = HistoryStore::on(self.session);
        let prepared = !self.request.dry_run || history.is_current().await?;
        self.take_targets().await?;
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
        for (target, part) in self.targets.each.iter().zip(&mut progress.parts) {
            strategies::of(&target.pipeline.strategy).settle(&mut part.values);
        }
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
        let routing = self.engine.route(&self.targets.whole, self.session);
        let route = unless_asked(&self.request.stop, routing).await?;
        let outcome = self.take_route(&route, given_up, progress).await;
        if let Some(source) = route.source {
            match &outcome {
                Ok(None) => source.close().await,
                // It may be in the middle of its rows.
                Ok(Some(_)) | Err(_) => source.abandon().await,
            }
        }
        outcome
    }

    /// Plans and executes on a path that is chosen.
    async fn take_route(
        &self,
        route: &Route,
        given_up: Option<String>,
        progress: &mut Progress,
    ) -> Result<Option<String>> {
        progress.path = Some(route.path.clone());
        let about = RunFacts {
            id: String::new(),
            instant: String::new(),
            dry_run: self.request.dry_run,
            sample: self.request.sample,
            full_scan: self.request.full_scan,
            version: env!("CARGO_PKG_VERSION"),
        };
        let gathering = gather::all(self.session, self.targets, route, &about, true);
        let mut gathered = match route.source {
            // What waits for a lock of the source is cancelled with it.
            Some(_) => unless_asked(&self.request.stop, gathering).await?,
            None => gathering.await?,
        };
        gathered.client_diff_given_up(given_up);
        for (part, facts) in progress.parts.iter_mut().zip(gathered.each()) {
            part.watermark_before = facts.watermark.as_ref().and_then(|stored| stored.last_value.clone());
        }
        let plan = gathered.plan(self.targets, route)?;
        if !self.targets.are_several() {
            progress.path = Some(Path { path: plan.header.path, reason: plan.header.path_reason.clone() });
        }
        if plan.header.path == ExecutionPath::ClientDiff {
            self.session.ask("mark where the run begins", "SAVEPOINT ematix_attempt").await?;
        }
        self.observer.planned(&self.targets.whole.name, &plan);
        progress.plan = Some(plan.clone());
        for step in plan.steps() {
            if let Some(why) = self.step(&plan, step, route.source.as_ref(), progress).await? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Begins the transaction that holds the target's lock. Whoever waits, waits outside of it: a
    /// transaction that waits would keep a pooler's connection from the one that it waits for.
    async fn take_targets(&self) -> Result<()> {
        let whole = &self.targets.whole;
        // All runs take them in one order: none waits for another that waits for it.
        let mut keys: Vec<i64> =
            self.targets.each.iter().map(|target| lock_key(&target.pipeline.target_key())).collect();
        keys.sort_unstable();
        let tries: Vec<String> =
            keys.iter().map(|key| format!("SELECT pg_catalog.pg_try_advisory_xact_lock({key})")).collect();
        let limit = whole.limits.lock_timeout.as_std();
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
                    format!("another run holds {}", whole.target.name()),
                )
                .detail(format!(
                    "waited {} s (lock_timeout)",
                    whole.limits.lock_timeout.milliseconds() as f64 / 1000.0
                ))
                .hint("`flow status` shows which; run again when it is done, or raise lock_timeout"));
            }
            if !told {
                self.observer.waiting(&whole.name);
                told = true;
            }
            // Jitter from the run's own id keeps waiting runs from stepping on each other's feet.
            let jitter = u64::from(self.targets.run_id.bytes().last().unwrap_or(0)) % 17;
            tokio::time::sleep(
                pause.min(limit.saturating_sub(waiting.elapsed())) + Duration::from_millis(jitter),
            )
            .await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    fn limits(&self) -> String {
        let limits = &self.targets.whole.limits;
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
        plan: &Plan,
        step: &Step,
        source: Option<&Session>,
        progress: &mut Progress,
    ) -> Result<Option<String>> {
        self.stop_if_asked()?;
        let mut part = match step.part {
            Some(part) => std::mem::take(&mut progress.parts[part]),
            None => PartProgress { values: progress.total(), ..PartProgress::default() },
        };
        let outcome = self.step_of_part(plan, step, source, &mut part).await;
        match step.part {
            Some(place) => progress.parts[place] = part,
            None => progress.shared.append(&mut part.steps),
        }
        outcome.map_err(|error| match step.part {
            Some(part) if plan.is_of_several() => of_target(error, &self.targets.each[part].pipeline),
            _ => error,
        })
    }

    async fn step_of_part(
        &self,
        plan: &Plan,
        step: &Step,
        source: Option<&Session>,
        part: &mut PartProgress,
    ) -> Result<Option<String>> {
        if let Some(Condition::Positive(value)) = &step.when
            && part.values.number(*value) <= 0
        {
            return Ok(None);
        }
        if let (StepKind::Finish, Some(place)) = (step.kind, step.part) {
            strategies::of(&self.targets.each[place].pipeline.strategy).settle(&mut part.values);
        }
        self.observer.step_started(step);
        let started = Instant::now();
        let mut bytes = None;
        let rows = match &step.action {
            Action::Execute(statement) => {
                let sql = statement.fill(&part.values, &Postgres);
                let answers = self.session.run(&sql).await.map_err(|error| self.step_error(&error, step))?;
                let path = plan.header.path;
                answers::take(step, path, &answers, &mut part.values, &mut part.sample)?
            }
            Action::AskSource(statement) => {
                let source = transfer::source_of(source, &step.action)?;
                let sql = statement.to_string();
                let asked = source.ask_source(&step.purpose, &sql);
                unless_asked(&self.request.stop, awake(self.session, &self.targets.whole, asked)).await?;
                None
            }
            action @ (Action::Copy(_) | Action::Compare(_)) => {
                let source = transfer::source_of(source, action)?;
                let passing = self.transfer(action, source, &mut part.values);
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
        part.steps.push(report);
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

/// The advisory lock of a target.
pub fn lock_key(target: &str) -> i64 {
    let digest = Sha256::digest(format!("ematix-flow target {target}").as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// A value as it stands in SQL.
pub fn literal(value: &str) -> String {
    Postgres.literal(&Literal::Text(value.to_owned()))
}
