//! The role that a connection says its sessions take: tried when a session is opened, so that whoever may not is told
//! before anything else is looked at.

use super::error::statement_error;
use super::parameters::settings_in;
use super::session::PostgresSession;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::{Ident, Quote};
use tokio_postgres::error::DbError;

/// Lets a session take the role of its connection in every transaction, if it may.
///
/// # Errors
/// `authentication_failed`.
pub(super) async fn take(session: PostgresSession, target: &ConnectionTarget) -> Result<PostgresSession> {
    let Some(role) = &target.role else { return Ok(session) };
    let session = session.as_role(Some(role.clone()));
    match session.run("SELECT").await {
        Ok(_) => Ok(session),
        Err(error) => match error.as_db_error() {
            Some(db) => Err(refused(db, target, role)),
            None => Err(statement_error(&error, Blame::Target, "take the role")),
        },
    }
}

/// Whether the server speaks of a role that was asked for by the words with which a session starts, and not of another
/// setting among them.
pub(super) fn is_of_role(db: &DbError, options: &str) -> bool {
    let asked: Vec<String> = settings_in(options).map(str::to_lowercase).collect();
    // The server's messages may be in any language; the names of its functions and of its settings are not.
    let message = db.message().to_lowercase();
    let of_another = asked.iter().any(|name| name != "role" && message.contains(name.as_str()));
    db.routine().is_some_and(|routine| {
        routine.starts_with("check_role") || routine.starts_with("call_string_check_hook")
    }) && matches!(db.code().code(), "42501" | "22023")
        && asked.iter().any(|name| name == "role")
        && !of_another
}

/// Why a role was not taken, and what lets it be.
pub(super) fn refused(db: &DbError, target: &ConnectionTarget, role: &Ident) -> FlowError {
    let state = db.code().code();
    let user = target.parameter("user").unwrap_or_default();
    let grant = format!("GRANT {} TO {}", Postgres.quote(role), Postgres.quote_or_show(user));
    let error = FlowError::new(
        ErrorCode::AuthenticationFailed,
        format!("{target}: the role {} cannot be taken: {}", Postgres.quote(role), db.message()),
    )
    .sqlstate(state)
    .context("role", role.as_str());
    match state {
        "42501" => error.hint(format!("whoever administers the role lets the user take it: {grant}")),
        _ => error.hint(format!(
            "check `role` of the connection; where it is not there yet: CREATE ROLE {}; {grant}",
            Postgres.quote(role)
        )),
    }
}
