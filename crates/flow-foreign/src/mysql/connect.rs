//! Logs in. Nothing of a server is trusted that the connection does not say: no file of ours is sent, no password in the
//! clear, and over the network no certificate of somebody else is taken.

use super::error::connect_error;
use crate::told::Told;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::declare::mysql_dsn::SslMode;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, Opts, OptsBuilder, SslOpts};
use rustls::CertificateError;

/// What holds in every session: times are those of UTC, text is UTF-8, and a target that is slow is waited for.
const SESSION: [&str; 3] = [
    "SET NAMES utf8mb4",
    "SET SESSION time_zone = '+00:00', net_write_timeout = 86400",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
];

/// Logs in.
///
/// # Errors
/// Of class `unreachable`.
pub async fn open(at: &ConnectionTarget) -> Result<Conn> {
    let opts = opts(at).await?;
    let logging_in = async {
        let mut conn = match Conn::new(opts.clone()).await {
            Err(error) => match own_name(at, &error) {
                Some(name) => Conn::new(called(opts, name)).await?,
                None => return Err(error),
            },
            opened => opened?,
        };
        for statement in SESSION {
            conn.query_drop(statement).await?;
        }
        Ok(conn)
    };
    let answered = match at.connect_timeout() {
        Some(limit) => tokio::time::timeout(limit, logging_in).await.map_err(|_| {
            let seconds = limit.as_secs();
            FlowError::new(ErrorCode::ConnectTimeout, format!("{at} did not answer within {seconds} s"))
                .hint("connect_timeout in the DSN sets the limit in seconds")
        })?,
        None => logging_in.await,
    };
    answered.map_err(|error| connect_error(&error, at))
}

async fn opts(at: &ConnectionTarget) -> Result<OptsBuilder> {
    let text = |name: &str| at.parameter(name).map(str::to_owned);
    let password = at.password.as_ref().map(|password| password.reveal().to_owned());
    let opts = OptsBuilder::default()
        .ip_or_hostname(text("host").unwrap_or_default())
        .tcp_port(at.parameter("port").and_then(|port| port.parse().ok()).unwrap_or(3306))
        .user(text("user"))
        .pass(password)
        .db_name(text("dbname"))
        .socket(text("socket"))
        // Where a host is named it is meant, whatever socket the server has.
        .prefer_socket(at.parameter("socket").is_some())
        .stmt_cache_size(0);
    let mode = at.parameter("sslmode").and_then(SslMode::of_name).unwrap_or(SslMode::VerifyIdentity);
    // Nobody stands between a socket's two ends.
    if mode == SslMode::Disabled || at.parameter("socket").is_some() {
        return Ok(opts);
    }
    // Who looks at no certificate needs nobody to trust.
    let tls = SslOpts::default()
        .with_disable_built_in_roots(mode != SslMode::Required)
        .with_danger_accept_invalid_certs(mode == SslMode::Required);
    Ok(opts.ssl_opts(match (mode, at.parameter("sslrootcert")) {
        (SslMode::Required, _) => tls,
        (_, Some(file)) => tls.with_root_certs(vec![contents(file)?.into()]),
        (_, None) => {
            let trusted = roots_of_the_system().await?;
            tls.with_root_certs(trusted.into_iter().map(Into::into).collect())
        }
    }))
}

/// With VERIFY_CA a name that the server's certificate has, where it is not the host's: the driver knows no check of who
/// has signed it without one of the name. So the certificate is held to its own.
fn own_name(at: &ConnectionTarget, error: &Error) -> Option<String> {
    let Error::Io(IoError::Io(why)) = error else { return None };
    let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) =
        why.get_ref()?.downcast_ref()?
    else {
        return None;
    };
    let name = |told: &String| {
        let (kind, inside) = told.strip_suffix(')')?.split_once('(')?;
        let is_name = matches!(kind, "DnsName" | "IpAddress");
        is_name.then(|| inside.trim_matches('"').replacen('*', "any", 1))
    };
    (at.parameter("sslmode") == Some(SslMode::VerifyCa.name())).then(|| presented.iter().find_map(name))?
}

fn called(opts: OptsBuilder, name: String) -> OptsBuilder {
    let tls = Opts::from(opts.clone()).ssl_opts().cloned();
    opts.ssl_opts(tls.map(|tls| tls.with_danger_tls_hostname_override(Some(name))))
}

fn contents(file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        let why = error.to_string().to_lowercase();
        FlowError::new(ErrorCode::TlsFailed, format!("the file of ssl-ca, {file}, cannot be read: {why}"))
            .hint("a relative path starts from the file that names it")
    })
}

/// The certificates that this machine trusts.
async fn roots_of_the_system() -> Result<Vec<Vec<u8>>> {
    let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let found = loading.await.map(|found| found.certs).unwrap_or_default();
    if found.is_empty() {
        return Err(FlowError::new(ErrorCode::TlsFailed, "this machine trusts no certificate at all")
            .hint("install ca-certificates, or write ssl-ca=FILE in the DSN"));
    }
    Ok(found.into_iter().map(|certificate| certificate.as_ref().to_vec()).collect())
}

/// Logs in, and asks who is there.
pub async fn ask(at: &ConnectionTarget) -> Result<Told> {
    let mut conn = open(at).await?;
    let asked = async {
        let version: Option<String> = conn.query_first("SELECT version()").await?;
        let cipher: Option<(String, String)> = conn.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await?;
        Ok((version.unwrap_or_default(), cipher.is_some_and(|(_, cipher)| !cipher.is_empty())))
    };
    let (version, encrypted) = asked.await.map_err(|error| connect_error(&error, at))?;
    let _ = conn.disconnect().await;
    let name = if version.contains("MariaDB") { "" } else { "MySQL " };
    Ok(Told { version: format!("{name}{version}"), encrypted: Some(encrypted) })
}
