//! Opens a session on a resolved connection: host by host, address by address, as libpq tries them.

use super::addresses::addresses_of;
use super::asked::{Heard, HeardTls, Process};
use super::cancel::Place;
use super::client_certificate::Showing;
use super::connect_error::{connect_error, not_in_time, not_reached, not_resolved, other_server, unfit};
use super::parameters::{Host, Parameters};
use super::password_command::password_of;
use super::role;
use super::session::{PostgresSession, Reached};
use super::session_attributes::{Reported, SessionAttributes};
use super::stream;
use super::tls::{Connector, SslMode, connector};
use super::tls_error::{is_not_offered, not_asked};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::MakeTlsConnect;

/// Refuses a connection that leads to another engine, for what only Postgres does yet.
///
/// # Errors
/// `not_yet_supported`; `unsupported_by_engine` for what is only read by pipelines.
pub fn refuse_other_engines(target: &ConnectionTarget) -> Result<()> {
    if target.engine == POSTGRES.name {
        return Ok(());
    }
    if let Some(engine) = target.foreign() {
        let error = engine.cannot(format!("{target} opens no session"));
        return Err(error.hint("let a pipeline read it, or use the engine's own client"));
    }
    let words =
        format!("{target} leads to no server of Postgres, and nothing else is asked or read from Python yet");
    Err(FlowError::new(ErrorCode::NotYetSupported, words)
        .hint("its own module does that, beside loads: duckdb.connect(…) shares the file"))
}

/// Opens a session.
///
/// # Errors
/// `not_yet_supported` and `unsupported_by_engine` for another engine; `connect_failed`, `connect_timeout`,
/// `authentication_failed`, `unknown_database`, `tls_failed`, `unsupported_server`.
pub async fn connect(target: &ConnectionTarget, application_name: &str) -> Result<PostgresSession> {
    refuse_other_engines(target)?;
    let mut parameters = Parameters::read(target)?;
    let hosts = parameters.hosts_in_order();
    // Before anything is opened: a mistake about certificates is one wherever the hosts are.
    let mut connectors = Connectors::default();
    for host in &hosts {
        connectors.make(mode_of(host), &parameters)?;
    }
    parameters.password = password_of(target, parameters.timeout).await?;
    let attempts = Attempts { target, parameters: &parameters, connectors, application_name };
    let mut missed = Vec::new();
    for wanted in parameters.attributes.rounds() {
        for host in &hosts {
            match attempts.host(host, *wanted).await {
                // As libpq: the next host is for when this one cannot be reached, or is of another kind, not for when
                // it refuses.
                Err(error) if is_unreached(&error) => missed.push((host, error)),
                outcome => return outcome,
            }
        }
    }
    Err(none_of(target, missed))
}

/// The error of the last host, with what was wrong with those before it.
fn none_of(target: &ConnectionTarget, mut missed: Vec<(&Host, FlowError)>) -> FlowError {
    let (_, last) = missed.pop().expect("a connection has at least one host");
    let target = target.to_string();
    let told = |(host, error): (&Host, FlowError)| {
        error.message.replace(&target, &format!("{}:{}", host.name, host.port))
    };
    let mut told: Vec<String> = missed.into_iter().map(told).collect();
    told.dedup();
    told.into_iter().fold(last, FlowError::detail)
}

/// As libpq: a socket of this machine is not encrypted whatever sslmode says.
fn mode_of(host: &Host) -> SslMode {
    if host.is_socket() { SslMode::Disable } else { host.ssl_mode }
}

/// What encrypts, for each mode that a host has.
#[derive(Default)]
struct Connectors(Vec<(SslMode, Connector)>);

impl Connectors {
    fn make(&mut self, mode: SslMode, parameters: &Parameters) -> Result<()> {
        if !self.0.iter().any(|(made, _)| *made == mode) {
            self.0.push((mode, connector(mode, &parameters.tls)?));
        }
        Ok(())
    }

    fn of(&self, host: &Host) -> Connector {
        let found = self.0.iter().find(|(mode, _)| *mode == mode_of(host));
        found.expect("one was made for each host").1.clone()
    }
}

fn is_unreached(error: &FlowError) -> bool {
    matches!(error.code, ErrorCode::ConnectFailed | ErrorCode::ConnectTimeout)
}

/// What all attempts of one connection share.
struct Attempts<'a> {
    target: &'a ConnectionTarget,
    parameters: &'a Parameters,
    connectors: Connectors,
    application_name: &'a str,
}

