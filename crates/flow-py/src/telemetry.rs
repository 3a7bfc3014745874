//! Who is told of the runs of this process.

use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::report::RunReport;
use ematix_flow_run::execute::observer::Observer;
use ematix_flow_run::execute::{Engine, Request};
use ematix_flow_telemetry::Telemetry;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

/// One for the process: what is on its way stays on its way between runs.
static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// Runs a pipeline, followed by everybody who asks for it.
pub async fn run(core: &Engine, pipeline: &str, request: &Request, observer: &dyn Observer) -> RunReport {
    let telemetry = TELEMETRY.get_or_init(|| Telemetry::from_environment(Arc::new(ProcessEnvironment)));
    // Who sits at a terminal sees it.
    let notify = !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal());
    telemetry.run(core, pipeline, request, observer, notify).await
}

/// Has the interpreter give what is on its way a moment when it ends; what was missed is a warning of the logger
/// `ematix_flow`.
pub fn finish_at_exit(py: Python<'_>) -> PyResult<()> {
    let finish = PyCFunction::new_closure(py, None, None, |arguments, _| {
        let py = arguments.py();
        let Some(telemetry) = TELEMETRY.get() else { return Ok(()) };
        let missed = py.detach(|| telemetry.finish().enter([]));
        if missed.is_empty() {
            return Ok(());
        }
        let logger = py.import("logging")?.call_method1("getLogger", ("ematix_flow",))?;
        missed.iter().try_for_each(|words| logger.call_method1("warning", ("%s", words)).map(|_| ()))
    })?;
    py.import("atexit")?.call_method1("register", (finish,)).map(|_| ())
}
