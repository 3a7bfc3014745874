//! What the catalogue says of tables: of a target, and of the one that a simple query reads.

use super::types::{TypeJson, type_json};
use super::{parse, text};
use crate::postgres::session::PostgresSession;
use crate::session::{Session, nth};
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::{Comments, Relation};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::{LiveColumn, LiveIndex, LiveTable};
use ematix_flow_core::sql::QualifiedName;
use serde::Deserialize;
use std::collections::BTreeMap;

const INDEXES: &str = "(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
        'name', i.relname, 'unique', x.indisunique, 'primary', x.indisprimary,
        'usable', x.indisvalid AND x.indimmediate AND x.indexprs IS NULL,
        'estimated_rows', CASE WHEN i.reltuples >= 0 THEN i.reltuples END,
        'predicate', pg_catalog.pg_get_expr(x.indpred, x.indrelid),
        'columns', (SELECT COALESCE(pg_catalog.json_agg(a.attname ORDER BY k.n), '[]'::json)
                      FROM pg_catalog.unnest(x.indkey::smallint[]) WITH ORDINALITY AS k(attnum, n)
                      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
                     WHERE k.n <= x.indnkeyatts)
      )), '[]'::json)
   FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid)";

/// Triggers of its partitions and children fire too. `tgtype`: 4 INSERT, 8 DELETE, 16 UPDATE (catalog/pg_trigger.h).
const TRIGGERS: &str = "(WITH RECURSIVE tables (oid) AS (
          SELECT c.oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tables AS t ON t.oid = i.inhparent)
        SELECT COALESCE(pg_catalog.json_agg(DISTINCT f.name), '[]'::json)
          FROM (SELECT g.tgname FROM pg_catalog.pg_trigger AS g JOIN tables AS t ON t.oid = g.tgrelid
                 WHERE NOT g.tgisinternal AND g.tgtype & 28 <> 0 AND g.tgenabled IN ('O', 'A')
                UNION ALL
                SELECT r.rulename FROM pg_catalog.pg_rewrite AS r JOIN tables AS t ON t.oid = r.ev_class
                 WHERE r.ev_type <> '1' AND r.ev_enabled IN ('O', 'A')) AS f(name))";

#[derive(Deserialize)]
struct IndexJson {
    name: String,
    unique: bool,
    primary: bool,
    usable: bool,
    predicate: Option<String>,
    columns: Vec<String>,
    estimated_rows: Option<f64>,
}

impl From<IndexJson> for LiveIndex {
    fn from(json: IndexJson) -> LiveIndex {
        LiveIndex {
            name: json.name,
            unique: json.unique,
            primary: json.primary,
            usable: json.usable,
            columns: json.columns,
            predicate: json.predicate,
            estimated_rows: json.estimated_rows,
        }
    }
}

/// Asks for a table of that name; answered by [`read`].
pub(super) fn question(name: &QualifiedName) -> String {
    let column_type = type_json("a.atttypid", "a.atttypmod", "a.attcollation");
    format!(
        "SELECT pg_catalog.json_build_object(
  'schema_exists', EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {schema}),
  'table', (SELECT pg_catalog.json_build_object(
      'kind', c.relkind, 'spread', c.relhassubclass, 'estimated_rows', c.reltuples,
      'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
      'columns', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', a.attname, 'type', {column_type}, 'nullable', NOT a.attnotnull,
                    'default', CASE WHEN a.attidentity = 'd' THEN pg_catalog.format('nextval(%L::regclass)',
                        pg_catalog.pg_get_serial_sequence(pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname))
                      WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
                    'comment', pg_catalog.col_description(a.attrelid, a.attnum),
                    'generated', a.attgenerated <> '' OR a.attidentity = 'a') ORDER BY a.attnum), '[]'::json)
                    FROM pg_catalog.pg_attribute AS a
                    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'indexes', {INDEXES},
      'triggers', {TRIGGERS},
      'checks', (SELECT COALESCE(pg_catalog.json_agg(k.conname), '[]'::json) FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'c'))
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema} AND c.relname = {table} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')))",
        schema = text(name.schema.as_str()),
        table = text(name.name.as_str()),
    )
}

/// How many tables are asked for at once: an answer is a few kilobytes each.
const AT_ONCE: usize = 100;

