//! How far a run has come, for whoever looks.

use ematix_flow_core::pipeline::Transform;
use ematix_flow_core::plan::{Step, StepKind};
use ematix_flow_run::execute::observer::Observer;
use ematix_flow_run::transport::Passed;
use serde_json::json;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The step that a run is at, and the rows that have passed.
#[derive(Default)]
pub struct Progress {
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    step: Option<(String, String, Instant)>,
    waiting: bool,
    passed: Passed,
}

impl Progress {
    /// As JSON: `{"kind", "purpose", "seconds", "rows", "bytes", "waiting"}`; `kind` is null before the first step.
    pub fn json(&self) -> String {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, purpose, seconds) = match &now.step {
            Some((kind, purpose, began)) => (Some(kind), Some(purpose), began.elapsed().as_secs_f64()),
            None => (None, None, 0.0),
        };
        json!({
            "kind": kind,
            "purpose": purpose,
            "seconds": seconds,
            "rows": now.passed.rows,
            "bytes": now.passed.bytes,
            "waiting": now.waiting,
        })
        .to_string()
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Observer for Progress {
    fn waiting(&self, _pipeline: &str) {
        self.change(|now| now.waiting = true);
    }

    fn step_started(&self, step: &Step) {
        let (kind, purpose) = (step.kind.name().to_owned(), step.purpose.clone());
        self.change(|now| {
            now.waiting = false;
            now.step = Some((kind, purpose, Instant::now()));
        });
    }

    fn transform_started(&self, transform: &Transform) {
        let purpose = transform.name.clone();
        self.change(|now| now.step = Some((StepKind::Transform.name().to_owned(), purpose, Instant::now())));
    }

    fn passing(&self, passed: Passed) {
        self.change(|now| now.passed = passed);
    }
}
