//! Lines at the bottom of the terminal, one for each run that goes on, that say what is being done and for how long.
//!
//! The last line ends where its text ends: Ctrl-C is echoed behind it, and must be wiped away with it.

use super::table::cut;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const TICK: Duration = Duration::from_millis(100);
/// What is over sooner needs no line of its own.
const PATIENCE: Duration = Duration::from_millis(150);
const WIPE: &str = "\r\x1b[2K";
const WIPE_ABOVE: &str = "\x1b[1A\x1b[2K";

/// The moving lines; gone when dropped.
pub struct Board {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One of the lines; gone when dropped.
pub struct Line {
    shared: Arc<Shared>,
    number: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order in which they began.
    works: Vec<Work>,
    begun: usize,
    width: usize,
    /// Lines of the terminal that are in use.
    drawn: usize,
    done: bool,
}

struct Work {
    number: usize,
    /// Of several, whose it is.
    name: Option<String>,
    doing: Option<(String, Instant)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    /// A board that shows nothing yet, on a terminal of so many columns.
    pub fn start(width: usize) -> Board {
        let shared = Arc::new(Shared::default());
        shared.lock().width = width;
        let own = Arc::clone(&shared);
        // Without a thread there are no lines, and nothing else is missing.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || turn(&own)).ok();
        Board { shared, thread }
    }

    /// A line that shows nothing yet; of several, each says whose it is.
    pub fn line(&self, name: Option<&str>) -> Line {
        let mut state = self.shared.lock();
        state.begun += 1;
        let number = state.begun;
        state.works.push(Work { number, name: name.map(str::to_owned), doing: None });
        Line { shared: Arc::clone(&self.shared), number }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        wipe(&mut state);
        state.done = true;
        drop(state);
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to say here.
            let _ = thread.join();
        }
    }
}

impl Line {
    /// Says what is being done from now on.
    pub fn show(&self, text: String) {
        self.change(|doing| *doing = Some((text, Instant::now())));
    }

    /// Says how far it has come.
    pub fn progress(&self, text: String) {
        self.change(|doing| {
            if let Some((shown, _)) = doing {
                *shown = text;
            }
        });
    }

    /// Prints something above the lines.
    pub fn above(&self, print: impl FnOnce()) {
        let mut state = self.shared.lock();
        wipe(&mut state);
        print();
    }

    /// Takes the line away; it comes back with the next [`Line::show`].
    pub fn clear(&self) {
        wipe(&mut self.shared.lock());
        self.change(|doing| *doing = None);
    }

    fn change(&self, change: impl FnOnce(&mut Option<(String, Instant)>)) {
        let mut state = self.shared.lock();
        if let Some(work) = state.works.iter_mut().find(|work| work.number == self.number) {
            change(&mut work.doing);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        wipe(&mut state);
        state.works.retain(|work| work.number != self.number);
    }
}

fn turn(shared: &Shared) {
    let mut frame = 0;
    let mut state = shared.lock();
    while !state.done {
        let lines = lines(&state, FRAMES[frame % FRAMES.len()]);
        if !lines.is_empty() {
            draw(&format!("{}{}", wiping(state.drawn), lines.join("\r\n")));
            state.drawn = lines.len();
            frame += 1;
        }
        state = shared.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The lines of what has been going on for long enough.
fn lines(state: &State, frame: char) -> Vec<String> {
    let width =
        state.works.iter().filter_map(|work| work.name.as_ref()).map(|name| name.chars().count()).max();
    let shown = |work: &Work| {
        let (text, since) = work.doing.as_ref()?;
        let elapsed = since.elapsed();
        let name = work.name.as_ref().map(|name| format!("{name:<width$}  ", width = width.unwrap_or(0)));
        let line = line(frame, &format!("{}{text}", name.unwrap_or_default()), elapsed);
        (elapsed >= PATIENCE).then(|| cut(&line, state.width.saturating_sub(1)))
    };
    state.works.iter().filter_map(shown).collect()
}

fn wiping(drawn: usize) -> String {
    match drawn {
        0 => WIPE.to_owned(),
        lines => format!("{WIPE}{}", WIPE_ABOVE.repeat(lines - 1)),
    }
}

fn wipe(state: &mut State) {
    let drawn = std::mem::take(&mut state.drawn);
    if drawn > 0 {
        draw(&wiping(drawn));
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

    #[test]
    fn of_several_each_says_whose_it_is_and_what_has_just_begun_is_not_shown() {
        let work = |number, name: &str, seconds| Work {
            number,
            name: Some(name.to_owned()),
            doing: Instant::now()
                .checked_sub(Duration::from_secs(seconds))
                .map(|since| ("diff  rows that differ".to_owned(), since)),
        };
        let works = vec![work(1, "customers", 3), work(2, "orders", 2), work(3, "events", 0)];
        let state = State { works, width: 34, ..State::default() };
        let expected = ["  ⠋ customers  diff  rows that di…", "  ⠋ orders     diff  rows that di…"];
        assert_eq!(lines(&state, '⠋'), expected.map(|line| cut(line, 33)));
    }
}
