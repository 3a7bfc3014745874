//! Rows on their way from one session to another.

use arrow_array::RecordBatch;
use bytes::Bytes;
use ematix_flow_arrow::Batches;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::error::{FlowError, Result};
use futures_util::{Sink, Stream};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// Rows that a session sends.
pub enum RowStream {
    /// Binary COPY, as the server cuts it.
    PgCopy(CopyStream),
    /// Batches of Arrow.
    Arrow(Batches),
}

/// Binary COPY on its way here.
pub type CopyStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Binary COPY on its way there.
pub type CopySink = Pin<Box<dyn Sink<Bytes, Error = FlowError> + Send>>;

impl RowStream {
    /// The same, which fails where its rows have begun to come and none comes for so long; zero is no limit. Before the
    /// first one a query may think.
    ///
    /// A server that hangs in the middle of its answer, or whatever lies before it, is as silent as one that works. Time
    /// in which nobody asks for rows does not count.
    pub fn at_most_silent(self, limit: &Duration) -> RowStream {
        if limit.milliseconds() == 0 {
            return self;
        }
        match self {
            RowStream::PgCopy(rows) => RowStream::PgCopy(Box::pin(AtMostSilent::new(rows, limit))),
            RowStream::Arrow(batches) => RowStream::Arrow(Box::pin(AtMostSilent::new(batches, limit))),
        }
    }

    /// The rows as binary COPY, for whoever reads nothing else.
    ///
    /// # Errors
    /// `not_yet_supported` for rows of another form.
    pub fn into_copy(self) -> Result<CopyStream> {
        match self {
            RowStream::PgCopy(stream) => Ok(stream),
            RowStream::Arrow(_) => Err(no_copy("sends")),
        }
    }
}

/// Rows that come one after the other, or not for longer than this. The clock is looked at where one is waited for alone:
/// each row is an item.
struct AtMostSilent<S> {
    rows: S,
    limit: Duration,
    has_begun: bool,
    is_waiting: bool,
    clock: Option<Pin<Box<Sleep>>>,
}

impl<S> AtMostSilent<S> {
    fn new(rows: S, limit: &Duration) -> AtMostSilent<S> {
        AtMostSilent { rows, limit: limit.clone(), has_begun: false, is_waiting: false, clock: None }
    }

    /// Looks at the clock, which begins with the waiting.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let end = Instant::now() + self.limit.as_std();
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if !self.is_waiting {
            self.is_waiting = true;
            clock.as_mut().reset(end);
        }
        clock.as_mut().poll(context)
    }
}

impl<T, S: Stream<Item = Result<T>> + Unpin> Stream for AtMostSilent<S> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let Poll::Ready(next) = Pin::new(&mut self.rows).poll_next(context) {
            (self.has_begun, self.is_waiting) = (true, false);
            return Poll::Ready(next);
        }
        match self.has_begun {
            true => self.wait(context).map(|()| Some(Err(FlowError::fell_silent(&self.limit)))),
            false => Poll::Pending,
        }
    }
}

/// What takes rows. They stand once it is closed; dropped before that, it has taken nothing.
pub enum RowSink {
    /// Binary COPY, however it is cut.
    PgCopy(CopySink),
    /// Batches of Arrow, each column of the type of the table's.
    Arrow(Pin<Box<dyn Sink<RecordBatch, Error = FlowError> + Send>>),
}

impl RowSink {
    /// What takes binary COPY, for whoever has nothing else.
    ///
    /// # Errors
    /// `not_yet_supported` for what takes another form.
    pub fn into_copy(self) -> Result<CopySink> {
        match self {
            RowSink::PgCopy(sink) => Ok(sink),
            RowSink::Arrow(_) => Err(no_copy("takes")),
        }
    }
}

fn no_copy(what: &str) -> FlowError {
    FlowError::new(
        ErrorCode::NotYetSupported,
        format!("this database {what} rows as Arrow, and binary COPY is wanted here"),
    )
}
