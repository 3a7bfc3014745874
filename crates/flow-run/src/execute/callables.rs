//! Pipelines whose query a function answers: it is called once per plan, and by nothing that only lists or validates.

use super::Engine;
use ematix_flow_core::declare::SourceSpec;
use ematix_flow_core::declare::registry::Answer;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::secret::Secret;
use std::sync::Arc;

/// Whoever can call the functions of a registry.
pub trait Callables: Send + Sync {
    /// Calls a pipeline's function with its source's connection, which connects at its first use.
    ///
    /// # Errors
    /// What the function raised.
    fn resolve(&self, pipeline: &str, connection: &GivenConnection) -> Result<Answer>;
}

/// The connection that a function is given.
#[derive(Clone, Debug)]
pub struct GivenConnection {
    /// Its name.
    pub name: String,
    /// Where it leads, with its password; `None` where that cannot be told, which matters only if it is used.
    pub dsn: Option<Secret>,
}

impl GivenConnection {
    /// As JSON, for the process or the function that is asked: `{"name", "dsn"}`, with the password.
    pub fn secret_json(&self) -> serde_json::Value {
        let dsn = self.dsn.as_ref().map(Secret::reveal);
        serde_json::json!({ "name": self.name, "dsn": dsn })
    }
}

impl Engine {
    /// The engine, with somebody who calls functions.
    pub fn with_callables(mut self, callables: Arc<dyn Callables>) -> Engine {
        self.callables = Some(callables);
        self
    }

    /// The engine once the pipeline's function has been called, in a thread that may wait; `None` where there is none.
    pub(super) async fn called(&self, pipeline: &str) -> Result<Option<Engine>> {
        let Some((callables, connection)) = self.callable(pipeline)? else { return Ok(None) };
        let name = pipeline.to_owned();
        let answer = tokio::task::spawn_blocking(move || callables.resolve(&name, &connection)).await;
        Ok(Some(self.answered(pipeline, answer.map_err(|_| failed(pipeline))??)))
    }

    /// As [`Engine::called`], where nothing else waits.
    pub(super) fn called_here(&self, pipeline: &str) -> Result<Option<Engine>> {
        let Some((callables, connection)) = self.callable(pipeline)? else { return Ok(None) };
        Ok(Some(self.answered(pipeline, callables.resolve(pipeline, &connection)?)))
    }

    fn callable(&self, pipeline: &str) -> Result<Option<(Arc<dyn Callables>, GivenConnection)>> {
        if !self.project.called.iter().any(|name| name == pipeline) {
            return Ok(None);
        }
        let callables = self.callables.clone().ok_or_else(|| failed(pipeline))?;
        let spec = self.project.pipelines.get(pipeline);
        let name =
            spec.and_then(|spec| spec.source.connection.clone()).unwrap_or_else(|| "default".to_owned());
        let dsn = self.resolve(&name).ok().map(|target| target.secret_conninfo());
        Ok(Some((callables, GivenConnection { name, dsn })))
    }

    fn answered(&self, pipeline: &str, answer: Answer) -> Engine {
        let mut project = (*self.project).clone();
        project.called.retain(|name| name != pipeline);
        let parts = project.together.get_mut(pipeline).into_iter().flat_map(|parts| parts.values_mut());
        for spec in project.pipelines.get_mut(pipeline).into_iter().chain(parts) {
            let connection = answer.source.connection.clone().or_else(|| spec.source.connection.clone());
            spec.source = SourceSpec { connection, ..answer.source.clone() };
        }
        for (name, connection) in answer.connections {
            project.connections.entry(name).or_insert(connection);
        }
        Engine { project: Arc::new(project), ..self.clone() }
    }
}

fn failed(pipeline: &str) -> FlowError {
    FlowError::new(
        ErrorCode::ImportFailed,
        format!("the function of the pipeline `{pipeline}` could not be called"),
    )
    .hint("it is Python's: run it with --module, or with the `flow` of the Python package")
}
