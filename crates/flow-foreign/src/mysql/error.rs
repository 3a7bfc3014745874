//! What a server, or the way to it, says: as errors with a code and a remedy.

use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError};
use mysql_async::{DriverError, Error, IoError, ServerError};

/// The error of a log-in.
#[cold]
pub fn connect_error(error: &Error, at: &ConnectionTarget) -> FlowError {
    let failed = |code, why: &str| FlowError::new(code, format!("{at}: {why}"));
    match error {
        Error::Server(said) => {
            let error = failed(code_of_log_in(said), &said.message).context("errno", said.code);
            match said.code {
                1045 | 1698 => {
                    error.hint("is it the user, the password, or the host from which it may log in?")
                }
                1049 => error.hint("`SHOW DATABASES` names those that the user may see"),
                _ => error,
            }
        }
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            failed(ErrorCode::TlsFailed, "the server speaks no TLS, and it is asked for")
                .hint("let the server have a certificate; ssl-mode=DISABLED sends everything in the clear")
        }
        Error::Io(IoError::Tls(why)) => tls(at, &why.to_string()),
        Error::Io(IoError::Io(why)) if why.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            tls(at, &why.to_string())
        }
        Error::Io(IoError::Io(why)) => failed(ErrorCode::ConnectFailed, &why.to_string().to_lowercase())
            .hint("is the server running, and does it listen there?"),
        other => failed(ErrorCode::ConnectFailed, &other.to_string()),
    }
}

fn tls(at: &ConnectionTarget, why: &str) -> FlowError {
    let error = FlowError::new(ErrorCode::TlsFailed, format!("{at}: the encrypted connection failed: {why}"));
    match at.parameter("sslmode") {
        Some("VERIFY_IDENTITY" | "VERIFY_CA") => error.hint(
            "ssl-ca=FILE names who is trusted, instead of the system's certificates; ssl-mode=VERIFY_CA does not look at the host's name",
        ),
        _ => error,
    }
}

fn code_of_log_in(said: &ServerError) -> ErrorCode {
    match said.code {
        1044 | 1045 | 1698 | 1820 | 1862 | 3118 | 3159 => ErrorCode::AuthenticationFailed,
        1049 => ErrorCode::UnknownDatabase,
        _ => ErrorCode::ConnectFailed,
    }
}

/// The error of a query.
#[cold]
pub fn query_error(error: &Error, of: &str) -> FlowError {
    match error {
        Error::Server(said) => {
            let (code, hint) = match said.code {
                1142 | 1143 | 1044 | 1227 => {
                    (ErrorCode::PermissionDenied, Some("GRANT SELECT ON database.table TO the user"))
                }
                1792 | 1290 => {
                    (ErrorCode::QueryWrites, Some("a source query is one statement that only reads"))
                }
                1046 => (
                    ErrorCode::SourceFailed,
                    Some("the DSN names no database: write it there, or before the table: shop.orders"),
                ),
                _ => (ErrorCode::SourceFailed, None),
            };
            let error = FlowError::new(code, format!("{of}: {}", said.message)).context("errno", said.code);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
        Error::Io(why) => FlowError::new(ErrorCode::ConnectionLost, format!("{of}: {why}")),
        Error::Driver(DriverError::ConnectionClosed) => {
            FlowError::new(ErrorCode::ConnectionLost, format!("{of}: the server has closed the connection"))
        }
        other => FlowError::new(ErrorCode::SourceFailed, format!("{of}: {other}")),
    }
}
