//! Rows of a query as Arrow batches: read by tasks of ours, a few batches ahead of whoever takes them.

use crate::arrow::{Frame, RecordBatch, names_of, schema_of, stream_of};
use crate::errors::raise;
use crate::runtime::{LOOK, runtime, waited};
use crate::session::{bound, named};
use arrow_array::{RecordBatch as Batch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use ematix_flow_arrow::{BatchSize, Infinity};
use ematix_flow_core::connections;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_run::frames::{self, Numeric, Part, Reading, Types, Wanted, query_with_values};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

/// How many batches may wait for whoever takes them, beside those in the making: the next is there when one is done with.
const AHEAD: usize = 1;
/// How long a reading that is closed is waited for.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The rows of a query as batches, read while they are taken: in memory are a few batches, however many there are.
#[pyclass(frozen, module = "ematix_flow._core")]
pub struct RecordBatches {
    schema: SchemaRef,
    state: Mutex<State>,
}

enum State {
    Open(Arc<Ahead>),
    /// Somebody has the stream.
    Taken,
    Ended,
    Closed,
}

/// A batch or what went wrong, and the place that it takes among those that wait.
type Ready = (Result<Batch, FlowError>, OwnedSemaphorePermit);

/// What was read ahead, and those who read. Dropped, it stops them.
struct Ahead {
    ready: Mutex<Receiver<Ready>>,
    ended: Arc<AtomicUsize>,
    parts: usize,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What there is within a moment.
enum Moment {
    Batch(Result<Batch, FlowError>),
    NotYet,
    End,
}

/// Begins to read.
#[pyfunction]
#[pyo3(signature = (dsn, name, statement, params=None, *, numeric="decimal", infinity="error", batch_rows=None, types="all", partition_on=None))]
#[expect(clippy::too_many_arguments, reason = "the options of a reading, each by its name")]
pub fn read(
    py: Python<'_>,
    dsn: Option<String>,
    name: Option<String>,
    statement: &str,
    params: Option<&Bound<'_, PyAny>>,
    numeric: &str,
    infinity: &str,
    batch_rows: Option<i64>,
    types: &str,
    partition_on: Option<String>,
) -> PyResult<RecordBatches> {
    let (text, values) = bound(statement, params)?;
    let values: Vec<_> = values.into_iter().map(|value| value.0).collect();
    let wanted = || {
        Ok(Wanted {
            query: query_with_values(&text, &values)?,
            numeric: one_of(
                "numeric",
                numeric,
                &[("decimal", Numeric::Decimal), ("float", Numeric::Float), ("text", Numeric::DecimalOrText)],
            )?,
            infinity: one_of("infinity", infinity, &[("error", Infinity::Refuse), ("null", Infinity::Null)])?,
            types: one_of(
                "types",
                types,
                &[("all", Types::All), ("plain", Types::Plain), ("views", Types::Views)],
            )?,
            size: size_of(batch_rows)?,
            partition_on,
        })
    };
    let (name, project) = named(dsn, name);
    let wanted = wanted().map_err(|error| raise(py, &error))?;
    let target =
        connections::resolve(&name, &project, &ProcessEnvironment).map_err(|error| raise(py, &error))?;
    let reading = waited(py, async move { frames::read(&target, &wanted).await })??;
    RecordBatches::of(reading)
}

/// The queries that have a part of the rows each, at most so many, and what has the columns of what they read: of the
/// types that `plain` has.
#[pyfunction]
#[pyo3(signature = (dsn, name, statement, params, partition_on, parts))]
pub fn read_parts(
    py: Python<'_>,
    dsn: Option<String>,
    name: Option<String>,
    statement: &str,
    params: Option<&Bound<'_, PyAny>>,
    partition_on: Option<String>,
    parts: u32,
) -> PyResult<(Frame, Vec<String>)> {
    let (text, values) = bound(statement, params)?;
    let values: Vec<_> = values.into_iter().map(|value| value.0).collect();
    let wanted = query_with_values(&text, &values).map(|query| Wanted {
        query,
        numeric: Numeric::Decimal,
        infinity: Infinity::Refuse,
        types: Types::Plain,
        size: BatchSize::default(),
        partition_on,
    });
    let wanted = wanted.map_err(|error| raise(py, &error))?;
    let (name, project) = named(dsn, name);
    let target =
        connections::resolve(&name, &project, &ProcessEnvironment).map_err(|error| raise(py, &error))?;
    let asked = waited(py, async move { frames::parts_of(&target, &wanted, parts.max(1)).await })?;
    asked.map(|(schema, statements)| (Frame::new(schema, Vec::new()), statements))
}

fn one_of<T: Copy>(option: &str, given: &str, words: &[(&str, T)]) -> Result<T, FlowError> {
    let found = words.iter().find(|(word, _)| *word == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        FlowError::new(ErrorCode::InvalidValue, format!("{option} is \"{given}\""))
            .hint(format!("{option} is one of {}", known.join(", ")))
    })
}

fn size_of(rows: Option<i64>) -> Result<BatchSize, FlowError> {
    let size = BatchSize::default();
    match rows.map(usize::try_from) {
        None => Ok(size),
        Some(Ok(rows)) if rows > 0 => Ok(BatchSize { rows, ..size }),
        Some(_) => {
            let message = format!("batch_rows is {}", rows.unwrap_or_default());
            Err(FlowError::new(ErrorCode::InvalidValue, message).hint("a batch has at least one row"))
        }
    }
}

impl RecordBatches {
    fn of(reading: Reading) -> PyResult<RecordBatches> {
        let runtime = runtime()?;
        let (sender, ready) = channel();
        let (stop, stopped) = watch::channel(false);
        let places = Arc::new(Semaphore::new(AHEAD));
        let ended = Arc::new(AtomicUsize::new(0));
        let parts = reading.parts.len();
        let tasks = reading.parts.into_iter().map(|part| {
            let reader = Reader {
                part,
                sender: sender.clone(),
                places: Arc::clone(&places),
                ended: Arc::clone(&ended),
            };
            runtime.spawn(reader.read(stopped.clone()))
        });
        let tasks = Mutex::new(tasks.collect());
        let ahead = Ahead { ready: Mutex::new(ready), ended, parts, stop, tasks };
        Ok(RecordBatches { schema: reading.schema, state: Mutex::new(State::Open(Arc::new(ahead))) })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is read, as long as nobody else has it; `None` at the end.
    fn open(&self) -> Result<Option<Arc<Ahead>>, FlowError> {
        match &*self.state() {
            State::Open(ahead) => Ok(Some(Arc::clone(ahead))),
            State::Ended => Ok(None),
            State::Taken => {
                Err(gone("the rows have been given away: these batches are a stream, which is taken once"))
            }
            State::Closed => Err(closed()),
        }
    }

    /// The next batch; `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        let Some(ahead) = self.open().map_err(|error| raise(py, &error))? else { return Ok(None) };
        match ahead.next(py)? {
            Some(Ok(batch)) => Ok(Some(batch)),
            over => {
                *self.state() = State::Ended;
                over.transpose().map_err(|error| raise(py, &error))
            }
        }
    }
}

fn gone(message: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, message)
        .hint("read again, or keep the frame that was made of them")
}

