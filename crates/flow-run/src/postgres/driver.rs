//! Postgres as an engine among others.

use super::connect::connect;
use crate::driver::Driver;
use crate::session::Session;
use async_trait::async_trait;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::{EngineFacts, POSTGRES};
use ematix_flow_core::error::Result;

/// Opens sessions on Postgres.
#[derive(Clone, Copy, Debug)]
pub struct PostgresDriver;

#[async_trait]
impl Driver for PostgresDriver {
    fn facts(&self) -> &'static EngineFacts {
        &POSTGRES
    }

    async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>> {
        Ok(Box::new(connect(at, what).await?))
    }
}
