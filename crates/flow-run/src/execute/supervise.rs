//! Watches over a run: its lease, its time limit, the wish to stop it, and what is recorded of its end.

use super::observer::Observer;
use super::run::{Execution, Progress, asked, cancelled, unless_asked};
use super::targets::Targets;
use super::{Engine, Request, Stop};
use crate::history::{Failure, HistoryStore, RunStart, lease_lost};
use crate::session::Session;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::report::Status;
use ematix_flow_core::run_value::RunValue;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How long a server that went away may take to come back, until how the run ended is left to its lease.
const RESTART_LIMIT: Duration = Duration::from_secs(10);

/// Why a run must end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Asked(Stop),
    TimeUp,
    LeaseLost,
}

impl Engine {
    /// Runs a plan and sees to it that its end is recorded wherever the target can be reached.
    pub(super) async fn supervise(
        &self,
        targets: &Targets,
        request: &Request,
        observer: &dyn Observer,
        progress: &mut Progress,
    ) -> Result<()> {
        let whole = &targets.whole;
        // Connections that cannot be told are no run's failure: found before anything is opened.
        let sources = whole.source.members().iter().map(|member| &member.connection);
        for connection in sources.chain([&whole.target_connection]) {
            self.resolve(connection)?;
        }
        let connection = &whole.target_connection;
        let name = format!("{} {}", whole.name, &targets.run_id[targets.run_id.len() - 8..]);
        let waits = || observer.waiting(&whole.name);
        let (halt, watched) = haltable(request);
        let runs = targets.runs();
        let run_ids: Vec<&str> = runs.iter().map(|(_, run_id, _)| *run_id).collect();
        if request.dry_run {
            let session =
                unless_asked(&request.stop, self.open_in_turn(whole, connection, &name, waits)).await?;
            let execution =
                Execution { engine: self, session: session.as_ref(), targets, request: &watched, observer };
            let work = execution.run(progress);
            let outcome = watch(work, session.as_ref(), None, whole, request, &run_ids, &halt).await;
            let outcome = name_grants(outcome, session.as_ref(), whole).await;
            session.close().await;
            return outcome;
        }
        let own_name = format!("history {name}");
        let (load, own) = unless_asked(&request.stop, async {
            tokio::try_join!(
                self.open_in_turn(whole, connection, &name, waits),
                self.open_in_turn(whole, connection, &own_name, || ())
            )
        })
        .await?;
        for (pipeline, run_id, parent) in &runs {
            // The run of all targets serves the slot.
            let slot = request.slot.as_deref().filter(|_| parent.is_none());
            let start = RunStart {
                run_id,
                pipeline: &pipeline.name,
                mode: pipeline.strategy.mode().name(),
                target: &pipeline.target_key(),
                started_by: &request.started_by,
                slot,
                parent: *parent,
                lease: &whole.limits.lease,
            };
            let entered = HistoryStore::on(own.as_ref()).begin(&start).await;
            if !name_grants(entered, own.as_ref(), whole).await? {
                progress.slot_taken = true;
                return Ok(());
            }
        }
        let execution =
            Execution { engine: self, session: load.as_ref(), targets, request: &watched, observer };
        let work = execution.run(progress);
        let mut outcome =
            watch(work, load.as_ref(), Some(own.as_ref()), whole, request, &run_ids, &halt).await;
        load.close().await;
        let own = match outcome {
            Ok(()) => Some(own),
            Err(_) => self.still_open(own, connection, &own_name).await,
        };
        let Some(own) = own else { return outcome };
        if let Err(error) = outcome {
            outcome = resolve(own.as_ref(), &targets.run_id, progress.commit_sent, error).await;
        }
        let outcome = name_grants(outcome, own.as_ref(), whole).await;
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
        own.close().await;
        outcome
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
        if own.stay_awake().await.is_ok() {
            return Some(own);
        }
        let deadline = Instant::now() + RESTART_LIMIT;
        loop {
            match self.open(connection, name).await {
                Ok(session) => return Some(session),
                Err(error)
                    if matches!(error.code, ErrorCode::ConnectFailed | ErrorCode::ConnectTimeout)
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(_) => return None,
            }
        }
    }
}

