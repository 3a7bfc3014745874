//! Which path a run takes: whether source and target are one database is proved, never inferred from addresses.

use super::Engine;
use super::gather::Path;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Pipeline;
use crate::postgres::session::{ResultSet, Session};
use crate::report::ExecutionPath;
use crate::spec::options::ForcePath;
use serde_json::Value;
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
    let tried = target.ask("prove which database the target is", &attempt).await?;
    Ok(tried.iter().any(|set| set.value() == Some("f")))
}

/// Why the query could mean something else in the target's session than in the source's, of one database.
async fn difference(pipeline: &Pipeline, source: &Session, target: &Session) -> Result<Option<String>> {
    let (of_source, of_target) = (meaning(source).await?, meaning(target).await?);
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

/// How a session understands a query, in the transaction that is open: its settings and its role.
async fn meaning(session: &Session) -> Result<Vec<(String, String)>> {
    let sql = "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('TimeZone'), pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('row_security'), current_user";
    let answers = session.ask("compare the sessions", sql).await?;
    let row = answers.iter().rev().find_map(|set| set.rows.first().cloned()).unwrap_or_default();
    let names = ["search_path", "timezone", "datestyle", "intervalstyle", "row_security", "role"];
    Ok(names.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.unwrap_or_default())).collect())
}

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
        Ok(answers) => answers.last().and_then(ResultSet::value).unwrap_or_default().to_owned(),
        Err(error) => {
            let message = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            return Ok(Some(format!("may not read the source ({message})")));
        }
    };
    let mut relations = Vec::new();
    collect(&serde_json::from_str(&plan).unwrap_or(Value::Null), &mut relations);
    if relations.is_empty() {
        return Ok(None);
    }
    let literal = super::run::literal;
    let rows: Vec<String> =
        relations.iter().map(|(schema, name)| format!("({}, {})", literal(schema), literal(name))).collect();
    let question = format!(
        "SELECT pg_catalog.string_agg(r.name, ', ') FROM (VALUES {}) AS r(schema, name)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = r.schema
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.name
 WHERE c.relrowsecurity",
        rows.join(", ")
    );
    let answers = target.ask("look for row-level security", &question).await?;
    let secured = answers.first().and_then(ResultSet::value);
    Ok(secured.map(|names| format!("may see other rows of {names} (row-level security)")))
}

/// The relations that a plan names.
fn collect(plan: &Value, relations: &mut Vec<(String, String)>) {
    match plan {
        Value::Array(items) => items.iter().for_each(|item| collect(item, relations)),
        Value::Object(fields) => {
            if let (Some(Value::String(schema)), Some(Value::String(name))) =
                (fields.get("Schema"), fields.get("Relation Name"))
            {
                relations.push((schema.clone(), name.clone()));
            }
            fields.values().for_each(|value| collect(value, relations));
        }
        _ => {}
    }
}
