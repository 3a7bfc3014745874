//! Which path a run takes: whether source and target are one database is proved, never inferred from addresses.

use super::Engine;
use super::gather::Path;
use crate::postgres::session::Session;
use crate::session::{ResultSet, nth, unreadable};
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::report::ExecutionPath;
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;

/// A path, with the source's session where rows leave the source's database.
pub struct Route {
    /// The path and its reason.
    pub path: Path,
    /// A session on the source, in a transaction that only reads.
    pub source: Option<Session>,
}

impl Engine {
    /// Decides the path; `target` has a transaction open.
    pub(super) async fn route(&self, pipeline: &Pipeline, target: &Session) -> Result<Route> {
        let (source_name, target_name) = (&pipeline.source.connection, &pipeline.target_connection);
        let forced = match pipeline.force_path {
            Some(ForcePath::Staging) => Some("force_path = \"staging\""),
            Some(ForcePath::ClientDiff) => Some("force_path = \"client_diff\""),
            Some(ForcePath::SameDb) | None => None,
        };
        if source_name == target_name && forced.is_none() {
            return Ok(same(format!("source and target are one connection, {target_name}")));
        }
        let source = self.open(source_name, &format!("source {}", pipeline.name)).await?;
        source.ask_source("begin", &format!("{}{}", source.begin(true), limits(pipeline))).await?;
        if let Some(forced) = forced {
            return Ok(staged(forced.to_owned(), source));
        }
        let same_only = pipeline.force_path == Some(ForcePath::SameDb);
        let key = Uuid::new_v4().as_u128() as i64;
        let reason = if !same_database(&source, target, key).await? {
            format!("source {source_name} is another database")
        } else if let Some(difference) = difference(pipeline, &source, target).await? {
            format!("{source_name} and {target_name} are one database, but {difference}")
        } else {
            source.close().await;
            return Ok(same(format!(
                "source {source_name} and target {target_name} are one database (proved)"
            )));
        };
        if same_only {
            return Err(FlowError::new(
                ErrorCode::PathImpossible,
                format!("the path same_db cannot be taken: {reason}"),
            )
            .hint("remove force_path = \"same_db\": the rows are staged then"));
        }
        Ok(staged(reason, source))
    }
}

fn same(reason: String) -> Route {
    Route { path: Path { path: ExecutionPath::SameDatabase, reason }, source: None }
}

fn staged(reason: String, source: Session) -> Route {
    Route { path: Path { path: ExecutionPath::Staging, reason }, source: Some(source) }
}

/// What bounds the waiting on the source.
fn limits(pipeline: &Pipeline) -> String {
    let limits = &pipeline.limits;
    let mut sql = format!("; SET LOCAL lock_timeout = {}", limits.lock_timeout.milliseconds().max(1));
    // The source's transaction may be idle while the target is busy, and what it holds keeps nobody out.
    sql.push_str("; SET LOCAL idle_in_transaction_session_timeout = 0");
    // A process that was killed is found while its statement runs, where the server's system can tell.
    sql.push_str("; SELECT pg_catalog.set_config('client_connection_check_interval', '2s', true) WHERE pg_catalog.version() ~ 'linux|darwin|bsd'");
    if let Some(limit) = &limits.statement_timeout {
        sql.push_str(&format!("; SET LOCAL statement_timeout = {}", limit.milliseconds()));
    }
    sql
}

/// Proves whether two sessions, each in a transaction, are in one database: the source takes an advisory
/// lock on a random key, the target session tries it; refused means the same database, through sockets, poolers
/// and clones alike.
async fn same_database(source: &Session, target: &Session, key: i64) -> Result<bool> {
    let take = format!("SELECT pg_catalog.pg_advisory_xact_lock({key})");
    source.ask_source("prove which database the source is", &take).await?;
    let attempt = format!("SELECT pg_catalog.pg_try_advisory_xact_lock({key})");
    let doing = "prove which database the target is";
    let taken = nth(&target.ask(doing, &attempt).await?, 0, doing)?.only_truth(doing)?;
    Ok(!taken)
}

