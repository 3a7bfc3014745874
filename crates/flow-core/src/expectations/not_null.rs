//! `not_null = "email"`: every row has a value there.

use super::{Arguments, Expectation, Question, Rows, column};
use crate::error::Result;
use crate::sql;
use crate::sql::{Ident, QualifiedName};
use std::sync::Arc;

#[derive(Debug)]
struct NotNull {
    column: Ident,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    Ok(Arc::new(NotNull { column: column(arguments, arguments.only_text()?)? }))
}

impl Expectation for NotNull {
    fn columns(&self) -> Vec<&Ident> {
        vec![&self.column]
    }

    fn shown(&self) -> Vec<&Ident> {
        Vec::new()
    }

    fn question(&self, _: &Rows<'_>) -> Result<Question> {
        Ok(Question::EachRow(sql!("s.{column} IS NULL", column = self.column)))
    }
}
