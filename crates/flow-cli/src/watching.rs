//! `--watch`: an answer that is kept up to date. A terminal is drawn anew in place, and left as it was, with the last
//! answer on it; elsewhere only lines for programs are printed, one for each thing that is new.

use crate::console::{Console, Format};
use crate::project::{Failure, Outcome};
use crate::render::diagnostic;
use crate::render::number::instant;
use crate::render::style::{FAINT, paint};
use crate::signals;
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_run::execute::Stop;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// What is wrong with a word that is taken for a pipeline, where it was meant as the seconds of `--watch`.
///
/// # Errors
/// `unknown_pipeline` for a number that is no name.
pub fn meant_as_seconds(
    every: Option<Duration>,
    words: &[String],
    project: &ProjectSpec,
) -> Result<(), FlowError> {
    let number =
        |word: &&String| word.parse::<f64>().is_ok() && !project.pipelines.contains_key(word.as_str());
    match words.iter().find(number).filter(|_| every.is_some()) {
        None => Ok(()),
        Some(word) => {
            Err(FlowError::new(ErrorCode::UnknownPipeline, format!("there is no pipeline `{word}`"))
                .hint(format!("seconds stand behind an equals sign: --watch={word}")))
        }
    }
}

/// What one look has found.
#[derive(Debug, Default)]
pub struct Look {
    /// For people.
    pub text: String,
    /// For programs.
    pub items: Vec<Item>,
    /// What kept a part of the answer back.
    pub errors: Vec<FlowError>,
    /// Whether there is nothing more to wait for, and what that ends with.
    pub ended: Option<ExitCode>,
}

/// One thing of an answer.
#[derive(Debug)]
pub struct Item {
    /// Which thing it is.
    pub key: String,
    /// What is new where it differs.
    pub state: Value,
    /// As it is printed.
    pub whole: Value,
}

/// What is watched, and how often.
pub struct Watch<'a> {
    /// Where it is shown.
    pub console: &'a Console,
    /// The command, for its heading.
    pub command: &'static str,
    /// The time between two looks.
    pub every: Duration,
}

impl Watch<'_> {
    /// Looks again and again, until nothing more can come or the process is asked to stop.
    ///
    /// # Errors
    /// `invalid_value` where the answer would be neither drawn nor printed line by line; what kept the first look
    /// from finding anything.
    pub fn until_stopped(&self, look: impl AsyncFnMut() -> Result<Look, Failure>) -> Outcome {
        match self.console.format() {
            Format::NdJson => {}
            Format::Human if self.console.draws() => {}
            format => return Err(self.refused(format).into()),
        }
        signals::block_on(async |stop| self.looking(stop, look).await)?
    }

    fn refused(&self, format: Format) -> FlowError {
        let why = match format {
            Format::Human => "`--watch` draws on a terminal, and stdout is none",
            _ => "`--watch` has no end, and one JSON document has",
        };
        FlowError::new(ErrorCode::InvalidValue, why).hint(format!(
            "`flow {} --watch --output ndjson` prints a line for each thing that is new",
            self.command
        ))
    }

    async fn looking(
        &self,
        mut stop: watch::Receiver<Stop>,
        mut look: impl AsyncFnMut() -> Result<Look, Failure>,
    ) -> Outcome {
        let mut last = tokio::select! {
            _ = stop.changed() => return Ok(of_stop(*stop.borrow())),
            found = look() => found?,
        };
        if last.text.is_empty() && last.items.is_empty() && !last.errors.is_empty() {
            return Err(last.errors.into());
        }
        let mut lines = Lines::default();
        let lines_only = self.console.format() == Format::NdJson;
        let screen = (!lines_only && last.ended.is_none()).then(|| Screen::open(self.console));
        let mut resized = resizes();
        let code = loop {
            match &screen {
                Some(screen) => screen.show(&self.heading(), &shown(&last)),
                None if lines_only => lines.print(self.console, &last),
                None => {}
            }
            if let Some(code) = last.ended {
                break code;
            }
            if !self.console.is_read() {
                break ExitCode::Success;
            }
            let again = async {
                tokio::time::sleep(self.every).await;
                look().await
            };
            tokio::pin!(again);
            last = loop {
                tokio::select! {
                    _ = stop.changed() => {
                        let code = of_stop(*stop.borrow());
                        drop(screen);
                        self.leave(&last);
                        return Ok(code);
                    }
                    () = resized.recv() => {
                        if let Some(screen) = &screen {
                            screen.show(&self.heading(), &shown(&last));
                        }
                    }
                    found = &mut again => break match found {
                        // What was known stays on the screen while a server is away.
                        Ok(found) if found.items.is_empty() && !found.errors.is_empty() => {
                            Look { errors: found.errors, ..last }
                        }
                        Ok(found) => found,
                        Err(Failure(errors)) => Look { errors, ..last },
                    },
                }
            };
        };
        drop(screen);
        self.leave(&last);
        Ok(code)
    }

    fn heading(&self) -> String {
        let now = instant(&Timestamp::now().to_string(), &TimeZone::system());
        let every = self.every.as_secs_f64();
        paint(FAINT, format!("flow {}  {now}  every {every} s  Ctrl-C ends", self.command))
    }

    /// What was seen last stays.
    fn leave(&self, last: &Look) {
        if self.console.is_human() {
            self.console.out(&shown(last));
        }
    }
}

