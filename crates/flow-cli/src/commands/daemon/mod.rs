//! `flow daemon`: serves the slots of schedules as they come. One loop looks at the schedules when the next slot is due,
//! workers run what is, and a thread of its own answers to whoever watches.

mod definitions;
mod http;
mod service;
mod view;
mod worker;

use super::run::{tell_missed, tell_rest};
use super::tell_errors;
use crate::args::DaemonArgs;
use crate::console::Format;
use crate::project::{Failure, Outcome, Session};
use crate::render::report as render;
use crate::signals;
use definitions::Definitions;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result};
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_run::execute::Stop;
use ematix_flow_run::execute::due::{DueItem, Look};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread::{Builder, scope};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use view::View;
use worker::{Job, Workers};

/// Who starts the runs, in the history.
const STARTED_BY: &str = "daemon";

/// Others leave what concerns this process in the databases: leases that ran out, slots to retry, pipelines that were
/// resumed. It is looked for so often.
const LOOKED_AGAIN: Duration = Duration::from_secs(60);

/// How soon after an error, or when nothing is known of the next slot.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// How often the files are looked at.
const FILES_LOOKED_AT: Duration = Duration::from_secs(2);

/// How often databases are asked anew which members a `for_each` has.
const MEMBERS_ASKED: Duration = Duration::from_secs(60);

/// What a reading of the files has come to.
type Read = std::result::Result<Definitions, Failure>;

/// Serves slots until it is asked to stop.
pub fn daemon(session: &Session, args: &DaemonArgs) -> Outcome {
    let console = &session.console;
    if console.format() == Format::Json {
        let message = "`flow daemon` has no end to print one document at";
        return Err(FlowError::new(ErrorCode::InvalidValue, message)
            .hint("--output ndjson prints a line for each run")
            .into());
    }
    let view = Arc::new(View::default());
    let server = http::Server::bind(args, Arc::clone(&view))?;
    // What is faulty from the beginning is told, and left out.
    let definitions = Definitions::read(session, &args.selection)?;
    tell_errors(console, &definitions.errors);
    if definitions.table.is_empty() && definitions.errors.is_empty() {
        console.tell("no pipeline has a schedule; the daemon waits for one\n");
    }
    let (halt, stop) = watch::channel(Stop::No);
    let (done, ended) = mpsc::unbounded_channel();
    let outcome = scope(|scope| {
        let workers = Workers::start(scope, session, args.jobs, &stop, done)?;
        if let Some(server) = &server {
            console.tell(&format!("flow daemon answers at http://{}\n", server.address()));
            if !server.address().ip().is_loopback() && args.token_file.is_none() {
                console.tell(
                    "/ and /metrics answer nobody there: --token-file FILE lets in who has the token\n",
                );
            }
            server.start(scope)?;
        }
        let control = Control {
            session,
            args,
            view: &view,
            workers,
            ended,
            halt: &halt,
            running: HashSet::new(),
            queue: VecDeque::new(),
            told: Vec::new(),
            files_looked_at: Instant::now(),
            held: HashMap::new(),
            read: &|| {
                let (read, awaited) = oneshot::channel();
                // It asks databases over an event loop of its own; nobody may want it any more when they answer.
                let work = move || read.send(Definitions::read(session, &args.selection)).is_ok();
                // Without a thread nothing is read, and nobody answers.
                let _ = Builder::new().stack_size(signals::STACK).spawn_scoped(scope, work);
                awaited
            },
            reading: None,
            asked_at: Instant::now(),
        };
        let outcome = control.serve(definitions);
        view.close();
        tell_missed(session, session.telemetry.finish().enter(std::iter::empty()));
        outcome
    });
    outcome.map(|()| ExitCode::Success).map_err(Failure::from)
}

/// What the loop knows.
struct Control<'a> {
    session: &'a Session,
    args: &'a DaemonArgs,
    view: &'a View,
    workers: Workers,
    ended: mpsc::UnboundedReceiver<worker::Ended>,
    /// Ends what runs.
    halt: &'a watch::Sender<Stop>,
    /// What runs or waits for a worker, by name.
    running: HashSet<(String, bool)>,
    queue: VecDeque<DueItem>,
    /// What was told of the last look: it is told once.
    told: Vec<String>,
    files_looked_at: Instant,
    /// What could not begin.
    held: HashMap<String, Held>,
    /// Reads the files, on a thread of its own.
    read: &'a dyn Fn() -> oneshot::Receiver<Read>,
    /// A reading under way that asks for the members of `for_each`, and when the last one ended.
    reading: Option<oneshot::Receiver<Read>>,
    asked_at: Instant,
}