/// The tables of those names. The statements of one question are one transaction, with a search path that has nobody's
/// types in it: `format_type` names the schema of each.
pub(super) async fn described(
    session: &PostgresSession,
    names: &[QualifiedName],
) -> Result<Vec<Option<LiveTable>>> {
    let doing = "describe the tables";
    let mut found = Vec::new();
    for names in names.chunks(AT_ONCE) {
        let path = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)".to_owned();
        let statements: Vec<String> = std::iter::once(path).chain(names.iter().map(question)).collect();
        let answers = session.ask(Blame::Source, doing, &statements.join(";\n")).await?;
        for index in 1..=names.len() {
            found.push(read(nth(&answers, index, doing)?.only_value(doing)?)?.1);
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct TargetJson {
    schema_exists: bool,
    table: Option<TableJson>,
}

#[derive(Deserialize)]
struct TableJson {
    kind: char,
    spread: bool,
    estimated_rows: f64,
    columns: Vec<ColumnJson>,
    indexes: Vec<IndexJson>,
    checks: Vec<String>,
    triggers: Vec<String>,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct ColumnJson {
    name: String,
    #[serde(rename = "type")]
    data_type: TypeJson,
    nullable: bool,
    default: Option<String>,
    generated: bool,
    comment: Option<String>,
}

/// Reads the answer to [`question`]: whether the schema exists, and the table.
pub(super) fn read(answer: &str) -> Result<(bool, Option<LiveTable>)> {
    let json: TargetJson = parse(answer)?;
    let table = json.table.map(|table| LiveTable {
        kind: table.kind,
        spread: table.spread,
        columns: table
            .columns
            .into_iter()
            .map(|column| LiveColumn {
                name: column.name,
                data_type: column.data_type.into(),
                nullable: column.nullable,
                default: column.default,
                generated: column.generated,
                comment: column.comment,
            })
            .collect(),
        indexes: table.indexes.into_iter().map(LiveIndex::from).collect(),
        checks: table.checks,
        triggers: table.triggers,
        ours: false,
        comment: table.comment,
        estimated_rows: table.estimated_rows,
    });
    Ok((json.schema_exists, table))
}

/// Asks for the plain table that a simple query reads whole; answered by [`read_relation`].
pub(super) fn relation_question(quoted: &str) -> String {
    format!(
        "SELECT pg_catalog.json_build_object(
  'sql', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
  'estimated_rows', c.reltuples,
  'pages', CASE c.relkind WHEN 'r' THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint END,
  'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
  'column_comments', (SELECT COALESCE(pg_catalog.json_object_agg(a.attname, d.description), '{{}}'::json)
                        FROM pg_catalog.pg_attribute AS a
                        JOIN pg_catalog.pg_description AS d
                          ON d.objoid = a.attrelid AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid = a.attnum
                       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'not_null', (SELECT COALESCE(pg_catalog.json_agg(a.attname), '[]'::json) FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped),
  'indexes', {INDEXES})
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass({name})
   AND (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relhassubclass)",
        name = text(quoted),
    )
}

/// Asks how far the order of tables follows the columns that lead their indexes; answered by an object each. A question
/// of its own: to plan a reading of `pg_stats` costs a new session as much as everything else that is asked of a table.
pub(super) fn correlations_question(tables: &[String]) -> String {
    let each: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(index, name)| format!("({index}, pg_catalog.to_regclass({}))", text(name)))
        .collect();
    format!(
        "SELECT pg_catalog.json_agg(COALESCE((
    SELECT pg_catalog.json_object_agg(s.attname, s.correlation)
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname
     WHERE c.oid = q.oid AND s.correlation IS NOT NULL AND s.inherited = (c.relkind = 'p')
       AND EXISTS (SELECT FROM pg_catalog.pg_index AS x
                     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                    WHERE x.indrelid = c.oid AND a.attname = s.attname)), '{{}}'::json) ORDER BY q.n)
  FROM (VALUES {}) AS q(n, oid)",
        each.join(", ")
    )
}

#[derive(Deserialize)]
struct RelationJson {
    sql: String,
    estimated_rows: f64,
    pages: Option<u64>,
    not_null: Vec<String>,
    indexes: Vec<IndexJson>,
    comment: Option<String>,
    column_comments: BTreeMap<String, String>,
}

/// Reads the answer to [`relation_question`].
pub(super) fn read_relation(answer: &str) -> Result<Relation> {
    let json: RelationJson = parse(answer)?;
    let indexes: Vec<LiveIndex> = json.indexes.into_iter().map(LiveIndex::from).collect();
    let comments = Comments { table: json.comment, columns: json.column_comments };
    Ok(Relation {
        comments,
        pages: json.pages,
        ..Relation::of(json.sql, json.not_null, &indexes, json.estimated_rows)
    })
}
