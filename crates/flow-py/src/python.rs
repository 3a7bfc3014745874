//! The registry of this process, and its functions.

use ematix_flow_cli::python::{error_of, source_of};
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::execute::callables::{Callables, GivenConnection};
use ematix_flow_core::spec::SourceSpec;
use pyo3::prelude::*;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// A registry that this process has exported, and the Python function that calls its functions.
pub struct InProcess {
    registry: String,
    call: Option<Py<PyAny>>,
    /// What a function raised, for whoever reports it: with its own traceback.
    raised: Mutex<Option<PyErr>>,
}

impl InProcess {
    /// The registry, with who calls its functions.
    pub fn new(registry: String, call: Option<Py<PyAny>>) -> InProcess {
        InProcess { registry, call, raised: Mutex::new(None) }
    }

    /// What a function raised since it was last asked.
    pub fn take_raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Callables for InProcess {
    fn resolve(&self, pipeline: &str, connection: &GivenConnection) -> Result<SourceSpec, FlowError> {
        let question = json!({ "pipeline": pipeline, "connection": connection.secret_json() }).to_string();
        let answer = Python::attach(|py| {
            let Some(call) = &self.call else { return Ok(None) };
            call.bind(py).call1(("resolve", question))?.extract::<String>().map(Some)
        });
        match answer {
            Ok(Some(answer)) => match error_of(&answer) {
                Some(error) => Err(error),
                None => source_of(pipeline, &answer),
            },
            Ok(None) => Err(FlowError::new(
                ErrorCode::ImportFailed,
                format!("nobody can call the function of `{pipeline}`"),
            )),
            Err(raised) => {
                let message = format!("the function of `{pipeline}` raised {raised}");
                *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
                Err(FlowError::new(ErrorCode::SourceFailed, message).hint("the traceback says where"))
            }
        }
    }
}

impl ematix_flow_cli::python::Python for InProcess {
    fn registry(&self, _modules: &[String]) -> Result<String, FlowError> {
        Ok(self.registry.clone())
    }

    fn callables(self: Arc<Self>) -> Arc<dyn Callables> {
        self
    }
}
