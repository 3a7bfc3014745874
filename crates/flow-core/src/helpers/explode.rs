//! A row for every element of a list: of a JSON array, or of an array of Postgres.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::{ErrorCode, FlowError, Result};
use crate::markers::Family;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;
use std::sync::Arc;

#[derive(Debug)]
struct Explode {
    column: Ident,
    into: Ident,
    keep_empty: bool,
}

impl Helper for Explode {
    fn name(&self) -> &'static str {
        "explode"
    }

    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        let data_type = rows.column("explode", &self.column)?;
        let elements = self.elements(rows, data_type)?;
        let value = Ident::fixed("value");
        let join = match self.keep_empty {
            true => sql!("\n  LEFT JOIN LATERAL {elements} AS e ({value}) ON TRUE", elements, value),
            false => sql!("\n CROSS JOIN LATERAL {elements} AS e ({value})", elements, value),
        };
        Ok(rows.with(&[(self.into.clone(), sql!("e.{value}", value))], &join))
    }

    fn before(&self, after: &mut Vec<Ident>) {
        after.retain(|name| *name != self.into);
        if !after.contains(&self.column) {
            after.push(self.column.clone());
        }
    }
}

impl Explode {
    /// What gives a row for each element. A JSON value that is no array is an array of itself, and its null has none.
    fn elements(&self, rows: &Rows<'_>, data_type: &TypeFacts) -> Result<Sql> {
        let (column, function) =
            (sql!("q.{column}", column = self.column), |name| rows.dialect.function(name));
        if data_type.wire.name.ends_with("[]") {
            return Ok(sql!("{unnest}({column})", unnest = function("unnest"), column));
        }
        let (kind, build, elements) = match Family::of(data_type) {
            Family::Json if data_type.wire.name == "json" => {
                ("json_typeof", "json_build_array", "json_array_elements")
            }
            Family::Json => ("jsonb_typeof", "jsonb_build_array", "jsonb_array_elements"),
            _ => {
                return Err(FlowError::new(
                    ErrorCode::InvalidValue,
                    format!(
                        "`explode` takes a JSON array or an array of Postgres, and `{}` is of type {}",
                        self.column, data_type.name
                    ),
                )
                .hint(format!(
                    "make one of it before: {{ with_column = {{ name = \"{0}\", expression = \"{0}::jsonb\" }} }}",
                    self.column
                )));
            }
        };
        Ok(sql!(
            "{elements}(CASE WHEN {kind}({column}) = 'array' THEN {column}\n            WHEN {kind}({column}) <> 'null' THEN {build}({column})\n       END)",
            elements = function(elements),
            kind = function(kind),
            column,
            build = function(build)
        ))
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let named = arguments.named(&["column", "into", "keep_empty"])?;
    let column = named.needed_column("column")?;
    let into = match named.get("into") {
        Some(_) => named.needed_column("into")?,
        None => column.clone(),
    };
    let keep_empty = named.truth("keep_empty")?.unwrap_or(false);
    Ok(Arc::new(Explode { column, into, keep_empty }))
}
