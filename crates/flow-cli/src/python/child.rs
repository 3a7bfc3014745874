//! A Python interpreter that is asked one thing. It ends where its standard input does: when it is interrupted, when
//! nobody wants more of it, or when this process is gone.

use super::{error_of, held};
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_run::execute::callables::Interrupt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the interpreter is given: the package's own command, and an exit code of ours where there is no package.
const COMMAND: &str = "\
import sys
try:
    from ematix_flow.export import main
except ModuleNotFoundError as missing:
    if missing.name not in ('ematix_flow', 'ematix_flow.export'):
        raise
    sys.exit(97)
sys.exit(main(sys.argv[1:]))
";

/// The exit code of [`COMMAND`] where the interpreter has no package.
const NO_PACKAGE: i32 = 97;

/// Says to the package that whoever asks tells of errors, and holds its standard input open as long as it wants something.
const ASKER: (&str, &str) = ("EMATIX_FLOW_ASKER", "holding");

/// How long an interrupted Python may take: longer than it gives its own function.
const GRACE: Duration = Duration::from_secs(6);

/// How often is looked whether a process has ended that has answered.
const LOOK: Duration = Duration::from_millis(2);

/// Where an interpreter is, and what it is asked about.
#[derive(Clone, Debug)]
pub(super) struct Whom {
    pub interpreter: String,
    pub modules: Vec<String>,
}

impl Whom {
    fn asked(&self) -> String {
        format!("asked for `{}`", self.modules.join(", "))
    }

    fn failed(&self, why: String) -> FlowError {
        FlowError::new(ErrorCode::ImportFailed, why)
            .detail(self.asked())
            .context("interpreter", self.interpreter.clone())
            .context("modules", self.modules.clone())
    }

    fn stopped(&self, signal: &'static str) -> FlowError {
        let message = format!("{} was stopped by {signal}", self.interpreter);
        FlowError::new(ErrorCode::Cancelled, message).detail(self.asked()).context("signal", signal)
    }

    /// Why a process cannot be spoken to.
    pub fn unheard(&self, error: &std::io::Error) -> FlowError {
        self.failed(format!("{} could not be asked: {error}", self.interpreter))
    }
}

/// A process that was asked, and its end.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub whom: Whom,
    child: Arc<Mutex<Child>>,
    /// It stays open as long as something is wanted.
    input: Arc<Mutex<Option<ChildStdin>>>,
}

/// Starts an interpreter and asks it. What it answers comes by what is given beside it; what the user's code prints goes
/// to the terminal as it is.
pub(super) fn asked(
    whom: Whom,
    interpreter: &Path,
    arguments: &[&str],
    question: &str,
) -> Result<(Process, BufReader<ChildStdout>), FlowError> {
    let mut child = Command::new(interpreter)
        .args(["-c", COMMAND])
        .args(arguments)
        .env(ASKER.0, ASKER.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            whom.failed(format!("{} cannot be started: {error}", whom.interpreter))
                .hint("set EMATIX_FLOW_PYTHON to the Python that has ematix-flow")
        })?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let process = Process { whom, child: Arc::new(Mutex::new(child)), input: Arc::new(Mutex::new(input)) };
    // One that ends before it has read everything says why by its exit code.
    let _ = process.say(&format!("{question}\n"));
    let output = output.expect("its standard output is a pipe");
    Ok((process, BufReader::new(output)))
}

impl Process {
    /// Lets a wish end it.
    pub fn ends_by(&self, interrupt: &Interrupt) {
        let process = self.clone();
        interrupt.granted_by(move |asked| {
            drop(held(&process.input).take());
            if asked == 0 {
                process.kill_later();
            }
        });
    }

    /// Says something to it.
    pub fn say(&self, words: &str) -> std::io::Result<()> {
        match held(&self.input).as_mut() {
            Some(input) => input.write_all(words.as_bytes()).and_then(|()| input.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The first line of what it answers.
    pub fn line(&self, output: &mut BufReader<ChildStdout>) -> Result<String, FlowError> {
        let mut line = Vec::new();
        output.read_until(b'\n', &mut line).map_err(|error| self.whom.unheard(&error))?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// All that it answers: what has come of it, and the rest.
    pub fn answer(&self, begun: String, mut output: BufReader<ChildStdout>) -> Result<String, FlowError> {
        let mut answer = begun.into_bytes();
        output.read_to_end(&mut answer).map_err(|error| self.whom.unheard(&error))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        self.ended(&answer)?;
        Ok(answer)
    }

    /// Waits for its end, and says what of it is none to be glad of.
    pub fn ended(&self, answer: &str) -> Result<(), FlowError> {
        let status = self.end().map_err(|error| self.whom.unheard(&error))?;
        if status.success() {
            return Ok(());
        }
        let interpreter = &self.whom.interpreter;
        if status.code() == Some(NO_PACKAGE) {
            let why = format!("the Python that was asked, {interpreter}, has no package ematix-flow");
            return Err(self.whom.failed(why)
                .hint(format!(
                    "install it there: {interpreter} -m pip install ematix-flow; or activate the environment that has it, or set EMATIX_FLOW_PYTHON"
                )));
        }
        if let Some(signal) = signal_of(status) {
            return Err(self.whom.stopped(signal));
        }
        Err(error_of(answer).unwrap_or_else(|| {
            self.whom
                .failed(format!("{interpreter} ended without an answer ({status})"))
                .hint("what it printed above says why")
        }))
    }

    /// Why it gave no more rows; waits for its end.
    pub fn broken_off(&self, words: &str) -> FlowError {
        self.kill_later();
        let status = match self.end() {
            Ok(status) => status,
            Err(error) => return self.whom.unheard(&error),
        };
        if let Some(signal) = signal_of(status) {
            return self.whom.stopped(signal);
        }
        let message = format!("{words} were broken off: {} ended ({status})", self.whom.interpreter);
        FlowError::new(ErrorCode::SourceFailed, message)
            .detail(self.whom.asked())
            .hint("what it printed above says why; a signal may be the kernel's, where memory ran out")
    }

    /// Lets it go, in a thread that sees to it that it ends.
    pub fn leave(&self) -> JoinHandle<()> {
        drop(held(&self.input).take());
        let process = self.clone();
        std::thread::spawn(move || {
            process.kill_later();
            let _ = process.end();
        })
    }

    /// Waits for the end, and leaves the process to others meanwhile.
    fn end(&self) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = held(&self.child).try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Kills what has not ended by itself: a function deep in C lets no other thread of its process end it.
    fn kill_later(&self) {
        let child = Arc::clone(&self.child);
        std::thread::spawn(move || {
            std::thread::sleep(GRACE);
            // One that was waited for is left alone.
            let _ = held(&child).kill();
        });
    }
}

/// The wish to stop that ended a process: one in the terminal reaches the whole group.
fn signal_of(status: ExitStatus) -> Option<&'static str> {
    #[cfg(unix)]
    let by = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let by = None;
    match (status.code(), by) {
        // As the package says it.
        (Some(130), _) | (_, Some(2)) => Some("SIGINT"),
        (Some(143), _) | (_, Some(15)) => Some("SIGTERM"),
        _ => None,
    }
}
