//! Frames that Python hands over, as rows that come as Arrow: read in a thread of their own, a few batches ahead.

use crate::arrow::{batch_of, reader_of};
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use ematix_flow_arrow::{BatchSource, Batches, Column};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_files::{Begin, Page, Pages, RecordsSource, type_told};
use futures_util::stream;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::channel;

/// How many batches may wait to be taken.
const AHEAD: usize = 2;

/// What Python raised, for whoever reports it.
pub type Raised = Arc<Mutex<Option<PyErr>>>;

/// Tells of an exception, and gives the error that it is.
pub type Teller = Arc<dyn Fn(Python<'_>, &PyErr) -> FlowError + Send + Sync>;

/// Who hears of what Python raises while a frame is read.
#[derive(Clone)]
pub struct Hears {
    /// Where it is kept for whoever raises it again.
    pub raised: Raised,
    /// Tells of it at once, and gives the error that it is; without it, it is only kept.
    pub tell: Option<Teller>,
}

impl Hears {
    /// The error of a frame that could not be read, and why in words.
    fn error(&self, words: &str, why: &str) -> FlowError {
        let Some(tell) = &self.tell else { return failed(words, why) };
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
        raised.map_or_else(|| failed(words, why), |raised| Python::attach(|py| tell(py, &raised)))
    }
}

/// A frame that Python holds under a number.
pub struct Handed {
    held: Py<PyAny>,
    words: String,
    opened: Mutex<Option<Opened>>,
    hears: Hears,
}

/// A frame that was opened.
enum Opened {
    /// It has batches.
    Batches(Box<dyn RecordBatchReader + Send>),
    /// It has rows, as pages of JSON.
    Rows(RecordsSource),
}

impl Handed {
    /// The frame of that number; `None` where Python holds none. Of what it raises later somebody hears.
    pub fn find(id: u64, hears: Hears) -> Option<Handed> {
        Python::attach(|py| {
            let module = py.import("ematix_flow.declare.frames").ok()?;
            let held = module.call_method1("held", (id,)).ok().filter(|held| !held.is_none())?;
            Handed::of(&held, hears).ok()
        })
    }

    /// A frame that Python holds. Of what it raises later somebody hears.
    ///
    /// # Errors
    /// What it is that Python holds instead.
    pub fn of(held: &Bound<'_, PyAny>, hears: Hears) -> PyResult<Handed> {
        let words = held.getattr("words")?.extract()?;
        Ok(Handed { held: held.clone().unbind(), words, opened: Mutex::default(), hears })
    }
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handed({})", self.words)
    }
}

#[async_trait]
impl BatchSource for Handed {
    fn describe(&self) -> String {
        self.words.clone()
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        let columns = wanted.to_vec();
        let wanted: Vec<(String, String)> =
            wanted.iter().map(|column| (column.name.clone(), column.data_type.name())).collect();
        let (held, raised) = (Python::attach(|py| self.held.clone_ref(py)), Arc::clone(&self.hears.raised));
        let opening = tokio::task::spawn_blocking(move || open(&held, wanted, raised));
        let opened = opening.await.map_err(|_| failed(&self.words, "its thread panicked"))?;
        let opened = opened.map_err(|why| match why {
            Why::Said(words) => self.hears.error(&self.words, &words),
            Why::Refused(error) => error,
        })?;
        let (schema, opened) = match opened {
            Found::Batches(reader) => (reader.schema(), Opened::Batches(reader)),
            Found::Rows(pages) => {
                let pages = RowPages {
                    pages: Arc::new(pages),
                    words: self.words.clone(),
                    hears: self.hears.clone(),
                    typed: Vec::new(),
                };
                let begin = Mutex::new(Some(pages));
                let words = self.words.clone();
                let begin: Begin = Box::new(move || {
                    let pages = begin.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let pages = pages.ok_or_else(|| failed(&words, "it was read already"))?;
                    Ok(Box::new(pages) as Box<dyn Pages>)
                });
                let records = RecordsSource::new(self.words.clone(), begin);
                (records.schema(&columns).await?, Opened::Rows(records))
            }
        };
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(schema)
    }

    async fn batches(&self) -> Result<Batches> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reader = match opened.ok_or_else(|| failed(&self.words, "it was read already"))? {
            Opened::Batches(reader) => reader,
            Opened::Rows(records) => return records.batches().await,
        };
        let (sender, receiver) = channel(AHEAD);
        let (words, hears) = (self.words.clone(), self.hears.clone());
        tokio::task::spawn_blocking(move || {
            for batch in reader {
                let batch = batch.map_err(|error| hears.error(&words, &error_words(&error)));
                let ends = batch.is_err();
                // Nobody takes more: the run has ended.
                if sender.blocking_send(batch).is_err() || ends {
                    break;
                }
            }
        });
        Ok(Box::pin(stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|batch| (batch, receiver))
        })))
    }
}

/// What was found when a frame was opened.
pub enum Found {
    /// It has batches.
    Batches(Box<dyn RecordBatchReader + Send>),
    /// It has rows: an object with `page()` and `types()`.
    Rows(Py<PyAny>),
}

/// Rows that Python makes, a page at a time.
struct RowPages {
    pages: Arc<Py<PyAny>>,
    words: String,
    hears: Hears,
    typed: Vec<Column>,
}

impl fmt::Debug for RowPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowPages({})", self.words)
    }
}

#[async_trait]
impl Pages for RowPages {
    fn describe(&self) -> String {
        self.words.clone()
    }

    fn typed(&self) -> Vec<Column> {
        self.typed.clone()
    }

