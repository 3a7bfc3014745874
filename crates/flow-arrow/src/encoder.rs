//! Batches of rows into a binary COPY stream.

use crate::types::Column;
use crate::writers::Writer;
use arrow_array::{RecordBatch, new_empty_array};
use arrow_schema::{DataType, Schema};
use ematix_flow_core::copy_rows::{HEADER, TRAILER};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};

/// Makes a stream of batches. After an error it is of no more use.
#[derive(Debug)]
pub struct Encoder {
    columns: Vec<Column>,
    begun: bool,
    rows_before: u64,
}

impl Encoder {
    /// An encoder of rows into these columns, from batches of the schema, whose fields are the columns in order.
    ///
    /// # Errors
    /// `invalid_value` where a field is of a type whose values are none of the column's.
    pub fn new(columns: Vec<Column>, schema: &Schema) -> Result<Encoder> {
        if columns.len() != schema.fields().len() {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "the rows have {} columns, and the table takes {}",
                    schema.fields().len(),
                    columns.len()
                ),
            ));
        }
        for (column, field) in columns.iter().zip(schema.fields()) {
            if Writer::new(&new_empty_array(field.data_type()), &column.data_type).is_none() {
                return Err(no_pair(column, field.data_type()));
            }
        }
        Ok(Encoder::bare(columns))
    }

    /// An encoder of rows into these columns, which meets the types of the rows with the first batch.
    pub fn bare(columns: Vec<Column>) -> Encoder {
        Encoder { columns, begun: false, rows_before: 0 }
    }

    /// Appends the rows of a batch, after the head of the stream where it is the first.
    ///
    /// # Errors
    /// `cast_failed` for a value that the column does not hold as it is, with row and column; `invalid_value` for a
    /// batch of another schema.
    pub fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out);
        let writers: Vec<Writer<'_>> = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| {
                Writer::new(array, &column.data_type).ok_or_else(|| no_pair(column, array.data_type()))
            })
            .collect::<Result<_>>()?;
        let count = (self.columns.len() as i16).to_be_bytes();
        for row in 0..batch.num_rows() {
            out.extend(count);
            for (column, writer) in self.columns.iter().zip(&writers) {
                writer
                    .write(row, out)
                    .map_err(|fault| fault.at(self.rows_before + row as u64 + 1, &column.name))?;
            }
        }
        self.rows_before += batch.num_rows() as u64;
        Ok(())
    }

    /// Appends the end of the stream.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend(TRAILER);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            out.extend(HEADER);
            self.begun = true;
        }
    }
}

fn no_pair(column: &Column, found: &DataType) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!(
            "values of the type {found} do not go into the column `{}`, {}",
            column.name,
            column.data_type.name()
        ),
    )
    .hint("cast them before, or declare the column by the type that they have")
}
