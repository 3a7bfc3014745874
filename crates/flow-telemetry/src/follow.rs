//! Follows one run for everybody who wants to know of it, and passes on what it hears.

use crate::address::Address;
use crate::lineage::RunLineage;
use crate::otel::RunTrace;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::facts::Facts;
use ematix_flow_core::pipeline::{Pipeline, Transform};
use ematix_flow_core::plan::{Plan, Step};
use ematix_flow_core::report::{StepReport, TransformReport};
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::observer::Observer;
use ematix_flow_run::history::LostRun;
use ematix_flow_run::transport::Passed;
use std::sync::{Mutex, PoisonError};

/// Everybody who follows a run.
pub struct Follower<'f> {
    /// Who was there first.
    pub first: &'f dyn Observer,
    /// Knows where connections lead.
    pub engine: &'f Engine,
    /// Its trace.
    pub trace: Option<RunTrace>,
    /// Where its rows come from and go to.
    pub lineage: Option<RunLineage<'f>>,
    /// Runs that were found to have died.
    pub lost: Mutex<Vec<LostRun>>,
}

impl Observer for Follower<'_> {
    fn began(&self, pipeline: &str, run_id: &str) {
        self.first.began(pipeline, run_id);
        self.lineage.iter().for_each(|lineage| lineage.began(pipeline, run_id));
    }

    fn loads(&self, target: &Pipeline) {
        self.first.loads(target);
        if let Some(trace) = &self.trace {
            let target = self.engine.resolve(&target.target_connection);
            trace.leads_to(target.ok().map(|target| Address::of(&target)));
        }
        self.lineage.iter().for_each(|lineage| lineage.loads(target));
    }

    fn looked(&self, target: &Pipeline, facts: &Facts) {
        self.first.looked(target, facts);
        self.lineage.iter().for_each(|lineage| lineage.looked(target, facts));
    }

    fn planned(&self, pipeline: &str, plan: &Plan) {
        self.first.planned(pipeline, plan);
        self.trace.iter().for_each(|trace| trace.planned(plan));
        self.lineage.iter().for_each(RunLineage::started);
    }

    fn lost(&self, lost: &LostRun) {
        self.first.lost(lost);
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(lost.clone());
    }

    fn away(&self, error: &FlowError) {
        self.first.away(error);
    }

    fn waiting(&self, pipeline: &str) {
        self.first.waiting(pipeline);
        self.trace.iter().for_each(RunTrace::waiting);
        self.lineage.iter().for_each(RunLineage::started);
    }

    fn step_started(&self, step: &Step) {
        self.first.step_started(step);
        self.trace.iter().for_each(|trace| trace.step_started(step));
    }

    fn passing(&self, passed: Passed) {
        self.first.passing(passed);
    }

    fn step_finished(&self, step: &StepReport) {
        self.first.step_finished(step);
        self.trace.iter().for_each(|trace| trace.step_finished(step));
    }

    fn step_failed(&self, step: &Step, error: &FlowError) {
        self.first.step_failed(step, error);
        self.trace.iter().for_each(|trace| trace.step_failed(error));
    }

    fn transform_started(&self, transform: &Transform) {
        self.first.transform_started(transform);
        self.trace.iter().for_each(|trace| trace.transform_started(&transform.name));
    }

    fn transform_finished(&self, transform: &TransformReport) {
        self.first.transform_finished(transform);
        self.trace.iter().for_each(|trace| trace.transform_finished(transform));
    }
}
