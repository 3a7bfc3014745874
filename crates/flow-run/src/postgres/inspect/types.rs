//! What the catalogue says of types.

use super::{one_each, text};
use crate::postgres::error::statement_error;
use crate::postgres::session::PostgresSession;
use crate::session::{Beneath, Session};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::hash::{self, Normal};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::TypeFacts;
use ematix_flow_core::types::Wire;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The facts of a type as JSON; `oid`, `modifier` and `collation` are SQL expressions. OFFSET 0 has a type looked up by
/// its index: of how many rows a recursion has, the planner knows nothing, and would read all types for each column.
pub(super) fn type_json(oid: &str, modifier: &str, collation: &str) -> String {
    format!(
        "(WITH RECURSIVE base(oid) AS (
            SELECT {oid}::pg_catalog.oid
            UNION ALL
            SELECT d.typbasetype FROM base AS b CROSS JOIN LATERAL
              (SELECT t.typbasetype FROM pg_catalog.pg_type AS t WHERE t.oid = b.oid AND t.typtype = 'd' OFFSET 0) AS d)
          SELECT pg_catalog.json_build_object(
                   'name', pg_catalog.format_type({oid}, {modifier}),
                   'oid', t.oid::bigint, 'kind', t.typtype,
                   'element', CASE WHEN t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc THEN e.oid::bigint END,
                   'wire', CASE WHEN t.oid < 10000 THEN pg_catalog.format_type(t.oid, -1)
                     ELSE (SELECT pg_catalog.quote_ident(s.nspname) FROM pg_catalog.pg_namespace AS s WHERE s.oid = t.typnamespace)
                          || '.' || pg_catalog.quote_ident(t.typname) END,
                   'sendable', t.typsend <> 0::pg_catalog.oid AND COALESCE(e.typsend <> 0::pg_catalog.oid, true),
                   'deterministic', COALESCE((SELECT c.collisdeterministic FROM pg_catalog.pg_collation AS c WHERE c.oid = {collation}), true))
            FROM base AS b CROSS JOIN LATERAL
              (SELECT t.* FROM pg_catalog.pg_type AS t WHERE t.oid = b.oid AND t.typtype <> 'd' OFFSET 0) AS t
            LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc)"
    )
}

#[derive(Deserialize)]
pub(super) struct TypeJson {
    name: String,
    oid: u32,
    kind: char,
    element: Option<u32>,
    sendable: bool,
    deterministic: bool,
    wire: String,
}

impl From<TypeJson> for TypeFacts {
    fn from(json: TypeJson) -> TypeFacts {
        let facts = hash::TypeFacts {
            oid: json.oid,
            kind: json.kind,
            element: json.element,
            sendable: json.sendable,
        };
        let wire = Wire { name: json.wire, oid: facts.stable_oid() };
        TypeFacts {
            name: json.name,
            normal: Normal::for_type(&facts),
            deterministic: json.deterministic,
            wire,
        }
    }
}

/// What the server makes of declared types that only it knows.
pub(super) async fn native(
    session: &PostgresSession,
    names: &[String],
) -> Result<BTreeMap<String, TypeFacts>> {
    let mut found = BTreeMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    // A row is described by the type under a domain: pg_typeof names the domain itself.
    let list: Vec<String> = names
        .iter()
        .map(|name| format!("NULL::{name}, pg_catalog.pg_typeof(NULL::{name})::pg_catalog.oid"))
        .collect();
    let doing = "look up declared types";
    let failed = |error: &tokio_postgres::Error| {
        let unknown =
            error.as_db_error().filter(|db| matches!(db.code().code(), "42704" | "42601" | "3F000"));
        match unknown {
            Some(db) => FlowError::new(ErrorCode::UnknownType, db.message().to_owned())
                .sqlstate(db.code().code())
                .hint("check the type's name, and whether its extension is installed"),
            None => statement_error(error, Blame::Target, doing),
        }
    };
    let row = session.typed_row(doing, &format!("SELECT {}", list.join(", ")), failed).await?;
    let values: Vec<String> = row
        .columns()
        .iter()
        .step_by(2)
        .enumerate()
        .map(|(index, column)| {
            let oid: u32 = row.get(2 * index + 1);
            let modifier = if oid == column.type_().oid() { column.type_modifier() } else { -1 };
            format!("({index}, {oid}::pg_catalog.oid, {modifier})")
        })
        .collect();
    let question = format!(
        "SELECT pg_catalog.json_agg({type_json} ORDER BY q.n) FROM (VALUES {values}) AS q(n, oid, modifier)",
        type_json = type_json(
            "q.oid",
            "q.modifier",
            "(SELECT t.typcollation FROM pg_catalog.pg_type AS t WHERE t.oid = q.oid)"
        ),
        values = values.join(", "),
    );
    let answers = session.ask(Blame::Target, "look up declared types", &question).await?;
    let json: Vec<TypeJson> = one_each(&answers, names.len(), "look up declared types")?;
    for (name, json) in names.iter().zip(json) {
        found.insert(name.clone(), json.into());
    }
    Ok(found)
}

/// What types are under their names: the type of a domain with what the domain says of it, the labels of an enum.
pub(super) async fn beneath(session: &PostgresSession, names: &[String]) -> Result<Vec<Beneath>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let values: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(index, name)| format!("({index}, {}::pg_catalog.regtype::pg_catalog.oid)", text(name)))
        .collect();
    let question = format!(
        "SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
         'name', pg_catalog.format_type(b.oid, b.modifier),
         'labels', (SELECT COALESCE(pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]')
                      FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = b.oid)) ORDER BY q.n)
  FROM (VALUES {values}) AS q(n, oid)
 CROSS JOIN LATERAL (
         WITH RECURSIVE down(oid, modifier) AS (
           SELECT q.oid, -1
           UNION ALL
           SELECT t.typbasetype, t.typtypmod FROM down AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.oid AND t.typtype = 'd')
         SELECT d.oid, d.modifier FROM down AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.oid AND t.typtype <> 'd') AS b",
        values = values.join(", ")
    );
    #[derive(Deserialize)]
    struct BeneathJson {
        name: String,
        labels: Vec<String>,
    }
    let doing = "look up what types are made of";
    let answers = session.ask(Blame::Target, doing, &question).await?;
    let found: Vec<BeneathJson> = one_each(&answers, names.len(), doing)?;
    Ok(found.into_iter().map(|json| Beneath { name: json.name, labels: json.labels }).collect())
}
