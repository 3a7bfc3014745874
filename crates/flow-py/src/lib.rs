//! The border between Python and the core: spec in, report out. Every call that may wait releases the GIL.
//!
//! The modules stand in the order in which they may use each other, and a test holds them to it.

mod memory;
mod convert;
mod errors;
mod progress;
mod under_way;
mod arrow;
mod duckdb;
mod handed;
mod poured;
mod python;
mod runtime;
mod telemetry;
mod run;
mod session;
mod frames;
mod partitions;
mod features;
mod engine;

use pyo3::prelude::*;

/// The native half of the Python package `ematix_flow`.
#[pymodule]
mod _core {
    #[allow(clippy::wildcard_imports, reason = "what pyo3 makes here uses what is in sight there")]
    use super::*;
    use ematix_flow_cli::python::Surroundings;
    use std::ffi::OsString;
    use std::sync::Arc;

    #[pymodule_export]
    use super::arrow::Frame;
    #[pymodule_export]
    use super::arrow::RecordBatch;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::features::Features;
    #[pymodule_export]
    use super::frames::RecordBatches;
    #[pymodule_export]
    use super::frames::{read, read_parts};
    #[pymodule_export]
    use super::partitions::{accept_partitions, close_partitions, fill_partition, open_partitions};
    #[pymodule_export]
    use super::poured::Pipe;
    #[pymodule_export]
    use super::run::Run;
    #[pymodule_export]
    use super::session::Session;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        memory::gives_back_soon();
        under_way::wait_at_exit(module.py())?;
        telemetry::finish_at_exit(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// The `flow` command, beside the registry of this process.
    #[pyfunction]
    #[pyo3(signature = (argv, registry=None, call=None))]
    fn main(py: Python<'_>, argv: Vec<OsString>, registry: Option<String>, call: Option<Py<PyAny>>) -> u8 {
        let python = registry.map(|registry| {
            Arc::new(python::InProcess::new(registry, call, python::Tells::Terminal))
                as Arc<dyn ematix_flow_cli::python::Python>
        });
        let around = Surroundings { python, drivers: vec![duckdb::driver()] };
        py.detach(|| ematix_flow_cli::run_beside(argv, around))
    }

    /// The modules with pipelines that a command line, the environment or pyproject.toml names.
    #[pyfunction]
    fn module_names(py: Python<'_>, argv: Vec<String>) -> PyResult<Vec<String>> {
        ematix_flow_cli::python::module_names(&argv).map_err(|error| errors::raise(py, &error))
    }

    /// The options of a pipeline as JSON: which modes know each, and what it is when unwritten.
    #[pyfunction]
    fn option_table() -> String {
        engine::option_table()
    }

    /// Refuses a schedule that is none.
    #[pyfunction]
    #[pyo3(signature = (cron, every, timezone))]
    fn check_schedule(
        py: Python<'_>,
        cron: Option<&str>,
        every: Option<&str>,
        timezone: &str,
    ) -> PyResult<()> {
        engine::check_schedule(cron, every, timezone).map_err(|error| errors::raise(py, &error))
    }
}
