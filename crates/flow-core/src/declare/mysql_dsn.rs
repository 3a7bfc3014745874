//! DSNs of MySQL and MariaDB: `mysql://ann:secret@db.example:3306/shop?ssl-ca=ca.pem`.
//!
//! A password with a character that should have been encoded can land anywhere, so no message shows a piece of a DSN
//! but the name of a parameter that is nearly one that there is.

use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::libpq::decode;
use crate::secret::Secret;

/// How much is asked of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// None is used.
    Disabled,
    /// It is used, and nothing of the server's certificate is looked at.
    Required,
    /// Somebody who is trusted has signed the server's certificate.
    VerifyCa,
    /// The same, and it is of the host that was meant.
    VerifyIdentity,
}

impl SslMode {
    const ALL: [SslMode; 4] =
        [SslMode::Disabled, SslMode::Required, SslMode::VerifyCa, SslMode::VerifyIdentity];

    /// As MySQL's own programs write it.
    pub const fn name(self) -> &'static str {
        match self {
            SslMode::Disabled => "DISABLED",
            SslMode::Required => "REQUIRED",
            SslMode::VerifyCa => "VERIFY_CA",
            SslMode::VerifyIdentity => "VERIFY_IDENTITY",
        }
    }

    /// The one of that name.
    pub fn of_name(name: &str) -> Option<SslMode> {
        SslMode::ALL.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name))
    }
}

/// What a DSN says.
#[derive(Clone, Debug, PartialEq)]
pub struct MySqlDsn {
    /// Who logs in.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The socket of a server on this machine, instead of host and port.
    pub socket: Option<String>,
    /// The database in which names without one are looked for.
    pub database: Option<String>,
    /// How much is asked of TLS, where it is said.
    pub ssl_mode: Option<SslMode>,
    /// A file of certificates that are trusted, instead of the system's.
    pub ssl_ca: Option<String>,
    /// How many seconds a log-in may take, where it is said.
    pub connect_timeout: Option<u32>,
}

const PARAMETERS: [&str; 4] = ["connect_timeout", "socket", "ssl-ca", "ssl-mode"];
const FORM: &str = "write mysql://user:password@host:3306/database?ssl-mode=VERIFY_IDENTITY";
const ENCODE: &str =
    "in a URL, user and password are percent-encoded: %40 for @, %2F for /, %3A for :, %23 for #, %25 for %";

fn invalid(message: impl Into<String>) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, message)
}

/// Reads a DSN; `None` for one of another engine.
///
/// # Errors
/// `invalid_value` where it cannot be read, `unknown_option` for a parameter that there is not.
///
/// ```
/// use ematix_flow_core::declare::mysql_dsn::mysql_dsn;
/// let dsn = mysql_dsn("mysql://ann:a%40b@db.example/shop").unwrap().unwrap();
/// assert_eq!((dsn.user.as_str(), dsn.host.as_str(), dsn.port), ("ann", "db.example", 3306));
/// assert_eq!(dsn.password.unwrap().reveal(), "a@b");
/// assert!(mysql_dsn("postgresql:///shop").unwrap().is_none());
/// ```
pub fn mysql_dsn(dsn: &str) -> Result<Option<MySqlDsn>> {
    let dsn = dsn.trim();
    let Some((_, rest)) = dsn.split_once(':').filter(|(scheme, _)| matches!(*scheme, "mysql" | "mariadb"))
    else {
        return Ok(None);
    };
    let rest = rest.strip_prefix("//").ok_or_else(|| invalid("a DSN of MySQL is a URL").hint(FORM))?;
    if rest.contains('#') {
        return Err(invalid("a DSN of MySQL has a `#` that is not encoded").hint(ENCODE));
    }
    // The first @ that no / precedes ends user and password.
    let (login, rest) = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => (&rest[..at], &rest[at + 1..]),
        _ => ("", rest),
    };
    let (login, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password).filter(|password| !password.is_empty())),
        None => (login, None),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, rest) = rest.split_at(end);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if place.contains('@') || path.contains('@') {
        return Err(
            invalid("the user or password of a DSN contains a character that is not encoded").hint(ENCODE)
        );
    }
    let (host, port) = place_of(place)?;
    let database = decode(path.strip_prefix('/').unwrap_or(path))?;
    if database.contains('/') {
        return Err(invalid("the database of a DSN of MySQL contains a `/`").hint(FORM));
    }
    let user = decode(login)?;
    if user.is_empty() {
        return Err(invalid("a DSN of MySQL does not say who logs in").hint(FORM));
    }
    let mut read = MySqlDsn {
        user,
        password: password.map(decode).transpose()?.map(Secret::from),
        host,
        port,
        socket: None,
        database: Some(database).filter(|name| !name.is_empty()),
        ssl_mode: None,
        ssl_ca: None,
        connect_timeout: None,
    };
    for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
        read.parameter(pair)?;
    }
    if read.ssl_ca.is_some() && matches!(read.ssl_mode, Some(SslMode::Disabled | SslMode::Required)) {
        return Err(FlowError::new(
            ErrorCode::ConflictingOptions,
            "a DSN of MySQL has ssl-ca, and an ssl-mode that looks at no certificate",
        )
        .hint("write ssl-mode=VERIFY_CA or VERIFY_IDENTITY, or take ssl-ca out"));
    }
    Ok(Some(read))
}

