//! What is next: a piece is given to a job when all that it waits for has ended.

use ematix_flow_run::execute::Stop;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// A piece of work, and those that it waits for.
pub struct Waiting<I> {
    /// It.
    pub item: I,
    /// The places of others in the list that was given.
    pub waits_for: Vec<usize>,
}

/// A piece whose turn has come.
pub struct Turn<I> {
    /// It.
    pub item: I,
    /// The places of those that it waited for and that do not let it go on.
    pub kept_by: Vec<usize>,
}

pub(super) struct Queue<I> {
    state: Mutex<State<I>>,
    /// Wakes jobs that found nothing to do.
    changed: Notify,
}

struct State<I> {
    ready: BTreeMap<usize, Turn<I>>,
    waiting: BTreeMap<usize, (Turn<I>, usize)>,
    /// Of each piece those that wait for it.
    followers: Vec<Vec<usize>>,
    /// How many pieces are being worked.
    working: usize,
}

impl<I> Queue<I> {
    pub(super) fn new(items: Vec<Waiting<I>>) -> Queue<I> {
        let mut state = State {
            ready: BTreeMap::new(),
            waiting: BTreeMap::new(),
            followers: vec![Vec::new(); items.len()],
            working: 0,
        };
        for (place, Waiting { item, mut waits_for }) in items.into_iter().enumerate() {
            waits_for.sort_unstable();
            waits_for.dedup();
            let turn = Turn { item, kept_by: Vec::new() };
            if waits_for.is_empty() {
                state.ready.insert(place, turn);
            } else {
                state.waiting.insert(place, (turn, waits_for.len()));
            }
            for before in waits_for {
                state.followers[before].push(place);
            }
        }
        Queue { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece with its place; nothing when no more will come, or the process is asked to stop.
    pub(super) async fn next(&self, mut stop: watch::Receiver<Stop>) -> Option<(usize, Turn<I>)> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            // What has not begun does not begin.
            if *stop.borrow_and_update() != Stop::No {
                return None;
            }
            {
                let mut state = self.state();
                if let Some(next) = state.ready.pop_first() {
                    state.working += 1;
                    return Some(next);
                }
                if state.working == 0 {
                    return None;
                }
            }
            let asked = async {
                if stop.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = asked => {}
            }
        }
    }

    /// Says that a piece has ended, when it is dropped: also where its work panicked.
    pub(super) fn working(&self, place: usize) -> Working<'_, I> {
        Working { queue: self, place, may_follow: false }
    }

    fn ended(&self, place: usize, may_follow: bool) {
        let mut state = self.state();
        state.working -= 1;
        for follower in std::mem::take(&mut state.followers[place]) {
            let Some((turn, open)) = state.waiting.get_mut(&follower) else { continue };
            if !may_follow {
                turn.kept_by.push(place);
            }
            *open -= 1;
            if *open == 0
                && let Some((mut turn, _)) = state.waiting.remove(&follower)
            {
                turn.kept_by.sort_unstable();
                state.ready.insert(follower, turn);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// What was given to no job, in its order.
    pub(super) fn left(self) -> Vec<I> {
        let State { ready, waiting, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.into_iter().map(|(place, (turn, _))| (place, turn));
        let left: BTreeMap<usize, Turn<I>> = ready.into_iter().chain(waiting).collect();
        left.into_values().map(|turn| turn.item).collect()
    }
}

/// A piece that is being worked.
pub(super) struct Working<'q, I> {
    queue: &'q Queue<I>,
    place: usize,
    /// Whether what waits for it may go on.
    pub(super) may_follow: bool,
}

impl<I> Drop for Working<'_, I> {
    fn drop(&mut self) {
        self.queue.ended(self.place, self.may_follow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(waits: &[&[usize]]) -> Queue<usize> {
        let items = waits.iter().enumerate();
        Queue::new(items.map(|(item, waits)| Waiting { item, waits_for: waits.to_vec() }).collect())
    }

    fn on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_piece_comes_after_those_that_it_waits_for_and_else_in_its_order() {
        on(async {
            let queue = queue(&[&[2], &[], &[], &[0, 1]]);
            let (_asking, stop) = watch::channel(Stop::No);
            let mut order = Vec::new();
            while let Some((place, turn)) = queue.next(stop.clone()).await {
                assert_eq!(place, turn.item);
                order.push((place, turn.kept_by));
                queue.working(place).may_follow = place != 2;
            }
            // Who follows one that was kept decides itself; this one let the next go on.
            assert_eq!(order, [(1, vec![]), (2, vec![]), (0, vec![2]), (3, vec![])]);
            assert!(queue.left().is_empty());
        });
    }

    #[test]
    fn a_job_waits_for_what_others_work_and_goes_when_nothing_will_come() {
        on(async {
            let queue = queue(&[&[], &[0]]);
            let (_asking, stop) = watch::channel(Stop::No);
            let (first, _) = queue.next(stop.clone()).await.unwrap();
            let working = queue.working(first);
            let second = async { queue.next(stop.clone()).await.map(|(place, turn)| (place, turn.kept_by)) };
            let end = async {
                tokio::task::yield_now().await;
                drop(working);
            };
            let (second, ()) = tokio::join!(second, end);
            assert_eq!(second, Some((1, vec![0])), "what panicked lets nothing go on");
            drop(queue.working(1));
            assert!(queue.next(stop).await.is_none());
        });
    }

    #[test]
    fn who_waits_is_woken_by_the_wish_to_stop() {
        on(async {
            let queue = queue(&[&[], &[0], &[]]);
            let (asking, stop) = watch::channel(Stop::No);
            let (first, _) = queue.next(stop.clone()).await.unwrap();
            let (third, _) = queue.next(stop.clone()).await.unwrap();
            let waiting = async { queue.next(stop.clone()).await.is_none() };
            let ask = async {
                tokio::task::yield_now().await;
                asking.send(Stop::Interrupt).unwrap();
            };
            assert!(tokio::join!(waiting, ask).0);
            drop((queue.working(first), queue.working(third)));
            assert_eq!(queue.left(), [1]);
        });
    }

    #[test]
    fn pieces_that_wait_for_each_other_are_left() {
        on(async {
            let queue = queue(&[&[1], &[0], &[]]);
            let (_asking, stop) = watch::channel(Stop::No);
            let (place, _) = queue.next(stop.clone()).await.unwrap();
            drop(queue.working(place));
            assert!(queue.next(stop).await.is_none());
            assert_eq!((place, queue.left()), (2, vec![0, 1]));
        });
    }
}
