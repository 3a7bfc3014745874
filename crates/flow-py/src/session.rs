//! A connection for statements of the user's own: values go as text that the server reads, and come as Python's.

use crate::convert::{Names, to_text, values_of};
use crate::errors::raise;
use crate::runtime::runtime;
use ematix_flow_core::connections;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::{ConnectionSpec, ProjectSpec};
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::numbered;
use ematix_flow_core::secret::Secret;
use ematix_flow_run::postgres::connect::{connect, refuse_other_engines};
use ematix_flow_run::postgres::error::statement_error;
use ematix_flow_run::postgres::password_command::conninfo_of;
use ematix_flow_run::postgres::session::PostgresSession as Open;
use ematix_flow_run::postgres::text_value::TextValue;
use ematix_flow_run::session::{Canceller, Session as _};
use futures_util::{StreamExt, pin_mut};
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyTuple};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Column, Row};

/// How long a server is asked to cancel.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// A session on a server, opened at its first use; one statement at a time.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct Session {
    name: String,
    project: ProjectSpec,
    open: Arc<Mutex<Option<Open>>>,
    /// What cancels a statement that another thread runs.
    canceller: std::sync::Mutex<Option<Box<dyn Canceller>>>,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (dsn, name))]
    fn new(dsn: Option<String>, name: Option<String>) -> Session {
        let (name, project) = named(dsn, name);
        Session { name, project, open: Arc::default(), canceller: std::sync::Mutex::default() }
    }

    /// Runs a statement; the number of rows that it touched.
    #[pyo3(signature = (statement, params=None))]
    fn execute(&self, py: Python<'_>, statement: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
        let (sql, values) = bound(statement, params)?;
        self.ask(py, async move |session: &Open| {
            if values.is_empty() {
                // Several statements in one text, and those that no transaction may hold.
                let answers = session.run(&sql).await?;
                return Ok(answers.last().map_or(0, |set| set.affected));
            }
            let parameters = values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::UNKNOWN));
            let client = session.client();
            let rows = client.query_typed_raw(&sql, parameters).await?;
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                row?;
            }
            Ok(rows.rows_affected().unwrap_or(0) as i64)
        })
    }

    /// Runs a query: the names of its columns, and its rows as tuples.
    #[pyo3(signature = (statement, params=None))]
    fn query<'py>(
        &self,
        py: Python<'py>,
        statement: &str,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Vec<String>, Vec<Bound<'py, PyTuple>>)> {
        let (sql, values) = bound(statement, params)?;
        let (columns, rows): (Vec<String>, Vec<Row>) = self.ask(py, async move |session: &Open| {
            let parameters = values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::UNKNOWN));
            let client = session.client();
            let stream = client.query_typed_raw(&sql, parameters).await?;
            pin_mut!(stream);
            let mut rows: Vec<Row> = Vec::new();
            while let Some(row) = stream.next().await {
                rows.push(row?);
            }
            let of = |columns: &[Column]| columns.iter().map(|column| column.name().to_owned()).collect();
            // Rows describe themselves; where there is none, the statement is asked.
            let columns = match rows.first() {
                Some(row) => of(row.columns()),
                None => of(client.prepare(&sql).await?.columns()),
            };
            Ok((columns, rows))
        })?;
        let names = Names::import(py)?;
        let tuples =
            rows.iter().map(|row| PyTuple::new(py, values_of(py, &names, row)?)).collect::<PyResult<_>>()?;
        Ok((columns, tuples))
    }

    /// Where it leads, as libpq takes it, with the password: a command that prints it is run. Nothing is opened.
    fn conninfo(&self, py: Python<'_>) -> PyResult<String> {
        let target = connections::resolve(&self.name, &self.project, &ProcessEnvironment);
        let whole = py.detach(|| {
            let target = target?;
            refuse_other_engines(&target)?;
            conninfo_of(&target)
        });
        whole.map(|whole| whole.reveal().to_owned()).map_err(|error| raise(py, &error))
    }

    /// Cancels on the server the statement that another thread runs.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let runtime = runtime()?;
        py.detach(|| {
            let canceller = self.canceller.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(canceller) = canceller.as_ref() {
                let _entered = runtime.enter();
                let _ = runtime.block_on(tokio::time::timeout(CANCEL_LIMIT, canceller.cancel()));
            }
        });
        Ok(())
    }

    /// Closes the session; a later statement opens another.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let runtime = runtime()?;
        let open = Arc::clone(&self.open);
        py.detach(|| {
            runtime.block_on(async {
                if let Some(session) = open.lock().await.take() {
                    Box::new(session).close().await;
                }
            });
        });
        Ok(())
    }
}

