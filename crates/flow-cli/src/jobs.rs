//! Pieces of work side by side: each job is a thread with an event loop and sessions of its own, and takes the next piece
//! when it has ended one. A piece may wait for others.

mod queue;

pub use queue::{Turn, Waiting};

use crate::signals;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_run::execute::{Engine, Stop};
use queue::Queue;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};
use tokio::sync::{mpsc, watch};

/// What came of it.
pub struct Done<I, T> {
    /// What has ended, in the order in which it was given.
    pub ended: Vec<T>,
    /// What did not begin, since the process was asked to stop.
    pub left: Vec<I>,
    /// How it was asked.
    pub stop: Stop,
}

/// What came of a piece.
pub struct Ended<T> {
    /// It.
    pub came: T,
    /// Whether what waits for the piece may go on.
    pub may_follow: bool,
}

/// Works at most so many pieces at once, none of which waits for another.
///
/// # Errors
/// When the operating system gives no thread or event loop.
pub fn side_by_side<I: Send, T: Send>(
    engine: &Engine,
    items: Vec<I>,
    jobs: NonZeroUsize,
    work: impl AsyncFn(&Engine, I, watch::Receiver<Stop>) -> T + Sync,
) -> Result<Done<I, T>> {
    let items = items.into_iter().map(|item| Waiting { item, waits_for: Vec::new() }).collect();
    in_order(engine, items, jobs, async |engine, turn: Turn<I>, stop| Ended {
        came: work(engine, turn.item, stop).await,
        may_follow: true,
    })
}

/// Works at most so many pieces at once, each after those that it waits for, until none is left or the process is asked
/// to stop. Of those that could be next the first that was given begins. The work is told which of those before it did
/// not let it go on, and decides itself what that means.
///
/// # Errors
/// When the operating system gives no thread or event loop.
pub fn in_order<I: Send, T: Send>(
    engine: &Engine,
    items: Vec<Waiting<I>>,
    jobs: NonZeroUsize,
    work: impl AsyncFn(&Engine, Turn<I>, watch::Receiver<Stop>) -> Ended<T> + Sync,
) -> Result<Done<I, T>> {
    let jobs = jobs.get().min(items.len());
    // One piece has nothing to use again.
    let engine_of_a_job =
        || if items_of_each(items.len(), jobs) > 1 { engine.pooled() } else { engine.clone() };
    let engines: Vec<Engine> = (0..jobs).map(|_| engine_of_a_job()).collect();
    let queue = Queue::new(items);
    let ended = Mutex::new(BTreeMap::new());
    let broken = Mutex::new(None);
    let serve = async |engine: &Engine, stop: watch::Receiver<Stop>| {
        while let Some((place, turn)) = queue.next(stop.clone()).await {
            let mut working = queue.working(place);
            let Ended { came, may_follow } = work(engine, turn, stop.clone()).await;
            ended.lock().unwrap_or_else(PoisonError::into_inner).insert(place, came);
            working.may_follow = may_follow;
        }
        engine.close().await;
    };
    let stop = match engines.as_slice() {
        [] => Stop::No,
        [engine] => signals::block_on(async |stop| {
            serve(engine, stop.clone()).await;
            *stop.borrow()
        })?,
        engines => scope(|scope| {
            signals::block_on(async |stop| {
                let (working, mut all_done) = mpsc::channel::<()>(1);
                for (number, engine) in engines.iter().enumerate() {
                    let (stop, working, serve, broken) = (stop.clone(), working.clone(), &serve, &broken);
                    let job = move || {
                        let _working = working;
                        match signals::event_loop() {
                            Ok(events) => {
                                events.block_on(serve(engine, stop));
                                // As in `signals`: a dead name server would keep us here.
                                events.shutdown_background();
                            }
                            Err(error) => {
                                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            }
                        }
                    };
                    Builder::new()
                        .name(format!("job {}", number + 1))
                        .stack_size(signals::STACK)
                        .spawn_scoped(scope, job)
                        .map_err(no_thread)?;
                }
                drop(working);
                // Nothing is sent: it ends when the last job has.
                all_done.recv().await;
                Ok::<Stop, FlowError>(*stop.borrow())
            })
        })??,
    };
    if let Some(error) = broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect();
    Ok(Done { ended, left: queue.left(), stop })
}

fn items_of_each(items: usize, jobs: usize) -> usize {
    items.div_ceil(jobs.max(1))
}

fn no_thread(error: std::io::Error) -> FlowError {
    FlowError::new(ErrorCode::TargetFailed, format!("the operating system gives no thread: {error}"))
        .hint("take fewer --jobs")
}
