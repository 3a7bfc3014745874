//! `freshness = { column = "updated_at", max_age = "2h" }`: the newest value is not older than so long at the instant
//! of the run, by the target's clock. Without any value nothing shows that the rows are fresh.

use super::{Arguments, Expectation, Question, Rows, column};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use crate::markers::{Families, Family};
use crate::sql;
use crate::sql::{Ident, QualifiedName};
use crate::types::DataType;
use std::sync::Arc;

#[derive(Debug)]
struct Freshness {
    column: Ident,
    max_age: Duration,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let named = arguments.named(&["column", "max_age"])?;
    let column = column(arguments, named.needed_text("column")?)?;
    let max_age =
        Duration::parse(&named.needed_text("max_age")?).map_err(|error| arguments.of_this(error))?;
    Ok(Arc::new(Freshness { column, max_age }))
}

impl Expectation for Freshness {
    fn columns(&self) -> Vec<&Ident> {
        vec![&self.column]
    }

    fn judges_rows(&self) -> bool {
        false
    }

    fn fits(&self, family: &dyn Fn(&Ident) -> Option<Family>) -> Result<()> {
        match family(&self.column) {
            Some(Family::Date | Family::Timestamp | Family::TimestampTz) | None => Ok(()),
            Some(other) => {
                let kind = Families::of(other);
                Err(FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("`freshness` reads times; the column `{}` is {kind}", self.column),
                )
                .hint("name a column of type timestamptz, timestamp or date"))
            }
        }
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        let data_type = (rows.type_of)(&self.column);
        let newest = sql!("{max}(s.{column})", max = rows.dialect.function("max"), column = self.column);
        // Postgres casts `a AT TIME ZONE z` only in parentheses.
        let at = rows.dialect.to_instant(data_type, &sql!("({newest})", newest = newest.clone()));
        let oldest = sql!(
            "{instant} - {age}",
            instant = rows.instant.clone(),
            age = rows.dialect.duration(self.max_age.as_std())
        );
        let text = rows.dialect.type_name(&DataType::Text);
        let shown = rows.dialect.cast_to(&sql!("({newest})", newest = newest.clone()), &text);
        Ok(Question::Together {
            fails: sql!("{newest} IS NULL OR {at} < {oldest}", newest, at, oldest),
            shown: (format!("newest {}", self.column), shown),
        })
    }
}
