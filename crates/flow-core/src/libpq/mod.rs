//! The connection parameters of libpq, and which of them this version has
//! (<https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS>).
//! Messages name parameters, never their values: any of them may hold a secret by mistake.

mod dsn;
mod passfile;
mod require_auth;
mod service;
mod variables;

pub(crate) use dsn::decode;
pub use dsn::{parse_dsn, print_dsn};
pub use passfile::password_in;
pub use require_auth::{AuthMethod, AuthMethods};
pub use service::{ServiceError, service_in};
pub use variables::{Meaning, VARIABLES};

use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::secret::Secret;

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
    /// It is passed on; methods of authentication.
    Methods,
    /// It is refused unless it is a name of UTF-8, which is what we speak.
    Encoding,
    /// It is passed on; a version of TLS.
    TlsVersion,
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
    (
        "target_session_attrs",
        Kept::OneOf(&["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]),
    ),
    ("load_balance_hosts", Kept::OneOf(&["disable", "random"])),
    ("keepalives", Kept::Number),
    ("keepalives_idle", Kept::Number),
    ("keepalives_interval", Kept::Number),
    ("keepalives_count", Kept::Number),
    ("tcp_user_timeout", Kept::Number),
    ("passfile", Kept::Any),
    ("require_auth", Kept::Methods),
    ("channel_binding", Kept::OneOf(&["disable", "prefer", "require"])),
    ("client_encoding", Kept::Encoding),
    ("replication", Kept::Only(&["0", "false", "off", "no"])),
    ("gssencmode", Kept::Only(&["disable", "prefer"])),
    ("krbsrvname", Kept::Only(&["postgres"])),
    ("gsslib", Kept::Only(&[])),
    ("gssdelegation", Kept::Only(&["0"])),
    ("sslnegotiation", Kept::OneOf(&["postgres", "direct"])),
    // As libpq since version 14, which knows the word and compresses nothing.
    ("sslcompression", Kept::Only(&["0", "1"])),
    ("sslcert", Kept::Any),
    ("sslkey", Kept::Any),
    ("sslpassword", Kept::Any),
    ("sslcertmode", Kept::OneOf(&["disable", "allow", "require"])),
    ("sslcrl", Kept::Any),
    ("sslcrldir", Kept::Any),
    ("sslkeylogfile", Kept::Any),
    ("sslsni", Kept::OneOf(&["0", "1"])),
    ("requiressl", Kept::Only(&[])),
    ("requirepeer", Kept::Any),
    ("ssl_min_protocol_version", Kept::TlsVersion),
    ("ssl_max_protocol_version", Kept::TlsVersion),
    ("min_protocol_version", Kept::Only(&["3.0"])),
    ("max_protocol_version", Kept::Only(&["3.0", "3.2", "latest"])),
    ("service", Kept::Any),
    ("servicefile", Kept::Any),
    ("scram_client_key", Kept::Only(&[])),
    ("scram_server_key", Kept::Only(&[])),
    ("oauth_issuer", Kept::Only(&[])),
    ("oauth_client_id", Kept::Only(&[])),
    ("oauth_client_secret", Kept::Only(&[])),
    ("oauth_scope", Kept::Only(&[])),
];

/// The versions of TLS, from the oldest, as libpq writes them.
pub const TLS_VERSIONS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Whose parameter it is, as long as nobody says which connection.
const ANY_CONNECTION: &str = "of a connection";

/// The names of all parameters that libpq 15 to 18 know.
pub fn parameter_names() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().map(|(name, _)| *name)
}

/// Whether a name is a parameter of libpq that this version refuses.
pub fn is_refused(name: &str) -> bool {
    PARAMETERS.iter().any(|(known, kept)| *known == name && matches!(kept, Kept::Only(_) | Kept::Encoding))
}

