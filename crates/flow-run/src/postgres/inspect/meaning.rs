//! Whether two sessions are in one database, and whether both mean the same by a query.

use super::text;
use crate::postgres::error::statement_error;
use crate::postgres::parameters::settings_in;
use crate::postgres::session::PostgresSession;
use crate::session::{ResultSet, Session, nth, unreadable};
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::plan::Blame;
use futures_util::join;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio_postgres::types::{FromSql, Type};

/// The mark is an advisory lock on a random key, which another session of the same database is refused: through
/// sockets, poolers and clones alike.
pub(super) async fn mark_database(session: &PostgresSession, key: i64) -> Result<()> {
    let take = format!("SELECT pg_catalog.pg_advisory_xact_lock({key})");
    session.ask(Blame::Source, "prove which database the source is", &take).await.map(|_| ())
}

/// Whether another session of the database has the mark.
pub(super) async fn is_marked(session: &PostgresSession, key: i64) -> Result<bool> {
    let attempt = format!("SELECT pg_catalog.pg_try_advisory_xact_lock({key})");
    let doing = "prove which database the target is";
    let taken = nth(&session.ask(Blame::Target, doing, &attempt).await?, 0, doing)?.only_truth(doing)?;
    Ok(!taken)
}

/// What the server itself lets a query's meaning or the text of its values depend on.
const SETTINGS: [&str; 17] = [
    "search_path",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "row_security",
    "extra_float_digits",
    "bytea_output",
    "default_text_search_config",
    "standard_conforming_strings",
    "backslash_quote",
    "transform_null_equals",
    "array_nulls",
    "xmlbinary",
    "xmloption",
    "lc_monetary",
    "lc_numeric",
    "timezone_abbreviations",
];

/// Settings of the users' own, such as `app.tenant`, which no catalogue lists: those that a role or the database sets.
pub(super) async fn settings_of_database(session: &PostgresSession) -> Result<Vec<String>> {
    let stored = "SELECT DISTINCT pg_catalog.split_part(c.setting, '=', 1)
  FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(setting)
 WHERE pg_catalog.split_part(c.setting, '=', 1) LIKE '%.%'";
    let answers = session.ask(Blame::Target, "look for settings of the users' own", stored).await?;
    Ok(answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.clone()).collect())
}

/// Those that the connection sets.
pub(super) fn settings_of_connection(session: &PostgresSession) -> Vec<String> {
    let of_words = settings_in(session.options.as_deref().unwrap_or_default()).map(str::to_owned);
    let mut names: Vec<String> = session.settings.keys().cloned().chain(of_words).collect();
    names.retain(|name| name.contains('.'));
    names
}

/// How a session understands a query, in the transaction that is open: its settings and its role.
pub(super) async fn meaning(session: &PostgresSession, own: &[String]) -> Result<Vec<(String, String)>> {
    let names: Vec<&str> = SETTINGS.into_iter().chain(own.iter().map(String::as_str)).collect();
    let values = names.iter().map(|name| format!("pg_catalog.current_setting({}, true)", text(name)));
    // `"$user"` in search_path is another schema for another role.
    let values = values.chain(["pg_catalog.current_schemas(false)::text".into(), "current_user".into()]);
    let sql = format!("SELECT {}", values.collect::<Vec<_>>().join(", "));
    let doing = "compare the sessions";
    let answers = session.ask(Blame::Target, doing, &sql).await?;
    let row = nth(&answers, 0, doing)?.only_row(names.len() + 2, doing)?.to_vec();
    let names = names.into_iter().chain(["the schemas of search_path", "role"]);
    // A setting that nobody has set is NULL.
    Ok(names.zip(row).map(|(name, value)| (name.to_owned(), value.unwrap_or_default())).collect())
}

pub(super) const EXPLAINED: &str = "look at what the query reads";

/// The plan of a query. Of a text that is prepared the server takes one statement alone, however it reads its strings.
async fn explained(session: &PostgresSession, query: &str) -> Result<Value> {
    explained_as(session, &format!("SELECT * FROM (\n{query}\n) AS q")).await
}

