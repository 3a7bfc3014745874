//! Opens a session on a resolved connection: distinct errors for each way to fail, no secret in any.

use super::error::root_cause;
use super::session::Session;
use super::tls::{SslMode, connector};
use crate::connections::ConnectionTarget;
use crate::error::{ErrorCode, FlowError, Result};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as DriverSslMode, TargetSessionAttrs};
use uuid::Uuid;

/// What psql waits for a server that does not answer is for ever; we wait ten seconds unless told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a session.
///
/// # Errors
/// `connect_failed`, `connect_timeout`, `authentication_failed`, `unknown_database`, `tls_failed`,
/// `unsupported_server`.
pub async fn connect(target: &ConnectionTarget, application_name: &str) -> Result<Session> {
    let parameters = Parameters::read(target)?;
    let modes: &[SslMode] = match parameters.ssl_mode {
        // As libpq: in the clear first, and encrypted if the server refuses that.
        SslMode::Allow => &[SslMode::Disable, SslMode::Require],
        _ => &[],
    };
    let modes = if modes.is_empty() { std::slice::from_ref(&parameters.ssl_mode) } else { modes };
    let mut last = None;
    // As libpq: each host has the whole connect_timeout, and the next one is for when it cannot be reached.
    for host in parameters.hosts_in_order() {
        for mode in modes {
            match attempt(target, &host, *mode, application_name).await {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(error),
            }
            if !matches!(&last, Some(error) if error.code == ErrorCode::AuthenticationFailed) {
                break;
            }
        }
        let unreached =
            |error: &FlowError| matches!(error.code, ErrorCode::ConnectFailed | ErrorCode::ConnectTimeout);
        if !last.as_ref().is_some_and(unreached) {
            break;
        }
    }
    Err(last.expect("at least one host was tried"))
}

async fn attempt(
    target: &ConnectionTarget,
    parameters: &Parameters,
    mode: SslMode,
    name: &str,
) -> Result<Session> {
    let config = parameters.config(mode, name)?;
    let connector = connector(mode, parameters.root_certificates.as_deref())?;
    let connecting = config.connect(connector.clone());
    let connected = match parameters.timeout {
        Some(limit) => tokio::time::timeout(limit, connecting).await,
        None => Ok(connecting.await),
    };
    let (client, connection) = match connected {
        Err(_) => {
            let seconds = parameters.timeout.unwrap_or(CONNECT_TIMEOUT).as_secs_f64();
            return Err(FlowError::new(
                ErrorCode::ConnectTimeout,
                format!("{target} did not answer within {seconds} s"),
            )
            .hint("check host, port and firewall; connect_timeout sets the limit in seconds"));
        }
        Ok(Err(error)) => return Err(connect_error(&error, target, mode)),
        Ok(Ok(parts)) => parts,
    };
    let version = connection.parameter("server_version").unwrap_or_default().to_owned();
    let major: u32 =
        version.split(['.', ' ', 'd', 'b', 'r']).next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let session = Session::new(
        client,
        connection,
        connector,
        mode != SslMode::Disable,
        version.clone(),
        target.session.clone(),
        parameters.options.clone(),
    );
    if major < 15 && major != 0 {
        return Err(FlowError::new(ErrorCode::UnsupportedServer, format!("{target} is Postgres {version}"))
            .hint("Postgres 15 and later are supported"));
    }
    Ok(session)
}

#[derive(Clone)]
struct Parameters {
    hosts: Vec<String>,
    host_addresses: Vec<String>,
    ports: Vec<u16>,
    user: Option<String>,
    password: Option<SecretString>,
    dbname: Option<String>,
    options: Option<String>,
    timeout: Option<Duration>,
    ssl_mode: SslMode,
    root_certificates: Option<String>,
    session_attributes: Option<String>,
    load_balance: bool,
    keepalives: bool,
    keepalives_idle: Option<Duration>,
    keepalives_interval: Option<Duration>,
    keepalives_count: Option<u32>,
    tcp_user_timeout: Option<Duration>,
    application_name: Option<String>,
}

