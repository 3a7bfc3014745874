//! A NULL that the live table refuses: what to do depends on what was declared.

use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::pipeline::Target;
use ematix_flow_core::sql;
use ematix_flow_core::sql::Ident;

/// Postgres's `not_null_violation`.
const NOT_NULL: &str = "23502";

/// The error with the remedy that fits the declaration: only a column that is declared NOT NULL is to be declared
/// otherwise.
pub fn remedy(error: FlowError, target: &Target, dialect: &dyn Dialect) -> FlowError {
    let column = error.context.get("column").and_then(|column| column.as_str()).map(Ident::new);
    let (Some(NOT_NULL), Some(Ok(column))) = (error.sqlstate.as_deref(), column) else { return error };
    let declared = match target {
        Target::Declared(table) => table.column(&column),
        Target::Inferred(_) => None,
    };
    match declared {
        Some(declared) if !declared.nullable => error,
        _ => {
            let allow = sql!(
                "ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL",
                table = target.name(),
                column
            );
            let allows = if declared.is_some() {
                "the declaration allows NULL and the live table does not"
            } else {
                "the live table allows no NULL there"
            };
            error.hint(format!("{allows}: {}; or mend the query", allow.to_text(dialect)))
        }
    }
}
