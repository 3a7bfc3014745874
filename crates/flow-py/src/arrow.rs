//! Rows as Arrow across the border, by the PyCapsule interface
//! (<https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>): no copy, and no library of Python's.

#![allow(unsafe_code, reason = "a stream of the C interface is a pointer")]

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use arrow_array::{Array, RecordBatch as Batch, RecordBatchIterator, RecordBatchReader, StructArray};
use arrow_schema::{DataType, Schema, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::CStr;
use std::sync::Arc;

const STREAM: &CStr = c"arrow_array_stream";
const ARRAY: &CStr = c"arrow_array";
const SCHEMA: &CStr = c"arrow_schema";

/// Rows that are in memory, for whatever reads Arrow: as often as it asks.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct Frame {
    schema: SchemaRef,
    batches: Vec<Batch>,
}

impl Frame {
    /// These rows.
    pub fn new(schema: SchemaRef, batches: Vec<Batch>) -> Frame {
        Frame { schema, batches }
    }
}

#[pymethods]
impl Frame {
    /// The stream; types are as they are, whatever schema is requested.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches: Vec<_> = self.batches.iter().cloned().map(Ok).collect();
        stream_of(py, Box::new(RecordBatchIterator::new(batches, Arc::clone(&self.schema))))
    }

    /// How many rows.
    fn __len__(&self) -> usize {
        self.batches.iter().map(Batch::num_rows).sum()
    }

    /// The names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        names_of(&self.schema)
    }

    fn __repr__(&self) -> String {
        format!("<Frame of {} rows: {}>", self.__len__(), self.column_names().join(", "))
    }
}

/// The rows of an object that has `__arrow_c_array__`: a batch.
///
/// # Errors
/// What the object raises; ValueError for what is no batch.
pub fn batch_of(object: &Bound<'_, PyAny>) -> PyResult<Batch> {
    let pair = object.call_method0("__arrow_c_array__")?;
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = pair.extract()?;
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?;
    let array = array.pointer_checked(Some(c"arrow_array"))?;
    // SAFETY: capsules of these names hold what the C interface says. The array is moved out; the schema is only read.
    let data = unsafe {
        let array = FFI_ArrowArray::from_raw(array.as_ptr().cast());
        from_ffi(array, schema.cast::<FFI_ArrowSchema>().as_ref())
    };
    let data = data.map_err(|error| PyValueError::new_err(format!("the batch cannot be read: {error}")))?;
    match data.data_type() {
        DataType::Struct(_) if data.null_count() > 0 => {
            Err(PyValueError::new_err("a row of the batch is NULL as a whole"))
        }
        DataType::Struct(_) => Ok(Batch::from(StructArray::from(data))),
        other => Err(PyValueError::new_err(format!("an array of {other} is no batch of rows"))),
    }
}

/// A batch of rows, for whatever reads Arrow: as often as it asks.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct RecordBatch(pub Batch);

#[pymethods]
impl RecordBatch {
    /// Its schema and its rows; types are as they are, whatever schema is requested.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let rows = FFI_ArrowArray::new(&StructArray::from(self.0.clone()).to_data());
        Ok((schema_of(py, &self.0.schema())?, PyCapsule::new_with_value(py, rows, ARRAY)?))
    }

    /// A stream of this one batch.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        stream_of(py, Box::new(RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema())))
    }

    /// How many rows.
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    /// The names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        names_of(&self.0.schema())
    }

    fn __repr__(&self) -> String {
        format!("<RecordBatch of {} rows: {}>", self.__len__(), self.column_names().join(", "))
    }
}

/// The names of a schema's columns.
pub fn names_of(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// A capsule with a schema.
pub fn schema_of<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let unsaid = |error| PyValueError::new_err(format!("the schema cannot be said in C: {error}"));
    PyCapsule::new_with_value(py, FFI_ArrowSchema::try_from(schema).map_err(unsaid)?, SCHEMA)
}

/// A capsule with a stream.
pub fn stream_of(
    py: Python<'_>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'_, PyCapsule>> {
    // Whoever takes the stream out leaves an empty one, which releases nothing.
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), STREAM)
}

/// The rows of an object that has `__arrow_c_stream__`.
///
/// # Errors
/// What the object raises; ValueError for a stream that is none.
pub fn reader_of(object: &Bound<'_, PyAny>) -> PyResult<Box<dyn RecordBatchReader + Send>> {
    let capsule = object.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(STREAM))?;
    // SAFETY: a capsule of this name holds a stream of the C interface. It is moved out, and what stays behind is empty.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr().cast()) };
    let reader = ArrowArrayStreamReader::try_new(stream)
        .map_err(|error| PyValueError::new_err(format!("the frame cannot be read: {error}")))?;
    Ok(Box::new(reader))
}
