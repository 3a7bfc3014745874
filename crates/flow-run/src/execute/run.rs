//! Executes one plan: waits for the target, gathers facts under its lock, runs the steps, commits.

use super::gather::{self, Gathered, Path};
use super::nulls;
use super::observer::Observer;
use super::patience::Patience;
use super::route::{Reads, Route};
use super::targets::{Targets, of_target};
use super::transfer::{self, Transferred};
use super::united;
use super::{Engine, Request, Stop};
use super::{answers, authors, readers};
use crate::history::{Claim, HistoryStore};
use crate::session::{End, Limits, Session};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::RunFacts;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Action, Answer, Blame, Condition, Plan, Step, StepKind};
use ematix_flow_core::planner::{self, parts::OneReading};
use ematix_flow_core::report::{ExecutionPath, SampleRow, StepReport};
use ematix_flow_core::run_value::{RunValue, Values};
use std::future::Future;
use std::time::Instant;
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
    /// Whether nothing was entered: another run serves the slot.
    pub slot_taken: bool,
    /// The claim of the slot that it serves.
    pub claim: Option<Claim>,
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
    /// What was found that a person should know although it goes well.
    pub warnings: Vec<String>,
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
    pub session: &'a dyn Session,
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
        let mut patience = Patience::of(&self.targets.whole, &self.targets.run_id);
        loop {
            let error = match self.run_once(progress).await {
                Err(error) if self.session.says_conflict(&error) => error,
                done => return done,
            };
            // Nothing was written, and a COMMIT that was refused has ended the transaction already.
            let _ = self.session.end(Blame::Target, "roll the attempt back", End::RollBack).await;
            progress.commit_sent = false;
            self.stop_if_asked()?;
            if !patience.lasts() {
                return Err(patience.ended(error));
            }
            progress.begin_again();
            patience.wait(|| self.observer.waiting(&self.targets.whole.name)).await;
        }
    }

    async fn run_once(&self, progress: &mut Progress) -> Result<()> {
        let history = HistoryStore::on(self.session);
        let prepared = !self.request.dry_run || history.is_current().await?;
        self.take_targets().await?;
        if !prepared {
            history.prepare(false).await?;
        }
        if let Some(why) = self.attempt(None, progress).await? {
            // Nothing was written: the rows are read again, and staged.
            self.session.end(Blame::Target, "give the comparison up", End::ToSavepoint).await?;
            progress.begin_again();
            if let Some(again) = self.attempt(Some(why), progress).await? {
                return Err(FlowError::new(ErrorCode::TargetFailed, again));
            }
        }
        for (target, part) in self.targets.each.iter().zip(&mut progress.parts) {
            target.pipeline.strategy.settle(&mut part.values);
        }
        self.stop_if_asked()?;
        if self.request.dry_run {
            self.session.end(Blame::Target, "roll the dry-run back", End::RollBack).await?;
            return Ok(());
        }
        progress.commit_sent = true;
        self.session.end(Blame::Target, "commit", End::Commit).await
    }

    /// Plans and executes; answers why a comparison in the client was given up.
    async fn attempt(&self, given_up: Option<String>, progress: &mut Progress) -> Result<Option<String>> {
        if let Some(named) = &self.request.rewind {
            return self.rewind(named, progress).await.map(|()| None);
        }
        let routing = self.engine.route(&self.targets.whole, self.session, self.request.reads_in_full());
        let route = unless_asked(&self.request.stop, routing).await?;
        let taking = async {
            let uniting = united::of_route(self.targets, &route, self.session);
            let united = unless_asked(&self.request.stop, uniting).await?;
            let &Execution { engine, session, request, observer, .. } = self;
            let (targets, readings) = united.as_parts(self.targets);
            let own = Execution { engine, session, targets, request, observer };
            own.take_route(&route, readings, given_up, progress).await
        };
        let outcome = taking.await;
        for source in route.into_sessions() {
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
        readings: &[OneReading],
        given_up: Option<String>,
        progress: &mut Progress,
    ) -> Result<Option<String>> {
        progress.path = Some(route.path.clone());
        let about = RunFacts {
            id: String::new(),
            instant: String::new(),
            dry_run: self.request.dry_run,
            sample: self.request.sample,
            full_scan: self.request.reads_in_full(),
            part: self.request.part(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let gathering = gather::all(self.session, self.targets, route, &about, true);
        let mut gathered = match route.source {
            // What waits for a lock of the source is cancelled with it.
            Some(_) => unless_asked(&self.request.stop, gathering).await?,
            None => gathering.await?,
        };
        gathered.readings(readings);
        gathered.client_diff_given_up(given_up);
        for (part, facts) in progress.parts.iter_mut().zip(gathered.each()) {
            part.watermark_before = facts.watermark.as_ref().and_then(|stored| stored.last_value.clone());
        }
        for (target, facts) in self.targets.each.iter().zip(gathered.each()) {
            if self.request.new_target && facts.target.live.is_some() {
                let name = target.pipeline.target.name();
                let error = FlowError::new(ErrorCode::InvalidValue, format!("{name} exists already"));
                return Err(error.hint("write to another name, drop it, or say if_exists=\"use\""));
            }
            self.observer.looked(&target.pipeline, facts);
        }
        let mut plan = gathered.plan(self.targets, route, &route.ends(self.session))?;
        if let Some(drift) = &plan.refused {
            return Err(drift.clone());
        }
        if !self.targets.are_several() {
            progress.path = Some(Path { path: plan.header.path, reason: plan.header.path_reason.clone() });
        }
        if plan.header.path == ExecutionPath::ClientDiff {
            self.session.savepoint("mark where the run begins").await?;
        }
        plan.unseal(|written| self.engine.key(&self.targets.whole.name, written))?;
        self.observer.planned(&self.targets.whole.name, &plan);
        if let Some(Claim { of, at, epoch, .. }) = &progress.claim {
            planner::fence(&mut plan, of, at, *epoch, self.session.facts().dialect);
        }
        progress.plan = Some(plan.clone());
        for step in plan.steps() {
            let done = self.step(&plan, step, route.read_by(step), progress).await;
            let done = match done {
                Err(error) => {
                    let error = self.told(error, step, route, &gathered).await;
                    self.observer.step_failed(step, &error);
                    Err(error)
                }
                done => done,
            };
            if let Some(why) = done? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Begins the transaction that holds the target's lock. Whoever waits, waits outside of it: a
    /// transaction that waits would keep a pooler's connection from the one that it waits for.
    async fn take_targets(&self) -> Result<()> {
        let whole = &self.targets.whole;
        let names: Vec<String> =
            self.targets.each.iter().map(|target| target.pipeline.target_key()).collect();
        let limits = self.limits();
        let mut patience = Patience::of(whole, &self.targets.run_id);
        loop {
            self.stop_if_asked()?;
            if self.session.take_locks(&names, &limits).await? {
                return Ok(());
            }
            if !patience.lasts() {
                let held =
                    FlowError::new(ErrorCode::Locked, format!("another run holds {}", whole.target.name()));
                return Err(patience
                    .ended(held)
                    .hint("`flow status` shows which; run again when it is done, or raise lock_timeout"));
            }
            patience.wait(|| self.observer.waiting(&whole.name)).await;
        }
    }

    fn limits(&self) -> Limits {
        let limits = &self.targets.whole.limits;
        Limits {
            lock: limits.lock_timeout.as_std(),
            idle: limits.lease.as_std() * 2,
            statement: limits.statement_timeout.as_ref().map(|limit| limit.as_std()),
        }
    }

    /// How long the source may send no row, once some have come.
    fn silence(&self) -> &Duration {
        &self.targets.whole.limits.read_timeout
    }

    pub fn stop_if_asked(&self) -> Result<()> {
        match *self.request.stop.borrow() {
            Stop::No => Ok(()),
            stop => Err(cancelled(stop)),
        }
    }

    /// Does one step; answers why a comparison in the client was given up.
    pub(super) async fn step(
        &self,
        plan: &Plan,
        step: &Step,
        reads: Reads<'_>,
        progress: &mut Progress,
    ) -> Result<Option<String>> {
        self.stop_if_asked()?;
        let mut part = match step.part {
            Some(part) => std::mem::take(&mut progress.parts[part]),
            None => PartProgress { values: progress.total(), ..PartProgress::default() },
        };
        let outcome = self.step_of_part(plan, step, reads, &mut part).await;
        match step.part {
            Some(place) => progress.parts[place] = part,
            None => {
                progress.shared.append(&mut part.steps);
                if matches!(step.action, Action::Bring(_)) {
                    let rows = part.values.number(RunValue::RowsIn);
                    let counted =
                        plan.parts.iter().zip(&mut progress.parts).filter(|(part, _)| part.stages_nothing);
                    counted.for_each(|(_, own)| own.values.set(RunValue::RowsIn, rows));
                }
            }
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
        reads: Reads<'_>,
        part: &mut PartProgress,
    ) -> Result<Option<String>> {
        let holds = match &step.when {
            None => true,
            Some(Condition::Positive(value)) => part.values.number(*value) > 0,
            Some(Condition::AnyPositive(values)) => values.iter().any(|value| part.values.number(*value) > 0),
            Some(Condition::AnySuspects(places)) => {
                places.iter().any(|place| part.values.suspects(*place) > 0)
            }
        };
        if !holds {
            return Ok(None);
        }
        if let (StepKind::Finish, Some(place)) = (step.kind, step.part) {
            self.targets.each[place].pipeline.strategy.settle(&mut part.values);
        }
        self.observer.step_started(step);
        let started = Instant::now();
        let mut bytes = None;
        let rows = match &step.action {
            Action::Execute(statement) => {
                let sql = statement.fill(&part.values, self.session.facts().dialect);
                let asked = authors::ask(self.session, step, &sql, &part.values).await;
                let answers = asked.map_err(|error| self.with_remedy(error, step))?;
                let path = plan.header.path;
                answers::take(step, path, &answers, part)?
            }
            Action::AskSource(statement) => {
                let source = transfer::source_of(reads.session, &step.action)?;
                let sql = statement.fill(&part.values, source.facts().dialect);
                let doing = step.doing();
                let asked = source.ask(Blame::Source, &doing, &sql);
                let answers =
                    unless_asked(&self.request.stop, awake(self.session, &self.targets.whole, asked)).await?;
                answers::take(step, plan.header.path, &answers, part)?
            }
            Action::Bring(bring) => {
                let (silence, values) = (self.silence(), &mut part.values);
                let passing =
                    transfer::bring_rows(bring, reads, self.session, silence, self.observer, values);
                let passed = unless_asked(&self.request.stop, passing).await;
                let passed = passed.map_err(|error| self.with_remedy(error, step))?;
                if let Answer::Count(counted) = &step.answer {
                    counted.iter().for_each(|value| part.values.add(*value, passed.rows));
                }
                if let (Some(_), Some(source)) = (&bring.read, reads.session) {
                    self.end_reading(source).await?;
                }
                bytes = Some(passed.bytes);
                Some(passed.rows)
            }
            action @ (Action::Copy(_) | Action::Compare(_)) => {
                let source = transfer::source_of(reads.session, action)?;
                let passing = self.transfer(action, source, &mut part.values);
                match unless_asked(&self.request.stop, passing).await? {
                    Transferred::Done(passed) => {
                        self.end_reading(source).await?;
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

    /// Nothing holds the source's old rows back while the target is written, and a query that reads its own target would
    /// keep TRUNCATE waiting for this very run. The rows are here whatever becomes of that session.
    async fn end_reading(&self, source: &dyn Session) -> Result<()> {
        let ending = async { Ok(source.end(Blame::Source, "end the reading", End::Commit).await.is_ok()) };
        unless_asked(&self.request.stop, ending).await.map(|_| ())
    }

    /// Which marker or helper a server means that refuses to read the rows.
    async fn told(&self, error: FlowError, step: &Step, route: &Route, gathered: &Gathered) -> FlowError {
        let of_rows = step.kind == StepKind::Stage || step.blame != Blame::Target;
        if !of_rows || matches!(step.action, Action::Bring(_)) {
            return error;
        }
        let session = route.reads(step.from).unwrap_or(self.session);
        let place = step.part.unwrap_or_default();
        let (pipeline, facts) = (&self.targets.each[place].pipeline, &gathered.each()[place]);
        authors::of_layers(session, pipeline, &facts.source, error).await
    }

    /// What the server's words alone do not say: who must act, and where the declaration stands.
    fn with_remedy(&self, error: FlowError, step: &Step) -> FlowError {
        let pipeline = &self.targets.each[step.part.unwrap_or_default()].pipeline;
        nulls::remedy(with_owner(error, step), &pipeline.target, self.session.facts().dialect)
    }

    async fn transfer(
        &self,
        action: &Action,
        source: &dyn Session,
        values: &mut Values,
    ) -> Result<Transferred> {
        let silence = self.silence();
        match action {
            Action::Copy(copy) if copy.reads.len() > 1 => {
                let readers = readers::open(self.engine, &self.targets.whole, copy.reads.len()).await?;
                let sources: Vec<&dyn Session> = readers.iter().map(AsRef::as_ref).collect();
                let passing =
                    transfer::copy_rows(copy, &sources, self.session, silence, self.observer, values);
                let passed = unless_asked(&self.request.stop, passing).await;
                readers::close(readers, passed.is_ok()).await;
                passed
            }
            Action::Copy(copy) => {
                transfer::copy_rows(copy, &[source], self.session, silence, self.observer, values).await
            }
            Action::Compare(compare) => {
                transfer::compare_rows(compare, source, self.session, silence, self.observer, values).await
            }
            Action::Execute(_) | Action::AskSource(_) | Action::Bring(_) => {
                unreachable!("no database sends rows")
            }
        }
    }
}

/// What only the owner of a table may do, its owner does once.
fn with_owner(error: FlowError, step: &Step) -> FlowError {
    let refused = error.sqlstate.as_deref() == Some("42501") && error.message.starts_with("must be owner");
    match refused && step.kind == StepKind::Ddl {
        true => error.hint(format!("its owner runs once: {}", step.action)),
        false => error,
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
    target: &dyn Session,
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
                target.stay_awake().await?;
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

/// The error of a run that somebody cancelled from elsewhere.
pub fn cancelled_by(who: &str) -> FlowError {
    FlowError::new(ErrorCode::Cancelled, format!("the run was cancelled by {who}"))
        .hint("it was cancelled on the server and rolled back: nothing was written")
        .context("by", who)
}

/// How the process was asked to stop, if it was.
pub fn asked_to_stop(stop: &watch::Receiver<Stop>) -> Option<Stop> {
    Some(*stop.borrow()).filter(|stop| *stop != Stop::No)
}

/// The error of a run that was asked to stop.
pub fn cancelled(stop: Stop) -> FlowError {
    let by = if stop == Stop::Terminate { "SIGTERM" } else { "Ctrl-C" };
    FlowError::new(ErrorCode::Cancelled, format!("the run was stopped by {by}"))
        .hint("it was cancelled on the server and rolled back: nothing was written")
        .context("signal", if stop == Stop::Terminate { "SIGTERM" } else { "SIGINT" })
}
