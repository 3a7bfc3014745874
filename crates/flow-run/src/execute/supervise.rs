//! Watches over a run: its lease, its time limit, the wish to stop it, and what is recorded of its end.

use super::observer::Observer;
use super::run::{Execution, Progress, asked, cancelled, cancelled_by, unless_asked};
use super::targets::Targets;
use super::{Engine, Request, Stop};
use crate::history::{Claim, ClaimEnd, Entered, Failure, HistoryStore, Renewed, RunStart, Slot, lease_lost};
use crate::session::{Canceller, Session, Signal};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result};
use ematix_flow_core::history::short_id;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::report::Status;
use ematix_flow_core::run_value::RunValue;
use ematix_flow_core::schedule::slots::Policy;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How long a server that went away may take to come back, until how the run ended is left to its lease.
const RESTART_LIMIT: Duration = Duration::from_secs(10);

/// Why a run must end before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody wished it.
    Asked(Stop),
    /// Somebody elsewhere wished it, and who.
    Cancelled(String),
    /// It took too long.
    TimeUp,
    /// It was taken for dead.
    LeaseLost,
}

impl Engine {
    /// Runs a plan and sees to it that its end is recorded wherever the target can be reached. Where the load stands,
    /// the session over which that was recorded is answered: what follows the commit is recorded over it, too.
    pub(super) async fn supervise(
        &self,
        targets: &Targets,
        request: &Request,
        observer: &dyn Observer,
        progress: &mut Progress,
    ) -> Result<Option<Box<dyn Session>>> {
        let whole = &targets.whole;
        // Connections that cannot be told are no run's failure: found before anything is opened.
        let sources = whole.source.members().iter().map(|member| &member.connection);
        for connection in sources.chain([&whole.target_connection]) {
            self.resolve(connection)?;
        }
        for transform in targets.after() {
            self.resolve_of_transform(transform)?;
        }
        let connection = &whole.target_connection;
        let name = format!("{} {}", whole.name, short_id(&targets.run_id));
        let waits = |error: &FlowError| match error.code {
            ErrorCode::Locked => observer.waiting(&whole.name),
            _ => observer.away(error),
        };
        let (halt, watched) = haltable(request);
        let runs = targets.runs();
        let run_ids: Vec<&str> = runs.iter().map(|(_, run_id, _)| *run_id).collect();
        if request.dry_run {
            let session =
                unless_asked(&request.stop, self.open_in_turn(whole, connection, &name, waits)).await?;
            let execution =
                Execution { engine: self, session: session.as_ref(), targets, request: &watched, observer };
            let work = execution.run(progress);
            let watch = Watch {
                request,
                halt: &halt,
                own: None,
                run_ids: &run_ids,
                claim: None,
                lease: &whole.limits.lease,
                left: whole.limits.run_timeout.as_ref().map(|limit| limit.as_std()),
            };
            let outcome = watch.over(work, || session.canceller()).await;
            let outcome = outcome.map_err(|ended| ended.of_load(whole));
            let outcome = name_grants(outcome, session.as_ref(), whole).await;
            session.close().await;
            return outcome.map(|()| None);
        }
        let own_name = format!("history {name}");
        let (load, own) = unless_asked(&request.stop, async {
            tokio::try_join!(
                self.open_in_turn(whole, connection, &name, waits),
                self.open_in_turn(whole, connection, &own_name, |_| ())
            )
        })
        .await?;
        let slot = request.slot.map(|slot| slot.to_string());
        for (pipeline, run_id, parent) in &runs {
            // The run of all targets serves the slot.
            let slot = slot.as_deref().filter(|_| parent.is_none());
            let start = RunStart {
                run_id,
                pipeline: &pipeline.name,
                mode: request.instead().or(Some(pipeline.strategy.mode().name())),
                target: &pipeline.target_key(),
                started_by: &request.started_by,
                slot: slot.map(|at| Slot { of: &pipeline.name, at }),
                parent: *parent,
                step_name: None,
                unless_paused: Some(&whole.name),
                lease: &whole.limits.lease,
            };
            let history = HistoryStore::on(own.as_ref());
            let entry = match name_grants(history.begin(&start).await, own.as_ref(), whole).await {
                Ok(entry) => entry,
                Err(error) => {
                    // The answer may be lost of a row that is there.
                    if error.code == ErrorCode::ConnectionLost
                        && let Some(own) = self.still_open(own, connection, &own_name).await
                    {
                        let failure = Failure {
                            status: Status::of_error(&error),
                            error: &error,
                            path: None,
                            rows_in: 0,
                        };
                        for run_id in &run_ids {
                            let _ = HistoryStore::on(own.as_ref()).fail(run_id, &failure).await;
                        }
                        own.close().await;
                    }
                    return Err(error);
                }
            };
            entry.lost.iter().for_each(|lost| observer.lost(lost));
            match entry.entered {
                Entered::Yes(claim) => progress.claim = claim.or(progress.claim.take()),
                Entered::No => {
                    let paused = history.pause_of(&whole.name).await?;
                    own.close().await;
                    load.close().await;
                    progress.slot_taken = true;
                    return match paused {
                        Some(pause) => Err(pause.error(&whole.name)),
                        None => Ok(None),
                    };
                }
            }
        }
        let claim = progress.claim.clone();
        let execution =
            Execution { engine: self, session: load.as_ref(), targets, request: &watched, observer };
        let work = execution.run(progress);
        let watch = Watch {
            request,
            halt: &halt,
            own: Some(own.as_ref()),
            run_ids: &run_ids,
            claim: claim.as_ref(),
            lease: &whole.limits.lease,
            left: whole.limits.run_timeout.as_ref().map(|limit| limit.as_std()),
        };
        let mut outcome = watch.over(work, || load.canceller()).await.map_err(|ended| ended.of_load(whole));
        load.close().await;
        let own = match outcome {
            Ok(()) => Some(own),
            Err(_) => self.still_open(own, connection, &own_name).await,
        };
        let Some(own) = own else { return outcome.map(|()| None) };
        if let Err(error) = outcome {
            let limit = whole.limits.lease.as_std() * 2 + COMMIT_UNDER_WAY;
            outcome = resolve(own.as_ref(), &targets.run_id, progress.commit_sent, limit, error).await;
        }
        if matches!(&outcome, Err(error) if error.code == ErrorCode::ConnectionLost) {
            // A server that was not told waits for the rest of the rows, and holds the target's lock meanwhile.
            let ids: Vec<String> = run_ids.iter().map(|id| (*id).to_owned()).collect();
            let _ = own.signal_runs(&ids, Signal::Terminate).await;
        }
        let outcome = name_grants(outcome, own.as_ref(), whole).await;
        let outcome = who_cancelled(outcome, own.as_ref(), &targets.run_id).await;
        // The load stands, or does not, whatever becomes of these notes.
        let path = progress.path.as_ref().map(|path| path.path);
        let history = HistoryStore::on(own.as_ref());
        for (run_id, values, steps) in progress.of_runs(targets) {
            match &outcome {
                Ok(()) => {
                    let _ = history.after_commit(run_id, steps).await;
                }
                Err(error) if error.code.exit() == ExitCode::Usage => {
                    let _ = history.forget(run_id).await;
                }
                Err(error) => {
                    let (status, rows_in) = (Status::of_error(error), values.number(RunValue::RowsIn));
                    let _ = history.fail(run_id, &Failure { status, error, path, rows_in }).await;
                    let _ = history.record_steps(run_id, steps).await;
                }
            }
        }
        if let (Err(error), Some(claim)) = (&outcome, &claim) {
            let end = claim_end(claim, &whole.policy, error);
            let _ = history.end_claim(claim, &end, error).await;
        }
        for (pipeline, _, _) in &runs {
            if let Some(keep) = &pipeline.limits.history_keep {
                let _ = history.forget_old(&pipeline.name, &pipeline.target_key(), keep).await;
            }
        }
        if let Err(error) = outcome {
            own.close().await;
            return Err(error);
        }
        Ok(Some(own))
    }
}

