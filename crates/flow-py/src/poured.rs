//! Frames that go to another process by a pipe: the native `flow` asks this one, and has no Python of its own.

use crate::errors::raise;
use crate::handed::{self, Found, Raised, Why};
use arrow_array::RecordBatchReader;
use arrow_schema::ArrowError;
use ematix_flow_files::{BatchParts, end_part, failed_part, page_parts};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::PoisonError;

/// A pipe; `write` writes bytes into it, all of them.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct Pipe {
    write: Py<PyAny>,
}

#[pymethods]
impl Pipe {
    #[new]
    fn new(write: Py<PyAny>) -> Pipe {
        Pipe { write }
    }

    /// Sends all rows of a frame that `declare/frames.py` holds, and that these are all.
    fn pour(&self, py: Python<'_>, held: Bound<'_, PyAny>) -> PyResult<()> {
        let words: String = held.getattr("words")?.extract()?;
        let raised = Raised::default();
        let failed = |why: &str| {
            // What the user's code raised is raised again, with its traceback.
            let kept = raised.lock().unwrap_or_else(PoisonError::into_inner).take();
            kept.unwrap_or_else(|| raise(py, &handed::failed(&words, why)))
        };
        match handed::open(held.as_unbound(), Vec::new(), raised.clone()) {
            Ok(Found::Batches(batches)) => match self.batches(py, batches) {
                Err(Stopped::Read(error)) => return Err(failed(&handed::error_words(&error))),
                Err(Stopped::Write(error)) => return Err(error),
                Ok(()) => {}
            },
            Ok(Found::Rows(pages)) => self.pages(py, pages.bind(py))?,
            Err(Why::Said(why)) => return Err(failed(&why)),
            Err(Why::Refused(error)) => return Err(raise(py, &error)),
        }
        self.send(py, &end_part())
    }

    /// Sends why there are no more rows: an error as JSON.
    fn fail(&self, py: Python<'_>, told: &str) -> PyResult<()> {
        self.send(py, &failed_part(told))
    }
}

/// Why batches are no longer sent.
enum Stopped {
    Read(ArrowError),
    Write(PyErr),
}

impl Pipe {
    fn send(&self, py: Python<'_>, part: &[u8]) -> PyResult<()> {
        self.write.call1(py, (PyBytes::new(py, part),)).map(|_| ())
    }

    /// Python's lock is held by who makes the batches, and while they are written, never by who waits for them.
    fn batches(&self, py: Python<'_>, batches: Box<dyn RecordBatchReader + Send>) -> Result<(), Stopped> {
        let mut parts = py.detach(|| BatchParts::new(batches)).map_err(Stopped::Read)?;
        while let Some(part) = py.detach(|| parts.next()) {
            self.send(py, &part.map_err(Stopped::Read)?).map_err(Stopped::Write)?;
        }
        Ok(())
    }

    fn pages(&self, py: Python<'_>, pages: &Bound<'_, PyAny>) -> PyResult<()> {
        while let Some(page) = pages.call_method0("page")?.extract::<Option<Vec<u8>>>()? {
            let types = pages.call_method0("types")?.extract::<Vec<(String, String)>>()?;
            self.send(py, &page_parts(&page, &types))?;
        }
        Ok(())
    }
}
