//! Keeps some columns in sight. The others can still be named: by later helpers, the watermark and `order_by`.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::Result;
use crate::sql::{Ident, Sql};
use std::sync::Arc;

#[derive(Debug)]
struct Select(Vec<Ident>);

impl Helper for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        for name in &self.0 {
            rows.column("select", name)?;
        }
        Ok(Layer { shown: self.0.clone(), ..rows.some(&Sql::empty()) })
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn before(&self, after: &mut Vec<Ident>) {
        after.extend(self.0.iter().filter(|name| !after.contains(name)).cloned().collect::<Vec<_>>());
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    Ok(Arc::new(Select(arguments.named(&["columns"])?.needed_columns("columns")?)))
}
