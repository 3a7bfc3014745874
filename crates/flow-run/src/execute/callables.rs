//! Pipelines whose query a function answers: it is called once per plan, and by nothing that only lists or validates.

use super::run::{asked, asked_to_stop, cancelled};
use super::{Engine, Stop};
use crate::postgres::password_command::conninfo_of;
use crate::session::Canceller;
use async_trait::async_trait;
use ematix_flow_arrow::BatchSource;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::declare::SourceSpec;
use ematix_flow_core::declare::registry::Answer;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::{Limits, Transform};
use ematix_flow_core::report::RunReport;
use ematix_flow_core::secret::Secret;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Whoever can call the functions of a registry.
pub trait Callables: Send + Sync {
    /// Calls a pipeline's function with its source's connection, which connects at its first use.
    ///
    /// # Errors
    /// What the function raised; whatever it raises once it was interrupted.
    fn resolve(&self, pipeline: &str, connection: &GivenConnection, interrupt: &Interrupt) -> Result<Answer>;

    /// Calls a transform's function with a connection, and with the load's report where there is one; what it returned.
    ///
    /// # Errors
    /// What the function raised, and what it returned that is no JSON object; whatever it raises once it was
    /// interrupted.
    fn call(
        &self,
        transform: &str,
        connection: &GivenConnection,
        report: Option<&Value>,
        interrupt: &Interrupt,
    ) -> Result<Map<String, Value>>;

    /// The rows that Python hands over by a number; `None` where there are none of it.
    fn frame(&self, id: u64) -> Option<Arc<dyn BatchSource>> {
        let _ = id;
        None
    }

    /// Nobody takes the rows of that number any more.
    fn release(&self, id: u64) {
        let _ = id;
    }
}

/// A frame that a function returned, for as long as an engine may read it.
pub(super) struct KeptFrame {
    callables: Arc<dyn Callables>,
    id: u64,
}

impl Drop for KeptFrame {
    fn drop(&mut self) {
        self.callables.release(self.id);
    }
}

/// Ends a call from outside. Whoever calls says how.
#[derive(Default)]
pub struct Interrupt {
    wish: Mutex<Wish>,
}

#[derive(Default)]
struct Wish {
    asked: usize,
    grant: Option<Box<dyn Fn(usize) + Send>>,
}

impl Interrupt {
    /// Says how the call is ended; `grant` is told how often that was asked before.
    pub fn granted_by(&self, grant: impl Fn(usize) + Send + 'static) {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        if wish.asked > 0 {
            grant(0);
        }
        wish.grant = Some(Box::new(grant));
    }

    /// The call has ended: there is nothing to interrupt any more.
    pub fn done(&self) {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).grant = None;
    }

    fn ask(&self) {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(grant) = &wish.grant {
            grant(wish.asked);
        }
        wish.asked += 1;
    }
}

#[async_trait]
impl Canceller for Arc<Interrupt> {
    /// In a thread that may wait: Python's lock may be held by the function.
    async fn cancel(&self) {
        let interrupt = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || interrupt.ask()).await;
    }
}

/// The connection that a function is given.
#[derive(Clone, Debug)]
pub struct GivenConnection {
    /// Its name.
    pub name: String,
    /// Where it leads, with its password; `None` where that cannot be told, which matters only if it is used.
    pub dsn: Option<Secret>,
    /// What bounds its statements, in milliseconds, by the server's names.
    pub settings: Vec<(&'static str, u64)>,
}

impl GivenConnection {
    /// As JSON, for the process or the function that is asked: `{"name", "dsn", "settings"}`, with the password.
    pub fn secret_json(&self) -> serde_json::Value {
        let dsn = self.dsn.as_ref().map(Secret::reveal);
        let settings: Map<String, Value> =
            self.settings.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        serde_json::json!({ "name": self.name, "dsn": dsn, "settings": settings })
    }
}

/// A connection for a function, whose password may still have to be asked for.
struct ToGive {
    name: String,
    at: Option<ConnectionTarget>,
}

impl ToGive {
    /// The connection; whoever calls it waits for a command that prints the password.
    fn given(self) -> Result<GivenConnection> {
        let dsn = self.at.as_ref().map(conninfo_of).transpose()?;
        Ok(GivenConnection { name: self.name, dsn, settings: Vec::new() })
    }
}

impl Engine {
    /// The engine, with somebody who calls functions.
    pub fn with_callables(mut self, callables: Arc<dyn Callables>) -> Engine {
        self.callables = Some(callables);
        self
    }

