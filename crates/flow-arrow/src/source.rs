//! Where rows of Arrow come from that no database sends: files, frames, answers of an API.

use crate::types::Column;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use ematix_flow_core::error::Result;
use futures_util::stream::BoxStream;
use std::fmt;

/// Batches on their way, each of the schema that was told before.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// Rows that come as Arrow.
#[async_trait]
pub trait BatchSource: fmt::Debug + Send + Sync {
    /// What it is, in plans and messages: `the files landing/*.parquet`.
    fn describe(&self) -> String;

    /// The schema of every batch, before the first is read. `wanted` are the columns whose type somebody declares:
    /// what has no types of its own (CSV, JSON) is read as these.
    ///
    /// # Errors
    /// What cannot be opened or understood.
    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef>;

    /// In what parts of it differ, after [`BatchSource::schema`]: for a person.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where a row is, counted from 1 over all that were given: its file, and its row there.
    fn place_of(&self, row: u64) -> Option<(String, u64)> {
        let _ = row;
        None
    }

    /// The rows, of the schema that the last call of [`BatchSource::schema`] told.
    ///
    /// # Errors
    /// What cannot be opened.
    async fn batches(&self) -> Result<Batches>;
}
