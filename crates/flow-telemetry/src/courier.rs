//! Carries things to where they are wanted, on a thread of its own. Who hands something over never waits: what finds no
//! room is counted and dropped. The thread begins with the first thing, so that nothing costs time where nothing is sent.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How many things may wait. A run of twenty steps is one, or twenty-one.
const ROOM: usize = 4096;

/// How long things are gathered before they go together.
const GATHERING: Duration = Duration::from_millis(500);

/// Delivers things together.
///
/// # Errors
/// Why they were not taken, in words without secrets.
pub type Deliver<T> = Box<dyn FnMut(Vec<T>, &Hurry<'_>) -> Result<(), String> + Send>;

/// Whether somebody waits for it.
pub type Hurry<'h> = dyn Fn() -> bool + 'h;

/// A queue and its thread.
pub struct Courier<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// What the thread has taken and not yet delivered.
    under_way: usize,
    lost: usize,
    why: Option<String>,
    hurry: bool,
    deliver: Option<Deliver<T>>,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many things.
    pub count: usize,
    /// Why, as far as it is known.
    pub why: String,
}

impl<T: Send + 'static> Courier<T> {
    /// A courier who delivers so.
    pub fn new(deliver: Deliver<T>) -> Courier<T> {
        let state = State {
            waiting: VecDeque::new(),
            under_way: 0,
            lost: 0,
            why: None,
            hurry: false,
            deliver: Some(deliver),
        };
        Courier { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Hands something over.
    pub fn hand(&self, thing: T) {
        let mut state = self.shared.state();
        if state.waiting.len() >= ROOM {
            state.lost += 1;
            return;
        }
        state.waiting.push_back(thing);
        if let Some(deliver) = state.deliver.take() {
            let shared = Arc::clone(&self.shared);
            let begun = Builder::new().name("telemetry".to_owned()).spawn(move || serve(&shared, deliver));
            if let Err(error) = begun {
                state.lost += std::mem::take(&mut state.waiting).len();
                state.why = Some(error.to_string());
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Asks for what waits to be delivered at once, and for what is refused to be given up soon.
    pub fn hurry(&self) {
        self.shared.state().hurry = true;
        self.shared.changed.notify_all();
    }

    /// Waits until everything is delivered or the time has come; what did not arrive since it was asked last.
    pub fn wait_until(&self, deadline: Instant) -> Option<Lost> {
        let mut state = self.shared.state();
        state.hurry = true;
        self.shared.changed.notify_all();
        while state.under_way + state.waiting.len() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.hurry = false;
        // What is on its way is given up here: nobody hears of the same things twice.
        let unfinished = std::mem::take(&mut state.under_way) + std::mem::take(&mut state.waiting).len();
        let count = std::mem::take(&mut state.lost) + unfinished;
        let why = state.why.take();
        (count > 0).then(|| Lost { count, why: why.unwrap_or_else(|| "no answer in time".to_owned()) })
    }
}

fn serve<T>(shared: &Shared<T>, mut deliver: Deliver<T>) {
    let mut state = shared.state();
    loop {
        while state.waiting.is_empty() {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let begun = Instant::now();
        while !state.hurry && state.waiting.len() < ROOM / 2 {
            let left = GATHERING.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let things: Vec<T> = state.waiting.drain(..).collect();
        let count = things.len();
        state.under_way = count;
        drop(state);
        let delivered = deliver(things, &|| shared.state().hurry);
        state = shared.state();
        let awaited = std::mem::take(&mut state.under_way);
        if let Err(why) = delivered
            && awaited > 0
        {
            state.lost += count;
            state.why = Some(why);
        }
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn things_go_together_and_in_their_order() {
        let (sender, receiver) = mpsc::channel();
        let courier = Courier::new(Box::new(move |things: Vec<u32>, _| {
            sender.send(things).unwrap();
            Ok(())
        }));
        (0..5).for_each(|thing| courier.hand(thing));
        assert_eq!(courier.wait_until(Instant::now() + Duration::from_secs(5)), None);
        assert_eq!(receiver.try_iter().flatten().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn one_who_never_delivers_is_not_waited_for_longer_than_said() {
        let (_keep, never) = mpsc::channel::<()>();
        let courier = Courier::new(Box::new(move |_: Vec<u32>, _| {
            let _ = never.recv();
            Ok(())
        }));
        let begun = Instant::now();
        (0..ROOM as u32 * 2 + 7).for_each(|thing| courier.hand(thing));
        assert!(begun.elapsed() < Duration::from_secs(1), "to hand over takes no time");
        let lost = courier.wait_until(Instant::now() + Duration::from_millis(100)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(lost, Lost { count: ROOM * 2 + 7, why: "no answer in time".to_owned() });
        assert_eq!(courier.wait_until(Instant::now()), None, "nobody is told twice");
    }

    #[test]
    fn what_was_refused_is_told_once_with_the_reason() {
        let courier = Courier::new(Box::new(|_: Vec<u32>, _| Err("it answered 500".to_owned())));
        courier.hand(1);
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(courier.wait_until(deadline), Some(Lost { count: 1, why: "it answered 500".to_owned() }));
        assert_eq!(courier.wait_until(deadline), None);
    }

    #[test]
    fn nobody_who_hands_nothing_over_waits() {
        let courier = Courier::new(Box::new(|_: Vec<u32>, _| Ok(())));
        assert_eq!(courier.wait_until(Instant::now() + Duration::from_secs(60)), None);
    }
}
