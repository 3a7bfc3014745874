//! `matches = { column = "email", pattern = "@" }`: every value has a part that matches a regular expression; `^` and
//! `$` make it the whole. NULL passes.

use super::{Arguments, Expectation, Question, Rows, column};
use crate::error::{ErrorCode, FlowError, Result};
use crate::markers::{Families, Family};
use crate::sql;
use crate::sql::{Ident, QualifiedName};
use std::sync::Arc;

#[derive(Debug)]
struct Matches {
    column: Ident,
    pattern: String,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let named = arguments.named(&["column", "pattern"])?;
    let column = column(arguments, named.needed_text("column")?)?;
    Ok(Arc::new(Matches { column, pattern: named.needed_text("pattern")? }))
}

impl Expectation for Matches {
    fn columns(&self) -> Vec<&Ident> {
        vec![&self.column]
    }

    fn fits(&self, family: &dyn Fn(&Ident) -> Option<Family>) -> Result<()> {
        match family(&self.column) {
            // Types of extensions and domains are text to some.
            Some(Family::Text | Family::Other) | None => Ok(()),
            Some(other) => {
                let kind = Families::of(other);
                Err(FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("`matches` reads text; the column `{}` is {kind}", self.column),
                )
                .hint("ask by in_range, accepted_values or sql"))
            }
        }
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        let matched = rows.dialect.matches(&sql!("s.{column}", column = self.column), &self.pattern);
        Ok(Question::EachRow(sql!("NOT ({matched})", matched)))
    }
}
