//! libpq's parameters as the driver takes them: read once, then one configuration for each way to try.

use super::passfile::{self, Found};
use super::session_attributes::SessionAttributes;
use super::tls::{SslMode, TlsOptions};
use ematix_flow_core::connections::{ConnectionTarget, is_socket};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::libpq::AuthMethods;
use ematix_flow_core::secret::Secret;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode as DriverSslMode, SslNegotiation};
use uuid::Uuid;

/// One of the hosts of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address or the directory of a socket. Of a connection that gives hostaddr only, the address: a
    /// certificate may name that too.
    pub name: String,
    /// Where it is, if that was said.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// What holds there: without a word about it, more than on this machine.
    pub ssl_mode: SslMode,
}

impl Host {
    /// Whether it is reached by a socket of this machine. As libpq: an address goes before a directory.
    pub fn is_socket(&self) -> bool {
        self.address.is_none() && is_socket(&self.name)
    }
}

/// What a connection says, checked.
pub(super) struct Parameters {
    hosts: Vec<Host>,
    user: Option<String>,
    /// That which was said; what a command prints comes later.
    pub password: Option<Secret>,
    dbname: Option<String>,
    pub(super) options: Option<String>,
    /// None: for ever.
    pub timeout: Option<Duration>,
    pub tls: TlsOptions,
    channel_binding: ChannelBinding,
    /// Whether it is the product that asks for TLS, since nobody says `sslmode`.
    pub ssl_mode_unsaid: bool,
    passfile: Option<String>,
    pub require_auth: Option<(String, AuthMethods)>,
    /// The user of the system whom the server of a socket must be.
    pub peer: Option<String>,
    pub attributes: SessionAttributes,
    load_balance: bool,
    pub keepalives: bool,
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
        let number = |name: &str| -> Result<Option<i64>> {
            get(name)
                .map(|text| {
                    text.trim().parse().map_err(|_| invalid(target, &format!("{name} is not a whole number")))
                })
                .transpose()
        };
        // As libpq: nothing, or less, leaves it to the system.
        let limit = |name: &str, ours: Option<u64>| -> Result<Option<u64>> {
            Ok(number(name)?.map_or(ours, |number| u64::try_from(number).ok().filter(|number| *number > 0)))
        };
        Ok(Parameters {
            hosts: hosts(target)?,
            user: get("user").map(str::to_owned),
            password: target.password.clone(),
            dbname: get("dbname").map(str::to_owned),
            options: get("options").map(str::to_owned),
            timeout: target.connect_timeout(),
            tls: TlsOptions::read(target)?,
            channel_binding: match get("channel_binding") {
                Some("require") => ChannelBinding::Require,
                Some("disable") => ChannelBinding::Disable,
                _ => ChannelBinding::Prefer,
            },
            ssl_mode_unsaid: target.sslmode_unsaid,
            passfile: get("passfile").map(str::to_owned),
            require_auth: get("require_auth").map(|text| methods(target, text)).transpose()?,
            peer: get("requirepeer").map(str::to_owned),
            attributes: SessionAttributes::parse(target, get("target_session_attrs"))?,
            load_balance: get("load_balance_hosts") == Some("random"),
            keepalives: number("keepalives")? != Some(0),
            // A system waits for two hours before it asks whether the other end is still there, and a run with it.
            keepalives_idle: limit("keepalives_idle", Some(30))?.map(Duration::from_secs),
            keepalives_interval: limit("keepalives_interval", Some(10))?.map(Duration::from_secs),
            keepalives_count: limit("keepalives_count", Some(3))?.and_then(|count| count.try_into().ok()),
            tcp_user_timeout: limit("tcp_user_timeout", None)?.map(Duration::from_millis),
            application_name: get("application_name").or(get("fallback_application_name")).map(str::to_owned),
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

    /// What bounds the silence of a connection by TCP.
    pub fn bound_silence(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        socket.set_tcp_nodelay(true)?;
        if self.keepalives {
            let mut keepalive = TcpKeepalive::new();
            if let Some(idle) = self.keepalives_idle {
                keepalive = keepalive.with_time(idle);
            }
            if let Some(interval) = self.keepalives_interval {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(count) = self.keepalives_count {
                keepalive = keepalive.with_retries(count);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(target_os = "linux")]
        if let Some(limit) = self.tcp_user_timeout {
            socket.set_tcp_user_timeout(Some(limit))?;
        }
        Ok(())
    }

    /// The password of a host: the one that is said, or else that of the file of passwords.
    pub fn password(&self, host: &Host) -> Found {
        match (&self.password, &self.passfile) {
            (None, Some(file)) => {
                let or_none = |value: &Option<String>| value.clone().unwrap_or_default();
                passfile::look_up(file, host, &or_none(&self.dbname), &or_none(&self.user))
            }
            (password, _) => Found { password: password.clone(), note: None },
        }
    }

    /// The driver's configuration for one host.
    pub fn config(&self, host: &Host, password: Option<&Secret>, mode: SslMode, name: &str) -> Config {
        let mut config = Config::new();
        config.host(&host.name).port(host.port);
        if let Some(user) = &self.user {
            config.user(user);
        }
        if let Some(password) = password {
            config.password(password.reveal());
        }
        if let Some(dbname) = &self.dbname {
            config.dbname(dbname);
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config.ssl_mode(match mode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Prefer => DriverSslMode::Prefer,
            _ => DriverSslMode::Require,
        });
        config.ssl_negotiation(match self.tls.direct {
            true => SslNegotiation::Direct,
            false => SslNegotiation::Postgres,
        });
        config.channel_binding(self.channel_binding);
        config.application_name(self.application_name(name));
        config
    }

    pub fn application_name(&self, name: &str) -> String {
        let whole = format!("{} {name}", self.application_name.as_deref().unwrap_or("ematix-flow"));
        // Postgres cuts it at 63 bytes: the last word, by which a run is found, is kept.
        let (head, last) = match whole.rsplit_once(' ') {
            Some((head, last)) if last.len() <= 8 => (head, last),
            _ => (whole.as_str(), ""),
        };
        let mut cut = head.len().min(62 - last.len());
        while !head.is_char_boundary(cut) {
            cut -= 1;
        }
        format!("{} {last}", &head[..cut]).trim_end().to_owned()
    }
}

/// The names of the settings among the words with which a session starts: `-c name=value`, `--name=value`.
pub(super) fn settings_in(options: &str) -> impl Iterator<Item = &str> {
    let names = options.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, _)| name);
    names.map(|name| name.trim_start_matches("-c").trim_start_matches("--"))
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
            let place = address.or(name).unwrap_or_default();
            Ok(Host {
                ssl_mode: SslMode::parse(target.sslmode_of(place))?,
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

fn methods(target: &ConnectionTarget, text: &str) -> Result<(String, AuthMethods)> {
    let methods =
        AuthMethods::parse(text).map_err(|what| invalid(target, &format!("require_auth {what}")))?;
    Ok((text.to_owned(), methods))
}
