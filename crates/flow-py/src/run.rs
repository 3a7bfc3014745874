//! A run under way: waited for with Ctrl-C at work, polled, or cancelled on the server.

use crate::progress::Progress;
use crate::python::InProcess;
use crate::runtime::runtime;
use ematix_flow_run::execute::Stop;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often signals are looked at while a run is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A run that has been started.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct Run {
    task: Mutex<Option<JoinHandle<String>>>,
    answer: Mutex<Option<String>>,
    stop: watch::Sender<Stop>,
    python: Arc<InProcess>,
    progress: Arc<Progress>,
}

impl Run {
    /// A run whose task answers JSON, heeds `stop` and tells its progress.
    pub fn new(
        task: JoinHandle<String>,
        stop: watch::Sender<Stop>,
        python: Arc<InProcess>,
        progress: Arc<Progress>,
    ) -> Run {
        Run { task: Mutex::new(Some(task)), answer: Mutex::new(None), stop, python, progress }
    }

    /// Waits for so long; the answer, if it is there.
    fn wait(&self, py: Python<'_>, limit: Duration) -> PyResult<Option<String>> {
        let runtime = runtime()?;
        let answer = py.detach(|| {
            if let Some(answer) = &*self.answer.lock().unwrap_or_else(PoisonError::into_inner) {
                return Ok(Some(answer.clone()));
            }
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(waited) = task.as_mut() else {
                return match self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                    Some(answer) => Ok(Some(answer)),
                    None => Err("the run's task ended without an answer".to_owned()),
                };
            };
            match runtime.block_on(async { tokio::time::timeout(limit, waited).await }) {
                Err(_) => Ok(None),
                Ok(done) => {
                    *task = None;
                    let answer = done.map_err(|error| format!("the run's task ended: {error}"))?;
                    *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
                    Ok(Some(answer))
                }
            }
        });
        let answer: Option<String> = answer.map_err(|message: String| PyRuntimeError::new_err(message))?;
        // The user's own exception, with its traceback; one that was raised meanwhile is kept for the end.
        match answer.is_some().then(|| self.python.take_raised()).flatten() {
            Some(raised) => Err(raised),
            None => Ok(answer),
        }
    }
}

#[pymethods]
impl Run {
    /// The report as JSON, when the run has ended. Ctrl-C cancels it on the server.
    fn result(&self, py: Python<'_>) -> PyResult<String> {
        loop {
            if let Some(answer) = self.wait(py, LOOK)? {
                return Ok(answer);
            }
            if let Err(interrupt) = py.check_signals() {
                self.stop.send_replace(Stop::Interrupt);
                // It rolls back and says so in its history; a second Ctrl-C does not wait for that.
                while self.wait(py, LOOK)?.is_none() {
                    py.check_signals()?;
                }
                return Err(interrupt);
            }
        }
    }

    /// The report as JSON if the run ends within so many seconds.
    fn poll(&self, py: Python<'_>, seconds: f64) -> PyResult<Option<String>> {
        self.wait(py, Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)))
    }

    /// How far it has come, as JSON.
    fn progress(&self) -> String {
        self.progress.json()
    }

    /// Asks the run to end: its statement is cancelled on the server, and nothing of it stands.
    fn cancel(&self) {
        self.stop.send_replace(Stop::Interrupt);
    }
}
