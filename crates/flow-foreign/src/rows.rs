//! Rows on their way into batches.

use crate::fault::bad_value;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use ematix_flow_arrow::{Column, CopyType};
use ematix_flow_core::error::FlowError;
use ematix_flow_files::{Cells, Misread};
use std::sync::Arc;

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
        mut value: impl FnMut(usize, &CopyType, &mut Cells) -> Result<(), Misread>,
    ) -> Result<Option<RecordBatch>, FlowError> {
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
