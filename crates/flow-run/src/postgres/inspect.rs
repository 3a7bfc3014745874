//! What the catalogue says of tables, columns, types and privileges. Every question is one statement
//! whose answer is one JSON value, so that several travel in one round trip. Names of the catalogue
//! are qualified: a search_path cannot put others in their place.

use super::error::{Side, statement_error};
use super::session::Session;
use crate::session::{ResultSet, nth, unreadable};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{MissingPrivilege, Relation, SourceColumn};
use ematix_flow_core::hash::{self, Normal};
use ematix_flow_core::schema::{LiveColumn, LiveIndex, LiveTable, TypeFacts};
use ematix_flow_core::sql::{Literal, QualifiedName, Quote};
use ematix_flow_core::types::Wire;
use serde::Deserialize;
use std::collections::BTreeMap;

fn text(value: &str) -> String {
    Postgres.literal(&Literal::Text(value.to_owned()))
}

/// The facts of a type as JSON; `oid`, `modifier` and `collation` are SQL expressions.
fn type_json(oid: &str, modifier: &str, collation: &str) -> String {
    format!(
        "(WITH RECURSIVE base(oid) AS (
            SELECT {oid}::pg_catalog.oid
            UNION ALL
            SELECT t.typbasetype FROM base AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.oid WHERE t.typtype = 'd')
          SELECT pg_catalog.json_build_object(
                   'name', pg_catalog.format_type({oid}, {modifier}),
                   'oid', t.oid::bigint, 'kind', t.typtype,
                   'element', CASE WHEN t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc THEN e.oid::bigint END,
                   'wire', CASE WHEN t.oid < 10000 THEN pg_catalog.format_type(t.oid, -1)
                     ELSE (SELECT pg_catalog.quote_ident(s.nspname) FROM pg_catalog.pg_namespace AS s WHERE s.oid = t.typnamespace)
                          || '.' || pg_catalog.quote_ident(t.typname) END,
                   'sendable', t.typsend <> 0::pg_catalog.oid AND COALESCE(e.typsend <> 0::pg_catalog.oid, true),
                   'deterministic', COALESCE((SELECT c.collisdeterministic FROM pg_catalog.pg_collation AS c WHERE c.oid = {collation}), true))
            FROM base AS b
            JOIN pg_catalog.pg_type AS t ON t.oid = b.oid AND t.typtype <> 'd'
            LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc)"
    )
}

#[derive(Deserialize)]
struct TypeJson {
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

const INDEXES: &str = "(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
        'name', i.relname, 'unique', x.indisunique, 'primary', x.indisprimary,
        'usable', x.indisvalid AND x.indimmediate AND x.indexprs IS NULL,
        'estimated_rows', CASE WHEN i.reltuples >= 0 THEN i.reltuples END,
        'predicate', pg_catalog.pg_get_expr(x.indpred, x.indrelid),
        'columns', (SELECT COALESCE(pg_catalog.json_agg(a.attname ORDER BY k.n), '[]'::json)
                      FROM pg_catalog.unnest(x.indkey::smallint[]) WITH ORDINALITY AS k(attnum, n)
                      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
                     WHERE k.n <= x.indnkeyatts),
        'correlation', (SELECT s.correlation FROM pg_catalog.pg_stats AS s
                          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                         WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname LIMIT 1)
      )), '[]'::json)
   FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid)";

#[derive(Deserialize)]
struct IndexJson {
    name: String,
    unique: bool,
    primary: bool,
    usable: bool,
    predicate: Option<String>,
    columns: Vec<String>,
    correlation: Option<f64>,
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
            correlation: json.correlation,
            estimated_rows: json.estimated_rows,
        }
    }
}

/// Asks for a table of that name; answered by [`read_table`].
pub fn table_question(name: &QualifiedName) -> String {
    let column_type = type_json("a.atttypid", "a.atttypmod", "a.attcollation");
    format!(
        "SELECT pg_catalog.json_build_object(
  'schema_exists', EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {schema}),
  'table', (SELECT pg_catalog.json_build_object(
      'kind', c.relkind, 'spread', c.relhassubclass, 'estimated_rows', c.reltuples,
      'columns', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', a.attname, 'type', {column_type}, 'nullable', NOT a.attnotnull,
                    'default', CASE WHEN a.attidentity = 'd' THEN pg_catalog.format('nextval(%L::regclass)',
                        pg_catalog.pg_get_serial_sequence(pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname))
                      WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
                    'generated', a.attgenerated <> '' OR a.attidentity = 'a') ORDER BY a.attnum), '[]'::json)
                    FROM pg_catalog.pg_attribute AS a
                    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'indexes', {INDEXES},
      'checks', (SELECT COALESCE(pg_catalog.json_agg(k.conname), '[]'::json) FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'c'))
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema} AND c.relname = {table} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')))",
        schema = text(name.schema.as_str()),
        table = text(name.name.as_str()),
    )
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
}

#[derive(Deserialize)]
struct ColumnJson {
    name: String,
    #[serde(rename = "type")]
    data_type: TypeJson,
    nullable: bool,
    default: Option<String>,
    generated: bool,
}

