//! libpq's parameters as the driver takes them: read once, then one configuration for each way to try.

use super::tls::SslMode;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::secret::Secret;
use std::net::IpAddr;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as DriverSslMode, TargetSessionAttrs};
use uuid::Uuid;

/// What psql waits for a server that does not answer is for ever; we wait ten seconds unless told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One of the hosts of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address or the directory of a socket. Of a connection that gives hostaddr only, the address: a
    /// certificate may name that too.
    pub name: String,
    /// Where it is, if that was said.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Host {
    /// Whether it is reached by a socket of this machine. As libpq: an address goes before a directory.
    pub fn is_socket(&self) -> bool {
        self.address.is_none() && self.name.starts_with('/')
    }
}

/// What a connection says, checked.
pub(super) struct Parameters {
    hosts: Vec<Host>,
    user: Option<String>,
    password: Option<Secret>,
    dbname: Option<String>,
    pub(super) options: Option<String>,
    /// None: for ever.
    pub timeout: Option<Duration>,
    pub ssl_mode: SslMode,
    pub root_certificates: Option<String>,
    session_attributes: TargetSessionAttrs,
    load_balance: bool,
    keepalives: bool,
    keepalives_idle: Option<Duration>,
    keepalives_interval: Option<Duration>,
    keepalives_count: Option<u32>,
    tcp_user_timeout: Option<Duration>,
    application_name: Option<String>,
}

impl Parameters {
    /// Reads them.
    ///
    /// # Errors
    /// `invalid_value` and `not_yet_supported`.
    pub fn read(target: &ConnectionTarget) -> Result<Parameters> {
        let get = |name: &str| target.parameter(name).filter(|value| !value.is_empty());
        let number = |name: &str| -> Result<Option<u64>> {
            get(name)
                .map(|text| {
                    text.parse().map_err(|_| invalid(target, &format!("{name} is not a whole number")))
                })
                .transpose()
        };
        Ok(Parameters {
            hosts: hosts(target)?,
            user: get("user").map(str::to_owned),
            password: target.password.clone(),
            dbname: get("dbname").map(str::to_owned),
            options: get("options").map(str::to_owned),
            timeout: timeout(target, get("connect_timeout"))?,
            ssl_mode: SslMode::parse(get("sslmode").unwrap_or("prefer"))?,
            root_certificates: get("sslrootcert").map(str::to_owned),
            session_attributes: session_attributes(get("target_session_attrs"))?,
            load_balance: get("load_balance_hosts") == Some("random"),
            keepalives: get("keepalives") != Some("0"),
            keepalives_idle: number("keepalives_idle")?.map(Duration::from_secs),
            keepalives_interval: number("keepalives_interval")?.map(Duration::from_secs),
            keepalives_count: number("keepalives_count")?.and_then(|count| count.try_into().ok()),
            tcp_user_timeout: number("tcp_user_timeout")?.map(Duration::from_millis),
            application_name: get("application_name").map(str::to_owned),
        })
    }

    /// The hosts in the order in which they are tried.
    pub fn hosts_in_order(&self) -> Vec<Host> {
        let mut hosts = self.hosts.clone();
        self.shuffle_if_asked(&mut hosts);
        hosts
    }

    /// As libpq 16: `load_balance_hosts = random` is for hosts, and for the addresses of one.
    pub fn shuffle_if_asked<T>(&self, list: &mut [T]) {
        if self.load_balance {
            list.sort_by_cached_key(|_| Uuid::new_v4());
        }
    }

    /// The driver's configuration for one host at one of its addresses; none for a socket.
    pub fn config(&self, host: &Host, address: Option<IpAddr>, mode: SslMode, name: &str) -> Config {
        let mut config = Config::new();
        config.host(&host.name).port(host.port);
        if let Some(address) = address {
            config.hostaddr(address);
        }
        if let Some(user) = &self.user {
            config.user(user);
        }
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        if let Some(dbname) = &self.dbname {
            config.dbname(dbname);
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config.keepalives(self.keepalives);
        // A system waits for two hours before it asks whether the other end is still there, and a run with it.
        config.keepalives_idle(self.keepalives_idle.unwrap_or(Duration::from_secs(30)));
        config.keepalives_interval(self.keepalives_interval.unwrap_or(Duration::from_secs(10)));
        config.keepalives_retries(self.keepalives_count.unwrap_or(3));
        if let Some(limit) = self.tcp_user_timeout {
            config.tcp_user_timeout(limit);
        }
        config.target_session_attrs(self.session_attributes);
        config.ssl_mode(match mode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Prefer => DriverSslMode::Prefer,
            _ => DriverSslMode::Require,
        });
        config.application_name(self.application_name(name));
        config
    }

    pub fn application_name(&self, name: &str) -> String {
        let mut whole = format!("{} {name}", self.application_name.as_deref().unwrap_or("ematix-flow"));
        // Postgres cuts it at 63 bytes.
        let mut cut = whole.len().min(63);
        while !whole.is_char_boundary(cut) {
            cut -= 1;
        }
        whole.truncate(cut);
        whole
    }
}

fn invalid(target: &ConnectionTarget, what: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("{target}: {what}"))
}

fn hosts(target: &ConnectionTarget) -> Result<Vec<Host>> {
    let list = |name: &str| -> Vec<&str> {
        target
            .parameter(name)
            .filter(|text| !text.is_empty())
            .map(|text| text.split(',').collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    (0..names.len().max(addresses.len()))
        .map(|index| {
            let address = addresses.get(index).copied().filter(|address| !address.is_empty());
            let name = names.get(index).copied().filter(|name| !name.is_empty());
            let port = ports.get(index).or(ports.first()).copied().filter(|port| !port.is_empty());
            Ok(Host {
                name: name.or(address).unwrap_or_default().to_owned(),
                address: address
                    .map(str::parse)
                    .transpose()
                    .map_err(|_| invalid(target, "hostaddr is not an IP address"))?,
                port: port
                    .map_or(Ok(5432), str::parse)
                    .map_err(|_| invalid(target, "the port is not a number from 1 to 65535"))?,
            })
        })
        .collect()
}

fn timeout(target: &ConnectionTarget, text: Option<&str>) -> Result<Option<Duration>> {
    match text.map(str::parse::<i64>) {
        None => Ok(Some(CONNECT_TIMEOUT)),
        Some(Ok(0)) => Ok(None),
        Some(Ok(seconds)) if seconds > 0 => Ok(Some(Duration::from_secs(seconds as u64))),
        _ => Err(invalid(target, "connect_timeout is not a number of seconds")),
    }
}

fn session_attributes(word: Option<&str>) -> Result<TargetSessionAttrs> {
    match word {
        None | Some("any") => Ok(TargetSessionAttrs::Any),
        Some("read-write" | "primary") => Ok(TargetSessionAttrs::ReadWrite),
        Some("read-only" | "standby") => Ok(TargetSessionAttrs::ReadOnly),
        Some(word) => Err(FlowError::new(
            ErrorCode::NotYetSupported,
            format!("target_session_attrs = `{word}` is not supported yet"),
        )
        .hint("it may be any, read-write or read-only")),
    }
}