/// The plan of a statement.
pub(super) async fn explained_as(session: &PostgresSession, statement: &str) -> Result<Value> {
    let explain = format!("EXPLAIN (VERBOSE, COSTS off, FORMAT json) {statement}");
    let failed = |error: &tokio_postgres::Error| statement_error(error, Blame::Source, EXPLAINED);
    let row = session.typed_row(EXPLAINED, &explain, failed).await?;
    let unread = |error: String| unreadable(EXPLAINED, &format!("a plan that is no JSON: {error}"));
    let plan: Json = row.try_get(0).map_err(|error| unread(error.to_string()))?;
    serde_json::from_str(plan.0).map_err(|error| unread(error.to_string()))
}

/// The same in a transaction that goes on whatever comes of it: the plan, or why there is none.
async fn explained_aside(
    session: &PostgresSession,
    query: &str,
) -> Result<std::result::Result<Value, FlowError>> {
    // The locks that planning took go with it.
    let end = "ROLLBACK TO ematix_question; RELEASE ematix_question";
    // The server answers in order, so nothing is waited for in between.
    let (begun, plan, ended) = join!(
        session.ask(Blame::Target, "begin the question", "SAVEPOINT ematix_question"),
        explained(session, query),
        session.ask(Blame::Target, "end the question", end)
    );
    begun?;
    ended?;
    Ok(plan)
}

/// JSON as the server sends it.
struct Json<'a>(&'a str);

impl<'a> FromSql<'a> for Json<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Json(std::str::from_utf8(raw)?))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSON
    }
}

/// Whether the target's role reads the source's rows otherwise than the source's own role, and why.
pub(super) async fn reads_otherwise(session: &PostgresSession, query: &str) -> Result<Option<String>> {
    let plan = match explained_aside(session, query).await? {
        Ok(plan) => plan,
        Err(error) => return Ok(Some(format!("may not read the source ({})", error.message))),
    };
    let mut found = Words::default();
    found.collect(&plan);
    if !found.relations.is_empty() {
        let rows: Vec<String> = found
            .relations
            .iter()
            .map(|(schema, name)| format!("({}, {})", text(schema), text(name)))
            .collect();
        let question = format!(
            "SELECT pg_catalog.string_agg(r.name, ', ') FROM (VALUES {}) AS r(schema, name)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = r.schema
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.name
 WHERE c.relrowsecurity",
            rows.join(", ")
        );
        let answers = session.ask(Blame::Target, "look for row-level security", &question).await?;
        if let Some(names) = answers.first().and_then(ResultSet::value) {
            return Ok(Some(format!("may see other rows of {names} (row-level security)")));
        }
    }
    if let Some(word) = found.asks_who {
        return Ok(Some(format!("is not the source's, and the query asks who reads ({word})")));
    }
    if !found.calls.is_empty() {
        let names: Vec<String> = found.calls.iter().map(|name| text(name)).collect();
        // What is not immutable may ask who calls it, and its body is not in the plan.
        let question = format!(
            "SELECT pg_catalog.min(p.oid::pg_catalog.regproc::text) FROM pg_catalog.pg_proc AS p
 WHERE p.proname IN ({}) AND p.provolatile <> 'i' AND NOT p.prosecdef
   AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace",
            names.join(", ")
        );
        let answers = session.ask(Blame::Target, "look at the query's functions", &question).await?;
        if let Some(name) = answers.first().and_then(ResultSet::value) {
            return Ok(Some(format!("is not the source's, and {name} may ask who calls it")));
        }
    }
    Ok(None)
}

/// The server's own functions that a transaction that only reads refuses.
const WRITERS: [&str; 10] = [
    "nextval",
    "setval",
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_import",
    "lo_put",
    "lo_truncate",
    "lo_unlink",
    "lowrite",
];

