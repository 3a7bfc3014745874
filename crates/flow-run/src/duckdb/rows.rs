//! Rows on their way out of a file and into it, as Arrow: the library runs on a thread that may block, and a few batches wait
//! between it and whoever is at the other end.

use super::error::statement_error;
use super::library::{Connection, Fault};
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, RecordBatchReader};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use ematix_flow_arrow::Batches;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::QualifiedName;
use futures_util::{Sink, StreamExt, stream};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio_util::sync::PollSender;

/// How many batches may wait.
const WAITING: usize = 4;

/// The rows of a query. The session is at work until the last one has been read, or nobody wants more.
pub fn sent(
    connection: Arc<dyn Connection>,
    at_work: OwnedMutexGuard<()>,
    statement: &str,
    blame: Blame,
    doing: &str,
) -> Batches {
    let (sender, receiver) = channel::<Result<RecordBatch>>(WAITING);
    let (statement, doing) = (statement.to_owned(), doing.to_owned());
    tokio::task::spawn_blocking(move || {
        let _at_work = at_work;
        let failed = |fault| statement_error(fault, blame, &doing);
        let reader = match connection.query(&statement) {
            Ok(reader) => reader,
            Err(fault) => {
                let _ = sender.blocking_send(Err(failed(fault)));
                return;
            }
        };
        for batch in reader {
            let batch = batch.and_then(|batch| with_booleans(&batch)).map_err(|error| failed(said(&error)));
            let is_last = batch.is_err();
            if sender.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        let next = receiver.recv().await?;
        Some((next, receiver))
    })
    .boxed()
}

/// Truth values leave as bytes of an extension type, where UUIDs leave as what they are.
fn with_booleans(batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let is_truth = |field: &Field| {
        field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.bool8")
    };
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| is_truth(field)) {
        return Ok(batch.clone());
    }
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
        match array.as_primitive_opt::<Int8Type>() {
            Some(bytes) if is_truth(field) => {
                let truths = bytes.iter().map(|byte| byte.map(|byte| byte != 0));
                let truths = Arc::new(truths.collect::<BooleanArray>()) as ArrayRef;
                (Field::new(field.name(), DataType::Boolean, true), truths)
            }
            _ => (field.as_ref().clone(), Arc::clone(array)),
        }
    });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
}

/// What the library said, behind what Arrow says of it.
fn said(error: &ArrowError) -> Fault {
    let words = error.to_string();
    let own = words.strip_prefix("C Data interface error: ").unwrap_or(&words);
    Fault::Said(own.trim_matches('"').to_owned())
}

/// What takes rows into a table. They stand once it is closed; dropped before that, the statement fails.
pub fn taken(
    connection: Arc<dyn Connection>,
    at_work: OwnedMutexGuard<()>,
    into: &QualifiedName,
    doing: &str,
) -> Pin<Box<dyn Sink<RecordBatch, Error = FlowError> + Send>> {
    let (sender, receiver) = channel(WAITING);
    let is_whole = Arc::new(AtomicBool::new(false));
    let (into, doing, ends) = (into.clone(), doing.to_owned(), Arc::clone(&is_whole));
    let taking = tokio::task::spawn_blocking(move || {
        let _at_work = at_work;
        let mut arriving = Arriving { receiver, is_whole: ends, first: None, schema: None };
        // Nothing to take, and no columns known.
        let Some(schema) = arriving.begin() else { return Ok(()) };
        arriving.schema = Some(schema);
        let done = connection.append(&into, Box::new(arriving));
        done.map(|_| ()).map_err(|fault| statement_error(fault, Blame::Target, &doing))
    });
    Box::pin(Taking { sender: Some(PollSender::new(sender)), is_whole, taking })
}

/// Batches as the library pulls them.
struct Arriving {
    receiver: Receiver<RecordBatch>,
    is_whole: Arc<AtomicBool>,
    first: Option<RecordBatch>,
    schema: Option<SchemaRef>,
}

impl Arriving {
    /// Waits for the first batch, which says of which types all are; `None` where there is none.
    fn begin(&mut self) -> Option<SchemaRef> {
        self.first = self.receiver.blocking_recv();
        self.first.as_ref().map(RecordBatch::schema)
    }
}

impl Iterator for Arriving {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.first.take().or_else(|| self.receiver.blocking_recv()) {
            return Some(Ok(batch));
        }
        // Whoever sends them has gone before the end, and says why.
        match self.is_whole.load(Ordering::Acquire) {
            true => None,
            false => Some(Err(ArrowError::ExternalError("the rows broke off".into()))),
        }
    }
}

impl RecordBatchReader for Arriving {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(self.schema.as_ref().expect("it has begun"))
    }
}

struct Taking {
    /// None once the last batch has been sent.
    sender: Option<PollSender<RecordBatch>>,
    is_whole: Arc<AtomicBool>,
    taking: JoinHandle<Result<()>>,
}

impl Taking {
    /// How it has ended.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(match ready!(Pin::new(&mut self.taking).poll(context)) {
            Ok(ended) => ended,
            Err(_) => Err(FlowError::new(ErrorCode::TargetFailed, "the library panicked while it took rows")),
        })
    }
}

impl Sink<RecordBatch> for Taking {
    type Error = FlowError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(sender) = &mut self.sender
            && ready!(sender.poll_reserve(context)).is_ok()
        {
            return Poll::Ready(Ok(()));
        }
        // It takes no more, and says why.
        let ended = ready!(self.poll_end(context));
        Poll::Ready(ended.and_then(|()| Err(gone())))
    }

    fn start_send(mut self: Pin<&mut Self>, batch: RecordBatch) -> Result<()> {
        let sent = self.sender.as_mut().map(|sender| sender.send_item(batch));
        sent.and_then(std::result::Result::ok).ok_or_else(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.is_whole.store(true, Ordering::Release);
        self.sender = None;
        self.poll_end(context)
    }
}

fn gone() -> FlowError {
    FlowError::new(ErrorCode::TargetFailed, "the target takes no more rows")
}