impl Parameters {
    fn read(target: &ConnectionTarget) -> Result<Parameters> {
        let get = |name: &str| target.parameter(name).filter(|value| !value.is_empty());
        let list = |name: &str| {
            get(name).map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default()
        };
        let ports = list("port")
            .iter()
            .map(|port| if port.is_empty() { Ok(5432) } else { port.parse() })
            .collect::<std::result::Result<Vec<u16>, _>>()
            .map_err(|_| {
                FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("{target}: the port is not a number from 1 to 65535"),
                )
            })?;
        let timeout = match get("connect_timeout") {
            None => Some(CONNECT_TIMEOUT),
            Some(text) => match text.parse::<i64>() {
                Ok(0) => None,
                Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds as u64)),
                _ => {
                    return Err(FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("{target}: connect_timeout is not a number of seconds"),
                    ));
                }
            },
        };
        let number = |name: &str| -> Result<Option<u64>> {
            get(name)
                .map(|text| {
                    text.parse().map_err(|_| {
                        FlowError::new(
                            ErrorCode::InvalidValue,
                            format!("{target}: {name} is not a whole number"),
                        )
                    })
                })
                .transpose()
        };
        Ok(Parameters {
            hosts: list("host"),
            host_addresses: list("hostaddr"),
            ports,
            user: get("user").map(str::to_owned),
            password: target.password.clone(),
            dbname: get("dbname").map(str::to_owned),
            options: get("options").map(str::to_owned),
            timeout,
            ssl_mode: SslMode::parse(get("sslmode").unwrap_or("prefer"))?,
            root_certificates: get("sslrootcert").map(str::to_owned),
            session_attributes: get("target_session_attrs").map(str::to_owned),
            load_balance: get("load_balance_hosts") == Some("random"),
            keepalives: get("keepalives") != Some("0"),
            keepalives_idle: number("keepalives_idle")?.map(Duration::from_secs),
            keepalives_interval: number("keepalives_interval")?.map(Duration::from_secs),
            keepalives_count: number("keepalives_count")?.and_then(|count| count.try_into().ok()),
            tcp_user_timeout: number("tcp_user_timeout")?.map(Duration::from_millis),
            application_name: get("application_name").map(str::to_owned),
        })
    }

    /// Each host alone, in the order in which they are tried.
    fn hosts_in_order(&self) -> Vec<Parameters> {
        let count = self.hosts.len().max(self.host_addresses.len());
        if count < 2 {
            return vec![self.clone()];
        }
        let at = |list: &[String], index: usize| list.get(index).cloned().into_iter().collect();
        let mut alone: Vec<Parameters> = (0..count)
            .map(|index| Parameters {
                hosts: at(&self.hosts, index),
                host_addresses: at(&self.host_addresses, index),
                ports: match self.ports.as_slice() {
                    several @ [_, _, ..] => several.get(index).copied().into_iter().collect(),
                    one => one.to_vec(),
                },
                ..self.clone()
            })
            .collect();
        if self.load_balance {
            alone.sort_by_cached_key(|_| Uuid::new_v4());
        }
        alone
    }

    fn config(&self, mode: SslMode, application_name: &str) -> Result<Config> {
        let mut config = Config::new();
        let addresses: Vec<std::net::IpAddr> = self
            .host_addresses
            .iter()
            .map(|address| address.parse())
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| FlowError::new(ErrorCode::InvalidValue, "hostaddr is not an IP address"))?;
        let port = self.ports.first().copied().unwrap_or(5432);
        let socket = self.hosts.first().is_some_and(|host| host.starts_with('/'));
        for host in &self.hosts {
            // RFC 6761: localhost is this machine, also where no /etc/hosts says so.
            let local = host == "localhost" || host.ends_with(".localhost");
            if local && addresses.is_empty() {
                for address in ["127.0.0.1", "::1"] {
                    config.host(host).hostaddr(address.parse().expect("a fixed address")).port(port);
                }
            } else {
                config.host(host).port(port);
            }
        }
        for address in &addresses {
            config.hostaddr(*address);
            if self.hosts.is_empty() {
                config.port(port);
            }
        }
        if let Some(user) = &self.user {
            config.user(user);
        }
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        if let Some(dbname) = &self.dbname {
            config.dbname(dbname);
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config.keepalives(self.keepalives);
        if let Some(idle) = self.keepalives_idle {
            config.keepalives_idle(idle);
        }
        if let Some(interval) = self.keepalives_interval {
            config.keepalives_interval(interval);
        }
        if let Some(count) = self.keepalives_count {
            config.keepalives_retries(count);
        }
        if let Some(limit) = self.tcp_user_timeout {
            config.tcp_user_timeout(limit);
        }
        config.target_session_attrs(match self.session_attributes.as_deref() {
            None | Some("any") => TargetSessionAttrs::Any,
            Some("read-write" | "primary") => TargetSessionAttrs::ReadWrite,
            Some("read-only" | "standby") => TargetSessionAttrs::ReadOnly,
            Some(word) => {
                return Err(FlowError::new(
                    ErrorCode::NotYetSupported,
                    format!("target_session_attrs = `{word}` is not supported yet"),
                )
                .hint("it may be any, read-write or read-only"));
            }
        });
        // As libpq: a socket of this machine is not encrypted whatever sslmode says.
        config.ssl_mode(match mode {
            SslMode::Disable => DriverSslMode::Disable,
            _ if socket => DriverSslMode::Disable,
            SslMode::Allow | SslMode::Prefer => DriverSslMode::Prefer,
            _ => DriverSslMode::Require,
        });
        let application_name =
            format!("{} {application_name}", self.application_name.as_deref().unwrap_or("ematix-flow"));
        let mut cut = application_name.len().min(63);
        while !application_name.is_char_boundary(cut) {
            cut -= 1;
        }
        config.application_name(&application_name[..cut]);
        Ok(config)
    }
}

