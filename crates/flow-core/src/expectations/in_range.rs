//! `in_range = { column = "amount", min = 0, max = 100 }`: no value lies below or above, both bounds are within. NULL
//! passes.

use super::{Arguments, Expectation, Question, Rows, column, literal_of};
use crate::error::{ErrorCode, FlowError, Result};
use crate::markers::{Families, Family, literal, literal_fits};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use serde_json::Value as Json;
use std::sync::Arc;

const NAME: &str = "in_range";

#[derive(Debug)]
struct InRange {
    column: Ident,
    least: Option<Json>,
    most: Option<Json>,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let named = arguments.named(&["column", "min", "max"])?;
    let column = column(arguments, named.needed_text("column")?)?;
    let bound = |name| match named.get(name) {
        Some(value) => literal(NAME, value).map(|_| Some(value.clone())),
        None => Ok(None),
    };
    let (least, most) = (bound("min")?, bound("max")?);
    if least.is_none() && most.is_none() {
        return Err(FlowError::new(ErrorCode::MissingOption, format!("`{NAME}` has no bound"))
            .hint("say min, max or both"));
    }
    if let (Some(Json::Number(least)), Some(Json::Number(most))) = (&least, &most)
        && least.as_f64() > most.as_f64()
    {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("`{NAME}`: nothing lies between {least} and {most}"),
        )
        .hint("min is the lower bound"));
    }
    Ok(Arc::new(InRange { column, least, most }))
}

impl Expectation for InRange {
    fn columns(&self) -> Vec<&Ident> {
        vec![&self.column]
    }

    fn fits(&self, family: &dyn Fn(&Ident) -> Option<Family>) -> Result<()> {
        let Some(family) = family(&self.column) else { return Ok(()) };
        if matches!(family, Family::Json | Family::Boolean) {
            let kind = Families::of(family);
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{NAME}`: the column `{}` is {kind}, whose values have no range", self.column),
            )
            .hint("ask by accepted_values or sql"));
        }
        let mut bounds = self.least.iter().chain(&self.most);
        bounds.try_for_each(|value| literal_fits(NAME, value, Families::of(family)))
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        let column = &self.column;
        let bound = |value: &Json| literal_of(NAME, value, column, rows);
        let mut outside = Vec::new();
        if let Some(least) = &self.least {
            outside.push(sql!("s.{column} < {least}", column, least = bound(least)?));
        }
        if let Some(most) = &self.most {
            outside.push(sql!("s.{column} > {most}", column, most = bound(most)?));
        }
        Ok(Question::EachRow(sql!("({outside})", outside = Sql::join(outside, " OR "))))
    }
}
