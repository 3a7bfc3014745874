//! `accepted_values = { column = "status", values = ["a"] }`: every value is one of these. NULL passes.

use super::{Arguments, Expectation, Question, Rows, column, comparable, literal_of};
use crate::error::{ErrorCode, FlowError, Result};
use crate::markers::{Families, Family, literal, literal_fits};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use serde_json::Value as Json;
use std::sync::Arc;

const NAME: &str = "accepted_values";

#[derive(Debug)]
struct AcceptedValues {
    column: Ident,
    values: Vec<Json>,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let named = arguments.named(&["column", "values"])?;
    let column = column(arguments, named.needed_text("column")?)?;
    let values = match named.needed("values")? {
        Json::Array(values) if !values.is_empty() && !values.contains(&Json::Null) => values.clone(),
        _ => {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{NAME}`: `values` is a list of values"),
            )
            .hint("write values = [\"a\", \"b\"]; NULL passes, not_null asks for it"));
        }
    };
    values.iter().try_for_each(|value| literal(NAME, value).map(|_| ()))?;
    Ok(Arc::new(AcceptedValues { column, values }))
}

impl Expectation for AcceptedValues {
    fn columns(&self) -> Vec<&Ident> {
        vec![&self.column]
    }

    fn fits(&self, family: &dyn Fn(&Ident) -> Option<Family>) -> Result<()> {
        let Some(family) = family(&self.column) else { return Ok(()) };
        self.values.iter().try_for_each(|value| literal_fits(NAME, value, Families::of(family)))
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        comparable(NAME, &self.column, (rows.type_of)(&self.column))?;
        let literals = self.values.iter().map(|value| literal_of(NAME, value, &self.column, rows));
        let values = Sql::join(literals.collect::<Result<Vec<_>>>()?, ", ");
        Ok(Question::EachRow(sql!("s.{column} NOT IN ({values})", column = self.column, values)))
    }
}
