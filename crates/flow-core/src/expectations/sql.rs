//! `sql = "amount >= 0"`: every row meets a condition over its columns. A condition that is NULL passes, as in a CHECK.

use super::{Arguments, Expectation, Question, Rows};
use crate::error::Result;
use crate::query::check_expression;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use std::sync::Arc;

#[derive(Debug)]
struct Condition {
    text: String,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let text = arguments.only_text()?;
    check_expression(&text).map_err(|error| arguments.of_this(error))?;
    Ok(Arc::new(Condition { text }))
}

impl Expectation for Condition {
    fn columns(&self) -> Vec<&Ident> {
        Vec::new()
    }

    fn question(&self, _: &Rows<'_>) -> Result<Question> {
        Ok(Question::EachRow(sql!("NOT {condition}", condition = Sql::user(&self.text))))
    }
}