fn shown(look: &Look) -> String {
    match look.errors.as_slice() {
        [] => look.text.clone(),
        errors => format!("{}\n{}", look.text, diagnostic::errors(errors)),
    }
}

fn of_stop(stop: Stop) -> ExitCode {
    match stop {
        Stop::Terminate => ExitCode::Terminated,
        // To end what has no end is what was wanted.
        Stop::No | Stop::Interrupt => ExitCode::Success,
    }
}

/// A terminal's other screen, on which lines are neither wrapped nor kept.
struct Screen<'a> {
    console: &'a Console,
}

impl<'a> Screen<'a> {
    fn open(console: &'a Console) -> Screen<'a> {
        console.draw("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
        Screen { console }
    }

    /// Draws over what is there, line by line and at once: nothing is blank in between.
    fn show(&self, heading: &str, text: &str) {
        let height = self.console.height();
        let room = height.saturating_sub(2);
        let lines: Vec<&str> = text.lines().collect();
        let mut drawn = vec![heading.to_owned(), String::new()];
        if lines.len() > room {
            let kept = room.saturating_sub(1);
            drawn.extend(lines[..kept].iter().map(|line| (*line).to_owned()));
            let more = lines.len() - kept;
            drawn.push(paint(FAINT, format!("{more} lines more: a higher window shows them")));
        } else {
            drawn.extend(lines.iter().map(|line| (*line).to_owned()));
        }
        drawn.truncate(height);
        let styled = self.console.styled(&drawn.join("\n"));
        let body = styled.lines().map(|line| format!("{line}\x1b[K")).collect::<Vec<_>>().join("\r\n");
        self.console.draw(&format!("\x1b[?2026h\x1b[H{body}\x1b[J\x1b[?2026l"));
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.console.draw("\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}

/// What has been printed of each thing.
#[derive(Default)]
struct Lines {
    known: HashMap<String, Value>,
    told: Vec<String>,
}

impl Lines {
    fn print(&mut self, console: &Console, look: &Look) {
        for item in &look.items {
            if self.known.get(&item.key) != Some(&item.state) {
                self.known.insert(item.key.clone(), item.state.clone());
                console.json(&item.whole);
            }
        }
        let errors: Vec<String> = look.errors.iter().map(|error| error.message.clone()).collect();
        if errors != self.told {
            if !errors.is_empty() {
                console.err(&diagnostic::errors(&look.errors));
            }
            self.told = errors;
        }
    }
}

/// Turns of the terminal's size.
struct Resizes(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Resizes {
    #[cfg(unix)]
    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    async fn recv(&mut self) {
        std::future::pending().await
    }
}

fn resizes() -> Resizes {
    #[cfg(unix)]
    return Resizes(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()).ok());
    #[cfg(not(unix))]
    Resizes()
}
