//! The table beside a target that has the rows which were put aside: the target's columns, why, by which run and when.

use crate::error::{ErrorCode, FlowError, Result};
use crate::sql::{Ident, QualifiedName};
use crate::types::DataType;

/// Why a row was put aside: every expectation that it fails.
pub const REASON: &str = "reason";
/// The run that put it aside.
pub const RUN_ID: &str = "run_id";
/// When that was.
pub const REJECTED_AT: &str = "rejected_at";

/// The columns beside those of the target.
pub fn own_columns() -> [(Ident, DataType); 3] {
    [(REASON, DataType::Text), (RUN_ID, DataType::Uuid), (REJECTED_AT, DataType::TimestampTz)]
        .map(|(name, data_type)| (Ident::fixed(name), data_type))
}

/// Whether a column has the name of one of them.
pub fn is_own(name: &str) -> bool {
    matches!(name, REASON | RUN_ID | REJECTED_AT)
}

/// The name of the table of a target.
///
/// # Errors
/// `name_too_long`.
pub fn table_of(target: &QualifiedName) -> Result<QualifiedName> {
    Ok(QualifiedName {
        schema: target.schema.clone(),
        name: Ident::new(format!("{}__rejected", target.name))?,
    })
}

/// The error for a column that has the name of one of ours.
pub fn own_name(column: &Ident, table: &QualifiedName) -> FlowError {
    FlowError::new(
        ErrorCode::DuplicateName,
        format!(
            "the column `{column}` has the name of one that {table}, where rows are put aside, has itself"
        ),
    )
    .hint("rename it, or let the expectations fail or warn")
}