fn connect_error(error: &tokio_postgres::Error, target: &ConnectionTarget, mode: SslMode) -> FlowError {
    if let Some(db) = error.as_db_error() {
        let state = db.code().code();
        let (code, hint) = match state {
            "28P01" | "28000" => {
                (ErrorCode::AuthenticationFailed, "check user and password of the connection")
            }
            "3D000" => (ErrorCode::UnknownDatabase, "check dbname, or create the database"),
            "53300" => (
                ErrorCode::ConnectFailed,
                "the server has no connection left: try again, or raise max_connections",
            ),
            "57P03" => (ErrorCode::ConnectFailed, "the server is starting up or shutting down: try again"),
            _ => (ErrorCode::ConnectFailed, "the server refused the connection"),
        };
        return FlowError::new(code, format!("{target}: {}", db.message())).sqlstate(state).hint(hint);
    }
    let cause = root_cause(error);
    let text = error.to_string();
    let timed_out = find_io(error).is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
        || text.contains("timed out");
    if timed_out {
        return FlowError::new(ErrorCode::ConnectTimeout, format!("{target} did not answer in time"))
            .hint("check host, port and firewall; connect_timeout sets the limit in seconds");
    }
    if text.contains("authentication")
        || text.contains("password missing")
        || cause.contains("password missing")
    {
        return FlowError::new(ErrorCode::AuthenticationFailed, format!("{target}: {cause}"))
            .hint("set password, best as \"${env:NAME}\" or \"${file:PATH}\"");
    }
    if text.contains("TLS") || cause.contains("certificate") || cause.contains("server does not support TLS")
    {
        let hint = match mode {
            SslMode::VerifyFull | SslMode::VerifyCa => {
                "check sslrootcert, and that the certificate names the host"
            }
            _ => "the server has no TLS: sslmode \"prefer\" or \"disable\" would connect in the clear",
        };
        return FlowError::new(ErrorCode::TlsFailed, format!("{target}: no encrypted connection: {cause}"))
            .hint(hint);
    }
    FlowError::new(ErrorCode::ConnectFailed, format!("{target} cannot be reached: {}", cause.to_lowercase()))
        .hint("check host and port, and that the server is running")
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
