//! What is wrong with a value, a column or a reading, said with its place.

use ematix_flow_core::error::{ErrorCode, FlowError};

/// A value that is none of its column's type; rows count from 1 in the order in which they come.
#[cold]
pub fn bad_value(of: &str, row: u64, column: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::CastFailed, format!("{of}, row {row}, column `{column}`: {why}"))
        .context("row", row)
        .context("column", column)
}

/// A column of which nobody says of which type it is, or one that Postgres has not.
#[cold]
pub fn bad_column(of: &str, column: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("the column `{column}` of {of} {why}"))
        .context("column", column)
}

/// A place for a value that nobody gives.
#[cold]
pub fn open_place(of: &str) -> FlowError {
    let message = format!("{of} has a place for a value that nobody gives");
    FlowError::new(ErrorCode::UnknownVariable, message)
        .hint("a query takes one value, `:watermark`; write every other into it")
}

/// Rows that are read a second time.
#[cold]
pub fn read_already(of: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("{of} was read already"))
}
