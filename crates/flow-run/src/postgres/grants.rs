//! From a refused privilege to the statements that grant it, as an owner can run them.

use super::row_security;
use super::session::PostgresSession;
use crate::session::ResultSet;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::history::grants::{TO_THE_ROLE, on_tables};
use ematix_flow_core::sql::{Literal, Quote};

/// Completes a `permission_denied` with the statements that mend it; `query` tells relations of one name
/// apart. Ends the transaction that is open.
pub(super) async fn complete(error: FlowError, session: &PostgresSession, query: &str) -> FlowError {
    match error.code {
        ErrorCode::PermissionDenied => {}
        ErrorCode::HiddenRows => return row_security::complete(error, session).await,
        _ => return error,
    }
    let missing = if error.hint.is_none() { grant_question(&error.message, query) } else { None };
    // The transaction has failed, and answers nothing any more.
    let sql = format!(
        "ROLLBACK;\nSELECT pg_catalog.quote_ident(current_user);\n{}",
        missing.unwrap_or_else(|| "SELECT NULL".to_owned())
    );
    let Ok(answers) = session.run(&sql).await else { return error };
    let value = |index: usize| answers.get(index).and_then(ResultSet::value);
    let Some(role) = value(1) else { return error };
    match (&error.hint, value(2)) {
        (Some(hint), _) => {
            let hint = hint.replace(TO_THE_ROLE, &format!(" TO {role}"));
            error.hint(hint)
        }
        (None, Some(grant)) => error.hint(format!("its owner grants it: {grant} TO {role}")),
        (None, None) => error,
    }
}

/// Asks for the GRANT that mends a `permission denied for <kind> <name>`, without the role.
fn grant_question(message: &str, query: &str) -> Option<String> {
    let rest = message.strip_prefix("permission denied for ")?;
    let literal = |text: &str| Postgres.literal(&Literal::Text(text.to_owned()));
    let named = |kind: &str| rest.strip_prefix(kind).and_then(|name| name.strip_prefix(' ')).map(literal);
    if let Some(name) = named("schema") {
        return Some(format!("SELECT 'GRANT USAGE ON SCHEMA ' || pg_catalog.quote_ident({name})"));
    }
    if let Some(name) = named("database") {
        return Some(format!("SELECT 'GRANT CREATE ON DATABASE ' || pg_catalog.quote_ident({name})"));
    }
    if let Some(name) = named("function").or_else(|| named("aggregate")) {
        // Of several of one name the one that may not be called, in a schema that the query names.
        return Some(format!(
            "SELECT 'GRANT EXECUTE ON ROUTINE ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname)
       || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'
  FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE p.proname = {name} AND NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
 ORDER BY pg_catalog.strpos({query}, n.nspname) > 0 DESC, pg_catalog.pg_function_is_visible(p.oid) DESC, n.nspname
 LIMIT 1",
            query = literal(query)
        ));
    }
    let kinds = ["table", "view", "materialized view", "foreign table", "sequence"];
    let name = kinds.iter().find_map(|kind| named(kind))?;
    // The message has the name alone: it is the relation that may not be used, in a schema that the query names.
    Some(format!(
        "SELECT CASE WHEN n.nspname = '{SCHEMA}' THEN '{tables}'
            WHEN c.relkind = 'S' THEN 'GRANT USAGE ON SEQUENCE ' || q.relation
            ELSE 'GRANT SELECT ON ' || q.relation END
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)) AS q(relation)
 WHERE c.relname = {name}
   AND CASE WHEN c.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege(c.oid, 'USAGE')
            WHEN n.nspname = '{SCHEMA}' THEN true
            ELSE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') END
 ORDER BY pg_catalog.strpos({query}, n.nspname) > 0 DESC, pg_catalog.pg_table_is_visible(c.oid) DESC, n.nspname
 LIMIT 1",
        tables = on_tables(),
        query = literal(query)
    ))
}
