//! Sessions that the thread which asks drives itself: nobody is woken for a question but the server. Between two
//! questions nothing drives one, so what the server said meanwhile is heard with the next.

use super::{Answer, FeatureServer, MAX_SESSIONS, Served, Shape, is_over};
use crate::postgres::text_value::TextValue;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::pin::pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How often whoever waits looks whether it still should.
const LOOK: Duration = Duration::from_millis(50);

/// A session and the event loop on which it lives.
struct Lane {
    runtime: Runtime,
    served: Served,
}

/// The sessions that nobody uses, and how many there are in all.
#[derive(Default)]
struct State {
    idle: Vec<Lane>,
    open: usize,
}

/// The sessions of threads that wait for their answers.
#[derive(Default)]
pub(super) struct Lanes {
    state: Mutex<State>,
    freed: Condvar,
}

impl Lanes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle session, or the place of one that is to be opened; waits for one where all are in use.
    fn take<E>(
        &self,
        look: &mut dyn FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<Taken<'_>, E> {
        let mut state = self.state();
        loop {
            if let Some(lane) = state.idle.pop() {
                return Ok(Taken { lanes: self, lane: Some(lane) });
            }
            if state.open < MAX_SESSIONS {
                state.open += 1;
                return Ok(Taken { lanes: self, lane: None });
            }
            state = self.freed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            drop(state);
            look()?;
            state = self.state();
        }
    }

    /// The server has ended one session, and with it perhaps all that nobody has listened to.
    fn forget_idle(&self) {
        let mut state = self.state();
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        self.freed.notify_all();
    }

    /// Says good-bye to the server on every idle session.
    pub(super) fn close(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        self.state().open -= idle.len();
        for Lane { runtime, served } in idle {
            runtime.block_on(crate::session::Session::close(Box::new(served.session)));
        }
    }
}

/// A session, or a place for one, that one thread has. One that is not given back is closed: it may be in the middle of
/// something.
struct Taken<'l> {
    lanes: &'l Lanes,
    lane: Option<Lane>,
}

impl Taken<'_> {
    fn give_back(mut self) {
        if let Some(lane) = self.lane.take() {
            let mut state = self.lanes.state();
            state.idle.push(lane);
            // What Drop takes off again.
            state.open += 1;
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        drop(self.lane.take());
        self.lanes.state().open -= 1;
        self.lanes.freed.notify_one();
    }
}

impl FeatureServer {
    /// How features are looked up, and the rows of an answer where there are `values`, by a session of the calling thread.
    /// `look` is called now and then, and ends the waiting by its error.
    ///
    /// # Errors
    /// Those of `look`; inside, those of [`FeatureServer::lookup`] and [`FeatureServer::ask`].
    pub fn ask_here<E>(
        &self,
        shape: &Shape,
        values: Option<&[TextValue]>,
        mut look: impl FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<Result<Answer>, E> {
        let mut again = true;
        loop {
            let mut taken = self.lanes.take(&mut look)?;
            if taken.lane.is_none() {
                match opened(&self.target, &mut look)? {
                    Ok(lane) => taken.lane = Some(lane),
                    Err(error) => return Ok(Err(error)),
                }
            }
            let Lane { runtime, served } = taken.lane.as_ref().expect("it was idle, or has been opened");
            let asking = async {
                let lookup = self.look_up(shape, served).await?;
                let rows = match values {
                    None => Ok(Vec::new()),
                    Some(values) => served.rows(&lookup.sql, values).await,
                };
                Ok((lookup, rows))
            };
            let answered = runtime.block_on(unless(&mut look, asking))?;
            let error = match answered {
                Ok((lookup, Ok(rows))) => {
                    taken.give_back();
                    return Ok(Ok(Answer { lookup, rows }));
                }
                Ok((_, Err(error))) if is_over(&error) && again => {
                    again = false;
                    drop(taken);
                    self.lanes.forget_idle();
                    continue;
                }
                Ok((lookup, Err(error))) => {
                    if !is_over(&error) {
                        taken.give_back();
                    }
                    self.explained(shape, &lookup, &error)
                }
                Err(error) => {
                    if !served.session.is_closed() {
                        taken.give_back();
                    }
                    error
                }
            };
            return Ok(Err(error));
        }
    }
}

fn opened<E>(
    target: &ConnectionTarget,
    look: &mut dyn FnMut() -> std::result::Result<(), E>,
) -> std::result::Result<Result<Lane>, E> {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("the operating system gives no event loop: {error}");
            return Ok(Err(FlowError::new(ErrorCode::ConnectFailed, message)));
        }
    };
    let served = runtime.block_on(unless(look, Served::open(target)))?;
    Ok(served.map(|served| Lane { runtime, served }))
}

/// Does something, unless whoever waits for it is told to stop.
async fn unless<T, E>(
    look: &mut dyn FnMut() -> std::result::Result<(), E>,
    work: impl Future<Output = T>,
) -> std::result::Result<T, E> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(LOOK) => look()?,
        }
    }
}