impl Engine {
    /// The history's session, opened anew if it broke with the load's: a server that restarts is back in seconds.
    async fn still_open(
        &self,
        own: Box<dyn Session>,
        connection: &str,
        name: &str,
    ) -> Option<Box<dyn Session>> {
        if let Ok(Ok(())) = tokio::time::timeout(RESTART_LIMIT, own.stay_awake()).await {
            return Some(own);
        }
        let opening = async {
            loop {
                match self.open(connection, name).await {
                    Ok(session) => return Some(session),
                    Err(error)
                        // What broke the one may break the next while it is made.
                        if matches!(
                            error.code,
                            ErrorCode::ConnectFailed | ErrorCode::ConnectTimeout | ErrorCode::ConnectionLost
                        ) =>
                    {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(RESTART_LIMIT, opening).await.ok().flatten()
    }
}

/// How a run ended whose connection broke: its row knows whether a COMMIT without an answer happened, and
/// whether another run took it for dead.
///
/// The load's transaction holds the row from its last step on, as long as the server is at its COMMIT, or does not know
/// that nobody is there any more; it ends such a session after two leases.
async fn resolve(
    own: &dyn Session,
    run_id: &str,
    commit_sent: bool,
    limit: Duration,
    error: FlowError,
) -> Result<()> {
    if !commit_sent && error.code != ErrorCode::ConnectionLost {
        return Err(error);
    }
    let began = Instant::now();
    loop {
        match HistoryStore::on(own).status_of(run_id).await {
            Ok(Some(status)) if status == "success" => return Ok(()),
            Ok(Some(status)) if status == "lost" => return Err(lease_lost()),
            Err(held) if held.code == ErrorCode::Locked && began.elapsed() < limit => {}
            _ => return Err(error),
        }
    }
}

/// How long a COMMIT that was sent may take after its connection broke.
const COMMIT_UNDER_WAY: Duration = Duration::from_secs(10);

/// Completes a `permission_denied` with the statements that mend it.
async fn name_grants<T>(outcome: Result<T>, session: &dyn Session, pipeline: &Pipeline) -> Result<T> {
    match outcome {
        Err(error) => Err(session.complete(error, pipeline.source.query.text()).await),
        done => done,
    }
}

/// A statement that was cancelled on the server: by whose wish, where somebody left word.
async fn who_cancelled<T>(outcome: Result<T>, own: &dyn Session, run_id: &str) -> Result<T> {
    match outcome {
        Err(error) if error.code == ErrorCode::Cancelled && error.context.is_empty() => {
            match HistoryStore::on(own).who_cancels(run_id).await {
                Ok(Some(who)) => Err(cancelled_by(&who)),
                _ => Err(error),
            }
        }
        done => done,
    }
}

/// What becomes of the slot of a run that did not succeed.
pub(super) fn claim_end(claim: &Claim, policy: &Policy, error: &FlowError) -> ClaimEnd {
    // A signal asks the process to go, not the slot.
    let by_signal = error.code == ErrorCode::Cancelled && error.context.contains_key("signal");
    if by_signal || error.code.exit() == ExitCode::Usage {
        return ClaimEnd::Released;
    }
    match policy.wait_after(claim.attempt, &format!("{} {}", claim.of, claim.at)) {
        Some(wait) if error.may_pass() => ClaimEnd::Retry(wait),
        _ => ClaimEnd::Failed,
    }
}

/// A request whose stop is ours to turn, whatever the reason.
pub(super) fn haltable(request: &Request) -> (Halt, Request) {
    let (halt, stop) = tokio::sync::watch::channel(Stop::No);
    (halt, Request { stop, ..request.clone() })
}

pub(super) type Halt = tokio::sync::watch::Sender<Stop>;

/// Watches over work that is recorded: its lease, its time, the wish to stop it.
pub(super) struct Watch<'a> {
    /// Carries the wish to stop.
    pub request: &'a Request,
    /// Tells the work to stop.
    pub halt: &'a Halt,
    /// Renews the lease; nothing of a dry-run.
    pub own: Option<&'a dyn Session>,
    /// What is renewed.
    pub run_ids: &'a [&'a str],
    /// The claim of a slot, which is renewed with them.
    pub claim: Option<&'a Claim>,
    /// How long it is believed without a sign of life.
    pub lease: &'a ematix_flow_core::duration::Duration,
    /// How long it may take.
    pub left: Option<Duration>,
}

/// How work ended that did not go well.
pub(super) struct Ended {
    /// What it said itself.
    pub error: FlowError,
    /// Why it was ended, if it was.
    pub cause: Option<Cause>,
}

impl Watch<'_> {
    /// Does the work to its end, or cancels it.
    pub async fn over<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        canceller: impl FnOnce() -> Box<dyn Canceller>,
    ) -> std::result::Result<T, Ended> {
        let mut work = pin!(work);
        let mut stop = self.request.stop.clone();
        let mut beat = tokio::time::interval(self.lease.as_std() / 4);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        let limit = async {
            match self.left {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut limit = pin!(limit);
        let cause = loop {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome.map_err(|error| Ended { error, cause: None }),
                asked = asked(&mut stop) => break Cause::Asked(asked),
                () = &mut limit => break Cause::TimeUp,
                _ = beat.tick(), if self.own.is_some() => {
                    let own = self.own.expect("the branch is taken only with it");
                    // A connection that broke is no verdict: the finish of the plan asks the row itself.
                    let history = HistoryStore::on(own);
                    let renewal = history.renew(self.run_ids, self.claim, self.lease);
                    tokio::select! {
                        biased;
                        outcome = &mut work => return outcome.map_err(|error| Ended { error, cause: None }),
                        // A server that does not answer keeps nobody from stopping the run.
                        asked = asked(&mut stop) => break Cause::Asked(asked),
                        () = &mut limit => break Cause::TimeUp,
                        renewed = renewal => match renewed {
                            Ok(Renewed::Lost) => break Cause::LeaseLost,
                            Ok(Renewed::ToBeCancelled(who)) => break Cause::Cancelled(who),
                            Ok(Renewed::Yes) | Err(_) => {}
                        },
                    }
                }
            }
        };
        self.halt.send_replace(match cause {
            Cause::Asked(stop) => stop,
            Cause::Cancelled(_) | Cause::TimeUp | Cause::LeaseLost => Stop::Terminate,
        });
        // Where it was quicker than the wish to stop it, it has ended well.
        cancel(work, canceller()).await.map_err(|error| Ended { error, cause: Some(cause) })
    }
}

impl Ended {
    /// The error of a load: everything was rolled back.
    fn of_load(self, pipeline: &Pipeline) -> FlowError {
        match self.cause {
            None => self.error,
            Some(Cause::Asked(stop)) => cancelled(stop),
            Some(Cause::Cancelled(who)) => cancelled_by(&who),
            Some(Cause::LeaseLost) => lease_lost(),
            Some(Cause::TimeUp) => {
                let limit = pipeline.limits.run_timeout.as_ref().map(ToString::to_string).unwrap_or_default();
                let words = format!("the run took longer than run_timeout = \"{limit}\"");
                FlowError::new(ErrorCode::Timeout, words)
                    .hint("it was cancelled on the server and rolled back: nothing was written")
            }
        }
    }
}

/// How long a statement may take to give up.
const CANCEL_LIMIT: Duration = Duration::from_secs(10);

/// Cancels on the server until the work gives up: between two statements a cancel finds nothing, and the
/// next one may have been sent already.
async fn cancel<T>(work: impl Future<Output = Result<T>>, canceller: Box<dyn Canceller>) -> Result<T> {
    let mut work = pin!(work);
    let deadline = Instant::now() + CANCEL_LIMIT;
    while Instant::now() < deadline {
        let asking = async {
            let _ = tokio::time::timeout(Duration::from_secs(1), canceller.cancel()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            () = asking => {}
        }
    }
    Err(FlowError::new(ErrorCode::ConnectionLost, "the server did not answer the wish to cancel"))
}
