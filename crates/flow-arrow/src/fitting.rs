//! Batches whose columns become those of a table that takes Arrow: exactly, or not at all.

use crate::fault::Fault;
use crate::types::{Column, CopyType};
use crate::values::{Infinity, Values};
use crate::writers::Writer;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::sync::Arc;

/// The rows of a batch in these columns; `rows_before` have been taken, for the numbers of errors.
///
/// # Errors
/// `cast_failed` for a value that the column does not hold as it is, with row and column; `invalid_value` for a batch of
/// another schema.
pub fn fitted(batch: &RecordBatch, columns: &[Column], rows_before: u64) -> Result<RecordBatch> {
    let schema = batch.schema();
    let mut fields: Vec<Arc<Field>> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for ((column, field), array) in columns.iter().zip(schema.fields()).zip(batch.columns()) {
        let (field, array) = match arrives_as_it_is(field, &column.data_type) {
            true => (Arc::clone(field), Arc::clone(array)),
            false => (Arc::new(column.field()), made(array, column, rows_before)?),
        };
        fields.push(Arc::new(field.as_ref().clone().with_name(&column.name).with_nullable(true)));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(|error| {
        FlowError::new(ErrorCode::InvalidValue, format!("the rows cannot be taken: {error}"))
    })
}

/// Whether a database that takes Arrow makes of every value of the field the same value of the column.
fn arrives_as_it_is(field: &Field, to: &CopyType) -> bool {
    match field.data_type() {
        // What is finer than a microsecond would be cut, and a date's time of day.
        DataType::Timestamp(TimeUnit::Nanosecond, _)
        | DataType::Time64(TimeUnit::Nanosecond)
        | DataType::Date64
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Null
        | DataType::Dictionary(..)
        | DataType::FixedSizeList(..) => false,
        DataType::List(item) => match to {
            CopyType::Array(element, _) => arrives_as_it_is(item, element),
            _ => false,
        },
        _ => match (CopyType::for_field(field), to) {
            // Both are text.
            (Some(CopyType::Json | CopyType::Text), CopyType::Json | CopyType::Text) => true,
            (found, to) => found.as_ref() == Some(to),
        },
    }
}

fn made(array: &ArrayRef, column: &Column, rows_before: u64) -> Result<ArrayRef> {
    let writer = Writer::new(array, &column.data_type).ok_or_else(|| {
        let message = format!(
            "the column `{}` is of the type {}, and the table takes {}",
            column.name,
            array.data_type(),
            column.data_type.name()
        );
        FlowError::new(ErrorCode::InvalidValue, message)
    })?;
    let mut values = Values::new(&column.data_type);
    let mut bytes = Vec::new();
    let mut one = |row: usize| -> std::result::Result<(), Fault> {
        bytes.clear();
        writer.write(row, &mut bytes)?;
        let (length, value) = bytes.split_at(4);
        let is_null = length == (-1_i32).to_be_bytes();
        values.push((!is_null).then_some(value), Infinity::Extreme)
    };
    for row in 0..array.len() {
        one(row).map_err(|fault| fault.at(rows_before + row as u64 + 1, &column.name))?;
    }
    Ok(values.finish())
}
