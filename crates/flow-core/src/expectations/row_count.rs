//! `row_count = { min = 1, max = 1000 }`: the run has so many rows.

use super::{Arguments, Expectation, Question, Rows};
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;
use std::sync::Arc;

const NAME: &str = "row_count";

#[derive(Debug)]
struct RowCount {
    least: Option<i64>,
    most: Option<i64>,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let named = arguments.named(&["min", "max"])?;
    let wrong = |what: &str, hint: &str| {
        FlowError::new(ErrorCode::InvalidValue, format!("`{NAME}`: {what}")).hint(hint)
    };
    let bound = |name| match named.get(name).map(|value| value.as_i64().filter(|rows| *rows >= 0)) {
        None => Ok(None),
        Some(Some(rows)) => Ok(Some(rows)),
        Some(None) => Err(wrong(&format!("`{name}` is a number of rows"), "write a whole number from 0 up")),
    };
    let (least, most) = (bound("min")?, bound("max")?);
    match (least, most) {
        (None, None) => Err(FlowError::new(ErrorCode::MissingOption, format!("`{NAME}` has no bound"))
            .hint("say min, max or both")),
        (Some(least), Some(most)) if least > most => {
            Err(wrong(&format!("nothing lies between {least} and {most}"), "min is the lower bound"))
        }
        _ => Ok(Arc::new(RowCount { least, most })),
    }
}

impl Expectation for RowCount {
    fn columns(&self) -> Vec<&Ident> {
        Vec::new()
    }

    fn judges_rows(&self) -> bool {
        false
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        let count = rows.dialect.function("count");
        let bound = |rows: &i64| Literal::Integer(*rows);
        let less = self.least.iter().map(|least| sql!("{count}(*) < {least}", count, least = bound(least)));
        let more = self.most.iter().map(|most| sql!("{count}(*) > {most}", count, most = bound(most)));
        let text = rows.dialect.type_name(&DataType::Text);
        let shown = rows.dialect.cast_to(&sql!("({count}(*))", count), &text);
        Ok(Question::Together {
            fails: Sql::join(less.chain(more), " OR "),
            shown: ("rows".to_owned(), shown),
        })
    }
}