/// Something that is left alone for a while.
struct Held {
    /// Until when.
    until: Instant,
    /// What it comes after, whose success ends that.
    after: Vec<String>,
}

/// Why the loop has come to an end.
enum Turn {
    /// The definitions are to be read again.
    Reload,
    /// Databases name other pipelines than before.
    Other(Box<Definitions>),
    /// The process is to end.
    Stop,
}

impl Control<'_> {
    fn serve(mut self, mut definitions: Definitions) -> Result<()> {
        // One listener for all of it: no signal comes between two.
        signals::block_on_wishes(async |mut signals| {
            service::tell("READY=1");
            loop {
                match self.turn(&definitions, &mut signals).await {
                    Turn::Stop => break,
                    Turn::Reload => self.reload(&mut definitions).await,
                    Turn::Other(read) => self.replace(&mut definitions, *read),
                }
            }
            service::tell("STOPPING=1");
            self.view.stopping();
            let waiting: Vec<String> = self.queue.drain(..).map(|item| item.name).collect();
            tell_rest(&self.session.console, &waiting);
            self.end(&mut signals).await;
        })
    }

    /// Looks, dispatches and waits until something else is to be done.
    async fn turn(&mut self, definitions: &Definitions, signals: &mut signals::Wishes) -> Turn {
        let engine = definitions.engine.pooled();
        let turn = loop {
            let look = tokio::select! {
                biased;
                look = engine.look(&definitions.table, STARTED_BY) => look,
                // A database that does not answer keeps nobody from ending us.
                wish = signals.next() => break match wish {
                    signals::Wish::Stop(_) => Turn::Stop,
                    signals::Wish::Reload => Turn::Reload,
                },
            };
            let pause = self.take(look);
            self.dispatch(definitions);
            self.view.looked(definitions);
            service::tell("WATCHDOG=1");
            let wake = Instant::now() + pause;
            if let Some(turn) = self.wait(definitions, wake, signals).await {
                break turn;
            }
        };
        engine.close().await;
        turn
    }

    /// Takes what was found; how long nothing is to be looked at.
    fn take(&mut self, look: Look) -> Duration {
        let console = &self.session.console;
        // What goes on is told once.
        let told: Vec<String> = look.errors.iter().map(|error| error.message.clone()).collect();
        let new: Vec<FlowError> =
            look.errors.iter().filter(|error| !self.told.contains(&error.message)).cloned().collect();
        if !new.is_empty() {
            tell_errors(console, &new);
        }
        let failed = !told.is_empty();
        self.view.errors(&told);
        let before = std::mem::replace(&mut self.told, told);
        for skipped in &look.skipped {
            let line = render::skipped(&skipped.pipeline, &skipped.why);
            if !before.contains(&line) {
                console.tell(&line);
            }
            self.told.push(line);
        }
        let now = Instant::now();
        self.held.retain(|_, held| held.until > now);
        for item in look.due.into_iter().filter(|item| !self.held.contains_key(&item.name)) {
            let is_same = |other: &&mut DueItem| {
                (other.name.as_str(), other.is_transform) == (item.name.as_str(), item.is_transform)
            };
            match self.queue.iter_mut().find(is_same) {
                // Its slots may have been replaced by a later one.
                Some(waiting) => *waiting = item,
                None if self.running.insert((item.name.clone(), item.is_transform)) => {
                    self.queue.push_back(item);
                }
                None => {}
            }
        }
        // A clock is not trusted to the millisecond.
        let idle = look.idle.map_or(LOOKED_AGAIN, |idle| idle + Duration::from_millis(5));
        let held = self.held.values().map(|held| held.until.saturating_duration_since(now)).min();
        idle.min(held.unwrap_or(LOOKED_AGAIN)).min(if failed { AFTER_ERROR } else { LOOKED_AGAIN })
    }

    fn dispatch(&mut self, definitions: &Definitions) {
        while let Some(worker) = self.workers.idle() {
            // What comes after something that is served here waits for it.
            let is_free = |item: &DueItem| {
                !item.after.iter().any(|before| self.running.contains(&(before.clone(), false)))
            };
            let Some(item) = self.queue.iter().position(is_free).and_then(|place| self.queue.remove(place))
            else {
                self.workers.put_back(worker);
                return;
            };
            self.view.began(&item.name);
            self.workers.give(
                worker,
                Job { engine: Arc::clone(&definitions.engine), number: definitions.number, item },
            );
        }
    }

    /// Waits until it is time to look again (`None`), or for something else to be done.
    async fn wait(
        &mut self,
        definitions: &Definitions,
        wake: Instant,
        signals: &mut signals::Wishes,
    ) -> Option<Turn> {
        let mut wake = std::pin::pin!(tokio::time::sleep_until(wake.into()));
        loop {
            tokio::select! {
                biased;
                wish = signals.next() => return Some(match wish {
                    signals::Wish::Stop(_) => Turn::Stop,
                    signals::Wish::Reload => Turn::Reload,
                }),
                () = tokio::time::sleep_until((self.files_looked_at + FILES_LOOKED_AT).into()) => {
                    self.files_looked_at = Instant::now();
                    if definitions.files != definitions.files.now() {
                        return Some(Turn::Reload);
                    }
                }
                () = tokio::time::sleep_until((self.asked_at + MEMBERS_ASKED).into()),
                    if self.reading.is_none() && definitions.are_asked_for() =>
                {
                    self.reading = Some((self.read)());
                }
                read = async { self.reading.as_mut().expect("the branch is taken only with it").await },
                    if self.reading.is_some() =>
                {
                    (self.reading, self.asked_at) = (None, Instant::now());
                    // Mistakes of the files are told when these change.
                    if let Ok(Ok(read)) = read && !read.are_those_of(definitions) {
                        return Some(Turn::Other(Box::new(read)));
                    }
                }
                Some(ended) = self.ended.recv() => {
                    self.ended(ended);
                    self.dispatch(definitions);
                    // What waited for it may be due now.
                    return None;
                }
                () = &mut wake => return None,
            }
        }
    }

    fn ended(&mut self, ended: worker::Ended) {
        // What could not begin cannot at once; what has succeeded may be what another waits for.
        let has_begun = |report: &RunReport| {
            let usage = report.error.as_ref().is_some_and(|error| error.code.exit() == ExitCode::Usage);
            report.status != Status::Skipped && !usage
        };
        if ended.reports.iter().any(|report| report.status == Status::Success) {
            self.held.retain(|_, held| !held.after.contains(&ended.name));
        } else if !ended.is_transform && !ended.reports.iter().any(has_begun) {
            let held = Held { until: Instant::now() + AFTER_ERROR, after: ended.after };
            self.held.insert(ended.name.clone(), held);
        }
        self.view.ended(&ended.name, &ended.reports);
        self.running.remove(&(ended.name, ended.is_transform));
        self.workers.put_back(ended.worker);
    }

    /// Reads the definitions again; faulty ones leave the last in force.
    async fn reload(&mut self, definitions: &mut Definitions) {
        let console = &self.session.console;
        service::tell("RELOADING=1");
        // One that is under way may be of the files before.
        self.reading = None;
        match (self.read)().await {
            Ok(Ok(read)) => self.replace(definitions, read),
            // Its thread has met a mistake of ours, and said so.
            Err(_) => {}
            Ok(Err(Failure(errors))) => {
                tell_errors(console, &errors);
                console.tell("the definitions cannot be read; those from before stay in force\n");
                // They are read again when they change once more.
                definitions.files = definitions.files.now();
                self.view.reloaded(false);
            }
        }
        service::tell("READY=1");
    }

    /// Serves other definitions from now on.
    fn replace(&mut self, definitions: &mut Definitions, read: Definitions) {
        let console = &self.session.console;
        let number = definitions.number + 1;
        *definitions = Definitions { number, ..read };
        self.told.clear();
        self.held.clear();
        self.asked_at = Instant::now();
        // What waits for a worker is found again, if it is declared still.
        for item in self.queue.drain(..) {
            self.running.remove(&(item.name, item.is_transform));
        }
        tell_errors(console, &definitions.errors);
        console.tell(&format!("read again: {} with a schedule\n", definitions.table.len()));
        self.view.reloaded(true);
    }

    /// Lets what runs come to its end, for a while.
    async fn end(&mut self, signals: &mut signals::Wishes) {
        let grace = tokio::time::sleep(self.args.grace.as_std());
        let mut grace = std::pin::pin!(grace);
        let mut asked = false;
        while self.workers.are_busy() {
            tokio::select! {
                Some(ended) = self.ended.recv() => self.ended(ended),
                () = &mut grace, if !asked => {
                    asked = true;
                    self.session.console.tell("the time for running loads is over: they are cancelled\n");
                    self.halt.send_replace(Stop::Terminate);
                }
                wish = signals.next() => if let signals::Wish::Stop(stop) = wish {
                    if asked {
                        // Whoever asks twice does not wait for a server that does not answer.
                        std::process::exit(ExitCode::Terminated as i32);
                    }
                    asked = true;
                    self.halt.send_replace(stop);
                },
            }
        }
        self.workers.dismiss();
    }
}
