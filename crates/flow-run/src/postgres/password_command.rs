//! Runs the program that prints a password: once for each session, in no shell, for a limited time, and nobody sees what
//! it says. Tokens of cloud providers expire, so no answer is kept.

use ematix_flow_core::connections::{ConnectionTarget, PasswordCommand};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::secret::Secret;
use std::io::Read;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the program is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long what a program has printed may be under way when it has ended.
const DRAIN: Duration = Duration::from_millis(200);

/// No password is as long.
const LONGEST: u64 = 64 * 1024;

/// The password of a session that is about to be opened; `limit` bounds the program that prints it.
///
/// # Errors
/// `authentication_failed` where the program prints none, `connect_timeout` where it takes too long.
pub async fn password_of(target: &ConnectionTarget, limit: Option<Duration>) -> Result<Option<Secret>> {
    let Some(command) = target.password_command.clone() else { return Ok(target.password.clone()) };
    let (whom, program) = (target.to_string(), Program::default());
    let _ended_with_us = EndsWithUs(program.clone());
    let asked = tokio::task::spawn_blocking(move || ask(&command, &whom, limit, &program)).await;
    asked.map_err(|_| failed(&target.to_string(), "password_command", "was not waited for"))?.map(Some)
}

/// The whole of a connection as a DSN, with a password that was asked for now; whoever calls it waits.
///
/// # Errors
/// As [`password_of`].
pub fn conninfo_of(target: &ConnectionTarget) -> Result<Secret> {
    let Some(command) = &target.password_command else { return Ok(target.secret_conninfo()) };
    let limit = super::parameters::Parameters::read(target)?.timeout;
    let password = ask(command, &target.to_string(), limit, &Program::default())?;
    Ok(ConnectionTarget { password: Some(password), ..target.clone() }.secret_conninfo())
}

/// The program while it runs.
#[derive(Clone, Default)]
struct Program(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    NotBegun,
    Running(Child),
    Ended,
    /// Nobody waits for it any more.
    Killed,
}

impl Program {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it; what it is to print, or nothing where nobody waits for it.
    fn start(&self, command: &PasswordCommand) -> std::io::Result<Option<ChildStdout>> {
        let mut state = self.state();
        if !matches!(*state, State::NotBegun) {
            return Ok(None);
        }
        let mut child = started(command)?;
        let output = child.stdout.take();
        *state = State::Running(child);
        Ok(output)
    }

    /// Whether it has ended. It is not waited for: it keeps its number, and with it that of its group.
    fn has_ended(&self) -> bool {
        match &mut *self.state() {
            State::Running(child) => has_ended(child),
            _ => false,
        }
    }

    /// How it ended; what it has started ends now. None where it was killed meanwhile.
    fn finish(&self) -> Option<ExitStatus> {
        let mut state = self.state();
        let State::Running(child) = &mut *state else { return None };
        kill_group(child);
        let status = child.wait().ok()?;
        *state = State::Ended;
        Some(status)
    }

    fn is_killed(&self) -> bool {
        matches!(*self.state(), State::Killed)
    }

    /// Ends it and what it has started, unless it has ended.
    fn kill(&self) {
        let mut state = self.state();
        match &mut *state {
            State::Ended => return,
            State::Running(child) => {
                kill_group(child);
                let _ = child.kill();
                let _ = child.wait();
            }
            _ => {}
        }
        *state = State::Killed;
    }
}

#[cfg(unix)]
fn number(child: &Child) -> Option<rustix::process::Pid> {
    i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)
}

#[cfg(unix)]
fn has_ended(child: &Child) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // Who cannot be asked is not waited for.
    number(child).is_none_or(|child| !matches!(waitid(WaitId::Pid(child), look), Ok(None)))
}

#[cfg(not(unix))]
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Ends a program that was not waited for, and what it has started: no other process can have its number.
#[cfg(unix)]
fn kill_group(child: &Child) {
    if let Some(group) = number(child) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill_group(_child: &Child) {}

/// Ends the program when nobody waits for it any more: on Ctrl-C the process may be gone before its thread looks again.
struct EndsWithUs(Program);

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        self.0.kill();
    }
}

