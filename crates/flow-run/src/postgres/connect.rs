//! Opens a session on a resolved connection: host by host, address by address, as libpq tries them.

use super::addresses::addresses_of;
use super::cancel::Place;
use super::connect_error::{connect_error, not_in_time, not_resolved};
use super::parameters::{Host, Parameters};
use super::session::PostgresSession;
use super::tls::{SslMode, connector};
use super::tls_error::is_not_offered;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Opens a session.
///
/// # Errors
/// `connect_failed`, `connect_timeout`, `authentication_failed`, `unknown_database`, `tls_failed`,
/// `unsupported_server`.
pub async fn connect(target: &ConnectionTarget, application_name: &str) -> Result<PostgresSession> {
    let parameters = Parameters::read(target)?;
    let hosts = parameters.hosts_in_order();
    // Before anything is opened: a mistake about certificates is one wherever the hosts are.
    let mode = if hosts.iter().all(Host::is_socket) { SslMode::Disable } else { parameters.ssl_mode };
    let connector = connector(mode, parameters.root_certificates.as_deref())?;
    let attempts = Attempts { target, parameters: &parameters, connector, application_name };
    let mut last = None;
    for host in hosts {
        match attempts.host(&host).await {
            // As libpq: the next host is for when this one cannot be reached, not for when it refuses.
            Err(error) if is_unreached(&error) => last = Some(error),
            outcome => return outcome,
        }
    }
    Err(last.expect("a connection has at least one host"))
}

fn is_unreached(error: &FlowError) -> bool {
    matches!(error.code, ErrorCode::ConnectFailed | ErrorCode::ConnectTimeout)
}

/// What all attempts of one connection share.
struct Attempts<'a> {
    target: &'a ConnectionTarget,
    parameters: &'a Parameters,
    connector: MakeRustlsConnect,
    application_name: &'a str,
}

impl Attempts<'_> {
    async fn host(&self, host: &Host) -> Result<PostgresSession> {
        if host.is_socket() {
            // As libpq: a socket of this machine is not encrypted whatever sslmode says.
            return self.once(host, None, SslMode::Disable).await;
        }
        let mut first = None;
        for address in self.addresses(host).await? {
            match self.address(host, address).await {
                // The one to tell of: ::1 is often only a second name for what has just refused.
                Err(error) if is_unreached(&error) => first = first.or(Some(error)),
                outcome => return outcome,
            }
        }
        Err(first.expect("a host has at least one address"))
    }

    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>> {
        if let Some(address) = host.address {
            return Ok(vec![address]);
        }
        let found = self.in_time(addresses_of(&host.name)).await?;
        let mut addresses = found.map_err(|error| not_resolved(self.target, &host.name, &error))?;
        self.parameters.shuffle_if_asked(&mut addresses);
        Ok(addresses)
    }

    /// Tries what the mode asks for, and for the two weak modes the other way after that.
    async fn address(&self, host: &Host, address: IpAddr) -> Result<PostgresSession> {
        let attempt = |mode| self.once(host, Some(address), mode);
        match self.parameters.ssl_mode {
            SslMode::Allow => match attempt(SslMode::Disable).await {
                Err(first) if first.code == ErrorCode::AuthenticationFailed => {
                    attempt(SslMode::Allow).await.map_err(|second| more_telling(first, second))
                }
                outcome => outcome,
            },
            SslMode::Prefer => match attempt(SslMode::Prefer).await {
                Err(first) if may_be_clear(&first) => {
                    attempt(SslMode::Disable).await.map_err(|second| more_telling(first, second))
                }
                outcome => outcome,
            },
            mode => attempt(mode).await,
        }
    }

    async fn once(&self, host: &Host, address: Option<IpAddr>, mode: SslMode) -> Result<PostgresSession> {
        let config = self.parameters.config(host, address, mode, self.application_name);
        let connected = self.in_time(config.connect(self.connector.clone())).await?;
        let (client, connection) =
            connected.map_err(|error| connect_error(&error, self.target, host, self.parameters))?;
        let version = connection.parameter("server_version").unwrap_or_default().to_owned();
        let session = PostgresSession::new(
            client,
            connection,
            self.connector.clone(),
            mode != SslMode::Disable,
            version.clone(),
            self.target.session.clone(),
            self.parameters.options.clone(),
        )
        .reached_at(place(host, address));
        supported(self.target, &version)?;
        Ok(session)
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        match self.parameters.timeout {
            Some(limit) => {
                tokio::time::timeout(limit, work).await.map_err(|_| not_in_time(self.target, Some(limit)))
            }
            None => Ok(work.await),
        }
    }
}

/// Whether `prefer` may try in the clear: no encryption came about, or the server has no rule for it. As libpq, but
/// for a password that was refused: that one is not shown again.
fn may_be_clear(error: &FlowError) -> bool {
    error.code == ErrorCode::TlsFailed || has_no_rule(error)
}

/// `invalid_authorization_specification`, which is what pg_hba.conf answers to whom it does not name.
fn has_no_rule(error: &FlowError) -> bool {
    error.sqlstate.as_deref() == Some("28000")
}

/// Of the errors of both ways the one that tells what is wrong, rather than that a way is not offered.
fn more_telling(first: FlowError, second: FlowError) -> FlowError {
    if is_not_offered(&second) || has_no_rule(&second) { first } else { second }
}

fn place(host: &Host, address: Option<IpAddr>) -> Place {
    match address {
        Some(address) => {
            Place::Address { address: SocketAddr::new(address, host.port), name: host.name.clone() }
        }
        None => Place::Socket(Path::new(&host.name).join(format!(".s.PGSQL.{}", host.port))),
    }
}

fn supported(target: &ConnectionTarget, version: &str) -> Result<()> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    match digits.parse::<u32>() {
        Ok(major) if major < 15 => {
            Err(FlowError::new(ErrorCode::UnsupportedServer, format!("{target} is Postgres {version}"))
                .hint("Postgres 15 and later are supported"))
        }
        _ => Ok(()),
    }
}
