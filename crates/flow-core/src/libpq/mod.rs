//! The connection parameters of libpq, and which of them this version has
//! (<https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS>).
//! Messages name parameters, never their values: any of them may hold a secret by mistake.

mod dsn;

pub use dsn::parse_dsn;

use crate::error::{ErrorCode, FlowError, Result, did_you_mean};

/// What this version does with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It is passed on; any value.
    Any,
    /// It is passed on; one of these words.
    OneOf(&'static [&'static str]),
    /// It is passed on; a whole number.
    Number,
    /// It is passed on; one or more ports.
    Ports,
    /// It is refused unless it says what would happen anyway.
    Only(&'static [&'static str]),
}

/// The words of `sslmode`, from the weakest to the strongest.
pub const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

const PARAMETERS: &[(&str, Kept)] = &[
    ("host", Kept::Any),
    ("hostaddr", Kept::Any),
    ("port", Kept::Ports),
    ("dbname", Kept::Any),
    ("user", Kept::Any),
    ("password", Kept::Any),
    ("sslmode", Kept::OneOf(SSL_MODES)),
    ("sslrootcert", Kept::Any),
    ("connect_timeout", Kept::Number),
    ("options", Kept::Any),
    ("application_name", Kept::Any),
    ("fallback_application_name", Kept::Any),
    ("target_session_attrs", Kept::OneOf(&["any", "read-write", "read-only"])),
    ("load_balance_hosts", Kept::OneOf(&["disable", "random"])),
    ("keepalives", Kept::OneOf(&["0", "1"])),
    ("keepalives_idle", Kept::Number),
    ("keepalives_interval", Kept::Number),
    ("keepalives_count", Kept::Number),
    ("tcp_user_timeout", Kept::Number),
    ("passfile", Kept::Only(&[])),
    ("require_auth", Kept::Only(&[])),
    ("channel_binding", Kept::Only(&["prefer"])),
    ("client_encoding", Kept::Only(&["UTF8", "utf8", "UTF-8", "utf-8", "auto"])),
    ("replication", Kept::Only(&["0", "false", "off", "no"])),
    ("gssencmode", Kept::Only(&["disable", "prefer"])),
    ("krbsrvname", Kept::Only(&["postgres"])),
    ("gsslib", Kept::Only(&[])),
    ("gssdelegation", Kept::Only(&["0"])),
    ("sslnegotiation", Kept::Only(&["postgres"])),
    ("sslcompression", Kept::Only(&["0"])),
    ("sslcert", Kept::Only(&[])),
    ("sslkey", Kept::Only(&[])),
    ("sslpassword", Kept::Only(&[])),
    ("sslcertmode", Kept::Only(&["disable", "allow"])),
    ("sslcrl", Kept::Only(&[])),
    ("sslcrldir", Kept::Only(&[])),
    ("sslkeylogfile", Kept::Only(&[])),
    ("sslsni", Kept::Only(&["1"])),
    ("requiressl", Kept::Only(&["0"])),
    ("requirepeer", Kept::Only(&[])),
    ("ssl_min_protocol_version", Kept::Only(&["TLSv1.2"])),
    ("ssl_max_protocol_version", Kept::Only(&[])),
    ("min_protocol_version", Kept::Only(&["3.0"])),
    ("max_protocol_version", Kept::Only(&["3.0"])),
    ("service", Kept::Only(&[])),
    ("servicefile", Kept::Only(&[])),
    ("scram_client_key", Kept::Only(&[])),
    ("scram_server_key", Kept::Only(&[])),
    ("oauth_issuer", Kept::Only(&[])),
    ("oauth_client_id", Kept::Only(&[])),
    ("oauth_client_secret", Kept::Only(&[])),
    ("oauth_scope", Kept::Only(&[])),
];

/// Whose parameter it is, as long as nobody says which connection.
const ANY_CONNECTION: &str = "of a connection";

/// Whether a name is a parameter of libpq that this version refuses.
pub fn is_refused(name: &str) -> bool {
    PARAMETERS.iter().any(|(known, kept)| *known == name && matches!(kept, Kept::Only(_)))
}

/// Checks a parameter; answers whether it is to be passed on. `false`: it says what happens anyway.
///
/// # Errors
/// `unknown_option` for a name that libpq does not know, `not_yet_supported` for one that this
/// version refuses, `invalid_value` for a value that it cannot have.
///
/// ```
/// use ematix_flow_core::libpq::check_parameter;
/// assert_eq!(check_parameter("sslmode", "verify-full"), Ok(true));
/// assert_eq!(check_parameter("gssencmode", "disable"), Ok(false));
/// assert_eq!(check_parameter("sslcert", "me.pem").unwrap_err().code.name(), "not_yet_supported");
/// ```
pub fn check_parameter(name: &str, value: &str) -> Result<bool> {
    let Some((_, kept)) = PARAMETERS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown_parameter(name));
    };
    let invalid = |expected: &str| {
        FlowError::new(ErrorCode::InvalidValue, format!("`{name}` {ANY_CONNECTION} {expected}"))
    };
    if value.contains('\0') {
        return Err(invalid("contains a zero byte"));
    }
    match kept {
        Kept::Any => Ok(true),
        Kept::OneOf(words) if words.contains(&value) => Ok(true),
        Kept::OneOf(_)
            if name == "target_session_attrs"
                && matches!(value, "primary" | "standby" | "prefer-standby") =>
        {
            Err(refused(name).hint("this version knows any, read-write and read-only"))
        }
        Kept::OneOf(words) => Err(invalid(&format!("must be one of {}", words.join(", ")))),
        Kept::Number => match value.trim().parse::<i32>() {
            Ok(_) => Ok(true),
            Err(_) => Err(invalid("must be a whole number")),
        },
        Kept::Ports => {
            let good = |port: &str| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
            if value.split(',').all(good) {
                Ok(true)
            } else {
                Err(invalid("must be a number from 1 to 65535"))
            }
        }
        Kept::Only(harmless) if value.is_empty() || harmless.contains(&value) => Ok(false),
        Kept::Only([]) => Err(refused(name)),
        Kept::Only(harmless) => {
            Err(refused(name).hint(format!("this version behaves as with {name}={}", harmless[0])))
        }
    }
}

/// The error for a name that is no parameter of a connection.
pub fn unknown_parameter(name: &str) -> FlowError {
    let error =
        FlowError::new(ErrorCode::UnknownOption, format!("unknown parameter `{name}` {ANY_CONNECTION}"));
    match did_you_mean(name, PARAMETERS.iter().map(|(known, _)| *known)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            error.hint("the parameters are those of libpq: host, port, dbname, user, password, sslmode …")
        }
    }
}

/// Names the connection in an error of this module, or of a DSN.
pub fn of_connection(error: FlowError, connection: &str) -> FlowError {
    let named = format!("of connection `{connection}`");
    FlowError { message: error.message.replacen(ANY_CONNECTION, &named, 1), ..error }
}

fn refused(name: &str) -> FlowError {
    FlowError::new(ErrorCode::NotYetSupported, format!("`{name}` {ANY_CONNECTION} is not supported yet"))
}
