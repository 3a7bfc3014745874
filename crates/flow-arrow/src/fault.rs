//! Why a value does not cross, before its row and column are known.

use ematix_flow_core::error::{ErrorCode, FlowError};

/// What is wrong with a value.
#[derive(Debug)]
pub struct Fault {
    code: ErrorCode,
    what: String,
    hint: Option<&'static str>,
    is_infinite: bool,
}

impl Fault {
    /// The other side has no such value.
    #[cold]
    pub fn not_held(what: impl Into<String>) -> Fault {
        Fault { code: ErrorCode::CastFailed, what: what.into(), hint: None, is_infinite: false }
    }

    /// The bytes are none of the type.
    #[cold]
    pub fn malformed(what: &str) -> Fault {
        let hint = "the column is of another type than was said, or something changes what passes";
        Fault { code: ErrorCode::InvalidValue, what: what.to_owned(), hint: Some(hint), is_infinite: false }
    }

    /// The value is infinite, and no other of its kind on the other side is.
    #[cold]
    pub fn infinite(what: &str) -> Fault {
        let what = format!("no {what} of Arrow is infinite");
        Fault { is_infinite: true, ..Fault::not_held(what) }
            .hint("send NULL instead, nullif(…, 'infinity'), or the value as text")
    }

    /// Whether it is that.
    pub fn is_infinite(&self) -> bool {
        self.is_infinite
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
        let error = if self.is_infinite { error.context("infinite", true) } else { error };
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