    /// The engine once the pipeline's function has been called, in a thread that may wait; `None` where there is none.
    /// A wish to stop ends the function first.
    pub(super) async fn called(
        &self,
        pipeline: &str,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Option<Engine>> {
        let Some((callables, connection)) = self.callable(pipeline)? else { return Ok(None) };
        let name = pipeline.to_owned();
        let interrupt = Arc::new(Interrupt::default());
        let granted = Arc::clone(&interrupt);
        let mut calling = tokio::task::spawn_blocking(move || {
            let given = connection.given();
            let answer = given.and_then(|given| callables.resolve(&name, &given, &granted));
            granted.done();
            answer
        });
        let mut wish = stop.clone();
        let answer = tokio::select! {
            biased;
            answer = &mut calling => answer,
            stopped = asked(&mut wish) => {
                interrupt.cancel().await;
                // What the function does at its end, it does before this process ends.
                let _ = calling.await;
                return Err(cancelled(stopped));
            }
        };
        let answer = answer.map_err(|_| failed(pipeline))?;
        // The wish may have come first to a function in a process of its own.
        let answer = answer.map_err(|error| asked_to_stop(stop).map_or(error, cancelled))?;
        Ok(Some(self.answered(pipeline, answer)))
    }

    /// Calls a transform's function, in a thread that may wait.
    pub(super) async fn call(
        &self,
        transform: &Transform,
        load: Option<&RunReport>,
        limits: &Limits,
        interrupt: Arc<Interrupt>,
    ) -> Result<Map<String, Value>> {
        let name = transform.name.clone();
        let nobody = || {
            let words = format!("nobody can call the function of the transform `{name}`");
            FlowError::new(ErrorCode::ImportFailed, words)
                .hint("it is Python's: run it with --module, or with the `flow` of the Python package")
        };
        let callables = self.callables.clone().ok_or_else(nobody)?;
        let connection = transform.connection.clone();
        let at = self.resolve(&connection)?;
        if at.engine != POSTGRES.name {
            let words = format!("a function gets a connection of Postgres, and {connection} is none");
            return Err(FlowError::new(ErrorCode::NotYetSupported, words)
                .hint("write SQL instead of a function, or open the file in the function itself"));
        }
        let mut settings = vec![("lock_timeout", limits.lock_timeout.milliseconds())];
        settings.extend(
            limits.statement_timeout.as_ref().map(|limit| ("statement_timeout", limit.milliseconds())),
        );
        let asked = tokio::task::spawn_blocking(move || conninfo_of(&at)).await;
        let dsn = asked.map_err(|_| nobody())??;
        let given = GivenConnection { name: connection, dsn: Some(dsn), settings };
        let report = load.map(|load| serde_json::json!(load));
        let called = name.clone();
        let calling = tokio::task::spawn_blocking(move || {
            let answer = callables.call(&called, &given, report.as_ref(), &interrupt);
            interrupt.done();
            answer
        });
        calling.await.map_err(|_| nobody())?
    }

    /// As [`Engine::called`], where nothing else waits.
    pub(super) fn called_here(&self, pipeline: &str) -> Result<Option<Engine>> {
        let Some((callables, connection)) = self.callable(pipeline)? else { return Ok(None) };
        let answer = callables.resolve(pipeline, &connection.given()?, &Interrupt::default())?;
        Ok(Some(self.answered(pipeline, answer)))
    }

    fn callable(&self, pipeline: &str) -> Result<Option<(Arc<dyn Callables>, ToGive)>> {
        if !self.project.called.contains(pipeline) {
            return Ok(None);
        }
        let callables = self.callables.clone().ok_or_else(|| failed(pipeline))?;
        let spec = self.project.pipelines.get(pipeline);
        let name =
            spec.and_then(|spec| spec.source.connection.clone()).unwrap_or_else(|| "default".to_owned());
        let at = self.resolve(&name).ok();
        Ok(Some((callables, ToGive { name, at })))
    }

    fn answered(&self, pipeline: &str, answer: Answer) -> Engine {
        let kept = answer.source.frame.as_ref().zip(self.callables.clone());
        let kept = kept.map(|(frame, callables)| Arc::new(KeptFrame { callables, id: frame.id }));
        let mut project = self.project.seen_by(pipeline);
        project.called.clear();
        let parts = project.together.get_mut(pipeline).into_iter().flat_map(|parts| parts.values_mut());
        for spec in project.pipelines.get_mut(pipeline).into_iter().chain(parts) {
            let connection = answer.source.connection.clone().or_else(|| spec.source.connection.clone());
            spec.source = SourceSpec { connection, ..answer.source.clone() };
        }
        for (name, connection) in answer.connections {
            project.connections.entry(name).or_insert(connection);
        }
        Engine { project: Arc::new(project), _frame: kept, ..self.clone() }
    }
}

fn failed(pipeline: &str) -> FlowError {
    FlowError::new(
        ErrorCode::ImportFailed,
        format!("the function of the pipeline `{pipeline}` could not be called"),
    )
    .hint("it is Python's: run it with --module, or with the `flow` of the Python package")
}
