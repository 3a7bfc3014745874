//! Watches over a run: its lease, its time limit, the wish to stop it, and what is recorded of its end.

use super::history::{self, RunStart};
use super::observer::Observer;
use super::run::{Progress, cancelled};
use super::{Engine, Request, Stop};
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Pipeline;
use crate::postgres::session::Session;
use crate::report::Status;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

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
        pipeline: &Pipeline,
        request: &Request,
        observer: &dyn Observer,
        run_id: &str,
        progress: &mut Progress,
    ) -> Result<()> {
        let name = format!("{} {}", pipeline.name, &run_id[run_id.len() - 8..]);
        if request.dry_run {
            let session = self.open(&pipeline.target_connection, &name).await?;
            let work = self.execute(pipeline, request, observer, run_id, &session, progress);
            let outcome = watch(work, &session, None, pipeline, request, run_id).await;
            session.close().await;
            return outcome;
        }
        let own_name = format!("history {name}");
        let (load, own) = tokio::try_join!(
            self.open(&pipeline.target_connection, &name),
            self.open(&pipeline.target_connection, &own_name),
        )?;
        let entered = history::begin(
            &own,
            &RunStart {
                run_id,
                pipeline: &pipeline.name,
                mode: pipeline.strategy.mode().name(),
                target: &pipeline.target_key(),
                started_by: &request.started_by,
                slot: request.slot.as_deref(),
                lease: &pipeline.limits.lease,
            },
        )
        .await?;
        if !entered {
            progress.slot_taken = true;
            return Ok(());
        }
        let work = self.execute(pipeline, request, observer, run_id, &load, progress);
        let mut outcome = watch(work, &load, Some(&own), pipeline, request, run_id).await;
        load.close().await;
        let own = if own.is_closed() {
            self.open(&pipeline.target_connection, &format!("history {name}")).await.ok()
        } else {
            Some(own)
        };
        if let (Err(_), true, Some(own)) = (&outcome, progress.commit_sent, &own) {
            outcome = resolve_lost_commit(own, run_id, outcome).await;
        }
        let Some(own) = own else { return outcome };
        match &outcome {
            // The load stands whatever becomes of these two notes.
            Ok(()) => {
                let _ = history::after_commit(&own, run_id, &progress.steps).await;
            }
            Err(error) => {
                let _ = history::fail(&own, run_id, Status::of_error(error), error, progress).await;
                let _ = history::record_steps(&own, run_id, &progress.steps).await;
            }
        }
        own.close().await;
        outcome
    }
}

/// The answer to COMMIT was lost: the run's row says whether it happened.
async fn resolve_lost_commit(own: &Session, run_id: &str, outcome: Result<()>) -> Result<()> {
    match history::status_of(own, run_id).await {
        Ok(Some(status)) if status == "success" => Ok(()),
        _ => outcome,
    }
}

async fn watch(
    work: impl Future<Output = Result<()>>,
    load: &Session,
    own: Option<&Session>,
    pipeline: &Pipeline,
    request: &Request,
    run_id: &str,
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
                let renewal = history::renew_lease(own, run_id, lease);
                tokio::select! {
                    biased;
                    outcome = &mut work => return outcome,
                    renewed = renewal => if let Ok(false) = renewed { break End::LeaseLost },
                }
            }
        }
    };
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
        (Err(_), End::LeaseLost) => Err(FlowError::new(
            ErrorCode::LeaseLost,
            "the run was taken for dead while it was running, and rolls back",
        )
        .hint("its process was paused for longer than its lease: run it again, or raise lease")),
    }
}

/// Waits for the wish to stop; a sender that is gone will never have one.
async fn asked(stop: &mut tokio::sync::watch::Receiver<Stop>) -> Stop {
    match stop.wait_for(|stop| *stop != Stop::No).await {
        Ok(stop) => *stop,
        Err(_) => std::future::pending().await,
    }
}

/// Cancels on the server until the work gives up: between two statements a cancel finds nothing.
async fn cancel(work: impl Future<Output = Result<()>>, load: &Session) -> Result<()> {
    let mut work = pin!(work);
    let canceller = load.canceller();
    for _ in 0..100 {
        let asking = async {
            canceller.cancel().await;
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
