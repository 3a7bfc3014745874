//! How a run tells what it is doing. The core reports and draws nothing.

use crate::history::LostRun;
use crate::transport::Passed;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::facts::Facts;
use ematix_flow_core::pipeline::{Pipeline, Transform};
use ematix_flow_core::plan::Plan;
use ematix_flow_core::report::{StepReport, TransformReport};

/// Follows one run. Every method may be left as it is.
pub trait Observer: Send + Sync {
    /// The run has an id; nothing was looked at.
    fn began(&self, pipeline: &str, run_id: &str) {
        let _ = (pipeline, run_id);
    }
    /// What is loaded is declared without faults, and nothing is opened; of several targets each is told.
    fn loads(&self, target: &Pipeline) {
        let _ = target;
    }
    /// The databases were asked; of several targets each is told.
    fn looked(&self, target: &Pipeline, facts: &Facts) {
        let _ = (target, facts);
    }
    /// The plan is made and its steps begin.
    fn planned(&self, pipeline: &str, plan: &Plan) {
        let _ = (pipeline, plan);
    }
    /// A run, of this pipeline or of another one, is found to have died.
    fn lost(&self, lost: &LostRun) {
        let _ = lost;
    }
    /// The target's server is away; it is tried again.
    fn away(&self, error: &FlowError) {
        let _ = error;
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
    /// A step ends the run.
    fn step_failed(&self, step: &ematix_flow_core::plan::Step, error: &FlowError) {
        let _ = (step, error);
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
