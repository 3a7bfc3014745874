//! Keeps one row a key: the first by an order, and of rows that come together in it always the same.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::Result;
use crate::query;
use crate::sql;
use crate::sql::{Ident, Sql};
use std::sync::Arc;

#[derive(Debug)]
struct DeduplicateBy {
    keys: Vec<Ident>,
    order_by: Vec<String>,
}

impl Helper for DeduplicateBy {
    fn name(&self) -> &'static str {
        "deduplicate_by"
    }

    /// Rows without a key are no duplicates of each other: the guard of NULL keys sees every one of them.
    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        for key in &self.keys {
            rows.column("deduplicate_by", key)?;
        }
        let own = |what: &str| Ident::new(format!("_ematix_{what}_{}", rows.number)).expect("a short name");
        let (rank, dropped) = (own("rank"), own("dropped"));
        let keys = Sql::join(self.keys.iter().map(|key| sql!("q.{key}", key)), ", ");
        let no_key = |alias: &'static str| {
            let is_null = |key| sql!("{alias}.{key} IS NULL", alias = Sql::text(alias), key);
            Sql::join(self.keys.iter().map(is_null), " OR ")
        };
        let said = self.order_by.iter().map(|item| Sql::user_list(item));
        // One window for both numbers: its frame is the whole key, which row_number() does not ask.
        let query = sql!(
            "SELECT d.*\n  FROM (SELECT q.*,\n               {row_number}() OVER w AS {rank},\n               CASE WHEN {null} THEN 0 ELSE {count}(*) OVER w - 1 END AS {dropped}\n          FROM {from} AS q\n        WINDOW w AS (PARTITION BY {keys} ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS d\n WHERE d.{rank} = 1 OR {no_key}",
            row_number = rows.dialect.function("row_number"),
            rank,
            null = no_key("q"),
            count = rows.dialect.function("count"),
            dropped,
            from = rows.from,
            keys,
            order = Sql::join(said.chain(rows.in_any_order()), ", "),
            no_key = no_key("d")
        );
        Ok(Layer { query, shown: rows.shown.to_vec(), added: Vec::new(), dropped: Some(dropped) })
    }

    fn before(&self, after: &mut Vec<Ident>) {
        after.extend(self.keys.iter().filter(|key| !after.contains(key)).cloned().collect::<Vec<_>>());
    }

    fn counts(&self) -> bool {
        true
    }

    fn drops_later(&self, watermark: &str) -> bool {
        !self.order_by.first().is_some_and(|first| query::is_latest_first(first, watermark))
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let named = arguments.named(&["keys", "order_by"])?;
    let keys = named.needed_columns("keys")?;
    let order_by = query::nulls_last(&named.needed_text("order_by")?)?;
    Ok(Arc::new(DeduplicateBy { keys, order_by }))
}
