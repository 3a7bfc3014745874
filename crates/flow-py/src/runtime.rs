//! One event loop a process, made at its first use and anew after a fork; and how Python waits for what it does.

use crate::errors::raise;
use ematix_flow_core::error::FlowError;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How often signals are looked at while an answer is waited for.
pub const LOOK: Duration = Duration::from_millis(50);

static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);

/// The event loop of this process.
pub fn runtime() -> PyResult<Arc<Runtime>> {
    let mut made = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((of, runtime)) = made.as_ref()
        && *of == process
    {
        return Ok(Arc::clone(runtime));
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("ematix-flow")
        .build()
        .map_err(|error| PyOSError::new_err(format!("the operating system gives no event loop: {error}")))?;
    let runtime = Arc::new(runtime);
    if let Some(parents) = made.replace((process, Arc::clone(&runtime))) {
        // Its threads stayed in the parent: waiting for them would never end.
        std::mem::forget(parents);
    }
    Ok(runtime)
}

/// Waits without the GIL; Ctrl-C ends it, and what it was doing on the server.
pub fn waited<T: Send>(
    py: Python<'_>,
    work: impl Future<Output = Result<T, FlowError>> + Send,
) -> PyResult<PyResult<T>> {
    let runtime = runtime()?;
    let done = py.detach(|| {
        runtime.block_on(async {
            let mut work = pin!(work);
            loop {
                tokio::select! {
                    biased;
                    done = &mut work => return PyResult::Ok(done),
                    () = tokio::time::sleep(LOOK) => Python::attach(|py| py.check_signals())?,
                }
            }
        })
    })?;
    Ok(done.map_err(|error| raise(py, &error)))
}
