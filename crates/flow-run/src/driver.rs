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

    /// Whether a connection leads to this engine.
    fn opens(&self, at: &ConnectionTarget) -> bool;

    /// Opens a session; `what` it is for is what the server shows of it.
    ///
    /// # Errors
    /// Of class `unreachable`.
    async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>>;
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

    /// The driver of a connection.
    ///
    /// # Errors
    /// `not_yet_supported` where none opens it.
    pub fn find(&self, at: &ConnectionTarget) -> Result<&dyn Driver> {
        self.0.iter().find(|driver| driver.opens(at)).map(AsRef::as_ref).ok_or_else(|| {
            let known = self.0.iter().map(|driver| driver.facts().name).collect::<Vec<_>>().join(", ");
            FlowError::new(ErrorCode::NotYetSupported, format!("no engine is known for {at}"))
                .hint(format!("known are: {known}"))
        })
    }
}