/// A function that a query calls, in it or in a view, and that may write: one that is not volatile may not, which the
/// server sees to. What a query calls whose plan cannot be made, the query's own error tells.
pub(super) async fn calls_that_write(session: &PostgresSession, query: &str) -> Result<Option<String>> {
    let Ok(plan) = explained_aside(session, query).await? else { return Ok(None) };
    let mut found = Words::default();
    found.collect(&plan);
    if found.calls.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = found.calls.iter().map(|name| text(name)).collect();
    let writers: Vec<String> = WRITERS.iter().map(|name| text(name)).collect();
    let question = format!(
        "SELECT pg_catalog.min(p.oid::pg_catalog.regproc::text) FROM pg_catalog.pg_proc AS p
 WHERE p.proname IN ({}) AND p.provolatile = 'v' AND p.prokind = 'f'
   AND (p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace OR p.proname IN ({}))",
        names.join(", "),
        writers.join(", ")
    );
    let answers = session.ask(Blame::Target, "look at the query's functions", &question).await?;
    Ok(answers.first().and_then(ResultSet::value).map(str::to_owned))
}

/// The tables that a query reads, as far as the role may lock them.
pub(super) async fn tables_of(session: &PostgresSession, query: &str) -> Result<Vec<String>> {
    let plan = explained(session, query).await?;
    let mut found = Words::default();
    found.collect(&plan);
    if found.relations.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<String> =
        found.relations.iter().map(|(schema, name)| format!("({}, {})", text(schema), text(name))).collect();
    let question = format!(
        "SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM (VALUES {}) AS r(schema, name)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = r.schema
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.name
 WHERE c.relkind IN ('r', 'p') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') ORDER BY 1",
        rows.join(", ")
    );
    let answers = session.ask(Blame::Source, EXPLAINED, &question).await?;
    Ok(answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.clone()).collect())
}

/// What a plan names.
#[derive(Default)]
pub(super) struct Words {
    relations: Vec<(String, String)>,
    pub(super) calls: BTreeSet<String>,
    asks_who: Option<String>,
}

impl Words {
    pub(super) fn collect(&mut self, plan: &Value) {
        match plan {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(fields) => {
                if let (Some(Value::String(schema)), Some(Value::String(name))) =
                    (fields.get("Schema"), fields.get("Relation Name"))
                {
                    self.relations.push((schema.clone(), name.clone()));
                }
                fields.values().for_each(|value| self.collect(value));
            }
            Value::String(expression) => self.read(expression),
            _ => {}
        }
    }

    /// Takes the words outside of string literals from an expression.
    fn read(&mut self, expression: &str) {
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '\'' => 1 + rest[1..].find('\'').map_or(rest.len() - 1, |end| end + 1),
                '"' => 1 + rest[1..].find('"').map_or(rest.len() - 1, |end| end + 1),
                _ if first.is_alphabetic() || first == '_' => {
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len())
                }
                _ => first.len_utf8(),
            };
            let (word, after) = rest.split_at(length);
            rest = after;
            let called = after.starts_with('(');
            let is_role = matches!(word, "CURRENT_USER" | "SESSION_USER" | "CURRENT_ROLE" | "USER");
            let of_privileges = word == "pg_has_role"
                || word == "row_security_active"
                || (word.starts_with("has_") && word.ends_with("_privilege"));
            if is_role || (called && of_privileges) {
                self.asks_who = Some(word.to_lowercase());
            } else if called && (first.is_alphabetic() || matches!(first, '_' | '"')) {
                self.calls.insert(word.trim_matches('"').to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Words;
    use serde_json::json;

    fn words(expression: &str) -> (Option<String>, Vec<String>) {
        let mut words = Words::default();
        words.collect(&json!([{"Plan": {"Filter": expression}}]));
        (words.asks_who, words.calls.into_iter().collect())
    }

    #[test]
    fn an_expression_that_asks_who_reads() {
        for (expression, word) in [
            ("(c.owner = CURRENT_USER)", "current_user"),
            ("((c.owner)::name = SESSION_USER)", "session_user"),
            ("pg_has_role(c.owner, 'MEMBER'::text)", "pg_has_role"),
            ("has_table_privilege(c.oid, 'SELECT'::text)", "has_table_privilege"),
        ] {
            assert_eq!(words(expression).0.as_deref(), Some(word), "{expression}");
        }
    }

    #[test]
    fn words_in_literals_and_names_ask_nothing() {
        assert_eq!(
            words("((c.kind = 'CURRENT_USER'::text) AND (\"USER\" = 'it''s USER'::text))"),
            (None, vec![])
        );
        assert_eq!(words("app.mine(\"My Function\"(c.a), 'no(1)'::text)").1, ["My Function", "mine"]);
    }
}
