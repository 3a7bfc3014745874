//! The registry of this process, and its functions.

use crate::handed::{Handed, Hears, Raised};
use ematix_flow_arrow::BatchSource;
use ematix_flow_cli::python::{Ended, error_of, raised};
use ematix_flow_core::declare::registry::{Answer, Declarations, read_answer, read_metrics};
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_run::execute::callables::{Callables, GivenConnection, Interrupt};
use pyo3::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many calls there have been: each has a name by which it is interrupted.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Who hears of what a function raises.
pub enum Tells {
    /// The caller, to whom it is raised again.
    Caller,
    /// Whoever reads standard error.
    Terminal,
}

/// Prints the traceback of what a function raised, and gives the error that it is.
fn told(py: Python<'_>, exception: &PyErr, pipeline: &str) -> FlowError {
    // Before Python 3.12 an exception that was not caught there does not hold its traceback itself.
    if let Some(traceback) = exception.traceback(py) {
        let _ = exception.value(py).setattr("__traceback__", traceback);
    }
    let told = py
        .import("ematix_flow.run.export")
        .and_then(|module| module.call_method1("told_of_function", (exception.value(py), pipeline)))
        .and_then(|answer| answer.extract::<String>());
    told.ok().and_then(|answer| error_of(&answer)).unwrap_or_else(|| {
        exception.print(py);
        raised(pipeline)
    })
}

/// What a transform's function raised, as the error that it is; on a terminal after its traceback.
fn said(py: Python<'_>, exception: &PyErr, transform: &str, tells: &Tells) -> FlowError {
    let answer = py.import("ematix_flow.run.export").and_then(|module| match tells {
        Tells::Terminal => module.call_method1("told_of_function", (exception.value(py), transform, "call")),
        Tells::Caller => module.call_method1("said_by_function", (exception.value(py), transform)),
    });
    let answer = answer.and_then(|answer| answer.extract::<String>());
    answer.ok().and_then(|answer| error_of(&answer)).unwrap_or_else(|| {
        FlowError::new(ErrorCode::TransformFailed, format!("transform `{transform}` raised an exception"))
    })
}

/// A registry that this process has exported, and the Python function that calls its functions.
pub struct InProcess {
    registry: String,
    call: Option<Py<PyAny>>,
    tells: Tells,
    /// What a function raised, for whoever reports it: with its own traceback.
    raised: Raised,
    /// The pipelines whose functions returned frames, by the numbers of these.
    frames: Mutex<HashMap<u64, String>>,
}

impl InProcess {
    fn pipelines(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry, with who calls its functions.
    pub fn new(registry: String, call: Option<Py<PyAny>>, tells: Tells) -> InProcess {
        InProcess { registry, call, tells, raised: Raised::default(), frames: Mutex::default() }
    }

    /// What a function raised since it was last asked.
    pub fn take_raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Callables for InProcess {
    fn resolve(
        &self,
        pipeline: &str,
        connection: &GivenConnection,
        _interrupt: &Interrupt,
    ) -> Result<Answer, FlowError> {
        let question = json!({ "pipeline": pipeline, "connection": connection.secret_json() }).to_string();
        let answer = Python::attach(|py| {
            let Some(call) = &self.call else { return Ok(None) };
            call.bind(py).call1(("resolve", question))?.extract::<String>().map(Some)
        });
        match answer {
            Ok(Some(answer)) => match error_of(&answer) {
                Some(error) => Err(error),
                None => {
                    let answer = read_answer(pipeline, &answer)?;
                    if let Some(frame) = &answer.source.frame {
                        self.pipelines().insert(frame.id, pipeline.to_owned());
                    }
                    Ok(answer)
                }
            },
            Ok(None) => Err(FlowError::new(
                ErrorCode::ImportFailed,
                format!("nobody can call the function of `{pipeline}`"),
            )),
            Err(exception) => match self.tells {
                Tells::Caller => {
                    *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(exception);
                    Err(raised(pipeline))
                }
                Tells::Terminal => Err(Python::attach(|py| told(py, &exception, pipeline))),
            },
        }
    }

    fn call(
        &self,
        transform: &str,
        connection: &GivenConnection,
        report: Option<&Value>,
        interrupt: &Interrupt,
    ) -> Result<Map<String, Value>, FlowError> {
        let id = CALLS.fetch_add(1, Ordering::Relaxed).to_string();
        let question = json!({
            "transform": transform,
            "connection": connection.secret_json(),
            "report": report,
            "call": id,
        })
        .to_string();
        interrupt.granted_by(move |asked| {
            // A call that has ended meanwhile is none to interrupt.
            let _ = Python::attach(|py| {
                py.import("ematix_flow.run.transforms")?.call_method1("interrupt", (&id, asked)).map(|_| ())
            });
        });
        let answer = Python::attach(|py| {
            let Some(call) = &self.call else { return Ok(None) };
            call.bind(py).call1(("call", question))?.extract::<String>().map(Some)
        });
        match answer {
            Ok(Some(answer)) => read_metrics(transform, &answer),
            Ok(None) => Err(FlowError::new(
                ErrorCode::ImportFailed,
                format!("nobody can call the function of `{transform}`"),
            )),
            Err(exception) => Err(Python::attach(|py| said(py, &exception, transform, &self.tells))),
        }
    }

    fn frame(&self, id: u64) -> Option<Arc<dyn BatchSource>> {
        let pipeline = self.pipelines().get(&id).cloned();
        let tell = pipeline.filter(|_| matches!(self.tells, Tells::Terminal)).map(|pipeline| {
            Arc::new(move |py: Python<'_>, raised: &PyErr| told(py, raised, &pipeline)) as Arc<_>
        });
        Some(Arc::new(Handed::find(id, Hears { raised: Arc::clone(&self.raised), tell })?))
    }

    fn release(&self, id: u64) {
        self.pipelines().remove(&id);
        let Some(call) = &self.call else { return };
        let question = json!({ "frame": id }).to_string();
        // It is kept longer where that fails, and no run hears of it.
        let _ = Python::attach(|py| call.bind(py).call1(("release", question)).map(|_| ()));
    }
}

impl ematix_flow_cli::python::Python for InProcess {
    fn registry(&self, _modules: &[String], declared: &mut Declarations) -> Result<Ended, FlowError> {
        declared.add(&self.registry)?;
        Ok(Box::new(|| Ok(())))
    }

    fn callables(self: Arc<Self>) -> Arc<dyn Callables> {
        self
    }
}
