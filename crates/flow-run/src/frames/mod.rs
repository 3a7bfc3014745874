//! Reads the rows of a query as Arrow: what COPY sends, decoded on its way, in batches of bounded size.
//!
//! A reading has a session of its own, whose transaction only reads; in parts it has one for each, and all of them see
//! one instant.

mod columns;
mod parts;
mod text;

use crate::postgres::connect::connect;
use crate::session::{Access, CopyStream, End, RowStream, Session};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ematix_flow_arrow::{BatchSize, Column, Decoder, Infinity};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::{ReadQuery, with_values};
use ematix_flow_core::sql;
use ematix_flow_core::sql::QualifiedName;
use futures_util::StreamExt;
use std::collections::VecDeque;
pub use text::{Lines, Text, read_lines};

/// What becomes of numeric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numeric {
    /// Decimals; a column whose type says no precision, or more digits than a decimal has, is an error.
    Decimal,
    /// Decimals; such a column is text.
    DecimalOrText,
    /// The nearest double precision.
    Float,
}

/// Which types of Arrow whoever takes the rows knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// All.
    All,
    /// No extension types, no intervals of months, and decimals of 38 digits at most: Spark.
    Plain,
    /// The same, with views for text and bytes: polars.
    Views,
    /// No intervals of months: Parquet.
    Parquet,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A query, with the values of its `$1` … in their places.
    pub query: ReadQuery,
    /// What becomes of numeric.
    pub numeric: Numeric,
    /// What becomes of dates, times and intervals that are infinite.
    pub infinity: Infinity,
    /// Which types whoever takes the rows knows.
    pub types: Types,
    /// How large a batch may grow.
    pub size: BatchSize,
    /// The column by which the rows are read in two parts at the same time.
    pub partition_on: Option<String>,
}

/// A reading that has begun.
pub struct Reading {
    /// The schema of every batch.
    pub schema: SchemaRef,
    /// Its parts, which may be read at the same time.
    pub parts: Vec<Part>,
}

/// A part of the rows, with its session. Dropped before the end, it is cancelled on the server.
pub struct Part {
    held: Held,
    rows: Rows,
}

const DOING: &str = "read the rows";

/// The query that a text is, or the one over the table that it names: a name has no blanks but between double quotes.
///
/// # Errors
/// `invalid_value`, `query_writes`.
pub fn query_or_table(text: &str) -> Result<ReadQuery> {
    let outside = text.trim().split('"').step_by(2);
    if outside.into_iter().any(|part| part.contains(|c: char| c.is_whitespace() || matches!(c, '(' | ';'))) {
        return ReadQuery::parse(text);
    }
    let (schema, name) = QualifiedName::parse(text.trim())?;
    let table = match schema {
        Some(schema) => sql!("{table}", table = QualifiedName { schema, name }),
        None => sql!("{name}", name),
    };
    ReadQuery::parse(&format!("SELECT * FROM {}", table.to_text(&Postgres)))
}

/// The query that a text with values is, or the one over the table that it names.
///
/// # Errors
/// As [`query_or_table`] and [`with_values`].
pub fn query_with_values(text: &str, values: &[Option<String>]) -> Result<ReadQuery> {
    let query = if values.is_empty() { text.to_owned() } else { with_values(text, values, &Postgres)? };
    query_or_table(&query).map_err(said)
}

/// Begins to read.
///
/// # Errors
/// As [`connect`]; what the server says of the query; `invalid_value` for a column that does not come as Arrow in the
/// form that is wanted; `unknown_column` for one by which there are to be parts.
pub async fn read(target: &ConnectionTarget, wanted: &Wanted) -> Result<Reading> {
    let first = Held::new(Box::new(connect(target, "read").await?));
    match begun(first, target, wanted).await {
        Err((first, error)) if error.code == ErrorCode::PermissionDenied => {
            let error = first.session().complete(error, wanted.query.text()).await;
            first.close().await;
            Err(error)
        }
        Err((first, error)) => {
            first.close().await;
            Err(error)
        }
        Ok(reading) => Ok(reading),
    }
}

async fn begun(
    first: Held,
    target: &ConnectionTarget,
    wanted: &Wanted,
) -> std::result::Result<Reading, (Held, FlowError)> {
    let described = async {
        let instant = match wanted.partition_on {
            None => {
                first.session().begin(Blame::Source, Access::ReadOnly, None).await?;
                None
            }
            Some(_) => Some(first.session().begin_shared(Blame::Source, None, None).await?),
        };
        let sent = columns::described(first.session(), wanted).await?;
        let statements = statements(first.session(), wanted, &sent, 2).await?;
        // What questions have left goes before rows are on their way: a reading may end at any moment.
        first.session().tidy().await?;
        // Only as long as the first session's transaction is open do others see what it sees.
        let mut others = Vec::new();
        for _ in &statements[1..] {
            let other = Held::new(Box::new(connect(target, "read").await?));
            other.session().begin_shared(Blame::Source, instant.as_deref(), None).await?;
            others.push(other);
        }
        Ok((sent, statements, others))
    };
    let (sent, statements, others) = match described.await {
        Ok(described) => described,
        Err(error) => return Err((first, said(error))),
    };
    let columns: Vec<Column> = sent.into_iter().map(|sent| sent.column).collect();
    let mut parts = Vec::new();
    for (held, statement) in std::iter::once(first).chain(others).zip(&statements) {
        let decoder = Decoder::new(columns.clone(), wanted.size).infinity(wanted.infinity);
        let decoder = if wanted.types == Types::Views { decoder.views() } else { decoder };
        match rows(held.session(), Blame::Source, DOING, statement, decoder, said).await {
            Ok(rows) => parts.push(Part { held, rows }),
            Err(error) => return Err((held, error)),
        }
    }
    let schema =
        parts.first().map(|part: &Part| part.rows.schema()).expect("a reading has at least one part");
    Ok(Reading { schema, parts })
}

