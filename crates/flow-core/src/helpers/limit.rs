//! Keeps so many rows at most: which ones, nobody says.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::Result;
use crate::sql;
use crate::sql::Literal;
use std::sync::Arc;

#[derive(Debug)]
struct Limit(i64);

impl Helper for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        Ok(rows.some(&sql!("\n LIMIT {rows}", rows = Literal::Integer(self.0))))
    }

    fn hides(&self) -> Option<&'static str> {
        Some("every row behind the limit would look deleted")
    }

    fn leaves_out_any(&self) -> bool {
        true
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    match arguments.named(&["rows"])?.needed("rows")?.as_i64().filter(|rows| *rows >= 0) {
        Some(rows) => Ok(Arc::new(Limit(rows))),
        None => Err(arguments.wrong("takes a whole number of rows").hint("write { limit = 1000 }")),
    }
}
