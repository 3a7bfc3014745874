//! The table that many tasks fill: each call is one session, opened where it is called.

use crate::handed::{Handed, Hears, Raised};
use crate::runtime::waited;
use crate::session::named;
use ematix_flow_core::connections;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_run::partitions;
use ematix_flow_run::postgres::connect::connect;
use ematix_flow_run::postgres::session::PostgresSession;
use ematix_flow_run::session::Session as _;
use pyo3::prelude::*;
use std::sync::{Arc, PoisonError};
use uuid::Uuid;

/// Where it leads: a DSN, or the name that stands for one.
type Place = (Option<String>, Option<String>);

/// Makes the table, and gives its name.
#[pyfunction]
pub fn open_partitions(py: Python<'_>, place: Place, columns: Vec<(String, String)>) -> PyResult<String> {
    waited(py, within(place, async move |session| partitions::open(session, &columns).await))?
}

/// Takes the rows of an attempt in; gives how many there were.
#[pyfunction]
pub fn fill_partition(
    py: Python<'_>,
    place: Place,
    table: String,
    attempt: String,
    held: &Bound<'_, PyAny>,
) -> PyResult<i64> {
    let raised = Raised::default();
    let rows = Handed::of(held, Hears { raised: Arc::clone(&raised), tell: None })?;
    let filled = waited(
        py,
        within(place, async move |session| partitions::fill(session, &table, number(&attempt)?, &rows).await),
    )?;
    // What the rows themselves have raised says more, with its own traceback.
    let own = raised.lock().unwrap_or_else(PoisonError::into_inner).take();
    filled.map_err(|error| own.unwrap_or(error))
}

/// The query of the rows of these attempts.
#[pyfunction]
pub fn accept_partitions(
    py: Python<'_>,
    place: Place,
    table: String,
    columns: Vec<String>,
    attempts: Vec<String>,
) -> PyResult<String> {
    let accepted = within(place, async move |session| {
        let attempts = attempts.iter().map(|attempt| number(attempt)).collect::<Result<Vec<_>>>()?;
        partitions::accept(session, &table, &columns, &attempts).await
    });
    waited(py, accepted)?
}

/// Drops the table.
#[pyfunction]
pub fn close_partitions(py: Python<'_>, place: Place, table: String) -> PyResult<()> {
    waited(py, within(place, async move |session| partitions::close(session, &table).await))?
}

/// Does something in a session of its own.
async fn within<T>((dsn, name): Place, work: impl AsyncFnOnce(&PostgresSession) -> Result<T>) -> Result<T> {
    let (name, project) = named(dsn, name);
    let target = connections::resolve(&name, &project, &ProcessEnvironment)?;
    if target.engine != POSTGRES.name {
        let message = format!("{name} leads to {}, whose file one process writes at a time", target.engine);
        return Err(FlowError::new(ErrorCode::UnsupportedByEngine, message)
            .hint("partitions are written into Postgres; write_df loads a frame into a file of DuckDB"));
    }
    let session = connect(&target, "partitions").await?;
    let done = work(&session).await;
    match &done {
        Ok(_) => Box::new(session).close().await,
        Err(_) => Box::new(session).abandon().await,
    }
    done
}

fn number(attempt: &str) -> Result<Uuid> {
    Uuid::parse_str(attempt)
        .map_err(|_| FlowError::new(ErrorCode::InvalidValue, format!("`{attempt}` is no attempt")))
}
