//! OpenLineage: an event when a run begins and one when it has ended, for whoever draws where data comes from.
//! https://openlineage.io/docs/spec/object-model.

mod columns;
mod facets;
mod transport;

use crate::address::Address;
use crate::courier::{Courier, Lost};
use columns::Flow;
use ematix_flow_core::declare::PipelineSpec;
use ematix_flow_core::declare::environment::Environment;
use ematix_flow_core::error::ExitCode;
use ematix_flow_core::facts::Facts;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_run::execute::Engine;
use facets::{Parent, facet};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use transport::Transport;

/// Who sends the events.
pub struct Lineage {
    namespace: String,
    parent: Option<Parent>,
    events: Courier<Value>,
}

/// A run under way.
pub struct RunLineage<'l> {
    to: &'l Lineage,
    engine: &'l Engine,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    run: Option<About>,
    begun: bool,
    flows: IndexMap<String, Flow>,
}

/// What every event of a run says.
struct About {
    pipeline: String,
    run_id: String,
    started_at: String,
}

impl Lineage {
    /// What the variables of the OpenLineage clients say; nothing where they say nothing.
    pub fn from_environment(environment: &dyn Environment) -> (Option<Lineage>, Vec<String>) {
        let said = |name: &str| environment.variable(name).filter(|value| !value.trim().is_empty());
        if said("OPENLINEAGE_DISABLED").is_some_and(|said| said.trim().eq_ignore_ascii_case("true")) {
            return (None, Vec::new());
        }
        let transport = match Transport::from_environment(environment) {
            Ok(Some(transport)) => transport,
            Ok(None) => return (None, Vec::new()),
            Err(warning) => return (None, vec![format!("OpenLineage: {warning}")]),
        };
        let mut warnings = Vec::new();
        let mut parent = |name: &str| {
            let written = said(name)?;
            let read = facets::Job::read(&written);
            if read.is_none() {
                warnings.push(format!("OpenLineage: {name} is no NAMESPACE/JOB/RUN with a UUID for the run"));
            }
            read
        };
        let root = parent("OPENLINEAGE_ROOT_PARENT_ID");
        let parent = parent("OPENLINEAGE_PARENT_ID").map(|parent| Parent { parent, root });
        let lineage = Lineage {
            namespace: said("OPENLINEAGE_NAMESPACE").unwrap_or_else(|| "default".to_owned()),
            parent,
            events: Courier::new(Box::new(move |events, hurry| transport.send(events, hurry))),
        };
        (Some(lineage), warnings)
    }

    /// Follows a run.
    pub fn follow<'l>(&'l self, engine: &'l Engine) -> RunLineage<'l> {
        RunLineage { to: self, engine, seen: Mutex::default() }
    }

    /// Asks for everything to be sent at once.
    pub fn hurry(&self) {
        self.events.hurry();
    }

    /// Waits until everything is sent or the time has come; what did not arrive.
    pub fn wait_until(&self, deadline: Instant) -> Option<String> {
        let told = |Lost { count, why }| format!("OpenLineage: {count} events did not arrive: {why}");
        self.events.wait_until(deadline).map(told)
    }
}

impl RunLineage<'_> {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run has an id.
    pub fn began(&self, pipeline: &str, run_id: &str) {
        let started_at = Timestamp::now().to_string();
        self.seen().run =
            Some(About { pipeline: pipeline.to_owned(), run_id: run_id.to_owned(), started_at });
    }

    /// A target of the run is known.
    pub fn loads(&self, target: &Pipeline) {
        let flow = Flow::declared(target, |connection| self.address(connection));
        self.seen().flows.insert(target.target_key(), flow);
    }

    fn address(&self, connection: &str) -> Option<Address> {
        self.engine.resolve(connection).ok().map(|target| Address::of(&target))
    }

    /// The databases were asked about a target.
    pub fn looked(&self, target: &Pipeline, facts: &Facts) {
        if let Some(flow) = self.seen().flows.get_mut(&target.target_key()) {
            flow.looked(target, facts);
        }
    }

    /// All is known that is known before work begins: the START event, once.
    pub fn started(&self) {
        let mut seen = self.seen();
        if std::mem::replace(&mut seen.begun, true) {
            return;
        }
        if let Some(about) = &seen.run {
            self.to.events.hand(self.event("START", &about.started_at, about, &seen.flows, None));
        }
    }

    /// The run has ended.
    pub fn ended(self, report: &RunReport) {
        let kind = match report.status {
            Status::Success => "COMPLETE",
            Status::Cancelled | Status::Skipped => "ABORT",
            _ => "FAIL",
        };
        // What is wrong with the files is no run.
        let faulty = report.error.as_ref().is_some_and(|error| error.code.exit() == ExitCode::Usage);
        if faulty && !self.seen().begun {
            return;
        }
        self.started();
        let seen = self.seen();
        if let Some(about) = &seen.run {
            self.to.events.hand(self.event(kind, &report.ended_at, about, &seen.flows, Some(report)));
        }
    }

    fn event(
        &self,
        kind: &str,
        time: &str,
        about: &About,
        flows: &IndexMap<String, Flow>,
        report: Option<&RunReport>,
    ) -> Value {
        let mut run = Map::new();
        if let Some(parent) = &self.to.parent {
            run.insert("parent".to_owned(), parent.facet());
        }
        run.insert("processing_engine".to_owned(), facets::engine());
        if let Some(error) = report.and_then(|report| report.error.as_ref()) {
            let message = format!("{}: {}", error.code, error.message);
            let said = json!({ "message": message, "programmingLanguage": "SQL" });
            run.insert("errorMessage".to_owned(), facet("1-0-1/ErrorMessageRunFacet", said));
        }
        let job = job_facets(self.engine.project().pipelines.get(&about.pipeline));
        let mut inputs: IndexMap<(String, String), Value> = IndexMap::new();
        for flow in flows.values() {
            for input in flow.inputs(report.filter(|report| report.status == Status::Success)) {
                let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
                inputs.entry((text("namespace"), text("name"))).or_insert(input);
            }
        }
        let parts = |report: &RunReport, target: &str| {
            report.targets.iter().find(|part| part.target == target).unwrap_or(report).clone()
        };
        let outputs: Vec<Value> = flows
            .iter()
            .filter_map(|(target, flow)| flow.output(report.map(|report| parts(report, target)).as_ref()))
            .collect();
        json!({
            "eventType": kind,
            "eventTime": time,
            "producer": facets::PRODUCER,
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": { "runId": about.run_id, "facets": run },
            "job": { "namespace": self.to.namespace, "name": about.pipeline, "facets": job },
            "inputs": inputs.into_values().collect::<Vec<_>>(),
            "outputs": outputs,
        })
    }
}

fn job_facets(spec: Option<&PipelineSpec>) -> Value {
    let mut facets = Map::new();
    let kind = json!({ "processingType": "BATCH", "integration": "EMATIX_FLOW", "jobType": "PIPELINE" });
    facets.insert("jobType".to_owned(), facet("2-0-4/JobTypeJobFacet", kind));
    let options = spec.map(|spec| &spec.options);
    if let Some(about) = options.and_then(|options| options.description.as_deref()) {
        let said = json!({ "description": about, "contentType": "text/plain" });
        facets.insert("documentation".to_owned(), facet("1-1-0/DocumentationJobFacet", said));
    }
    if let Some(owner) = options.and_then(|options| options.owner.as_deref()) {
        let said = json!({ "owners": [{ "name": owner }] });
        facets.insert("ownership".to_owned(), facet("1-0-1/OwnershipJobFacet", said));
    }
    Value::Object(facets)
}
