//! Facets: parts of an event that each name their own schema.

use serde_json::{Value, json};
use uuid::Uuid;

/// Who writes the events.
pub const PRODUCER: &str = concat!("https://pypi.org/project/ematix-flow/", env!("CARGO_PKG_VERSION"), "/");

/// A facet of that schema: its version and its name.
pub fn facet(schema: &str, mut said: Value) -> Value {
    let name = schema.rsplit('/').next().unwrap_or_default();
    said["_producer"] = json!(PRODUCER);
    said["_schemaURL"] = json!(format!("https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}"));
    said
}

/// What runs the job.
pub fn engine() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let said = json!({ "version": version, "name": "ematix-flow", "openlineageAdapterVersion": version });
    facet("1-1-1/ProcessingEngineRunFacet", said)
}

/// A run of somebody else's job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    namespace: String,
    name: String,
    run_id: String,
}

impl Job {
    /// `NAMESPACE/JOB/RUN`, as the integrations hand it on. A namespace may have slashes of its own.
    pub fn read(written: &str) -> Option<Job> {
        let mut parts = written.trim().rsplitn(3, '/');
        let (run_id, name, namespace) = (parts.next()?, parts.next()?, parts.next()?);
        let run_id = Uuid::parse_str(run_id).ok()?.to_string();
        let said = !namespace.is_empty() && !name.is_empty();
        said.then(|| Job { namespace: namespace.to_owned(), name: name.to_owned(), run_id })
    }

    fn json(&self) -> Value {
        json!({ "run": { "runId": self.run_id }, "job": { "namespace": self.namespace, "name": self.name } })
    }
}

/// The run that runs are parts of.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The run itself.
    pub parent: Job,
    /// The one at the top of all.
    pub root: Option<Job>,
}

impl Parent {
    /// As a facet.
    pub fn facet(&self) -> Value {
        let mut said = self.parent.json();
        if let Some(root) = &self.root {
            said["root"] = root.json();
        }
        facet("1-2-0/ParentRunFacet", said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_a_namespace_a_job_and_a_run() {
        let run = "0176a8c2-fe01-7439-87e6-56a1a1b4029f";
        let own = |namespace: &str, name: &str| Job {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            run_id: run.to_owned(),
        };
        assert_eq!(Job::read(&format!("airflow/dag.task/{run}")), Some(own("airflow", "dag.task")));
        assert_eq!(Job::read(&format!("http://a/b/dag/{run}")), Some(own("http://a/b", "dag")));
        assert_eq!(Job::read("airflow/dag.task/7"), None);
        assert_eq!(Job::read(run), None);
    }
}