impl Session {
    /// Does something on the open session, without the GIL; Ctrl-C cancels it on the server.
    fn ask<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl AsyncFnOnce(&Open) -> Result<T, tokio_postgres::Error> + Send,
    ) -> PyResult<T> {
        let runtime = runtime()?;
        let asked = py.detach(|| {
            runtime.block_on(async {
                let mut open = self.open.lock().await;
                if open.as_ref().is_none_or(Open::is_closed) {
                    let target = connections::resolve(&self.name, &self.project, &ProcessEnvironment)?;
                    // Its statements are the user's own: what is pinned holds for the whole session.
                    *open = Some(connect(&target.starting_itself(), "connection").await?);
                }
                let session = open.as_ref().expect("it was just opened");
                *self.canceller.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.canceller());
                let canceller = session.canceller();
                let mut work = std::pin::pin!(work(session));
                loop {
                    tokio::select! {
                        biased;
                        done = &mut work => {
                            return done
                                .map(Ok)
                                .map_err(|error| statement_error(&error, Blame::Target, "run your statement"));
                        }
                        () = tokio::time::sleep(Duration::from_millis(50)) => {
                            if let Err(interrupt) = Python::attach(|py| py.check_signals()) {
                                canceller.cancel().await;
                                let _ = work.await;
                                return Ok(Err(interrupt));
                            }
                        }
                    }
                }
            })
        });
        asked.map_err(|error: FlowError| raise(py, &error))?
    }
}

/// A connection's name, and a project in which it leads to the DSN, if there is one.
pub fn named(dsn: Option<String>, name: Option<String>) -> (String, ProjectSpec) {
    let dsn = dsn.map(Secret::from);
    let mut project = ProjectSpec::default();
    let name = match (&dsn, name) {
        (_, Some(name)) => name,
        (Some(_), None) => "dsn".to_owned(),
        (None, None) => "default".to_owned(),
    };
    if dsn.is_some() {
        project.connections.insert(name.clone(), ConnectionSpec { dsn, ..ConnectionSpec::default() });
    }
    (name, project)
}

/// The statement with its values: a sequence for `$1`, a mapping for `:name`.
pub fn bound(statement: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<(String, Vec<TextValue>)> {
    let Some(params) = params else { return Ok((statement.to_owned(), Vec::new())) };
    let py = params.py();
    let Ok(mapping) = params.cast::<PyMapping>() else {
        let values =
            params.try_iter()?.map(|value| Ok(TextValue(to_text(&value?)?))).collect::<PyResult<_>>()?;
        return Ok((statement.to_owned(), values));
    };
    let (sql, names) = numbered(statement).map_err(|error| raise(py, &error))?;
    let values = names
        .iter()
        .map(|name| match mapping.get_item(name) {
            Ok(value) => Ok(TextValue(to_text(&value)?)),
            Err(_) => {
                let error = FlowError::new(ErrorCode::UnknownVariable, format!("`:{name}` has no value"));
                Err(raise(py, &error.hint(format!("give one: params={{\"{name}\": …}}"))))
            }
        })
        .collect::<PyResult<_>>()?;
    Ok((sql, values))
}
