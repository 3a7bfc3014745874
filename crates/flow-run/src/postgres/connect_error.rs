//! Why no session came about: a code of its own for each way to fail, and no secret in any.

use super::asked::NotAllowed;
use super::error::{is_of_setting, root_cause};
use super::parameters::{Host, Parameters};
use super::role;
use super::tls_error::tls_error;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::libpq::AuthMethod;
use std::io;
use std::time::Duration;

/// The error of a way that could not be opened.
pub(super) fn not_reached(error: &io::Error, target: &ConnectionTarget) -> FlowError {
    if error.kind() == io::ErrorKind::TimedOut {
        return not_in_time(target, None);
    }
    let cause = error.to_string().to_lowercase();
    FlowError::new(ErrorCode::ConnectFailed, format!("{target} cannot be reached: {cause}"))
        .hint("check host and port, and that the server is running")
}

/// A server that belongs to somebody else than it must.
pub(super) fn other_server(target: &ConnectionTarget, other: &str) -> FlowError {
    let words = format!("{target}: the server belongs to {other}, and requirepeer names somebody else");
    FlowError::new(ErrorCode::AuthenticationFailed, words)
        .hint("set requirepeer to the user who runs the server, if you know who that is")
}

/// A server that `target_session_attrs` does not want.
pub(super) fn unfit(target: &ConnectionTarget, host: &Host, what: &str) -> FlowError {
    let words = format!("{target}: {what}, and target_session_attrs wants another");
    FlowError::new(ErrorCode::ConnectFailed, words)
        .detail(format!("it is {}:{}", host.name, host.port))
        .hint("name the other servers in host too, or leave target_session_attrs out")
}

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
    if let (Some(NotAllowed(method)), Some((required, _))) = (not_allowed(error), &parameters.require_auth) {
        let how = match method {
            AuthMethod::None => "the server does not ask who you are".to_owned(),
            method => format!("the server asks by {}", method.name()),
        };
        let words = format!("{target}: {how}, and require_auth=`{required}` does not allow that");
        return FlowError::new(ErrorCode::AuthenticationFailed, words)
            .hint("have the server ask otherwise (pg_hba.conf), or let require_auth allow it");
    }
    let cause = root_cause(error);
    let text = error.to_string();
    let timed_out =
        find_io(error).is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) || text.contains("timed out");
    if timed_out {
        return not_in_time(target, None);
    }
    if cause.contains("channel binding") {
        return FlowError::new(
            ErrorCode::AuthenticationFailed,
            format!("{target}: the login is not bound to the server's certificate, and channel_binding is \"require\""),
        )
        .hint("it needs an encrypted connection and a SCRAM password (scram-sha-256 in pg_hba.conf)");
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
pub(super) fn not_resolved(target: &ConnectionTarget, name: &str, error: &io::Error) -> FlowError {
    let words = error.to_string().to_lowercase();
    let words = words.rsplit(": ").next().unwrap_or_default();
    FlowError::new(ErrorCode::ConnectFailed, format!("{target}: no address was found for `{name}`: {words}"))
        .hint(
            "check host, and the name servers in /etc/resolv.conf; hostaddr = \"10.0.0.1\" does without them",
        )
}

fn refused_by_the_server(db: &tokio_postgres::error::DbError, target: &ConnectionTarget) -> FlowError {
    let state = db.code().code();
    let options = target.parameter("options").unwrap_or_default();
    let (code, hint) = match state {
        "28000" if db.message().contains("client certificate") => {
            (ErrorCode::AuthenticationFailed, "set sslcert and sslkey to your certificate and its key")
        }
        _ if role::is_of_role(db, options) => (
            ErrorCode::AuthenticationFailed,
            "check the role that the connection takes, and whether its user was granted it",
        ),
        _ if is_of_setting(state) && !options.is_empty() => {
            (ErrorCode::InvalidValue, "mend the setting in `options` of the connection, or in PGOPTIONS")
        }
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

/// It is held by the `io::Error` of a read, which is what the driver gives as the source of its own.
fn not_allowed<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a NotAllowed> {
    find_io(error)?.get_ref()?.downcast_ref()
}

fn find_io<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = current.source();
    }
    None
}
