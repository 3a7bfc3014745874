//! A line at the bottom of the terminal that says what is being done and for how long.
//!
//! The line ends where its text ends: Ctrl-C is echoed behind it, and must be wiped away with it.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const TICK: Duration = Duration::from_millis(100);
/// What is over sooner needs no line of its own.
const PATIENCE: Duration = Duration::from_millis(150);
const WIPE: &str = "\r\x1b[2K";

/// The moving line; gone when dropped.
pub struct Spinner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    work: Option<(String, Instant)>,
    drawn: bool,
    done: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spinner {
    /// A line that shows nothing yet.
    pub fn start() -> Spinner {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        // Without a thread there is no line, and nothing else is missing.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || turn(&own)).ok();
        Spinner { shared, thread }
    }

    /// Says what is being done from now on.
    pub fn show(&self, text: String) {
        self.shared.lock().work = Some((text, Instant::now()));
    }

    /// Says how far it has come.
    pub fn progress(&self, text: String) {
        if let Some((shown, _)) = &mut self.shared.lock().work {
            *shown = text;
        }
    }

    /// Prints something above the line.
    pub fn above(&self, print: impl FnOnce()) {
        let mut state = self.shared.lock();
        wipe(&mut state);
        print();
    }

    /// Takes the line away; it comes back with the next [`Spinner::show`].
    pub fn clear(&self) {
        let mut state = self.shared.lock();
        wipe(&mut state);
        state.work = None;
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.clear();
        self.shared.lock().done = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to say here.
            let _ = thread.join();
        }
    }
}

fn turn(shared: &Shared) {
    let mut frame = 0;
    let mut state = shared.lock();
    while !state.done {
        if let Some((text, since)) = &state.work
            && since.elapsed() >= PATIENCE
        {
            let line = line(FRAMES[frame % FRAMES.len()], text, since.elapsed());
            draw(&format!("{WIPE}{line}"));
            state.drawn = true;
            frame += 1;
        }
        state = shared.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn wipe(state: &mut State) {
    if std::mem::take(&mut state.drawn) {
        draw(WIPE);
    }
}

fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to hear of an error here.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(frame: char, text: &str, elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0 => format!("  {frame} {text}"),
        seconds @ 1..60 => format!("  {frame} {text}  {seconds} s"),
        seconds => format!("  {frame} {text}  {} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_from_a_second_on_how_long() {
        let after = |seconds| line('⠋', "diff  rows that differ", Duration::from_secs(seconds));
        assert_eq!(after(0), "  ⠋ diff  rows that differ");
        assert_eq!(after(7), "  ⠋ diff  rows that differ  7 s");
        assert_eq!(after(125), "  ⠋ diff  rows that differ  2 min 05 s");
    }
}
