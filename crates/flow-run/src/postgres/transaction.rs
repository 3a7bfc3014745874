//! How a transaction begins: its isolation, what bounds it, and the lock by which runs exclude each other.

use super::row_security;
use crate::session::{Access, Limits, ResultSet};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::sql::{Ident, Literal, Quote};
use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Statements with a role, and which answer is the one of taking it.
pub(super) struct WithRole {
    /// The statements.
    pub sql: String,
    /// Its place among the answers, where it was added.
    pub answer: Option<usize>,
}

/// The statements in a role that lasts as long as their transaction: of several in one text, as long as they run. In a
/// transaction that has it already nothing changes.
pub(super) fn with_role(sql: &str, role: &Ident) -> WithRole {
    let take = format!("SET LOCAL ROLE {};\n", Postgres.quote(role));
    // A transaction that has failed takes nothing but its end.
    if let Some(rest) = sql.strip_prefix("ROLLBACK;\n") {
        return WithRole { sql: format!("ROLLBACK;\n{take}{rest}"), answer: Some(1) };
    }
    match sql.starts_with("ROLLBACK") || sql.starts_with("COMMIT") {
        true => WithRole { sql: sql.to_owned(), answer: None },
        false => WithRole { sql: format!("{take}{sql}"), answer: Some(0) },
    }
}

/// Begins a transaction with settings that hold in it alone.
pub(super) fn begin(access: Access, settings: &IndexMap<String, String>, bounds: Option<&Limits>) -> String {
    let access = match access {
        Access::ReadOnly => "READ ONLY",
        Access::ReadWrite => "READ WRITE",
    };
    with_settings(format!("BEGIN ISOLATION LEVEL READ COMMITTED {access}"), settings, bounds)
}

/// Begins a transaction whose statements see one instant. It is younger than the locks on these tables: a reader that
/// waited for a TRUNCATE with an older one would see nothing of what came after it.
pub(super) fn begin_snapshot(
    tables: &[String],
    settings: &IndexMap<String, String>,
    bounds: &Limits,
) -> String {
    let mut sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = {}",
        bounds.lock.as_millis().max(1)
    );
    if !tables.is_empty() {
        sql.push_str(&format!("; LOCK TABLE ONLY {} IN ACCESS SHARE MODE", tables.join(", ONLY ")));
    }
    with_settings(sql, settings, Some(bounds))
}

/// Begins a transaction whose statements see one instant: its own, or that of a snapshot which another has exported.
/// <https://www.postgresql.org/docs/18/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION>
pub(super) fn begin_shared(
    snapshot: Option<&str>,
    settings: &IndexMap<String, String>,
    bounds: Option<&Limits>,
) -> String {
    let mut sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned();
    if let Some(snapshot) = snapshot {
        let snapshot = Postgres.literal(&Literal::Text(snapshot.to_owned()));
        // Before any query: the settings are set by some.
        sql.push_str(&format!("; SET TRANSACTION SNAPSHOT {snapshot}"));
    }
    with_settings(sql, settings, bounds)
}

fn with_settings(begin: String, settings: &IndexMap<String, String>, bounds: Option<&Limits>) -> String {
    // What the catalogue says of types is compared with how we write them.
    let mut sql = format!("{begin}; SET LOCAL quote_all_identifiers = off");
    if !row_security::is_accepted(settings) {
        sql.push_str("; SET LOCAL row_security = off");
    }
    for (name, value) in settings {
        let name = Postgres.literal(&Literal::Text(name.clone()));
        let value = Postgres.literal(&Literal::Text(value.clone()));
        sql.push_str(&format!("; SELECT pg_catalog.set_config({name}, {value}, true)"));
    }
    // Where a string of the query ends must be where we have read that it does.
    sql.push_str("; SET LOCAL standard_conforming_strings = on");
    if let Some(bounds) = bounds {
        sql.push_str(&limits(bounds));
    }
    sql
}

/// What bounds a transaction that has begun.
pub(super) fn limits(limits: &Limits) -> String {
    let mut sql = format!(
        "; SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
        limits.lock.as_millis().max(1),
        limits.idle.as_millis()
    );
    // A process that was killed is found while its statement runs, where the server's system can tell.
    sql.push_str(
        "; SELECT pg_catalog.set_config('client_connection_check_interval', '2s', true) WHERE pg_catalog.version() ~ 'linux|darwin|bsd'",
    );
    if let Some(limit) = &limits.statement {
        sql.push_str(&format!("; SET LOCAL statement_timeout = {}", limit.as_millis()));
    }
    sql
}

/// What a connection pins and what bounds statements that are in no transaction.
pub(super) fn outside(settings: &IndexMap<String, String>, limits: &Limits) -> String {
    let mut sql = format!("SET lock_timeout = {}", limits.lock.as_millis().max(1));
    if let Some(limit) = &limits.statement {
        sql.push_str(&format!("; SET statement_timeout = {}", limit.as_millis()));
    }
    if !row_security::is_accepted(settings) {
        sql.push_str("; SET row_security = off");
    }
    for (name, value) in settings {
        let name = Postgres.literal(&Literal::Text(name.clone()));
        let value = Postgres.literal(&Literal::Text(value.clone()));
        sql.push_str(&format!("; SELECT pg_catalog.set_config({name}, {value}, false)"));
    }
    sql
}

/// Tries the locks of targets.
pub(super) fn try_locks(targets: &[String]) -> String {
    // All runs take them in one order: none waits for another that waits for it.
    let mut keys: Vec<i64> = targets.iter().map(|target| lock_key(target)).collect();
    keys.sort_unstable();
    keys.iter().map(|key| format!("; SELECT pg_catalog.pg_try_advisory_xact_lock({key})")).collect()
}

/// How many locks were taken.
pub(super) fn locks_taken(answers: &[ResultSet]) -> usize {
    let taken = |set: &&ResultSet| {
        set.columns.first().is_some_and(|name| name == "pg_try_advisory_xact_lock")
            && set.value() == Some("t")
    };
    answers.iter().filter(taken).count()
}

/// Waits for the lock of a target.
pub(super) fn wait_for_lock(target: &str, limit: Duration) -> String {
    format!(
        "; SET LOCAL lock_timeout = {}; SELECT pg_catalog.pg_advisory_xact_lock({})",
        limit.as_millis().max(1),
        lock_key(target)
    )
}

/// The advisory lock of a target.
fn lock_key(target: &str) -> i64 {
    let digest = Sha256::digest(format!("ematix-flow target {target}").as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}
