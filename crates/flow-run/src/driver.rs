//! Who opens sessions: one driver an engine, registered with the façade.

use crate::session::Session;
use async_trait::async_trait;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::EngineFacts;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::sync::Arc;

/// Opens sessions of one engine.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What is known of the engine.
    fn facts(&self) -> &'static EngineFacts;

    /// Opens a session; `what` it is for is what the server shows of it.
    ///
    /// # Errors
    /// Of class `unreachable`.
    async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>>;

    /// Closes sessions that it keeps to use them again.
    async fn close_idle(&self) {}
}

/// The drivers that there are.
#[derive(Clone)]
pub struct Drivers(Vec<Arc<dyn Driver>>);

impl Drivers {
    /// A registry that knows one.
    pub fn of(driver: Arc<dyn Driver>) -> Drivers {
        Drivers(vec![driver])
    }

    /// Adds a driver, which is asked before those that are there.
    pub fn register(&mut self, driver: Arc<dyn Driver>) {
        self.0.insert(0, driver);
    }

    /// Closes what drivers keep.
    pub async fn close_idle(&self) {
        for driver in &self.0 {
            driver.close_idle().await;
        }
    }

    /// The driver of a connection.
    ///
    /// # Errors
    /// `not_yet_supported` where none opens it, `unsupported_by_engine` for one that pipelines alone read.
    pub fn find(&self, at: &ConnectionTarget) -> Result<&dyn Driver> {
        if let Some(engine) = at.foreign() {
            return Err(engine
                .cannot(format!("{at} is opened for no session"))
                .hint("let a pipeline read it: source = { connection = \"…\", table = \"…\" }"));
        }
        self.0.iter().find(|driver| driver.facts().name == at.engine).map(AsRef::as_ref).ok_or_else(|| {
            FlowError::new(ErrorCode::NotYetSupported, format!("this build of flow does not open {at}")).hint(
                format!("the one of the Python package does: pip install \"ematix-flow[{}]\"", at.engine),
            )
        })
    }
}