/// The queries of the parts, so many at most.
async fn statements(
    session: &dyn Session,
    wanted: &Wanted,
    sent: &[columns::Sent],
    parts: u32,
) -> Result<Vec<String>> {
    let Some(column) = &wanted.partition_on else {
        return Ok(vec![columns::statement(&wanted.query, sent, None)?]);
    };
    let bounds = parts::bounds(session, &wanted.query, column, sent, parts).await?;
    parts::statements(&wanted.query, column, &bounds, sent)
}

/// The queries that have a part of the rows each, for as many readers as there are, and the schema of what they read.
///
/// # Errors
/// As [`read`].
pub async fn parts_of(
    target: &ConnectionTarget,
    wanted: &Wanted,
    parts: u32,
) -> Result<(SchemaRef, Vec<String>)> {
    let held = Held::new(Box::new(connect(target, "read").await?));
    let asked = async {
        held.session().begin(Blame::Source, Access::ReadOnly, None).await?;
        let sent = columns::described(held.session(), wanted).await?;
        let statements = statements(held.session(), wanted, &sent, parts).await?;
        held.session().end(Blame::Source, DOING, End::Commit).await?;
        let columns = sent.into_iter().map(|sent| sent.column).collect();
        Ok((Decoder::new(columns, wanted.size).schema(), statements))
    };
    let asked: Result<(SchemaRef, Vec<String>)> = asked.await;
    let asked = match asked {
        Err(error) if error.code == ErrorCode::PermissionDenied => {
            Err(held.session().complete(error, wanted.query.text()).await)
        }
        asked => asked,
    };
    held.close().await;
    asked.map_err(said)
}

impl Part {
    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// What the server says; `cast_failed` for a value that Arrow does not hold, with row and column.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.rows.next().await
    }

    /// Ends it where all rows have come.
    pub async fn close(self) {
        // It has read, and nothing can be lost any more.
        let _ = self.held.session().end(Blame::Source, DOING, End::Commit).await;
        self.held.close().await;
    }

    /// Ends it before.
    pub async fn abandon(self) {
        self.held.abandon().await;
    }
}

/// Rows on their way, decoded.
pub struct Rows {
    stream: CopyStream,
    /// None at the end.
    decoder: Option<Decoder>,
    schema: SchemaRef,
    ready: VecDeque<RecordBatch>,
    said: fn(FlowError) -> FlowError,
}

/// Begins to read the rows of a query, of which the decoder knows the columns; `said` is what becomes of an error.
///
/// # Errors
/// What the server says.
pub async fn rows(
    session: &dyn Session,
    blame: Blame,
    doing: &str,
    query: &str,
    decoder: Decoder,
    said: fn(FlowError) -> FlowError,
) -> Result<Rows> {
    let copy = format!("COPY (\n{query}\n) TO STDOUT (FORMAT binary)");
    let stream = session.read(blame, doing, &copy).await.and_then(RowStream::into_copy).map_err(said)?;
    let schema = decoder.schema();
    Ok(Rows { stream, decoder: Some(decoder), schema, ready: VecDeque::new(), said })
}

impl Rows {
    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// What the server says, and what the decoder says of a value.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            match self.stream.next().await {
                Some(chunk) => {
                    let chunk = chunk.map_err(self.said)?;
                    self.ready.extend(decoder.decode(&chunk).map_err(mended)?);
                }
                None => {
                    let decoder = self.decoder.take().expect("it was there a moment ago");
                    self.ready.extend(decoder.finish()?);
                }
            }
        }
    }
}

/// A session that is cancelled where whoever has it loses interest.
pub struct Held(Option<Box<dyn Session>>);

impl Held {
    /// Holds a session.
    pub fn new(session: Box<dyn Session>) -> Held {
        Held(Some(session))
    }

    /// It.
    pub fn session(&self) -> &dyn Session {
        self.0.as_deref().expect("it is there until it is closed")
    }

    /// Says good-bye.
    pub async fn close(mut self) {
        if let Some(session) = self.0.take() {
            session.close().await;
        }
    }

    /// Cancels what it does, and hangs up.
    pub async fn abandon(mut self) {
        if let Some(session) = self.0.take() {
            session.abandon().await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(session), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(session.abandon());
        }
    }
}

/// An error of a value, with what a reading can do about it.
fn mended(error: FlowError) -> FlowError {
    if !error.context.contains_key("infinite") {
        return error;
    }
    error.hint("pass infinity=\"null\", or write nullif(…, 'infinity') in the query, or …::text")
}

/// An error of the query in the words of whoever reads: there is no source and no run.
fn said(error: FlowError) -> FlowError {
    let replaced = |error: FlowError| {
        let message =
            error.message.replace("the source's query", "the query").replace("a source query", "the query");
        FlowError { message, ..error }
    };
    match error.code {
        ErrorCode::SourceFailed => replaced(error),
        ErrorCode::QueryWrites => replaced(error).hint("what is read is one statement that only reads"),
        ErrorCode::CastFailed if !error.context.contains_key("row") => {
            let message = "the query converts a value that is none of the type".to_owned();
            FlowError { message, ..error }.hint("mend the conversion in the query, or leave such rows out")
        }
        ErrorCode::ConnectionLost => error.hint("read again"),
        _ => error,
    }
}
