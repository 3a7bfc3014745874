//! Why a value does not cross, before its row and column are known.

use ematix_flow_core::error::{ErrorCode, FlowError};

/// What is wrong with a value.
#[derive(Debug)]
pub struct Fault {
    code: ErrorCode,
    what: String,
    hint: Option<&'static str>,
}

impl Fault {
    /// The other side has no such value.
    #[cold]
    pub fn not_held(what: impl Into<String>) -> Fault {
        Fault { code: ErrorCode::CastFailed, what: what.into(), hint: None }
    }

    /// The bytes are none of the type.
    #[cold]
    pub fn malformed(what: &str) -> Fault {
        let hint = "the column is of another type than was said, or something changes what passes";
        Fault { code: ErrorCode::InvalidValue, what: what.to_owned(), hint: Some(hint) }
    }

    /// What to do.
    pub fn hint(self, hint: &'static str) -> Fault {
        Fault { hint: Some(hint), ..self }
    }

    /// The error, once it is known where.
    #[cold]
    pub fn at(self, row: u64, column: &str) -> FlowError {
        let error = FlowError::new(self.code, format!("row {row}, column `{column}`: {}", self.what))
            .context("row", row)
            .context("column", column);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
