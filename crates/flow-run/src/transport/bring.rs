//! Takes rows that no database of the target's engine sends into a target: encoded a slice at a time while the slice before
//! is on its way, or as Arrow where the target takes that.

use super::copy::write_all;
use super::{Broken, Passed, into_target};
use crate::session::{RowSink, Session};
use arrow_array::{FixedSizeBinaryArray, RecordBatch, new_empty_array};
use arrow_schema::{ArrowError, Field, Schema};
use bytes::Bytes;
use ematix_flow_arrow::{BatchSource, Batches, Column, Encoder, fitted};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::sql::QualifiedName;
use futures_util::{Sink, SinkExt, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

/// Rows that are encoded at once: enough for the server, few enough that several slices wait in little memory.
const SLICE: usize = 2048;
/// How many slices may wait for the target.
const WAITING: usize = 4;
/// How many batches may wait to be encoded.
const AHEAD: usize = 1;

/// Takes all rows, and tells how many have come. The id of the run is the last column of each, where there is one.
///
/// # Errors
/// What brings the rows says, and the server; `cast_failed` for a value that its column does not hold. The target has
/// taken nothing then.
pub async fn bring(
    rows: &dyn BatchSource,
    target: &dyn Session,
    columns: Vec<Column>,
    (into, write): (&QualifiedName, &str),
    run: Option<&str>,
    tell: &mut (dyn FnMut(Passed) + Send),
) -> Result<Passed, Broken> {
    let sink = into_target(target, into, write).await?;
    let mut batches = rows.batches().await?;
    if let (Some(run), Some(column)) = (run, columns.last()) {
        let (run, field) = (uuid(run)?, Arc::new(column.field()));
        batches = batches.map(move |batch| with_uuid(&batch?, &field, run)).boxed();
    }
    let sink = match sink {
        RowSink::Arrow(sink) => return hand_over(rows, batches, sink, &columns, tell).await,
        copy @ RowSink::PgCopy(_) => copy,
    };
    let (give, given) = channel(AHEAD);
    let (sender, receiver) = channel(WAITING);
    // One thread for all of them: memory that one frees another does not find again.
    let counted = Arc::new(Counted::default());
    let counting = Arc::clone(&counted);
    let encoding = tokio::task::spawn_blocking(move || encoded(given, columns, &sender, &counting));
    let passing = async {
        while let Some(batch) = batches.next().await {
            // A thread that takes no more says why at its end.
            if give.send(batch?).await.is_err() {
                break;
            }
            tell(counted.so_far());
        }
        drop(give);
        encoding.await.map_err(|_| panicked())?.map_err(|error| placed(error, rows))?;
        tell(counted.so_far());
        Ok(counted.so_far())
    };
    let (passed, ()) = tokio::try_join!(passing, write_all(sink, receiver))?;
    Ok(passed)
}

/// Hands batches to a target that takes them, its columns made exactly of theirs.
async fn hand_over(
    rows: &dyn BatchSource,
    mut batches: Batches,
    mut sink: Pin<Box<dyn Sink<RecordBatch, Error = FlowError> + Send>>,
    columns: &[Column],
    tell: &mut (dyn FnMut(Passed) + Send),
) -> Result<Passed, Broken> {
    let mut passed = Passed::default();
    while let Some(batch) = batches.next().await {
        let batch = fitted(&batch?, columns, passed.rows as u64).map_err(|error| placed(error, rows))?;
        passed.rows += batch.num_rows() as i64;
        passed.bytes += batch.get_array_memory_size() as u64;
        sink.send(batch).await?;
        tell(passed);
    }
    sink.close().await?;
    tell(passed);
    Ok(passed)
}

fn uuid(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text)
        .map_err(|error| FlowError::new(ErrorCode::InvalidValue, format!("`{text}`: {error}")))
}

/// The rows with one more column, which has one value.
fn with_uuid(batch: &RecordBatch, field: &Arc<Field>, value: Uuid) -> Result<RecordBatch> {
    let cannot = |error: ArrowError| FlowError::new(ErrorCode::SourceFailed, error.to_string());
    let values =
        FixedSizeBinaryArray::try_from_iter(std::iter::repeat_n(value.into_bytes(), batch.num_rows()));
    // No value, no width.
    let values = match batch.num_rows() {
        0 => new_empty_array(field.data_type()),
        _ => Arc::new(values.map_err(cannot)?),
    };
    let fields = batch.schema_ref().fields().iter().chain([field]).cloned().collect::<Vec<_>>();
    let arrays = batch.columns().iter().cloned().chain([values]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(cannot)
}

/// What has passed, told by the thread that encodes.
#[derive(Default)]
struct Counted {
    rows: AtomicI64,
    bytes: AtomicU64,
}

impl Counted {
    fn so_far(&self) -> Passed {
        Passed { rows: self.rows.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

fn encoded(
    mut given: Receiver<RecordBatch>,
    columns: Vec<Column>,
    sender: &Sender<Bytes>,
    counted: &Counted,
) -> Result<()> {
    let mut encoder = Encoder::bare(columns);
    let mut room = 0;
    let send = |bytes: Vec<u8>| {
        counted.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // A target that takes no more says why itself.
        let _ = sender.blocking_send(bytes.into());
    };
    while let Some(batch) = given.blocking_recv() {
        for start in (0..batch.num_rows()).step_by(SLICE) {
            let slice = batch.slice(start, SLICE.min(batch.num_rows() - start));
            // As much as the slice before took: one that grows is copied.
            let mut bytes = Vec::with_capacity(room + room / 16);
            encoder.encode(&slice, &mut bytes)?;
            room = bytes.len();
            counted.rows.fetch_add(slice.num_rows() as i64, Ordering::Relaxed);
            send(bytes);
        }
    }
    let mut rest = Vec::new();
    encoder.finish(&mut rest);
    send(rest);
    // Nothing more comes: without it the target takes nothing.
    let _ = sender.blocking_send(Bytes::new());
    Ok(())
}

/// The error for a value, with the file of its row.
fn placed(error: FlowError, rows: &dyn BatchSource) -> FlowError {
    let row = error.context.get("row").and_then(serde_json::Value::as_u64);
    match row.and_then(|row| rows.place_of(row)) {
        Some((file, row)) => {
            FlowError { message: format!("{file}, row {row} of it: {}", error.message), ..error }
                .context("file", file)
                .context("row", row)
        }
        None => FlowError { message: format!("{}: {}", rows.describe(), error.message), ..error },
    }
}

fn panicked() -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, "the rows could not be encoded: a thread panicked")
}