/// Why the query could mean something else in the target's session than in the source's, of one database.
async fn difference(pipeline: &Pipeline, source: &Session, target: &Session) -> Result<Option<String>> {
    let own = own_settings(source, target).await?;
    let (of_source, of_target) = (meaning(source, &own).await?, meaning(target, &own).await?);
    for ((name, source_value), (_, target_value)) in of_source.iter().zip(&of_target) {
        if source_value == target_value {
            continue;
        }
        if name != "role" {
            return Ok(Some(format!(
                "their sessions differ in {name} (source: {source_value}; target: {target_value})"
            )));
        }
        if let Some(why) = reads_otherwise(pipeline, target).await? {
            return Ok(Some(format!("the role {target_value} {why}")));
        }
    }
    Ok(None)
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

/// Settings of the users' own, such as `app.tenant`, which no catalogue lists: those that either connection or a role
/// or the database sets.
async fn own_settings(source: &Session, target: &Session) -> Result<Vec<String>> {
    let stored = "SELECT DISTINCT pg_catalog.split_part(c.setting, '=', 1)
  FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(setting)
 WHERE pg_catalog.split_part(c.setting, '=', 1) LIKE '%.%'";
    let answers = source.ask("look for settings of the users' own", stored).await?;
    let mut names: Vec<String> =
        answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.clone()).collect();
    for session in [source, target] {
        names.extend(session.settings.keys().cloned());
        let words = session.options.as_deref().unwrap_or_default().split([' ', '\t']);
        names.extend(words.filter_map(|word| {
            let name = word.split('=').next()?;
            Some(name.trim_start_matches("-c").trim_start_matches("--").to_owned())
        }));
    }
    names.retain(|name| name.contains('.'));
    names.sort();
    names.dedup();
    Ok(names)
}

/// How a session understands a query, in the transaction that is open: its settings and its role.
async fn meaning(session: &Session, own: &[String]) -> Result<Vec<(String, String)>> {
    let names: Vec<&str> = SETTINGS.into_iter().chain(own.iter().map(String::as_str)).collect();
    let values =
        names.iter().map(|name| format!("pg_catalog.current_setting({}, true)", super::run::literal(name)));
    // `"$user"` in search_path is another schema for another role.
    let values = values.chain(["pg_catalog.current_schemas(false)::text".into(), "current_user".into()]);
    let sql = format!("SELECT {}", values.collect::<Vec<_>>().join(", "));
    let doing = "compare the sessions";
    let answers = session.ask(doing, &sql).await?;
    let row = nth(&answers, 0, doing)?.only_row(names.len() + 2, doing)?.to_vec();
    let names = names.into_iter().chain(["the schemas of search_path", "role"]);
    // A setting that nobody has set is NULL.
    Ok(names.zip(row).map(|(name, value)| (name.to_owned(), value.unwrap_or_default())).collect())
}

const EXPLAINED: &str = "look at what the query reads";

/// Whether the target's role reads the source's rows otherwise than the source's own role, and why.
async fn reads_otherwise(pipeline: &Pipeline, target: &Session) -> Result<Option<String>> {
    let explain = format!(
        "SAVEPOINT ematix_role; EXPLAIN (VERBOSE, COSTS off, FORMAT json) SELECT * FROM (\n{}\n) AS q",
        pipeline.source.query.text()
    );
    let explained = target.run(&explain).await;
    // The locks that planning took go with it.
    target.ask("end the question", "ROLLBACK TO ematix_role; RELEASE ematix_role").await?;
    let plan = match explained {
        Ok(answers) => nth(&answers, 1, EXPLAINED)?.only_value(EXPLAINED)?.to_owned(),
        Err(error) => {
            let message = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            return Ok(Some(format!("may not read the source ({message})")));
        }
    };
    let plan: Value = serde_json::from_str(&plan)
        .map_err(|error| unreadable(EXPLAINED, &format!("a plan that is no JSON: {error}")))?;
    let mut found = Words::default();
    found.collect(&plan);
    let literal = super::run::literal;
    if !found.relations.is_empty() {
        let rows: Vec<String> = found
            .relations
            .iter()
            .map(|(schema, name)| format!("({}, {})", literal(schema), literal(name)))
            .collect();
        let question = format!(
            "SELECT pg_catalog.string_agg(r.name, ', ') FROM (VALUES {}) AS r(schema, name)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = r.schema
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.name
 WHERE c.relrowsecurity",
            rows.join(", ")
        );
        let answers = target.ask("look for row-level security", &question).await?;
        if let Some(names) = answers.first().and_then(ResultSet::value) {
            return Ok(Some(format!("may see other rows of {names} (row-level security)")));
        }
    }
    if let Some(word) = found.asks_who {
        return Ok(Some(format!("is not the source's, and the query asks who reads ({word})")));
    }
    if !found.calls.is_empty() {
        let names: Vec<String> = found.calls.iter().map(|name| literal(name)).collect();
        // What is not immutable may ask who calls it, and its body is not in the plan.
        let question = format!(
            "SELECT pg_catalog.min(p.oid::pg_catalog.regproc::text) FROM pg_catalog.pg_proc AS p
 WHERE p.proname IN ({}) AND p.provolatile <> 'i' AND NOT p.prosecdef
   AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace",
            names.join(", ")
        );
        let answers = target.ask("look at the query's functions", &question).await?;
        if let Some(name) = answers.first().and_then(ResultSet::value) {
            return Ok(Some(format!("is not the source's, and {name} may ask who calls it")));
        }
    }
    Ok(None)
}

/// What a plan names.
#[derive(Default)]
struct Words {
    relations: Vec<(String, String)>,
    calls: BTreeSet<String>,
    asks_who: Option<String>,
}

impl Words {
    fn collect(&mut self, plan: &Value) {
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