    async fn next(&mut self) -> Result<Option<Page>> {
        let (pages, raised) = (Arc::clone(&self.pages), Arc::clone(&self.hears.raised));
        let making = tokio::task::spawn_blocking(move || {
            Python::attach(|py| {
                let pages = pages.bind(py);
                let page = pages.call_method0("page")?.extract::<Option<Vec<u8>>>()?;
                let types = pages.call_method0("types")?.extract::<Vec<(String, String)>>()?;
                Ok::<_, PyErr>((page, types))
            })
            .map_err(|error: PyErr| {
                let words = error.to_string();
                keep(&raised, error);
                words
            })
        });
        let made = making.await.map_err(|_| failed(&self.words, "its thread panicked"))?;
        let (page, types) = made.map_err(|words| self.hears.error(&self.words, &words))?;
        self.typed =
            types.into_iter().filter_map(|(name, kind)| Some(Column::new(name, type_told(&kind)?))).collect();
        Ok(page.map(|text| Page { name: self.words.clone(), text: text.into() }))
    }
}

/// Why a frame cannot be read.
pub enum Why {
    /// In words; what Python raised is kept beside them.
    Said(String),
    /// As an error of ours.
    Refused(FlowError),
}

impl From<PyErr> for Why {
    fn from(raised: PyErr) -> Why {
        Why::Said(raised.to_string())
    }
}

/// Opens a frame for columns of these names and types; what Python raises, then or later, goes to `raised`.
pub fn open(
    held: &Py<PyAny>,
    wanted: Vec<(String, String)>,
    raised: Raised,
) -> std::result::Result<Found, Why> {
    Python::attach(|py| {
        let opened = held.bind(py).call_method1("open", (wanted,)).inspect_err(|error| {
            keep(&raised, error.clone_ref(py));
        })?;
        if opened.hasattr("__arrow_c_stream__")? {
            return Ok(Found::Batches(reader_of(&opened)?));
        }
        if opened.hasattr("page")? {
            return Ok(Found::Rows(opened.unbind()));
        }
        let items = opened.try_iter()?.into_any().unbind();
        let mut items = Items { items, raised, schema: None, current: None, number: 0 };
        let Some(first) = items.pull() else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                "the iterator has no batch, so its columns are not known",
            );
            return Err(Why::Refused(error.hint("give at least one, which may have no rows")));
        };
        items.current = Some(Current::Batch(first.map_err(|error| Why::Said(error_words(&error)))?));
        Ok(Found::Batches(Box::new(items)))
    })
}

fn keep(raised: &Raised, error: PyErr) {
    *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
}

/// Batches that an iterator of Python makes.
struct Items {
    items: Py<PyAny>,
    raised: Raised,
    schema: Option<SchemaRef>,
    current: Option<Current>,
    number: usize,
}

/// What is left of an item.
enum Current {
    Batch(RecordBatch),
    Stream(Box<dyn RecordBatchReader + Send>),
}

impl Items {
    /// The next batch of the current item, or of the next one that has some.
    fn pull(&mut self) -> Option<std::result::Result<RecordBatch, ArrowError>> {
        loop {
            match self.current.take() {
                Some(Current::Batch(batch)) => return Some(self.checked(batch)),
                Some(Current::Stream(mut stream)) => {
                    if let Some(batch) = stream.next() {
                        self.current = Some(Current::Stream(stream));
                        return Some(batch.and_then(|batch| self.checked(batch)));
                    }
                }
                None => match self.next_item() {
                    Ok(Some(item)) => self.current = Some(item),
                    Ok(None) => return None,
                    Err(words) => return Some(Err(ArrowError::CDataInterface(words))),
                },
            }
        }
    }

    fn next_item(&mut self) -> std::result::Result<Option<Current>, String> {
        self.number += 1;
        Python::attach(|py| {
            let item = match self.items.bind(py).call_method0("__next__") {
                Ok(item) => item,
                Err(end) if end.is_instance_of::<PyStopIteration>(py) => return Ok(None),
                Err(error) => {
                    let words = format!("item {} could not be made: {error}", self.number);
                    keep(&self.raised, error);
                    return Err(words);
                }
            };
            let read = if item.hasattr("__arrow_c_stream__").unwrap_or(false) {
                reader_of(&item).map(|stream| {
                    // A stream without a batch has a schema all the same.
                    self.schema.get_or_insert_with(|| stream.schema());
                    Current::Stream(stream)
                })
            } else {
                batch_of(&item).map(Current::Batch)
            };
            read.map(Some).map_err(|error| format!("item {} is no batch: {error}", self.number))
        })
    }

    fn checked(&mut self, batch: RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
        let schema = self.schema.get_or_insert_with(|| batch.schema());
        let (expected, found) = (schema.fields(), batch.schema_ref().fields());
        let alike = expected.len() == found.len()
            && expected
                .iter()
                .zip(found)
                .all(|(one, other)| one.name() == other.name() && one.data_type() == other.data_type());
        if alike {
            return Ok(batch);
        }
        let columns = |of: &arrow_schema::Fields| {
            let each = of.iter().map(|field| format!("{} {}", field.name(), field.data_type()));
            each.collect::<Vec<_>>().join(", ")
        };
        Err(ArrowError::SchemaError(format!(
            "item {} has other columns than the first: {}, where the first has {}",
            self.number,
            columns(found),
            columns(expected)
        )))
    }
}

impl Iterator for Items {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pull()
    }
}

impl RecordBatchReader for Items {
    fn schema(&self) -> SchemaRef {
        self.schema.clone().expect("the first item was read when it was opened")
    }
}

/// What a reader of batches says.
pub fn error_words(error: &ArrowError) -> String {
    match error {
        ArrowError::CDataInterface(words) | ArrowError::SchemaError(words) => words.clone(),
        other => other.to_string(),
    }
}

/// The error of a frame that cannot be read.
pub fn failed(words: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("{words} cannot be read: {why}"))
}
