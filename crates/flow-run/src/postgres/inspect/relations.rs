//! Which tables and views a database has.

use crate::session::{ResultSet, unreadable};
use ematix_flow_core::declare::for_each::Relation;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::Result;
use ematix_flow_core::history;
use ematix_flow_core::sql;
use ematix_flow_core::sql::text;

/// A partition is part of its table; names that begin with `pg_` are the system's, temporary tables among them.
pub(super) fn question() -> String {
    sql!(
        "SELECT n.nspname, c.relname, c.relkind IN ('r', 'p') AND NOT c.relispartition
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT pg_catalog.starts_with(n.nspname::text, 'pg_')
   AND n.nspname NOT IN ('information_schema', {own})
 ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"",
        own = text(history::SCHEMA)
    )
    .to_text(&Postgres)
}

pub(super) fn read(answer: &ResultSet, doing: &str) -> Result<Vec<Relation>> {
    let relation = |row: &Vec<Option<String>>| match row.as_slice() {
        [Some(schema), Some(name), Some(by_glob)] => Ok(Relation {
            schema: schema.clone(),
            name: name.clone(),
            by_glob: matches!(by_glob.as_str(), "t" | "true"),
        }),
        _ => Err(unreadable(doing, "a table without schema or name")),
    };
    answer.rows.iter().map(relation).collect()
}
