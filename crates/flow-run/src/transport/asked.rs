//! The rows of a database of another engine than the target's, as Arrow.

use super::read_source;
use crate::session::{CopyStream, RowStream, Session};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use ematix_flow_arrow::{
    BatchSize, BatchSource, Batches, Column, CopyType, Decoder, Infinity, UnscaledNumeric,
};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::types::TypeFacts;
use futures_util::{StreamExt, stream};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Rows a batch and bytes of it: several wait for the target at once.
const BATCH: BatchSize = BatchSize { rows: 16_384, bytes: 4 << 20 };

/// A query, by the session that reads it.
pub struct QueryRows<'s> {
    session: &'s dyn Session,
    words: String,
    statement: String,
    columns: Vec<(String, TypeFacts)>,
    silence: Duration,
    /// As what they arrive, once it is known what is wanted.
    arriving: Mutex<Vec<Column>>,
}

impl fmt::Debug for QueryRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl<'s> QueryRows<'s> {
    /// What a statement, as the dialect wrote it for sending, answers; its columns as they are sent, and what it is, for
    /// people; how long it may send none of its rows once some have come.
    pub fn new(
        session: &'s dyn Session,
        words: &str,
        statement: &str,
        columns: Vec<(String, TypeFacts)>,
        silence: &Duration,
    ) -> QueryRows<'s> {
        QueryRows {
            session,
            words: words.to_owned(),
            statement: statement.to_owned(),
            columns,
            silence: silence.clone(),
            arriving: Mutex::default(),
        }
    }
}

#[async_trait]
impl BatchSource for QueryRows<'_> {
    fn describe(&self) -> String {
        self.words.clone()
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        let mut arriving = Vec::new();
        for (name, facts) in &self.columns {
            let found = CopyType::of(name, facts, UnscaledNumeric::Text)?;
            // Without a precision of its own it has that of its target: what does not fit is no value of it.
            let declared = wanted.iter().find(|column| column.name == *name).map(|column| &column.data_type);
            let data_type = match (found, declared) {
                (CopyType::NumericText, Some(CopyType::Numeric(precision, scale))) => {
                    CopyType::Numeric(*precision, *scale)
                }
                (found, _) => found,
            };
            arriving.push(Column::new(name, data_type));
        }
        let fields: Vec<Field> = arriving.iter().map(Column::field).collect();
        *self.arriving.lock().unwrap_or_else(PoisonError::into_inner) = arriving;
        Ok(SchemaRef::new(Schema::new(fields)))
    }

    async fn batches(&self) -> Result<Batches> {
        let columns = self.arriving.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = match read_source(self.session, &self.statement, &self.silence).await? {
            RowStream::Arrow(batches) => return Ok(batches),
            RowStream::PgCopy(stream) => stream,
        };
        let decoder = Decoder::new(columns, BATCH).infinity(Infinity::Extreme);
        let decoded =
            Decoded { words: self.words.clone(), stream, decoder: Some(decoder), ready: VecDeque::new() };
        Ok(stream::try_unfold(decoded, |mut decoded| async move {
            let next = decoded.next().await?;
            Ok(next.map(|batch| (batch, decoded)))
        })
        .boxed())
    }
}

/// The error for a value that Arrow, or its column, does not hold.
fn told(error: FlowError, words: &str) -> FlowError {
    let error = FlowError { message: format!("{words}: {}", error.message), ..error };
    match error.hint {
        Some(_) => error,
        None => error.hint("cast it in the query, or declare the column with a type that holds it"),
    }
}

/// Binary COPY on its way into batches.
struct Decoded {
    words: String,
    stream: CopyStream,
    /// None at the end.
    decoder: Option<Decoder>,
    ready: VecDeque<RecordBatch>,
}

impl Decoded {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            match self.stream.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    let decoded = decoder.decode(&chunk).map_err(|error| told(error, &self.words))?;
                    self.ready.extend(decoded);
                }
                None => {
                    let decoder = self.decoder.take().expect("it was there a moment ago");
                    self.ready.extend(decoder.finish()?);
                }
            }
        }
    }
}
