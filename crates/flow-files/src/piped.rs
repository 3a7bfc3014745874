//! Rows that come by a pipe from another process, as Arrow.

use crate::pipe::Incoming;
use crate::records::{Begin, Page, Pages, RecordsSource, type_told};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use ematix_flow_arrow::{BatchSource, Batches, Column};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::stream;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::channel;
use tokio::task::spawn_blocking;

/// How many batches may wait to be taken.
const AHEAD: usize = 2;

/// The rows of another process.
pub struct PipedSource {
    words: String,
    pipe: Pipe,
    opened: Mutex<Option<Opened>>,
    notes: Mutex<Vec<String>>,
}

/// Rows that were opened.
enum Opened {
    /// They are batches.
    Batches(Box<StreamReader<BufReader<Pipe>>>),
    /// They are pages of JSON.
    Rows(RecordsSource),
}

/// What comes, for those who read it one after the other: who began last.
#[derive(Clone, Debug)]
struct Pipe {
    incoming: Arc<Mutex<Incoming>>,
    begun: usize,
}

impl Pipe {
    fn held(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins, or begins again; true where batches of Arrow come.
    fn begin(&mut self) -> Result<bool> {
        let incoming = Arc::clone(&self.incoming);
        let mut incoming = incoming.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = incoming.begin()?;
        self.begun = incoming.begun();
        Ok(batches)
    }

    fn page(&self, types: &mut Vec<(String, String)>) -> Result<Option<Vec<u8>>> {
        let mut incoming = self.held();
        // Another reads by now, and what this one gets nobody takes.
        if incoming.begun() == self.begun { incoming.page(types) } else { Ok(None) }
    }

    /// Why a reader of Arrow has failed.
    fn why(&self, words: &str, error: &ArrowError) -> FlowError {
        let found = self.held().failure();
        found.unwrap_or_else(|| failed(words, &error.to_string()))
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut incoming = self.held();
        if incoming.begun() == self.begun { incoming.read(into) } else { Ok(0) }
    }
}

impl PipedSource {
    /// What comes by a pipe; `words` say what it is.
    pub fn new(words: String, incoming: Incoming) -> PipedSource {
        let pipe = Pipe { incoming: Arc::new(Mutex::new(incoming)), begun: 0 };
        PipedSource { words, pipe, opened: Mutex::default(), notes: Mutex::default() }
    }
}

impl fmt::Debug for PipedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipedSource({})", self.words)
    }
}

#[async_trait]
impl BatchSource for PipedSource {
    fn describe(&self) -> String {
        self.words.clone()
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        let (mut pipe, words) = (self.pipe.clone(), self.words.clone());
        let opening = spawn_blocking(move || {
            if !pipe.begin()? {
                return Ok::<_, FlowError>((pipe, None));
            }
            let reader = StreamReader::try_new(BufReader::new(pipe.clone()), None);
            let reader = reader.map_err(|error| pipe.why(&words, &error))?;
            Ok((pipe, Some(Box::new(reader))))
        });
        let (pipe, opened) = opening.await.map_err(|_| failed(&self.words, "its thread panicked"))??;
        let (schema, opened) = match opened {
            Some(reader) => (reader.schema(), Opened::Batches(reader)),
            None => {
                let words = self.words.clone();
                let begin: Begin = Box::new(move || {
                    let (pipe, words) = (pipe.clone(), words.clone());
                    Ok(Box::new(PipedPages { pipe, words, types: Vec::new() }) as Box<dyn Pages>)
                });
                let records = RecordsSource::new(self.words.clone(), begin);
                let schema = records.schema(wanted).await?;
                *locked(&self.notes) = records.notes();
                (schema, Opened::Rows(records))
            }
        };
        *locked(&self.opened) = Some(opened);
        Ok(schema)
    }

    fn notes(&self) -> Vec<String> {
        locked(&self.notes).clone()
    }

    async fn batches(&self) -> Result<Batches> {
        let opened = locked(&self.opened).take();
        let mut reader = match opened.ok_or_else(|| failed(&self.words, "it was not opened"))? {
            Opened::Batches(reader) => reader,
            Opened::Rows(records) => return records.batches().await,
        };
        let (sender, receiver) = channel(AHEAD);
        let (pipe, words) = (self.pipe.clone(), self.words.clone());
        spawn_blocking(move || {
            loop {
                let batch = match reader.next() {
                    Some(batch) => batch.map_err(|error| pipe.why(&words, &error)),
                    // The stream has ended; whether these were all rows, the pipe says behind it.
                    None => match io::copy(reader.get_mut(), &mut io::sink()) {
                        Ok(_) => return,
                        Err(error) => Err(pipe.why(&words, &error.into())),
                    },
                };
                let ends = batch.is_err();
                // Nobody takes more: the run has ended.
                if sender.blocking_send(batch).is_err() || ends {
                    return;
                }
            }
        });
        Ok(Box::pin(stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|batch| (batch, receiver))
        })))
    }
}

/// Rows as pages of JSON.
#[derive(Debug)]
struct PipedPages {
    pipe: Pipe,
    words: String,
    types: Vec<(String, String)>,
}

#[async_trait]
impl Pages for PipedPages {
    fn describe(&self) -> String {
        self.words.clone()
    }

    fn typed(&self) -> Vec<Column> {
        let of = |(name, kind): &(String, String)| Some(Column::new(name.clone(), type_told(kind)?));
        self.types.iter().filter_map(of).collect()
    }

    async fn next(&mut self) -> Result<Option<Page>> {
        let (pipe, mut types) = (self.pipe.clone(), std::mem::take(&mut self.types));
        let reading = spawn_blocking(move || {
            let page = pipe.page(&mut types);
            page.map(|page| (page, types))
        });
        let (page, types) = reading.await.map_err(|_| failed(&self.words, "its thread panicked"))??;
        self.types = types;
        Ok(page.map(|text| Page { name: self.words.clone(), text: text.into() }))
    }
}

fn failed(words: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("{words} cannot be read: {why}"))
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
