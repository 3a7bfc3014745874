//! Keeps the rows that meet a condition.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::Result;
use crate::query;
use crate::sql;
use crate::sql::Sql;
use std::sync::Arc;

#[derive(Debug)]
struct FilterWhere(String);

impl Helper for FilterWhere {
    fn name(&self) -> &'static str {
        "filter_where"
    }

    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        Ok(rows.some(&sql!("\n WHERE {condition}", condition = Sql::user(&self.0))))
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let text = arguments.named(&["condition"])?.needed_text("condition")?;
    query::check_expression(&text)?;
    Ok(Arc::new(FilterWhere(text)))
}