/// Reads the answer to [`table_question`]: whether the schema exists, and the table.
pub fn read_table(answer: &str) -> Result<(bool, Option<LiveTable>)> {
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
            })
            .collect(),
        indexes: table.indexes.into_iter().map(LiveIndex::from).collect(),
        checks: table.checks,
        ours: false,
        estimated_rows: table.estimated_rows,
    });
    Ok((json.schema_exists, table))
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T> {
    serde_json::from_str(answer).map_err(|error| {
        FlowError::new(ErrorCode::TargetFailed, format!("the catalogue's answer cannot be read: {error}"))
    })
}

/// Asks for the plain table that a simple query reads whole; answered by [`read_relation`].
pub fn relation_question(quoted: Option<&str>) -> String {
    format!(
        "SELECT pg_catalog.json_build_object(
  'sql', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
  'estimated_rows', c.reltuples,
  'not_null', (SELECT COALESCE(pg_catalog.json_agg(a.attname), '[]'::json) FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped),
  'indexes', {INDEXES})
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass({name})
   AND (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relhassubclass)",
        name = quoted.map_or_else(|| "NULL".to_owned(), text),
    )
}

#[derive(Deserialize)]
struct RelationJson {
    sql: String,
    estimated_rows: f64,
    not_null: Vec<String>,
    indexes: Vec<IndexJson>,
}

/// Reads the answer to [`relation_question`].
pub fn read_relation(answer: &str) -> Result<Relation> {
    let json: RelationJson = parse(answer)?;
    let full = |index: &&IndexJson| {
        index.unique && index.usable && index.predicate.is_none() && !index.columns.is_empty()
    };
    let not_null = |index: &&IndexJson| index.columns.iter().all(|column| json.not_null.contains(column));
    let correlation: BTreeMap<String, f64> = json
        .indexes
        .iter()
        .filter_map(|index| Some((index.columns.first()?.clone(), index.correlation?)))
        .collect();
    Ok(Relation {
        unique: json
            .indexes
            .iter()
            .filter(full)
            .filter(not_null)
            .map(|index| index.columns.clone())
            .collect(),
        primary_key: json
            .indexes
            .iter()
            .find(|index| index.primary)
            .map(|index| index.columns.clone())
            .unwrap_or_default(),
        not_null: json.not_null,
        sql: json.sql,
        estimated_rows: json.estimated_rows,
        correlation,
    })
}

/// The columns of a query, without executing it: one row of NULLs has them all.
pub async fn describe_query(session: &Session, query: &str) -> Result<Vec<SourceColumn>> {
    let probe = format!("SELECT q.* FROM (SELECT 1) AS one LEFT JOIN (\n{query}\n) AS q ON FALSE");
    let rows = session
        .client()
        .query_typed(&probe, &[])
        .await
        .map_err(|error| statement_error(&error, Side::Source, "describe the query"))?;
    let [row] = rows.as_slice() else {
        return Err(unreadable(
            "describe the query",
            &format!("{} rows where one was asked for", rows.len()),
        ));
    };
    let columns = row.columns();
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name() == column.name()) {
            return Err(FlowError::new(
                ErrorCode::DuplicateName,
                format!("the query has two columns called `{}`", column.name()),
            )
            .hint("give one of them another name: AS …"));
        }
    }
    let values: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            format!(
                "({index}, {}::pg_catalog.oid, {}, {}::pg_catalog.oid, {})",
                column.type_().oid(),
                column.type_modifier(),
                column.table_oid().unwrap_or(0),
                column.column_id().unwrap_or(0)
            )
        })
        .collect();
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let collation = "(SELECT a.attcollation FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = q.origin AND a.attnum = q.attnum)";
    let question = format!(
        "SELECT pg_catalog.json_agg(pg_catalog.json_build_object('type', {type_json}, 'stamped',
    EXISTS (SELECT FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = q.origin AND d.adnum = q.attnum
               AND pg_catalog.lower(pg_catalog.pg_get_expr(d.adbin, d.adrelid)) ~ '(now\\(\\)|current_timestamp|clock_timestamp\\(\\)|transaction_timestamp\\(\\)|statement_timestamp\\(\\))')
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = q.origin AND NOT g.tgisinternal AND g.tgtype & 2 = 2 AND g.tgtype & 1 = 1)) ORDER BY q.n)
  FROM (SELECT v.n, COALESCE(d.oid, v.oid) AS oid, CASE WHEN d.oid IS NULL THEN v.modifier ELSE -1 END AS modifier, v.origin, v.attnum
          FROM (VALUES {values}) AS v(n, oid, modifier, origin, attnum)
          LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = v.origin AND a.attnum = v.attnum
          LEFT JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid AND d.typtype = 'd') AS q",
        // The description of a row says the type under a domain: the column it comes from has the domain.
        type_json = type_json("q.oid", "q.modifier", collation),
        values = values.join(", "),
    );
    #[derive(Deserialize)]
    struct SourceJson {
        #[serde(rename = "type")]
        data_type: TypeJson,
        stamped: bool,
    }
    let answers = session.ask("read the types of the query's columns", &question).await?;
    let json: Vec<SourceJson> = one_each(&answers, columns.len(), "read the types of the query's columns")?;
    Ok(columns
        .iter()
        .zip(json)
        .map(|(column, json)| SourceColumn {
            name: column.name().to_owned(),
            data_type: json.data_type.into(),
            stamped: json.stamped,
            inferred: None,
        })
        .collect())
}

