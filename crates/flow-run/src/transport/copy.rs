//! Copies rows from one server to another.

use super::{Broken, Passed, into_target, read_source};
use crate::session::{RowSink, RowStream, Session};
use bytes::{Bytes, BytesMut};
use ematix_flow_core::copy_rows::{HEADER, Row, RowReader, TRAILER};
use ematix_flow_core::duration::Duration as Length;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::hash::RowHasher;
use ematix_flow_core::plan::Copy;
use futures_util::future::try_join_all;
use futures_util::{SinkExt, StreamExt};
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The driver hands out small pieces and sends each as it is: gathered, the same rows take two thirds of the time.
const GATHERED: usize = 128 * 1024;
/// How many gathered pieces may wait for the target.
const WAITING: usize = 4;
/// After so long without a row the target is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(1);
/// What follows the last piece.
const END: Bytes = Bytes::new();

/// Rows as they are gathered for the target.
pub struct Outgoing {
    buffer: BytesMut,
    sender: Sender<Bytes>,
}

impl Outgoing {
    /// Begins the stream.
    pub fn begin() -> (Outgoing, Receiver<Bytes>) {
        let (sender, receiver) = channel(WAITING);
        let mut buffer = BytesMut::with_capacity(GATHERED + GATHERED / 8);
        buffer.extend_from_slice(HEADER);
        (Outgoing { buffer, sender }, receiver)
    }

    /// Another that is gathered for the same stream, a piece of whole rows at a time.
    fn beside(&self) -> Outgoing {
        Outgoing { buffer: BytesMut::with_capacity(GATHERED + GATHERED / 8), sender: self.sender.clone() }
    }

    /// Begins a row.
    pub fn row(&mut self, fields: usize) {
        let fields = i16::try_from(fields).expect("Postgres has at most 1,664 columns in a row");
        self.buffer.extend_from_slice(&fields.to_be_bytes());
    }

    /// Fields that have their lengths before them.
    pub fn framed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// One field.
    pub fn field(&mut self, value: Option<&[u8]>) {
        let length =
            value.map_or(-1, |value| i32::try_from(value.len()).expect("a field came with an i32 length"));
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(value.unwrap_or_default());
    }

    /// Hands on what was gathered, if it is enough.
    pub async fn hand_on(&mut self) {
        if self.buffer.len() >= GATHERED {
            self.send().await;
        }
    }

    async fn send(&mut self) {
        let full = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(GATHERED + GATHERED / 8));
        // A target that takes no more says why itself.
        let _ = self.sender.send(full.freeze()).await;
    }

    /// Ends the stream: without it the target takes nothing.
    pub async fn end(mut self) {
        self.buffer.extend_from_slice(&TRAILER);
        self.send().await;
        let _ = self.sender.send(END).await;
    }
}

/// Copies the rows of one statement, or of several on a session each, into another, and tells how far it has come.
///
/// # Errors
/// What any server says; then the target has taken nothing.
pub async fn copy(
    reads: &[(&dyn Session, String)],
    target: &dyn Session,
    plan: &Copy,
    write: &str,
    silence: &Length,
    tell: &mut (dyn FnMut(Passed) + Send),
) -> Result<Passed, Broken> {
    let (mut out, receiver) = Outgoing::begin();
    let sink = into_target(target, &plan.into, write).await?;
    let begun = reads.iter().map(|(source, read)| read_source(*source, read, silence));
    let streams = try_join_all(begun).await?;
    let reading = async {
        let passed = match <[RowStream; 1]>::try_from(streams) {
            Ok([stream]) => {
                let mut appender = Appender::new(plan);
                pass(stream, &mut out, tell, |row, out| appender.append(row, out)).await?
            }
            Err(streams) => pass_all(streams, &mut out, plan, tell).await?,
        };
        out.end().await;
        Ok(passed)
    };
    let (passed, ()) = tokio::try_join!(reading, write_all(sink, receiver))?;
    Ok(passed)
}