/// Why a parameter of libpq is refused, or what to do without it.
pub fn reason(name: &str) -> Option<&'static str> {
    Some(match name {
        "gssencmode" | "krbsrvname" | "gsslib" | "gssdelegation" => {
            "GSSAPI (Kerberos) is not there: log in by password or certificate, and encrypt by sslmode"
        }
        "oauth_issuer" | "oauth_client_id" | "oauth_client_secret" | "oauth_scope" => {
            "OAuth is not there: log in by password or certificate"
        }
        "scram_client_key" | "scram_server_key" => {
            "these are for a proxy that holds no password: give password or passfile"
        }
        "replication" => "loads read and write rows by SQL, which a replication connection does not know",
        "client_encoding" => {
            "it is always UTF8, and the server converts what it stores otherwise: leave it out"
        }
        "min_protocol_version" | "max_protocol_version" => {
            "the protocol spoken is 3.0, which every server takes: leave it out"
        }
        "sslcompression" => "no server compresses any more: leave it out",
        _ => return None,
    })
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
/// assert_eq!(check_parameter("require_auth", "md5"), Ok(true));
/// assert_eq!(check_parameter("replication", "database").unwrap_err().code.name(), "not_yet_supported");
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
        Kept::OneOf(words) => Err(invalid(&format!("must be one of {}", words.join(", ")))),
        Kept::Methods => match AuthMethods::parse(value) {
            Ok(_) => Ok(true),
            Err(what) => Err(invalid(&what)
                .hint("it is a list with commas of password, md5, gss, sspi, scram-sha-256, oauth and none, or of !password and so on")),
        },
        Kept::Encoding if value.is_empty() || is_utf8(value) => Ok(false),
        Kept::Encoding => Err(refused(name)),
        Kept::Number => match value.trim_matches(is_space).parse::<i32>() {
            Ok(_) => Ok(true),
            Err(_) => Err(invalid("must be a whole number")),
        },
        Kept::TlsVersion => match TLS_VERSIONS.iter().position(|known| known.eq_ignore_ascii_case(value)) {
            None => Err(invalid(&format!("must be one of {}", TLS_VERSIONS.join(", ")))),
            Some(0 | 1) if name == "ssl_max_protocol_version" => Err(FlowError::new(
                ErrorCode::NotYetSupported,
                format!("`{name}` {ANY_CONNECTION} asks for a TLS that is broken: versions before 1.2 are not spoken"),
            )
            .hint("take it out, or set it to TLSv1.2 or TLSv1.3")),
            // A lower bound that is lower than what is spoken holds.
            Some(_) => Ok(true),
        },
        Kept::Ports => {
            // As libpq, which reads them by strtol.
            let good = |port: &str| {
                let port = port.trim_matches(is_space);
                port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0)
            };
            if value.split(',').all(good) {
                Ok(true)
            } else {
                Err(invalid("must be a number from 1 to 65535"))
            }
        }
        Kept::Only(harmless) if value.is_empty() || harmless.contains(&value) => Ok(false),
        Kept::Only([first, ..]) if reason(name).is_none() => {
            Err(refused(name).hint(format!("this version behaves as with {name}={first}")))
        }
        Kept::Only(_) => Err(refused(name)),
    }
}

/// A parameter under the name that it has today: libpq takes `requiressl`, an older word for two kinds of `sslmode`.
pub(crate) fn of_today(name: String, value: Secret) -> (String, Secret) {
    if name != "requiressl" {
        return (name, value);
    }
    let mode = if value.reveal().starts_with('1') { "require" } else { "prefer" };
    ("sslmode".to_owned(), mode.into())
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
    let error =
        FlowError::new(ErrorCode::NotYetSupported, format!("`{name}` {ANY_CONNECTION} is not supported yet"));
    match reason(name) {
        Some(reason) => error.hint(reason),
        None => error,
    }
}

/// What C's isspace() takes for a space.
fn is_space(character: char) -> bool {
    character.is_ascii_whitespace() || character == '\x0b'
}

/// Whether Postgres takes a name of an encoding for UTF-8; `auto` is for psql to choose.
fn is_utf8(name: &str) -> bool {
    // As pg_char_to_encoding(): only letters and digits count, in any case.
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode" | "auto")
}
