//! The border between Python and the core: spec in, report out.

use pyo3::prelude::*;

/// The native half of the Python package `ematix_flow`.
#[pymodule]
mod _core {
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
