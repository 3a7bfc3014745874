//! Files as rows of Arrow.

use crate::address;
use crate::opened::Opener;
use crate::options::{FileVersion, Files};
use crate::planned::{Planned, stopped};
use crate::reading::{Ends, Reading};
use crate::stores::Stores;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use ematix_flow_arrow::Column;
use ematix_flow_arrow::source::{BatchSource, Batches};
use ematix_flow_core::error::Result;
use futures_util::StreamExt;
use futures_util::stream::{Stream, unfold};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// So many batches wait for who takes them.
const AHEAD: usize = 2;

/// Rows of files.
#[derive(Debug)]
pub struct FilesSource {
    files: Arc<Files>,
    versions: Arc<Vec<FileVersion>>,
    stores: Arc<Stores>,
    planned: Mutex<Option<Arc<Planned>>>,
    ends: Ends,
}

impl FilesSource {
    /// The rows of these versions, in their order.
    pub fn new(files: Files, versions: Vec<FileVersion>) -> FilesSource {
        FilesSource {
            stores: Arc::new(Stores::new(&files.store)),
            files: Arc::new(files),
            versions: Arc::new(versions),
            planned: Mutex::default(),
            ends: Ends::default(),
        }
    }

    fn planned(&self) -> Option<Arc<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn plan(&self, wanted: &[Column]) -> Result<Arc<Planned>> {
        let planned = Arc::new(Planned::of(&self.opener(), &self.versions, wanted).await?);
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&planned));
        Ok(planned)
    }

    fn opener(&self) -> Opener {
        Opener { files: Arc::clone(&self.files), stores: Arc::clone(&self.stores), handle: Handle::current() }
    }
}

#[async_trait]
impl BatchSource for FilesSource {
    fn describe(&self) -> String {
        format!("the files {}", address::shown(&self.files.pattern))
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.plan(wanted).await?.schema))
    }

    fn notes(&self) -> Vec<String> {
        self.planned().map(|planned| planned.notes.clone()).unwrap_or_default()
    }

    fn place_of(&self, row: u64) -> Option<(String, u64)> {
        let (file, row) = self.ends.place_of(row)?;
        Some((self.versions.get(file)?.path.clone(), row))
    }

    async fn batches(&self) -> Result<Batches> {
        let planned = match self.planned() {
            Some(planned) => planned,
            None => self.plan(&[]).await?,
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        self.ends.clear();
        let reading = Reading { opener: self.opener(), planned, sender, ends: self.ends.clone() };
        let versions = Arc::clone(&self.versions);
        let thread = spawn_blocking(move || reading.all(&versions));
        Ok(taken(receiver, thread, self.describe()).boxed())
    }
}

/// What the thread sends, until it has ended as it should.
fn taken(
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    thread: JoinHandle<()>,
    what: String,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    unfold(Some((receiver, thread, what)), |state| async move {
        let (mut receiver, thread, what) = state?;
        match receiver.recv().await {
            Some(Ok(batch)) => Some((Ok(batch), Some((receiver, thread, what)))),
            Some(Err(error)) => Some((Err(error), None)),
            // No row may be missing because the thread is.
            None => match thread.await {
                Ok(()) => None,
                Err(error) => Some((Err(stopped(&what, &error)), None)),
            },
        }
    })
}