fn closed() -> FlowError {
    gone("the batches are closed")
}

#[pymethods]
impl RecordBatches {
    /// The schema, as often as somebody asks: nothing is taken.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_of(py, &self.schema)
    }

    /// The rest of the rows as a stream of Arrow, once; types are as they are, whatever schema is requested.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let ended = || gone("the rows have been read");
        let open = self.open().and_then(|open| open.ok_or_else(ended));
        let ahead = open.map_err(|error| raise(py, &error))?;
        *self.state() = State::Taken;
        let schema = SchemaRef::clone(&self.schema);
        stream_of(py, Box::new(Stream { ahead, schema, taker: thread::current().id() }))
    }

    fn __iter__(this: Py<RecordBatches>) -> Py<RecordBatches> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<RecordBatch>> {
        Ok(self.next(py)?.map(RecordBatch))
    }

    /// The rest of the rows in memory.
    fn frame(&self, py: Python<'_>) -> PyResult<Frame> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next(py)? {
            batches.push(batch);
        }
        Ok(Frame::new(SchemaRef::clone(&self.schema), batches))
    }

    /// The names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        names_of(&self.schema)
    }

    /// Ends the reading: what is under way on the server is cancelled, and the session closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        let State::Open(ahead) = state else { return Ok(()) };
        let runtime = runtime()?;
        py.detach(|| {
            runtime.block_on(async { tokio::time::timeout(CLOSE_LIMIT, ahead.stopped()).await.ok() })
        });
        Ok(())
    }

    fn __enter__(this: Py<RecordBatches>) -> Py<RecordBatches> {
        this
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<RecordBatches: {}>", self.column_names().join(", "))
    }
}