/// What the server makes of declared types that only it knows.
pub async fn native_types(session: &Session, names: &[String]) -> Result<BTreeMap<String, TypeFacts>> {
    let mut found = BTreeMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    // A row is described by the type under a domain: pg_typeof names the domain itself.
    let list: Vec<String> = names
        .iter()
        .map(|name| format!("NULL::{name}, pg_catalog.pg_typeof(NULL::{name})::pg_catalog.oid"))
        .collect();
    let rows =
        session.client().query_typed(&format!("SELECT {}", list.join(", ")), &[]).await.map_err(|error| {
            let unknown =
                error.as_db_error().filter(|db| matches!(db.code().code(), "42704" | "42601" | "3F000"));
            match unknown {
                Some(db) => FlowError::new(ErrorCode::UnknownType, db.message().to_owned())
                    .sqlstate(db.code().code())
                    .hint("check the type's name, and whether its extension is installed"),
                None => statement_error(&error, Side::Target, "look up declared types"),
            }
        })?;
    let [row] = rows.as_slice() else {
        return Err(unreadable(
            "look up declared types",
            &format!("{} rows where one was asked for", rows.len()),
        ));
    };
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
    let answers = session.ask("look up declared types", &question).await?;
    let json: Vec<TypeJson> = one_each(&answers, names.len(), "look up declared types")?;
    for (name, json) in names.iter().zip(json) {
        found.insert(name.clone(), json.into());
    }
    Ok(found)
}

/// A privilege to ask for.
#[derive(Clone, Debug)]
pub enum Privilege {
    /// On the database.
    CreateSchema,
    /// On a schema.
    Schema(&'static str, String),
    /// On a table.
    Table(&'static str, QualifiedName),
}

/// Asks which privileges are missing; answered by [`read_missing_privileges`].
pub fn privileges_question(privileges: &[Privilege]) -> String {
    let quoted =
        |name: &QualifiedName| format!("{}.{}", Postgres.quote(&name.schema), Postgres.quote(&name.name));
    let rows: Vec<String> = privileges
        .iter()
        .map(|privilege| match privilege {
            Privilege::CreateSchema => "(pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), \
                 'CREATE on database ' || pg_catalog.current_database(), \
                 'GRANT CREATE ON DATABASE ' || pg_catalog.quote_ident(pg_catalog.current_database()))"
                .to_owned(),
            Privilege::Schema(word, schema) => {
                let name = text(schema);
                format!(
                    "(COALESCE((SELECT pg_catalog.has_schema_privilege(n.oid, '{word}') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {name}), true), \
                     '{word} on schema ' || {name}, 'GRANT {word} ON SCHEMA ' || pg_catalog.quote_ident({name}))"
                )
            }
            Privilege::Table(word, table) => {
                let name = text(&quoted(table));
                let any_column = if matches!(*word, "INSERT" | "UPDATE" | "SELECT") {
                    format!(" OR pg_catalog.has_any_column_privilege({name}, '{word}')")
                } else {
                    String::new()
                };
                format!(
                    "(pg_catalog.has_table_privilege({name}, '{word}'){any_column}, '{word} on table {shown}', 'GRANT {word} ON ' || {name})",
                    shown = table.to_string().replace('\'', "''"),
                )
            }
        })
        .collect();
    format!(
        "SELECT p.what, p.fix || ' TO ' || pg_catalog.quote_ident(current_user) FROM (VALUES {}) AS p(has, what, fix) WHERE NOT p.has",
        rows.join(", ")
    )
}

/// Reads the answer to [`privileges_question`].
///
/// # Errors
/// `target_failed` for an answer of another form: a privilege that nobody could ask for is not there.
pub fn read_missing_privileges(answer: &ResultSet) -> Result<Vec<MissingPrivilege>> {
    let doing = "look up privileges";
    if answer.columns.len() != 2 {
        return Err(unreadable(doing, &format!("{} columns where 2 were asked for", answer.columns.len())));
    }
    let read = |row: &Vec<Option<String>>| match row.as_slice() {
        [Some(what), Some(grant)] => Ok(MissingPrivilege { what: what.clone(), grant: grant.clone() }),
        _ => Err(unreadable(doing, "a privilege without a name")),
    };
    answer.rows.iter().map(read).collect()
}

/// A JSON array with an item for each of what was asked.
fn one_each<T: serde::de::DeserializeOwned>(
    answers: &[ResultSet],
    asked: usize,
    doing: &str,
) -> Result<Vec<T>> {
    let items: Vec<T> = parse(nth(answers, 0, doing)?.only_value(doing)?)?;
    match items.len() == asked {
        true => Ok(items),
        false => Err(unreadable(doing, &format!("{} items where {asked} were asked for", items.len()))),
    }
}