impl Attempts<'_> {
    async fn host(&self, host: &Host, wanted: SessionAttributes) -> Result<PostgresSession> {
        if host.is_socket() {
            return self.once(host, None, SslMode::Disable, wanted).await;
        }
        let mut first = None;
        for address in self.addresses(host).await? {
            match self.address(host, address, wanted).await {
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
        let found = in_time(self.target, addresses_of(&host.name)).await?;
        let mut addresses = found.map_err(|error| not_resolved(self.target, &host.name, &error))?;
        self.parameters.shuffle_if_asked(&mut addresses);
        Ok(addresses)
    }

    /// Tries what the mode asks for, and for the two weak modes the other way after that.
    async fn address(
        &self,
        host: &Host,
        address: IpAddr,
        wanted: SessionAttributes,
    ) -> Result<PostgresSession> {
        let attempt = |mode| self.once(host, Some(address), mode, wanted);
        match host.ssl_mode {
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

    async fn once(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        mode: SslMode,
        wanted: SessionAttributes,
    ) -> Result<PostgresSession> {
        let session = in_time(self.target, self.open(host, address, mode, wanted)).await??;
        supported(self.target, &session.server_version)?;
        Ok(session)
    }

    async fn open(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        mode: SslMode,
        wanted: SessionAttributes,
    ) -> Result<PostgresSession> {
        let unreached = |error: io::Error| not_reached(&error, self.target);
        if let Some(address) = address {
            let stream = stream::by_tcp(host, address, self.parameters).await.map_err(unreached)?;
            return self.over(stream, host, Some(address), mode, wanted).await;
        }
        #[cfg(unix)]
        {
            let stream = stream::by_socket(host).await.map_err(unreached)?;
            if let Some(wanted) = &self.parameters.peer
                && let Some(other) = stream::other_peer(&stream, wanted).map_err(unreached)?
            {
                return Err(other_server(self.target, &other));
            }
            self.over(stream, host, None, mode, wanted).await
        }
        #[cfg(not(unix))]
        Err(unreached(io::Error::from(io::ErrorKind::Unsupported)))
    }

    async fn over<S>(
        &self,
        stream: S,
        host: &Host,
        address: Option<IpAddr>,
        mode: SslMode,
        wanted: SessionAttributes,
    ) -> Result<PostgresSession>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let found = self.parameters.password(host);
        let config = self.parameters.config(host, found.password.as_ref(), mode, self.application_name);
        let allowed = self.parameters.require_auth.as_ref().map(|(_, methods)| methods);
        let process = Process::default();
        let stream = match mode {
            SslMode::Disable | SslMode::Prefer => {
                Heard::new(stream, allowed, &process, mode == SslMode::Prefer)
            }
            // From `require` up nothing is read but by TLS.
            _ => Heard::deaf(stream),
        };
        let Connector { tls: mut connector, own } = self.connectors.of(host);
        own.begin();
        let Ok(tls) = MakeTlsConnect::<Heard<S>>::make_tls_connect(&mut connector, &host.name);
        let connected = config.connect_raw(stream, HeardTls(tls, allowed, &process)).await;
        let (client, connection) = connected.map_err(|error| {
            let error = connect_error(&error, self.target, host, self.parameters);
            match found.note {
                Some(note) if error.code == ErrorCode::AuthenticationFailed => error.detail(note),
                _ => error,
            }
        })?;
        if self.parameters.tls.own.showing == Showing::Required && !own.was_asked() {
            return Err(not_asked(self.target));
        }
        let reported = Reported::by(&connection);
        let version = connection.parameter("server_version").unwrap_or_default().to_owned();
        let session = PostgresSession::new(
            client,
            connection,
            Reached {
                place: place(host, address),
                tls: connector,
                may_encrypt: mode != SslMode::Disable,
                limit: self.target.patience(),
                process: process.get().copied(),
            },
            version,
            self.target.session.clone(),
            self.parameters.options.clone(),
        );
        match wanted.unfit(&session, &reported).await? {
            Some(what) => Err(unfit(self.target, host, what)),
            None => role::take(session, self.target).await,
        }
    }
}

/// Work that may take as long as a log-in.
///
/// # Errors
/// `connect_timeout`.
pub(super) async fn in_time<T>(target: &ConnectionTarget, work: impl Future<Output = T>) -> Result<T> {
    match target.connect_timeout() {
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| not_in_time(target, Some(limit))),
        None => Ok(work.await),
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
        None => Place::Socket(stream::socket_path(host)),
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
