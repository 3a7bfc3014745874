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

/// Opens what leads to a host called `duck`, and says that it did.
struct Duck;

#[async_trait]
impl Driver for Duck {
    fn facts(&self) -> &'static EngineFacts {
        &DUCKDB
    }

    fn opens(&self, at: &ConnectionTarget) -> bool {
        at.parameter("host") == Some("duck")
    }

    async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>> {
        Err(FlowError::new(ErrorCode::ConnectFailed, format!("{at} was to be opened to {what}")))
    }
}

fn engine() -> Engine {
    let text = "[connections]\nduck = { dsn = \"postgresql://me@duck/file\" }\nother = { dsn = \"postgresql://me@localhost:1/db\" }";
    let project = read_text(text, "pipelines.toml", &ProcessEnvironment).expect("the file is right");
    Engine::new(project)
}

async fn error_of(engine: &Engine, connection: &str) -> String {
    engine.check_connection(connection).await.error.expect("nothing answers").message
}

#[tokio::test]
async fn a_registered_driver_opens_the_connections_that_are_its_own() {
    let engine = engine().with_driver(Arc::new(Duck));
    assert_eq!(error_of(&engine, "duck").await, "me@duck:5432/file was to be opened to check");
    let other = error_of(&engine, "other").await;
    assert!(other.starts_with("me@localhost:1/db cannot be reached: "), "{other}");
}

#[test]
fn a_connection_that_no_driver_opens_is_refused() {
    let project = engine();
    let at = |name| resolve(name, project.project(), &ProcessEnvironment).expect("a connection");
    let drivers = Drivers::of(Arc::new(Duck));
    assert_eq!(drivers.find(&at("duck")).map(|driver| driver.facts().name), Ok("duckdb"));
    let error = drivers.find(&at("other")).err().expect("it is no duck");
    assert_eq!(
        (error.code, error.message.as_str(), error.hint.as_deref()),
        (ErrorCode::NotYetSupported, "no engine is known for me@localhost:1/db", Some("known are: duckdb"))
    );
    let drivers = Drivers::of(Arc::new(PostgresDriver));
    assert_eq!(drivers.find(&at("other")).map(|driver| driver.facts().name), Ok("postgres"));
}
