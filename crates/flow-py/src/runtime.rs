//! One event loop a process, made at its first use and anew after a fork.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Builder, Runtime};

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