/// Reads several streams to their ends at once, into one.
async fn pass_all(
    streams: Vec<RowStream>,
    out: &mut Outgoing,
    plan: &Copy,
    tell: &mut (dyn FnMut(Passed) + Send),
) -> Result<Passed, Broken> {
    // What begins the stream is before every row.
    out.send().await;
    let told = Mutex::new((vec![Passed::default(); streams.len()], tell));
    let each = streams.into_iter().enumerate().map(|(index, stream)| {
        let (told, mut own) = (&told, out.beside());
        async move {
            let mut tell = |passed| {
                let (each, tell) = &mut *told.lock().unwrap_or_else(PoisonError::into_inner);
                each[index] = passed;
                tell(each.iter().copied().sum());
            };
            let mut appender = Appender::new(plan);
            let passed = pass(stream, &mut own, &mut tell, |row, out| appender.append(row, out)).await?;
            own.send().await;
            Ok::<Passed, Broken>(passed)
        }
    });
    Ok(try_join_all(each).await?.into_iter().sum())
}

/// Reads a stream to its end, a row at a time.
pub async fn pass(
    stream: RowStream,
    out: &mut Outgoing,
    tell: &mut (dyn FnMut(Passed) + Send),
    mut each: impl FnMut(&Row<'_>, &mut Outgoing) -> Result<(), Broken>,
) -> Result<Passed, Broken> {
    let mut stream = stream.into_copy()?;
    let mut reader = RowReader::default();
    let mut passed = Passed::default();
    let mut told = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        passed.bytes += chunk.len() as u64;
        reader.read(&chunk, |row| {
            passed.rows += 1;
            each(row, out)
        })?;
        if passed.bytes - told >= GATHERED as u64 {
            told = passed.bytes;
            tell(passed);
        }
        out.hand_on().await;
    }
    reader.finish()?;
    tell(passed);
    Ok(passed)
}

/// Writes what comes, to its end; a stream that breaks off is aborted on the server.
pub async fn write_all(sink: RowSink, mut receiver: Receiver<Bytes>) -> Result<(), Broken> {
    let mut sink = sink.into_copy()?;
    loop {
        let piece = match tokio::time::timeout(SILENCE, receiver.recv()).await {
            Ok(Some(piece)) => piece,
            // Whoever reads has failed, and says why.
            Ok(None) => std::future::pending().await,
            // A source that thinks for an hour must not hide that its target has gone.
            Err(_) => {
                poll_fn(|context| sink.poll_ready_unpin(context)).await?;
                continue;
            }
        };
        if piece == END {
            return Ok(sink.close().await?);
        }
        sink.feed(piece).await?;
    }
}

/// Appends hashes to rows, and leaves out the fields that were sent for them alone.
struct Appender<'p> {
    plan: &'p Copy,
    hashers: Vec<RowHasher>,
}

impl Appender<'_> {
    fn new(plan: &Copy) -> Appender<'_> {
        let hashers = plan.digests.iter().map(|columns| RowHasher::new(columns.clone())).collect();
        Appender { plan, hashers }
    }

    fn append(&mut self, row: &Row<'_>, out: &mut Outgoing) -> Result<(), Broken> {
        if row.fields.len() < self.plan.kept {
            return Err(Broken::Failed(too_few_fields(row.fields.len(), self.plan.kept)));
        }
        out.row(self.plan.kept + self.hashers.len());
        out.framed(row.head(self.plan.kept));
        for hasher in &mut self.hashers {
            out.field(Some(&hasher.hash(row.fields)?));
        }
        Ok(())
    }
}

#[cold]
pub(super) fn too_few_fields(found: usize, expected: usize) -> FlowError {
    FlowError::new(
        ematix_flow_core::error::ErrorCode::SourceFailed,
        format!("a row has {found} fields where {expected} were asked for"),
    )
}
