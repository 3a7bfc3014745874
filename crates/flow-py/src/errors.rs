//! Errors of the core as exceptions of the package: `ematix_flow.errors` chooses the class.

use ematix_flow_core::error::FlowError;
use pyo3::prelude::*;
use serde_json::json;

/// The exception that an error becomes.
pub fn raise(py: Python<'_>, error: &FlowError) -> PyErr {
    raise_json(py, &json!(error).to_string())
}

/// The exception that several errors become.
pub fn raise_all(py: Python<'_>, errors: &[FlowError]) -> PyErr {
    match errors {
        [only] => raise(py, only),
        errors => raise_json(py, &json!({ "errors": errors }).to_string()),
    }
}

fn raise_json(py: Python<'_>, json: &str) -> PyErr {
    let made = py.import("ematix_flow.errors").and_then(|module| module.call_method1("from_json", (json,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}
