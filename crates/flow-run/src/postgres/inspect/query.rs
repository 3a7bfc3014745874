//! What the catalogue says of a query: its columns, the table that it reads, and who may still write there.

use super::NOW;
use super::types::{TypeJson, type_json};
use super::{one_each, table};
use crate::postgres::error::statement_error;
use crate::postgres::row_security;
use crate::postgres::session::PostgresSession;
use crate::session::{Session, SourceRead, nth, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Cap, SourceColumn};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use futures_util::try_join;
use serde::Deserialize;

/// What a query reads, and how far late commits are covered.
pub(super) async fn source(session: &PostgresSession, query: &ReadQuery, capped: bool) -> Result<SourceRead> {
    let mut questions = Vec::new();
    if capped {
        questions.extend([CAP.to_owned(), format!("SELECT {NOW}")]);
    }
    let asked_of_relation = query.simple().map(|simple| {
        questions.push(table::relation_question(&simple.relation));
        questions.len() - 1
    });
    let asked_of_setters = (!row_security::is_accepted(&session.settings)).then(|| {
        questions.push(row_security::setters_question());
        questions.len() - 1
    });
    let doing = "look at the source";
    let questions = questions.join(";\n");
    let asked = async {
        match questions.is_empty() {
            true => Ok(Vec::new()),
            false => session.ask(Blame::Source, doing, &questions).await,
        }
    };
    let (answers, columns) = try_join!(asked, columns(session, query.text()))?;
    let relation = match asked_of_relation {
        None => None,
        Some(index) => {
            let found = nth(&answers, index, doing)?;
            let found = (!found.rows.is_empty()).then(|| found.only_value(doing)).transpose()?;
            found.map(table::read_relation).transpose()?
        }
    };
    let cap = match capped {
        true => {
            let said = nth(&answers, 0, doing)?.only_value(doing)?;
            let json: CapJson = serde_json::from_str(said)
                .map_err(|error| unreadable(doing, &format!("a cap that is no JSON: {error}")))?;
            match (json.cap, json.why) {
                (Some(cap), None) => Cap::At(cap),
                (_, why) => Cap::Unknown(why.unwrap_or_else(|| "no transaction could be seen".to_owned())),
            }
        }
        false => Cap::Unknown("it was not asked".to_owned()),
    };
    let clock = match capped {
        true => Some(nth(&answers, 1, doing)?.only_value(doing)?.to_owned()),
        false => None,
    };
    if let Some(index) = asked_of_setters {
        row_security::refuse_setters(session, nth(&answers, index, doing)?, query.text()).await?;
    }
    Ok(SourceRead { columns, relation, cap, clock })
}

/// The columns of a query, without executing it: one row of NULLs has them all.
pub(super) async fn columns(session: &PostgresSession, query: &str) -> Result<Vec<SourceColumn>> {
    let probe = format!("SELECT q.* FROM (SELECT 1) AS one LEFT JOIN (\n{query}\n) AS q ON FALSE");
    let doing = "describe the query";
    let row = session.typed_row(doing, &probe, |error| statement_error(error, Blame::Source, doing)).await?;
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
    // Of a thousand columns most have one of a few types, each of which is looked up once.
    let question = format!(
        "WITH q AS MATERIALIZED (
       SELECT v.n, COALESCE(d.oid, v.oid) AS oid, CASE WHEN d.oid IS NULL THEN v.modifier ELSE -1 END AS modifier,
              COALESCE(a.attcollation, 0::pg_catalog.oid) AS collation, v.origin, v.attnum
         FROM (VALUES {values}) AS v(n, oid, modifier, origin, attnum)
         LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = v.origin AND a.attnum = v.attnum
         LEFT JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid AND d.typtype = 'd'),
     types AS MATERIALIZED (
       SELECT k.*, {type_json} AS json FROM (SELECT DISTINCT q.oid, q.modifier, q.collation FROM q) AS k)
SELECT pg_catalog.json_agg(pg_catalog.json_build_object('type', types.json, 'stamped',
    EXISTS (SELECT FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = q.origin AND d.adnum = q.attnum
               AND pg_catalog.lower(pg_catalog.pg_get_expr(d.adbin, d.adrelid)) ~ '(now\\(\\)|current_timestamp|clock_timestamp\\(\\)|transaction_timestamp\\(\\)|statement_timestamp\\(\\))')
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = q.origin AND NOT g.tgisinternal AND g.tgtype & 2 = 2 AND g.tgtype & 1 = 1)) ORDER BY q.n)
  FROM q JOIN types ON types.oid = q.oid AND types.modifier = q.modifier AND types.collation = q.collation",
        // The description of a row says the type under a domain: the column it comes from has the domain.
        type_json = type_json("k.oid", "k.modifier", "k.collation"),
        values = values.join(", "),
    );
    #[derive(Deserialize)]
    struct SourceJson {
        #[serde(rename = "type")]
        data_type: TypeJson,
        stamped: bool,
    }
    let answers = session.ask(Blame::Target, "read the types of the query's columns", &question).await?;
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

/// A statement of its own before the one that reads: read after the snapshot, it loses rows. It counts
/// its own transaction, which supplies the present. When a prepared transaction began is not told: while
/// there is one, nothing is passed over.
const CAP: &str = "SELECT pg_catalog.json_build_object(
  'cap', CASE
    WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = pg_catalog.current_database())
      THEN '-infinity'
    ELSE (SELECT (pg_catalog.to_json((pg_catalog.min(a.xact_start) - interval '1 second') AT TIME ZONE 'UTC') #>> '{}') || 'Z'
            FROM pg_catalog.pg_stat_activity AS a
           WHERE a.datid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
             AND a.backend_type IS DISTINCT FROM 'autovacuum worker')
  END,
  'why', CASE
    WHEN NOT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN 'the role may not see other sessions (grant pg_read_all_stats)'
    WHEN pg_catalog.pg_is_in_recovery() THEN 'a standby does not see the transactions of its primary'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
                  WHERE a.backend_type LIKE 'logical replication%worker'
                    AND a.datid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()))
      THEN 'the source is fed by logical replication'
  END)";

#[derive(Deserialize)]
struct CapJson {
    cap: Option<String>,
    why: Option<String>,
}