/// How a run ended whose connection broke: its row knows whether a COMMIT without an answer happened, and
/// whether another run took it for dead.
async fn resolve(own: &dyn Session, run_id: &str, commit_sent: bool, error: FlowError) -> Result<()> {
    if !commit_sent && error.code != ErrorCode::ConnectionLost {
        return Err(error);
    }
    match HistoryStore::on(own).status_of(run_id).await.ok().flatten().as_deref() {
        Some("success") => Ok(()),
        Some("lost") => Err(lease_lost()),
        _ => Err(error),
    }
}

/// Completes a `permission_denied` with the statements that mend it.
async fn name_grants<T>(outcome: Result<T>, session: &dyn Session, pipeline: &Pipeline) -> Result<T> {
    match outcome {
        Err(error) => Err(session.complete(error, pipeline.source.query.text()).await),
        done => done,
    }
}

/// A request whose stop is ours to turn, whatever the reason.
fn haltable(request: &Request) -> (Halt, Request) {
    let (halt, stop) = tokio::sync::watch::channel(Stop::No);
    (halt, Request { stop, ..request.clone() })
}

type Halt = tokio::sync::watch::Sender<Stop>;

async fn watch(
    work: impl Future<Output = Result<()>>,
    load: &dyn Session,
    own: Option<&dyn Session>,
    pipeline: &Pipeline,
    request: &Request,
    run_ids: &[&str],
    halt: &Halt,
) -> Result<()> {
    let mut work = pin!(work);
    let mut stop = request.stop.clone();
    let lease = &pipeline.limits.lease;
    let mut beat = tokio::time::interval(lease.as_std() / 4);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    let limit = async {
        match &pipeline.limits.run_timeout {
            Some(limit) => tokio::time::sleep(limit.as_std()).await,
            None => std::future::pending().await,
        }
    };
    let mut limit = pin!(limit);
    let end = loop {
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            asked = asked(&mut stop) => break End::Asked(asked),
            () = &mut limit => break End::TimeUp,
            _ = beat.tick(), if own.is_some() => {
                let own = own.expect("the branch is taken only with it");
                // A connection that broke is no verdict: the finish of the plan asks the row itself.
                let history = HistoryStore::on(own);
                let renewal = history.renew(run_ids, lease);
                tokio::select! {
                    biased;
                    outcome = &mut work => return outcome,
                    renewed = renewal => if let Ok(false) = renewed { break End::LeaseLost },
                }
            }
        }
    };
    halt.send_replace(match end {
        End::Asked(stop) => stop,
        End::TimeUp | End::LeaseLost => Stop::Terminate,
    });
    let outcome = cancel(work, load).await;
    match (outcome, end) {
        // It was quicker than the wish to stop it.
        (Ok(()), _) => Ok(()),
        (Err(_), End::Asked(stop)) => Err(cancelled(stop)),
        (Err(_), End::TimeUp) => {
            let limit = pipeline.limits.run_timeout.as_ref().map(ToString::to_string).unwrap_or_default();
            Err(FlowError::new(
                ErrorCode::Timeout,
                format!("the run took longer than run_timeout = \"{limit}\""),
            )
            .hint("it was cancelled on the server and rolled back: nothing was written"))
        }
        (Err(_), End::LeaseLost) => Err(lease_lost()),
    }
}

/// Cancels on the server until the work gives up: between two statements a cancel finds nothing, and the
/// next one may have been sent already.
async fn cancel(work: impl Future<Output = Result<()>>, load: &dyn Session) -> Result<()> {
    let mut work = pin!(work);
    let canceller = load.canceller();
    for _ in 0..100 {
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
