//! Calls into Python on threads of ours, for which an interpreter that ends waits.

use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many calls are under way, and whether the interpreter has begun to end.
struct Calls {
    count: usize,
    is_over: bool,
}

static CALLS: (Mutex<Calls>, Condvar) = (Mutex::new(Calls { count: 0, is_over: false }), Condvar::new());

/// How long an interpreter that ends waits for them.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A call into Python, from its begin to its end.
pub struct UnderWay;

impl UnderWay {
    /// Begins a call.
    pub fn begin() -> UnderWay {
        calls().count += 1;
        UnderWay
    }

    /// Begins a call that nobody needs once the interpreter ends.
    pub fn begin_unless_over() -> Option<UnderWay> {
        let mut calls = calls();
        if calls.is_over {
            return None;
        }
        calls.count += 1;
        Some(UnderWay)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        calls().count -= 1;
        CALLS.1.notify_all();
    }
}

fn calls() -> MutexGuard<'static, Calls> {
    CALLS.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the interpreter wait, when it ends, until no thread of ours is in Python: one that came back to an interpreter
/// that has ended would abort the process.
pub fn wait_at_exit(py: Python<'_>) -> PyResult<()> {
    let wait = PyCFunction::new_closure(py, None, None, |arguments, _| {
        arguments.py().detach(|| {
            let mut calls = calls();
            calls.is_over = true;
            drop(CALLS.1.wait_timeout_while(calls, END_LIMIT, |calls| calls.count > 0));
        });
    })?;
    py.import("atexit")?.call_method1("register", (wait,)).map(|_| ())
}