impl Ahead {
    /// The next batch, without the GIL; Ctrl-C stops the reading.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Result<Batch, FlowError>>> {
        loop {
            match py.detach(|| self.moment()) {
                Moment::Batch(batch) => return Ok(Some(batch)),
                Moment::End => return Ok(None),
                Moment::NotYet => py.check_signals().inspect_err(|_| {
                    let _ = self.stop.send(true);
                })?,
            }
        }
    }

    /// What comes within a moment. No task may wait for the one that calls: it may be on a thread that runs tasks.
    fn moment(&self) -> Moment {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        match ready.recv_timeout(LOOK) {
            Ok((batch, _place)) => Moment::Batch(batch),
            Err(RecvTimeoutError::Timeout) => Moment::NotYet,
            // A part that has not said its end was stopped.
            Err(RecvTimeoutError::Disconnected) if self.ended.load(Ordering::Acquire) < self.parts => {
                Moment::Batch(Err(closed()))
            }
            Err(RecvTimeoutError::Disconnected) => Moment::End,
        }
    }

    /// Stops those who read, and waits for them.
    async fn stopped(&self) {
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = task.await;
        }
    }
}

/// Who reads a part.
struct Reader {
    part: Part,
    sender: Sender<Ready>,
    places: Arc<Semaphore>,
    ended: Arc<AtomicUsize>,
}

impl Reader {
    /// Reads until the end, an error, or nobody wants it any more.
    async fn read(self, mut stopped: watch::Receiver<bool>) {
        let Reader { mut part, sender, places, ended } = self;
        loop {
            let next = tokio::select! {
                biased;
                () = stop(&mut stopped) => None,
                next = part.next() => Some(next),
            };
            let Some(next) = next else { return part.abandon().await };
            let Some(batch) = next.transpose() else {
                part.close().await;
                ended.fetch_add(1, Ordering::Release);
                return;
            };
            let place = tokio::select! {
                biased;
                () = stop(&mut stopped) => None,
                place = Arc::clone(&places).acquire_owned() => place.ok(),
            };
            let Some(place) = place else { return part.abandon().await };
            let is_last = batch.is_err();
            if sender.send((batch, place)).is_err() || is_last {
                return part.abandon().await;
            }
        }
    }
}

/// Waits until somebody wants the reading to stop, or nobody could any more.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The rows for whoever took the stream.
struct Stream {
    ahead: Arc<Ahead>,
    schema: SchemaRef,
    /// The thread that took it: there Python may be asked whether Ctrl-C was pressed. On others whoever waits for them may
    /// hold the GIL.
    taker: ThreadId,
}

impl Iterator for Stream {
    type Item = Result<Batch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if thread::current().id() == self.taker
            && let Some(next) = Python::try_attach(|py| self.next_of_python(py))
        {
            return next;
        }
        loop {
            match self.ahead.moment() {
                Moment::Batch(batch) => return Some(batch.map_err(external)),
                Moment::End => return None,
                Moment::NotYet => {}
            }
        }
    }
}

impl RecordBatchReader for Stream {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

impl Stream {
    fn next_of_python(&self, py: Python<'_>) -> Option<Result<Batch, ArrowError>> {
        match self.ahead.next(py) {
            Ok(next) => next.map(|batch| batch.map_err(external)),
            Err(interrupt) => {
                // Whoever reads the stream knows errors of its own: Python is told again when it goes on.
                let _ = py.import("_thread").and_then(|module| module.call_method0("interrupt_main"));
                Some(Err(ArrowError::ExternalError(interrupt.to_string().into())))
            }
        }
    }
}

/// All that is known of an error, in the one text that crosses.
fn external(error: FlowError) -> ArrowError {
    let lines = std::iter::once(error.message.clone())
        .chain(error.details.iter().cloned())
        .chain(error.whole_hint().map(|hint| format!("hint: {hint}")));
    ArrowError::ExternalError(lines.collect::<Vec<_>>().join("\n").into())
}
