//! Tells those whom a pipeline names how a run has ended: a URL that gets the report, a command that reads it. On threads
//! of its own, within the time that each of them may take; what did not arrive is a warning, never an error.

use crate::http::{Post, Refusal};
use ematix_flow_core::declare::environment::Environment;
use ematix_flow_core::declare::interpolation::Template;
use ematix_flow_core::declare::notifications::{Notification, shown_url};
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_core::secret::Secret;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How many are told at once; of a thousand failures the others wait for their turn, within their time.
const THREADS: usize = 8;

/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Tells, and remembers what went wrong.
#[derive(Clone, Default)]
pub struct Notifier {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Job>,
    /// The latest moments at which those that are being told are given up.
    under_way: Vec<Instant>,
    threads: usize,
    failed: Vec<Failed>,
}

/// A notification that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The run that it was about.
    pub run_id: String,
    /// Why, without any secret.
    pub words: String,
}

struct Job {
    run_id: String,
    shown: String,
    to: Receiver,
    body: Vec<u8>,
    deadline: Instant,
}

enum Receiver {
    Webhook { url: Secret, headers: Vec<(String, Secret)> },
    Command { words: Vec<String>, about: Vec<(&'static str, String)> },
}

impl Notifier {
    /// Tells of a run; returns at once. A relative path of a `${file:…}` begins at the directory.
    pub fn tell(
        &self,
        notifications: &[Notification],
        report: &RunReport,
        environment: &dyn Environment,
        directory: &Path,
    ) {
        for notification in notifications.iter().filter(|told| told.is_about(report.status.name())) {
            let job = job(notification, report, environment, directory);
            let mut state = self.shared.state();
            match job {
                Ok(job) => state.waiting.push(job),
                Err(failed) => {
                    state.failed.push(failed);
                    continue;
                }
            }
            if state.threads < THREADS {
                let shared = Arc::clone(&self.shared);
                match Builder::new().name("notify".to_owned()).spawn(move || serve(&shared)) {
                    Ok(_) => state.threads += 1,
                    Err(_) if state.threads > 0 => {}
                    Err(error) => {
                        let lost = state
                            .waiting
                            .drain(..)
                            .map(|job| job.failed(&error.to_string()))
                            .collect::<Vec<_>>();
                        state.failed.extend(lost);
                    }
                }
            }
        }
    }

    /// Waits until all are told, or each has had its time; what went wrong since it was asked last.
    pub fn wait(&self) -> Vec<Failed> {
        let mut state = self.shared.state();
        loop {
            let waiting = state.waiting.iter().map(|job| job.deadline);
            let Some(last) = waiting.chain(state.under_way.iter().copied()).max() else { break };
            let left = last.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late: Vec<Failed> =
                    state.waiting.drain(..).map(|job| job.failed("no time was left")).collect();
                state.failed.extend(late);
                break;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut state.failed)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(shared: &Shared) {
    let mut state = shared.state();
    while !state.waiting.is_empty() {
        let job = state.waiting.remove(0);
        let deadline = job.deadline;
        // Whoever ends it has a moment to say so.
        state.under_way.push(deadline + LOOK * 20);
        drop(state);
        let told = job.tell();
        state = shared.state();
        if let Some(at) = state.under_way.iter().position(|other| *other == deadline + LOOK * 20) {
            state.under_way.swap_remove(at);
        }
        if let Err(why) = told {
            let failed = job.failed(&why);
            state.failed.push(failed);
        }
        shared.changed.notify_all();
    }
    state.threads -= 1;
}

fn job(
    notification: &Notification,
    report: &RunReport,
    environment: &dyn Environment,
    directory: &Path,
) -> Result<Job, Failed> {
    let failed = |why: String| Failed {
        run_id: report.run_id.clone(),
        words: format!("{} was not told: {why}", notification.shown()),
    };
    let resolved = |written: &Secret| {
        let template = Template::parse(written.reveal()).map_err(|malformed| failed(malformed.message))?;
        template.resolve(environment, directory).map_err(|missing| failed(missing.to_string()))
    };
    let mut shown = notification.shown();
    let to = match (&notification.webhook, &notification.command) {
        (Some(url), _) => {
            let headers = notification.headers.iter().flatten();
            let headers = headers.map(|(name, value)| Ok((name.clone(), resolved(value)?)));
            let headers = headers.collect::<Result<_, Failed>>()?;
            let url = resolved(url)?;
            if !url.reveal().starts_with("https://") && !url.reveal().starts_with("http://") {
                return Err(failed("that is no http or https URL".to_owned()));
            }
            shown = format!("webhook {}", shown_url(&url));
            Receiver::Webhook { url, headers }
        }
        (None, Some(words)) => Receiver::Command { words: words.clone(), about: about(report) },
        (None, None) => return Err(failed("there is nobody".to_owned())),
    };
    Ok(Job {
        run_id: report.run_id.clone(),
        shown,
        to,
        body: body(report).to_string().into_bytes(),
        deadline: Instant::now() + notification.limit(),
    })
}

/// The report, with a line that chats show.
fn body(report: &RunReport) -> Value {
    let mut body = json!(report);
    body["text"] = json!(line(report));
    body
}

/// `refused  customers: duplicate_source_key: 2 keys of … (run 5d21c0fe)`.
fn line(report: &RunReport) -> String {
    let (status, pipeline, run) = (report.status.name(), &report.pipeline, report.short_id());
    match &report.error {
        Some(error) => format!("{status}  {pipeline}: {}: {} (run {run})", error.code, error.message),
        None if report.status == Status::Lost => {
            format!("{status}  {pipeline}: {} (run {run})", report.warnings.join("; "))
        }
        None => {
            let rows = report.rows_inserted + report.rows_updated;
            format!("{status}  {pipeline}: {} in, {rows} written (run {run})", report.rows_in)
        }
    }
}

/// What a command finds in its environment, so that a small one needs no JSON.
fn about(report: &RunReport) -> Vec<(&'static str, String)> {
    let code = report.error.as_ref().map(|error| error.code.name().to_owned());
    vec![
        ("EMATIX_FLOW_PIPELINE", report.pipeline.clone()),
        ("EMATIX_FLOW_RUN_ID", report.run_id.clone()),
        ("EMATIX_FLOW_STATUS", report.status.name().to_owned()),
        ("EMATIX_FLOW_ERROR_CODE", code.unwrap_or_default()),
        ("EMATIX_FLOW_TEXT", line(report)),
    ]
}

impl Job {
    fn failed(&self, why: &str) -> Failed {
        Failed { run_id: self.run_id.clone(), words: format!("{} was not told: {why}", self.shown) }
    }

    fn tell(&self) -> Result<(), String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no time was left".to_owned());
        }
        match &self.to {
            Receiver::Webhook { url, headers } => {
                let (content_type, body) = ("application/json", self.body.as_slice());
                let post = Post { url: url.reveal(), headers, content_type, body, certificate: None };
                post.send_within(left, &|| false).map_err(|Refusal { words, .. }| words)
            }
            Receiver::Command { words, about } => self.run(words, about),
        }
    }

    /// Runs the command, and ends it when its time is up. What it says on stderr goes where ours goes.
    fn run(&self, words: &[String], about: &[(&str, String)]) -> Result<(), String> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(about.iter().map(|(name, value)| (name, value)));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read would keep us; whoever has read enough closes it.
            let body = self.body.clone();
            let _ = Builder::new().name("notify".to_owned()).spawn(move || drop(stdin.write_all(&body)));
        }
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("it ended with {status}")),
                Ok(None) if Instant::now() < self.deadline => std::thread::sleep(LOOK),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err("it took too long".to_owned());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
