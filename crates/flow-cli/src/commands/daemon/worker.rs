//! Threads that run what is due, each with an event loop and sessions of its own.

use crate::commands::serve;
use crate::project::Session;
use crate::render::progress::Screen;
use crate::signals;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::report::RunReport;
use ematix_flow_run::execute::due::DueItem;
use ematix_flow_run::execute::{Engine, Stop};
use futures_util::FutureExt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::{Builder, Scope};
use tokio::sync::{mpsc, watch};

/// Something to run.
pub struct Job {
    /// By whom.
    pub engine: Arc<Engine>,
    /// Which reading of the files the engine is of.
    pub number: u64,
    /// What.
    pub item: DueItem,
}

/// Something that has ended.
pub struct Ended {
    /// Which worker is free.
    pub worker: usize,
    /// What it was.
    pub name: String,
    /// Whether it was a transform.
    pub is_transform: bool,
    /// What it comes after.
    pub after: Vec<String>,
    /// How its runs ended.
    pub reports: Vec<RunReport>,
}

/// The threads.
pub struct Workers {
    inboxes: Vec<mpsc::UnboundedSender<Job>>,
    idle: Vec<usize>,
}

impl Workers {
    /// Starts so many.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        session: &'scope Session,
        jobs: NonZeroUsize,
        stop: &watch::Receiver<Stop>,
        ended: mpsc::UnboundedSender<Ended>,
    ) -> Result<Workers> {
        let mut inboxes = Vec::new();
        for worker in 0..jobs.get() {
            let (inbox, jobs) = mpsc::unbounded_channel();
            let (stop, ended) = (stop.clone(), ended.clone());
            let work = move || {
                if let Ok(events) = signals::event_loop() {
                    events.block_on(work(worker, session, jobs, stop, ended));
                    events.shutdown_background();
                }
            };
            let thread = Builder::new().name(format!("worker {}", worker + 1)).stack_size(signals::STACK);
            thread.spawn_scoped(scope, work).map_err(|error| {
                let words = format!("the operating system gives no thread: {error}");
                FlowError::new(ErrorCode::TargetFailed, words).hint("take fewer --jobs")
            })?;
            inboxes.push(inbox);
        }
        let idle = (0..inboxes.len()).rev().collect();
        Ok(Workers { inboxes, idle })
    }

    /// A worker that has nothing to do; it is to be given something or put back.
    pub fn idle(&mut self) -> Option<usize> {
        self.idle.pop()
    }

    /// A worker has nothing to do.
    pub fn put_back(&mut self, worker: usize) {
        self.idle.push(worker);
    }

    /// Gives a worker something to do.
    pub fn give(&mut self, worker: usize, job: Job) {
        // It listens until it is dismissed.
        let _ = self.inboxes[worker].send(job);
    }

    /// Whether one of them works.
    pub fn are_busy(&self) -> bool {
        self.idle.len() < self.inboxes.len()
    }

    /// Lets them go home.
    pub fn dismiss(&mut self) {
        self.inboxes.clear();
        self.idle.clear();
    }
}

async fn work(
    worker: usize,
    session: &Session,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    stop: watch::Receiver<Stop>,
    ended: mpsc::UnboundedSender<Ended>,
) {
    let screen = Screen::new(&session.console, true);
    let mut pool: Option<(u64, Engine)> = None;
    while let Some(job) = jobs.recv().await {
        // Sessions of definitions that are no longer in force lead elsewhere.
        if pool.as_ref().is_none_or(|(number, _)| *number != job.number) {
            if let Some((_, engine)) = pool.take() {
                engine.close().await;
            }
            pool = Some((job.number, job.engine.pooled()));
        }
        let (_, engine) = pool.as_ref().expect("it was just put there");
        let (name, is_transform) = (job.item.name.clone(), job.item.is_transform);
        // A mistake of ours in one run is no reason to serve nothing any more.
        let serving = serve::item(session, engine, &screen, &job.item, super::STARTED_BY, &stop);
        let came = AssertUnwindSafe(serving).catch_unwind().await.unwrap_or_default();
        if ended
            .send(Ended { worker, name, is_transform, after: job.item.after, reports: came.runs })
            .is_err()
        {
            break;
        }
    }
    if let Some((_, engine)) = pool {
        engine.close().await;
    }
}
