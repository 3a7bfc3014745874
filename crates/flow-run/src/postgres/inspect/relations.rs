//! Which tables and views a database has, and what those of some names are.

use crate::session::{ResultSet, unreadable};
use ematix_flow_core::declare::for_each::Relation;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::{LiveRelation, RelationKind};
use ematix_flow_core::history;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Literal, QualifiedName, Sql, text};
use serde::Deserialize;

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

/// What each of some names stands for, and to whom it is given; its owner needs no grant.
pub(super) fn kinds_question(names: &[QualifiedName]) -> String {
    let rows = names.iter().zip(0..).map(|(name, index)| {
        sql!(
            "({index}, {schema}, {name})",
            index = Literal::Integer(index),
            schema = text(name.schema.as_str()),
            name = text(name.name.as_str())
        )
    });
    sql!(
        "SELECT pg_catalog.json_agg(CASE WHEN c.oid IS NOT NULL THEN pg_catalog.json_build_object(
         'kind', c.relkind,
         'grants', (SELECT pg_catalog.json_agg(pg_catalog.format('GRANT %s ON %I.%I TO %s%s', a.privilege_type, q.schema, q.name,
                             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
                             CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
                      FROM pg_catalog.aclexplode(c.relacl) AS a
                     WHERE a.grantee <> c.relowner)) END ORDER BY q.n)
  FROM (VALUES {rows}) AS q(n, schema, name)
  LEFT JOIN pg_catalog.pg_namespace AS s ON s.nspname = q.schema
  LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = q.name
                                    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        rows = Sql::join(rows, ", ")
    )
    .to_text(&Postgres)
}

/// Two transactions that make one relation would fail on the catalogue's unique index: they pass one at a time.
pub(super) fn hold(name: &QualifiedName) -> String {
    sql!(
        "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({lock}, 0))",
        lock = text(format!("ematix-flow relation {name}"))
    )
    .to_text(&Postgres)
}

/// A relation as the catalogue tells it.
#[derive(Deserialize)]
pub(super) struct KindJson {
    kind: char,
    grants: Option<Vec<String>>,
}

pub(super) fn read_kinds(found: Vec<Option<KindJson>>) -> Vec<Option<LiveRelation>> {
    let relation = |found: KindJson| LiveRelation {
        kind: match found.kind {
            'v' => RelationKind::View,
            'm' => RelationKind::MaterializedView,
            _ => RelationKind::Table,
        },
        grants: found.grants.unwrap_or_default(),
    };
    found.into_iter().map(|found| found.map(relation)).collect()
}
