//! Why no session came about: a code of its own for each way to fail, and no secret in any.

use super::error::root_cause;
use super::parameters::{Host, Parameters};
use super::tls_error::tls_error;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError};
use std::time::Duration;

/// The error of an attempt.
pub(super) fn connect_error(
    error: &tokio_postgres::Error,
    target: &ConnectionTarget,
    host: &Host,
    parameters: &Parameters,
) -> FlowError {
    if let Some(db) = error.as_db_error() {
        return refused_by_the_server(db, target);
    }
    let cause = root_cause(error);
    let text = error.to_string();
    let timed_out = find_io(error).is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
        || text.contains("timed out");
    if timed_out {
        return not_in_time(target, None);
    }
    if text.contains("authentication")
        || text.contains("password missing")
        || cause.contains("password missing")
    {
        return FlowError::new(ErrorCode::AuthenticationFailed, format!("{target}: {cause}"))
            .hint("set password, best as \"${env:NAME}\" or \"${file:PATH}\"");
    }
    if let Some(error) = tls_error(error, target, host, parameters) {
        return error;
    }
    FlowError::new(ErrorCode::ConnectFailed, format!("{target} cannot be reached: {}", cause.to_lowercase()))
        .hint("check host and port, and that the server is running")
}

/// A server, or the way to it, that keeps silent.
pub(super) fn not_in_time(target: &ConnectionTarget, limit: Option<Duration>) -> FlowError {
    let within = limit.map_or("in time".to_owned(), |limit| format!("within {} s", limit.as_secs_f64()));
    FlowError::new(ErrorCode::ConnectTimeout, format!("{target} did not answer {within}"))
        .hint("check host, port and firewall; connect_timeout sets the limit in seconds")
}

/// A host without an address.
pub(super) fn not_resolved(target: &ConnectionTarget, name: &str, error: &std::io::Error) -> FlowError {
    let words = error.to_string().to_lowercase();
    let words = words.rsplit(": ").next().unwrap_or_default();
    FlowError::new(ErrorCode::ConnectFailed, format!("{target}: no address was found for `{name}`: {words}"))
        .hint(
            "check host, and the name servers in /etc/resolv.conf; hostaddr = \"10.0.0.1\" does without them",
        )
}

fn refused_by_the_server(db: &tokio_postgres::error::DbError, target: &ConnectionTarget) -> FlowError {
    let state = db.code().code();
    let (code, hint) = match state {
        "28P01" | "28000" => (ErrorCode::AuthenticationFailed, "check user and password of the connection"),
        "3D000" => (ErrorCode::UnknownDatabase, "check dbname, or create the database"),
        "53300" => (
            ErrorCode::ConnectFailed,
            "the server has no connection left: try again, or raise max_connections",
        ),
        "57P03" => (ErrorCode::ConnectFailed, "the server is starting up or shutting down: try again"),
        _ => (ErrorCode::ConnectFailed, "the server refused the connection"),
    };
    FlowError::new(code, format!("{target}: {}", db.message())).sqlstate(state).hint(hint)
}

fn find_io<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a std::io::Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        cause = current.source();
    }
    None
}
