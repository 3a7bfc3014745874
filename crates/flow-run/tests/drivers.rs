//! Drivers are registered: another engine needs no line here.

use async_trait::async_trait;
use ematix_flow_core::connections::{ConnectionTarget, resolve};
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::engine::{DUCKDB, EngineFacts};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_run::driver::{Driver, Drivers};
use ematix_flow_run::execute::Engine;
use ematix_flow_run::postgres::PostgresDriver;
use ematix_flow_run::session::Session;
use std::sync::Arc;

/// Opens files of DuckDB, and says that it did.
struct Duck;

#[async_trait]
impl Driver for Duck {
    fn facts(&self) -> &'static EngineFacts {
        &DUCKDB
    }

    async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>> {
        Err(FlowError::new(ErrorCode::ConnectFailed, format!("{at} was to be opened to {what}")))
    }
}

fn engine() -> Engine {
    let text = "[connections]\nduck = { dsn = \"duckdb:a.duckdb\" }\nother = { dsn = \"postgresql://me@localhost:1/db\" }";
    let project = read_text(text, "pipelines.toml", &ProcessEnvironment).expect("the file is right");
    Engine::new(project)
}

async fn error_of(engine: &Engine, connection: &str) -> String {
    engine.check_connection(connection).await.error.expect("nothing answers").message
}

#[tokio::test]
async fn a_registered_driver_opens_the_connections_that_are_its_own() {
    let engine = engine().with_driver(Arc::new(Duck));
    assert_eq!(error_of(&engine, "duck").await, "duckdb:a.duckdb was to be opened to check");
    let other = error_of(&engine, "other").await;
    assert!(other.starts_with("me@localhost:1/db cannot be reached: "), "{other}");
}

#[test]
fn a_connection_that_no_driver_opens_is_refused() {
    let project = engine();
    let at = |name| resolve(name, project.project(), &ProcessEnvironment).expect("a connection");
    let mut drivers = Drivers::of(Arc::new(PostgresDriver::default()));
    assert_eq!(drivers.find(&at("other")).map(|driver| driver.facts().name), Ok("postgres"));
    let error = drivers.find(&at("duck")).err().expect("Postgres opens no file");
    assert_eq!(
        (error.code, error.message.as_str(), error.hint.as_deref()),
        (
            ErrorCode::NotYetSupported,
            "this build of flow does not open duckdb:a.duckdb",
            Some("the one of the Python package does: pip install \"ematix-flow[duckdb]\"")
        )
    );
    drivers.register(Arc::new(Duck));
    assert_eq!(drivers.find(&at("duck")).map(|driver| driver.facts().name), Ok("duckdb"));
}