fn ask(command: &PasswordCommand, whom: &str, limit: Option<Duration>, program: &Program) -> Result<Secret> {
    let failed = |why: &str| failed(whom, &command.shown, why);
    let began = Instant::now();
    let output = program.start(command).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("was not found").hint(
            "write the whole path of the program, or add its directory to PATH; no shell reads the words",
        ),
        std::io::ErrorKind::PermissionDenied => failed("may not be run: permission denied"),
        _ => failed(&format!("cannot be run: {error}")),
    })?;
    let answer = Answer::of(output);
    let is_over = || limit.is_some_and(|limit| began.elapsed() >= limit);
    while !is_over() && !program.is_killed() {
        if program.has_ended() {
            // What it has printed counts, whoever else holds its output open.
            answer.is_whole_within(DRAIN);
            let Some(end) = program.finish() else { break };
            answer.is_whole_within(DRAIN);
            return judged(end, answer.said(), failed);
        }
        // It may close its output before it ends.
        if answer.is_whole_within(LOOK) {
            thread::sleep(LOOK);
        }
    }
    program.kill();
    let within =
        limit.map_or_else(|| "in time".to_owned(), |limit| format!("within {} s", limit.as_secs_f64()));
    let words = format!("{whom}: password_command `{}` did not answer {within}", command.shown);
    Err(FlowError::new(ErrorCode::ConnectTimeout, words)
        .hint("connect_timeout sets its limit, in seconds; it has no terminal and no input to wait for"))
}

fn started(command: &PasswordCommand) -> std::io::Result<Child> {
    let mut words = command.words.iter().map(Secret::reveal);
    let mut process = Command::new(words.next().unwrap_or_default());
    // What it says on stderr may hold a secret, too.
    process.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own: what it starts ends with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    process.spawn()
}

/// What it prints, as far as it has come.
struct Answer {
    said: Arc<Mutex<Vec<u8>>>,
    /// Ends with the last of it.
    whole: Receiver<()>,
}

impl Answer {
    /// Reads in a thread, which ends when nobody holds the output any more.
    fn of(output: Option<ChildStdout>) -> Answer {
        let (sender, whole) = channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(output) = output {
            let said = Arc::clone(&said);
            let _ =
                thread::Builder::new().name("password".to_owned()).spawn(move || read(output, &said, sender));
        }
        Answer { said, whole }
    }

    /// Whether nothing more comes; waits that long for it.
    fn is_whole_within(&self, time: Duration) -> bool {
        self.whole.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }

    fn said(&self) -> Vec<u8> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads until the end; `_whole` goes with it.
fn read(output: ChildStdout, said: &Mutex<Vec<u8>>, _whole: Sender<()>) {
    let mut output = output.take(LONGEST);
    let mut some = [0; 4096];
    loop {
        match output.read(&mut some) {
            Ok(0) => return,
            Ok(count) => said.lock().unwrap_or_else(PoisonError::into_inner).extend(&some[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn judged(end: ExitStatus, said: Vec<u8>, failed: impl Fn(&str) -> FlowError) -> Result<Secret> {
    // First: nobody reads on, which may have ended it.
    if said.len() as u64 >= LONGEST {
        return Err(failed("printed more than a password"));
    }
    if !end.success() {
        let how = match end.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => "was killed".to_owned(),
        };
        return Err(failed(&how));
    }
    let text = String::from_utf8(said).map_err(|_| failed("printed something that is not UTF-8"))?;
    let text = Secret::from(text);
    let line = text.reveal().strip_suffix('\n').unwrap_or(text.reveal());
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(failed("printed nothing")),
        line if line.contains('\0') => Err(failed("printed a zero byte")),
        line => Ok(Secret::from(line)),
    }
}

fn failed(whom: &str, program: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::AuthenticationFailed, format!("{whom}: password_command `{program}` {why}"))
        .hint("run it by hand, as the same user: it prints the password alone; what it says is never shown here")
}
