//! Postgres as an engine among others.

use super::connect::connect;
use super::pool::Pools;
use crate::driver::Driver;
use crate::session::Session;
use async_trait::async_trait;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::{EngineFacts, POSTGRES};
use ematix_flow_core::error::Result;

/// Opens sessions on Postgres.
#[derive(Default)]
pub struct PostgresDriver {
    pools: Option<Pools>,
}

impl PostgresDriver {
    /// A driver whose sessions are used again.
    pub fn pooled() -> PostgresDriver {
        PostgresDriver { pools: Some(Pools::default()) }
    }
}

#[async_trait]
impl Driver for PostgresDriver {
    fn facts(&self) -> &'static EngineFacts {
        &POSTGRES
    }

    async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>> {
        match &self.pools {
            Some(pools) => pools.open(at, what).await,
            None => Ok(Box::new(connect(at, what).await?)),
        }
    }

    async fn close_idle(&self) {
        if let Some(pools) = &self.pools {
            pools.close().await;
        }
    }
}
