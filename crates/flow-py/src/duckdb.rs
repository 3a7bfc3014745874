//! DuckDB's library, as the user's Python has it.

use crate::arrow::{reader_of, stream_of};
use crate::under_way::UnderWay;
use arrow_array::RecordBatchReader;
use ematix_flow_core::dialect::duckdb::DuckDb;
use ematix_flow_core::sql;
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_run::duckdb::{Connection, DuckDbDriver, Fault, Library, Opening};
use ematix_flow_run::session::ResultSet;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::Arc;

/// The driver of DuckDB, over the Python module `duckdb`.
pub fn driver() -> Arc<DuckDbDriver> {
    Arc::new(DuckDbDriver::new(Arc::new(PythonModule)))
}

struct PythonModule;

impl Library for PythonModule {
    fn open(&self, opening: &Opening) -> Result<Arc<dyn Connection>, Fault> {
        let _call = UnderWay::begin();
        Python::attach(|py| {
            let module = py.import("ematix_flow.ground.duckdb")?;
            let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
            // `driver` is for programs that load the library by themselves.
            let said = PyDict::new(py);
            said.set_item("name", &opening.name)?;
            said.set_item("file", path(&opening.file))?;
            said.set_item("handed", opening.handed)?;
            said.set_item("read_only", opening.read_only)?;
            said.set_item("memory_limit", &opening.memory_limit)?;
            said.set_item("threads", opening.threads)?;
            said.set_item("temp_directory", path(&opening.temp_directory))?;
            said.set_item("storage_version", &opening.storage_version)?;
            let connection = module.call_method("Connection", (), Some(&said))?;
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

    fn query(&self, sql: &str) -> Result<Box<dyn RecordBatchReader + Send>, Fault> {
        let _call = UnderWay::begin();
        Python::attach(|py| reader_of(&self.0.bind(py).call_method1("query", (sql,))?)).map_err(fault)
    }

    fn append(&self, into: &QualifiedName, rows: Box<dyn RecordBatchReader + Send>) -> Result<i64, Fault> {
        let _call = UnderWay::begin();
        let table = sql!("{into}", into).to_text(&DuckDb);
        let taken: Result<i64, PyErr> = Python::attach(|py| {
            let rows = stream_of(py, rows)?;
            self.0.bind(py).call_method1("append", (table, rows))?.extract()
        });
        taken.map_err(fault)
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
