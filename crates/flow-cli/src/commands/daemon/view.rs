//! What the daemon shows of itself to whoever watches.

use super::definitions::Definitions;
use ematix_flow_core::report::RunReport;
use ematix_flow_run::execute::Engine;
use ematix_flow_telemetry::prometheus::{self, Told};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The loop looks at least once a minute: one that has not for so long hangs.
const ALIVE: Duration = Duration::from_secs(300);

/// What the loop tells, and the server shows.
pub struct View {
    shown: Mutex<Shown>,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Shown {
    looked: Option<Instant>,
    engine: Option<(Arc<Engine>, Vec<String>)>,
    scheduled: usize,
    errors: Vec<String>,
    /// Whether the last reading of the files failed.
    unread: bool,
    running: BTreeSet<String>,
    /// The numbers of the runs so far.
    told: Told,
    stopping: bool,
}

impl Default for View {
    fn default() -> View {
        View { shown: Mutex::default(), closed: watch::channel(false).0 }
    }
}

impl View {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The schedules were looked at.
    pub fn looked(&self, definitions: &Definitions) {
        let mut shown = self.shown();
        shown.looked = Some(Instant::now());
        shown.scheduled = definitions.table.len();
        shown.engine = Some((Arc::clone(&definitions.engine), definitions.names.clone()));
    }

    /// What could not be looked at.
    pub fn errors(&self, errors: &[String]) {
        self.shown().errors = errors.to_vec();
    }

    /// The files were read again, or could not be.
    pub fn reloaded(&self, is_read: bool) {
        self.shown().unread = !is_read;
    }

    /// Something began to run.
    pub fn began(&self, name: &str) {
        self.shown().running.insert(name.to_owned());
    }

    /// It has ended.
    pub fn ended(&self, name: &str, reports: &[RunReport]) {
        let mut shown = self.shown();
        shown.running.remove(name);
        for report in reports {
            shown.told.entry(report.pipeline.clone()).or_default().add(report);
        }
    }

    /// Nothing is begun any more.
    pub fn stopping(&self) {
        self.shown().stopping = true;
    }

    /// Nobody is answered any more.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Turns when nobody is answered any more.
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Whether the loop goes round; why not.
    pub fn is_alive(&self) -> Result<(), String> {
        match self.shown().looked {
            Some(looked) if looked.elapsed() > ALIVE => {
                Err(format!("the schedules were last looked at {} s ago", looked.elapsed().as_secs()))
            }
            _ => Ok(()),
        }
    }

    /// Whether slots are served; why not.
    pub fn is_ready(&self) -> Result<(), String> {
        let shown = self.shown();
        if shown.stopping {
            return Err("it is stopping".to_owned());
        }
        if shown.looked.is_none() {
            return Err("the schedules were not looked at yet".to_owned());
        }
        match shown.errors.first() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// What serves, and the pipelines that it serves.
    pub fn engine(&self) -> Option<(Arc<Engine>, Vec<String>)> {
        self.shown().engine.clone()
    }

    /// The runs so far, as Prometheus reads them.
    pub fn runs(&self) -> String {
        prometheus::render(&self.shown().told)
    }

    /// Numbers for `/metrics`: name, help, value.
    pub fn numbers(&self) -> [(&'static str, &'static str, f64); 5] {
        let shown = self.shown();
        let looked = shown.looked.map_or(f64::NAN, |looked| looked.elapsed().as_secs_f64());
        [
            (
                "ematix_flow_daemon_scheduled",
                "Pipelines and transforms with a schedule.",
                shown.scheduled as f64,
            ),
            ("ematix_flow_daemon_running", "What runs now.", shown.running.len() as f64),
            ("ematix_flow_daemon_look_age_seconds", "Since the schedules were looked at.", looked),
            (
                "ematix_flow_daemon_look_errors",
                "What could not be looked at the last time.",
                shown.errors.len() as f64,
            ),
            (
                "ematix_flow_daemon_definitions_stale",
                "1 where the files cannot be read and those from before are in force.",
                f64::from(u8::from(shown.unread)),
            ),
        ]
    }
}