impl MySqlDsn {
    fn parameter(&mut self, pair: &str) -> Result<()> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value)?;
        match name {
            "ssl-mode" => {
                let names = SslMode::ALL.map(SslMode::name).join(", ");
                let mode = SslMode::of_name(&value).ok_or_else(|| {
                    invalid("the ssl-mode of a DSN of MySQL is none that there is")
                        .hint(format!("it is one of {names}"))
                })?;
                self.ssl_mode = Some(mode);
            }
            "ssl-ca" if !value.is_empty() => self.ssl_ca = Some(value),
            "socket" if value.starts_with('/') => self.socket = Some(value),
            "socket" => return Err(invalid("the socket of a DSN of MySQL is no path that begins with /")),
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                self.connect_timeout = Some(seconds.ok_or_else(|| {
                    invalid("the connect_timeout of a DSN of MySQL is no number of seconds")
                })?);
            }
            "ssl-ca" => return Err(invalid("the ssl-ca of a DSN of MySQL names no file")),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

/// The name of what is no parameter is shown where it is surely a name.
fn unknown(name: &str) -> FlowError {
    let known = PARAMETERS.join(", ");
    let is_name = |name: &str| {
        (2..=40).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte))
    };
    if !is_name(name) {
        return FlowError::new(ErrorCode::UnknownOption, "a DSN of MySQL has a parameter that there is not")
            .hint(format!("the parameters are {known}"));
    }
    let error = FlowError::new(ErrorCode::UnknownOption, format!("a DSN of MySQL has no parameter `{name}`"));
    error.hint(match did_you_mean(name, PARAMETERS) {
        Some(near) => format!("did you mean `{near}`? the parameters are {known}"),
        None => format!("the parameters are {known}"),
    })
}

/// Host and port; `[::1]:3306` of an address with colons.
fn place_of(place: &str) -> Result<(String, u16)> {
    if place.contains(',') {
        return Err(FlowError::new(
            ErrorCode::NotYetSupported,
            "a DSN of MySQL with several hosts is not in this version yet",
        )
        .hint("name one of them"));
    }
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port =
        match port {
            None | Some("") => 3306,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                invalid("the port of a DSN of MySQL is no number from 1 to 65535").hint(ENCODE)
            })?,
        };
    let host = decode(host)?;
    Ok((if host.is_empty() { "localhost".to_owned() } else { host }, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_dsn_is_read() {
        let read = mysql_dsn(
            "mariadb://a%3An:s%2Fq@[::1]:3307/shop?ssl-mode=verify_ca&ssl-ca=ca.pem&connect_timeout=3",
        );
        assert_eq!(
            read.unwrap().unwrap(),
            MySqlDsn {
                user: "a:n".to_owned(),
                password: Some(Secret::from("s/q")),
                host: "::1".to_owned(),
                port: 3307,
                socket: None,
                database: Some("shop".to_owned()),
                ssl_mode: Some(SslMode::VerifyCa),
                ssl_ca: Some("ca.pem".to_owned()),
                connect_timeout: Some(3),
            }
        );
        let socket = mysql_dsn("mysql://ann@/?socket=/run/mysqld/mysqld.sock").unwrap().unwrap();
        assert_eq!((socket.socket.as_deref(), socket.database), (Some("/run/mysqld/mysqld.sock"), None));
    }

    #[test]
    fn what_is_wrong_is_told_without_a_piece_of_the_password() {
        for (dsn, code) in [
            ("mysql://ann:hunter2@db/shop?sslmode=x", ErrorCode::UnknownOption),
            ("mysql://ann:hunter2@db/shop?Hunter2", ErrorCode::UnknownOption),
            ("mysql://ann:hun/ter2@db/shop", ErrorCode::InvalidValue),
            ("mysql://ann:hun@ter2@db/shop", ErrorCode::InvalidValue),
            ("mysql://ann:hun#ter2@db/shop", ErrorCode::InvalidValue),
            ("mysql://ann@db:hunter2/shop", ErrorCode::InvalidValue),
            ("mysql://ann@db/shop?ssl-mode=hunter2", ErrorCode::InvalidValue),
            ("mysql://ann@db/shop?ssl-mode=REQUIRED&ssl-ca=x", ErrorCode::ConflictingOptions),
            ("mysql://ann@a,b/shop", ErrorCode::NotYetSupported),
            ("mysql://db/shop", ErrorCode::InvalidValue),
            ("mysql:ann@db", ErrorCode::InvalidValue),
        ] {
            let error = mysql_dsn(dsn).unwrap_err();
            assert_eq!(error.code, code, "{dsn}");
            let shown = format!("{} {:?}", error.message, error.hint).to_lowercase();
            assert!(!shown.contains("hunter2") && !shown.contains("ter2@"), "{shown}");
        }
        let near = mysql_dsn("mysql://ann@db/shop?ssl_mode=REQUIRED").unwrap_err();
        assert!(near.hint.unwrap().starts_with("did you mean `ssl-mode`?"));
    }
}
