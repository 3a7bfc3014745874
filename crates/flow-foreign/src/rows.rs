//! Rows on their way into batches.

use crate::fault::bad_value;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use ematix_flow_arrow::{Batches, Column, CopyType};
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_files::{Cells, Misread};
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

/// A batch has at most this many rows,
const ROWS: usize = 16_384;
/// and is made of about this many bytes.
const BYTES: usize = 8 << 20;

/// The schema of rows with these columns.
pub fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| -> Field {
        match column.data_type {
            CopyType::NumericText => column.field().with_metadata(CopyType::numeric_text()),
            _ => column.field(),
        }
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The batches that a task gives; whoever gives no more says why at its end, and `ended` where it came to none.
pub fn handed_over(
    given: Receiver<RecordBatch>,
    reading: JoinHandle<Result<()>>,
    ended: fn() -> FlowError,
) -> Batches {
    stream::try_unfold((given, Some(reading)), move |(mut given, mut reading)| async move {
        if let Some(batch) = given.recv().await {
            return Ok(Some((batch, (given, reading))));
        }
        if let Some(reading) = reading.take() {
            reading.await.map_err(|_| ended())??;
        }
        Ok(None)
    })
    .boxed()
}

/// Rows that are gathered.
pub struct Gathering {
    of: String,
    columns: Vec<Column>,
    schema: SchemaRef,
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
    given: u64,
}

impl Gathering {
    /// None yet; `of` says whose they are.
    pub fn new(of: String, columns: Vec<Column>) -> Gathering {
        let cells = columns.iter().map(|column| Cells::new(&column.data_type)).collect();
        let schema = schema_of(&columns);
        Gathering { of, columns, schema, cells, rows: 0, bytes: 0, given: 0 }
    }

    /// Takes the values of a row, column by column.
    ///
    /// # Errors
    /// A value that is none of its column's type, with its place.
    pub fn take(
        &mut self,
        bytes: usize,
        mut value: impl FnMut(usize, &CopyType, &mut Cells) -> std::result::Result<(), Misread>,
    ) -> Result<Option<RecordBatch>> {
        for (at, (column, cells)) in self.columns.iter().zip(&mut self.cells).enumerate() {
            value(at, &column.data_type, cells)
                .map_err(|why| bad_value(&self.of, self.given + self.rows as u64 + 1, &column.name, &why))?;
        }
        self.rows += 1;
        self.bytes += bytes;
        let is_full = self.rows >= ROWS || self.bytes >= BYTES;
        Ok(if is_full { self.finish() } else { None })
    }

    /// The rows since the last batch; none where there are none.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        let (rows, _) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
        self.given += rows as u64;
        let arrays = self.cells.iter_mut().map(Cells::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        (rows > 0).then(|| {
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
                .expect("the arrays are those of the columns")
        })
    }
}
