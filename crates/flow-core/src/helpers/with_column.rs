//! A column made of an expression: a new one, or one in the place of that of its name.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::Result;
use crate::query;
use crate::sql::{Ident, Sql};
use std::sync::Arc;

#[derive(Debug)]
struct WithColumn {
    name: Ident,
    expression: String,
}

impl Helper for WithColumn {
    fn name(&self) -> &'static str {
        "with_column"
    }

    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        Ok(rows.with(&[(self.name.clone(), Sql::user(&self.expression))], &Sql::empty()))
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    /// The rows had a column of that name where the expression says it.
    fn before(&self, after: &mut Vec<Ident>) {
        if !query::says(&self.expression, self.name.as_str()) {
            after.retain(|name| *name != self.name);
        }
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let named = arguments.named(&["name", "expression"])?;
    let name = named.needed_column("name")?;
    let expression = named.needed_text("expression")?;
    query::check_expression(&expression)?;
    Ok(Arc::new(WithColumn { name, expression }))
}
