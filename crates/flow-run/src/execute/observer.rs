//! How a run tells what it is doing. The core reports and draws nothing.

use crate::transport::Passed;
use ematix_flow_core::pipeline::Transform;
use ematix_flow_core::plan::Plan;
use ematix_flow_core::report::{StepReport, TransformReport};

/// Follows one run. Every method may be left as it is.
pub trait Observer: Send + Sync {
    /// The plan is made and its steps begin.
    fn planned(&self, pipeline: &str, plan: &Plan) {
        let _ = (pipeline, plan);
    }
    /// Another run holds the target; this one waits.
    fn waiting(&self, pipeline: &str) {
        let _ = pipeline;
    }
    /// A step begins.
    fn step_started(&self, step: &ematix_flow_core::plan::Step) {
        let _ = step;
    }
    /// Rows pass through the client.
    fn passing(&self, passed: Passed) {
        let _ = passed;
    }
    /// A step is done.
    fn step_finished(&self, step: &StepReport) {
        let _ = step;
    }
    /// What follows the commit begins.
    fn transform_started(&self, transform: &Transform) {
        let _ = transform;
    }
    /// What follows the commit is done.
    fn transform_finished(&self, transform: &TransformReport) {
        let _ = transform;
    }
}

/// Follows nothing.
pub struct Silent;

impl Observer for Silent {}
