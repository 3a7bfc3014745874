//! A binary COPY stream into batches of rows.

use crate::fault::Fault;
use crate::types::{Column, viewed};
use crate::values::{Infinity, Values};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use ematix_flow_core::copy_rows::{Row, RowReader};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::sync::Arc;

/// How large a batch may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    /// Rows of a batch.
    pub rows: usize,
    /// Bytes of the rows of a batch, as they were sent; a longer row is a batch of its own.
    pub bytes: usize,
}

impl Default for BatchSize {
    /// Half the rows of a row group of DuckDB, and few enough bytes that several batches wait in little memory.
    fn default() -> BatchSize {
        BatchSize { rows: 61_440, bytes: 16 << 20 }
    }
}

/// Makes batches of the chunks of a stream, however the chunks were cut. After an error it is of no more use.
pub struct Decoder {
    reader: RowReader,
    batch: Batch,
}

/// The batch in the making.
struct Batch {
    columns: Vec<(Column, Values)>,
    schema: SchemaRef,
    size: BatchSize,
    infinity: Infinity,
    rows: usize,
    bytes: usize,
    rows_before: u64,
}

impl Decoder {
    /// A decoder of rows of these columns.
    pub fn new(columns: Vec<Column>, size: BatchSize) -> Decoder {
        let schema = Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>());
        let columns = columns
            .into_iter()
            .map(|column| {
                let values = Values::new(&column.data_type);
                (column, values)
            })
            .collect();
        let schema = Arc::new(schema);
        let infinity = Infinity::default();
        let batch = Batch { columns, schema, size, infinity, rows: 0, bytes: 0, rows_before: 0 };
        Decoder { reader: RowReader::default(), batch }
    }

    /// Says what becomes of infinite dates, times and intervals.
    pub fn infinity(mut self, infinity: Infinity) -> Decoder {
        self.batch.infinity = infinity;
        self
    }

    /// Makes views of text and bytes, which polars takes as they are; JSON is text to it.
    pub fn views(mut self) -> Decoder {
        let batch = &mut self.batch;
        batch.schema =
            Arc::new(Schema::new(batch.columns.iter().map(|(column, _)| viewed(column)).collect::<Vec<_>>()));
        for (column, values) in &mut batch.columns {
            *values = Values::viewed(&column.data_type);
        }
        self
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.batch.schema)
    }

    /// The batches that a chunk completes.
    ///
    /// # Errors
    /// `cast_failed` for a value that Arrow does not hold, `invalid_value` for bytes that are none of the column's
    /// type, both with row and column; `source_failed` for bytes that are no binary COPY.
    pub fn decode(&mut self, chunk: &[u8]) -> Result<Vec<RecordBatch>> {
        let mut full = Vec::new();
        let batch = &mut self.batch;
        self.reader.read(chunk, |row| batch.push(row, &mut full))?;
        Ok(full)
    }

    /// The rows that are left, once the stream has ended.
    ///
    /// # Errors
    /// `source_failed` where the stream ends in the middle.
    pub fn finish(mut self) -> Result<Option<RecordBatch>> {
        self.reader.finish()?;
        Ok((self.batch.rows > 0).then(|| self.batch.take()))
    }
}

impl Batch {
    fn push(&mut self, row: &Row<'_>, full: &mut Vec<RecordBatch>) -> Result<()> {
        if self.rows > 0 && self.bytes + row.bytes.len() > self.size.bytes {
            full.push(self.take());
        }
        let number = self.rows_before + self.rows as u64 + 1;
        if row.fields.len() != self.columns.len() {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "row {number} has {} fields, and there are {} columns",
                    row.fields.len(),
                    self.columns.len()
                ),
            ));
        }
        for ((column, values), field) in self.columns.iter_mut().zip(row.fields) {
            values.push(*field, self.infinity).map_err(|fault: Fault| fault.at(number, &column.name))?;
        }
        self.rows += 1;
        self.bytes += row.bytes.len();
        if self.rows >= self.size.rows {
            full.push(self.take());
        }
        Ok(())
    }

    fn take(&mut self) -> RecordBatch {
        let arrays = self.columns.iter_mut().map(|(column, values)| {
            let array = values.finish();
            values.make_room(&column.data_type, array.as_ref(), self.size.rows);
            array
        });
        let arrays = arrays.collect();
        // Without columns nothing else says how many rows there are.
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows_before += self.rows as u64;
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .expect("the arrays are those of the schema, and as long as there are rows")
    }
}
