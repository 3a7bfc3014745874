//! DuckDB's library, as the user's Python has it.

use crate::under_way::UnderWay;
use ematix_flow_run::duckdb::{Connection, DuckDbDriver, Fault, Library};
use ematix_flow_run::session::ResultSet;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// The driver of DuckDB, over the Python module `duckdb`.
pub fn driver() -> Arc<DuckDbDriver> {
    Arc::new(DuckDbDriver::new(Arc::new(PythonModule)))
}

struct PythonModule;

impl Library for PythonModule {
    fn open(&self, file: &Path) -> Result<Arc<dyn Connection>, Fault> {
        let _call = UnderWay::begin();
        Python::attach(|py| {
            let module = py.import("ematix_flow.run.duckdb")?;
            let connection = module.call_method1("Connection", (file.to_string_lossy(),))?;
            Ok(Arc::new(PythonConnection(connection.unbind())) as Arc<dyn Connection>)
        })
        .map_err(fault)
    }
}

struct PythonConnection(Py<PyAny>);

/// Columns, rows, and how many rows were touched.
type Answer = (Vec<String>, Vec<Vec<Option<String>>>, i64);

impl Connection for PythonConnection {
    fn run(&self, sql: &str) -> Result<Vec<ResultSet>, Fault> {
        let _call = UnderWay::begin();
        let answers: Result<Vec<Answer>, PyErr> =
            Python::attach(|py| self.0.bind(py).call_method1("run", (sql,))?.extract());
        let set = |(columns, rows, affected)| ResultSet { columns, rows, affected };
        Ok(answers.map_err(fault)?.into_iter().map(set).collect())
    }

    fn interrupt(&self) {
        self.call("interrupt");
    }

    fn close(&self) {
        self.call("close");
    }
}

impl PythonConnection {
    /// Calls what has nothing to say; an interpreter that is going down has closed everything itself.
    fn call(&self, method: &str) {
        let _call = UnderWay::begin();
        let _ = Python::try_attach(|py| self.0.bind(py).call_method0(method).map(|_| ()));
    }
}

fn fault(error: PyErr) -> Fault {
    Python::attach(|py| {
        let words = error.value(py).to_string();
        match error.is_instance_of::<PyImportError>(py) {
            true => Fault::NoLibrary(format!("DuckDB cannot be opened: {words}")),
            false => Fault::Said(words),
        }
    })
}
