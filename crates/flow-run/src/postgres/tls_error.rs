//! Why no encrypted connection came about, and what helps.

use super::error::root_cause;
use super::parameters::{Host, Parameters};
use super::tls::SslMode;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError};
use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

/// Marks the error of a server that has no TLS.
const NOT_OFFERED: (&str, &str) = ("tls", "not offered");

/// Whether the server has no TLS at all.
pub(super) fn is_not_offered(error: &FlowError) -> bool {
    error.context.get(NOT_OFFERED.0).and_then(|value| value.as_str()) == Some(NOT_OFFERED.1)
}

/// The error of an attempt that failed for want of TLS; None where TLS has no part in it.
pub(super) fn tls_error(
    error: &tokio_postgres::Error,
    target: &ConnectionTarget,
    host: &Host,
    parameters: &Parameters,
) -> Option<FlowError> {
    let said = what_failed(error, target, host, parameters)?;
    if !parameters.ssl_mode_unsaid || host.ssl_mode != SslMode::VerifyFull {
        return Some(said);
    }
    let why = "sslmode is not set: a host that is not this machine then gets verify-full";
    Some(said.detail(why).hint(
        "set sslrootcert to the file with the certificate of the server's authority; or sslmode=prefer, as psql has it: \
         whoever is on the way may then pretend to be the server, and read along where it has no TLS",
    ))
}

fn what_failed(
    error: &tokio_postgres::Error,
    target: &ConnectionTarget,
    host: &Host,
    parameters: &Parameters,
) -> Option<FlowError> {
    let failed = |message: String| FlowError::new(ErrorCode::TlsFailed, format!("{target}: {message}"));
    if let Some(cause) = rustls_error(error) {
        let said = match cause {
            Error::InvalidCertificate(cause) => of_certificate(cause, host, parameters),
            other => of_handshake(other, parameters),
        };
        let error = said.details.into_iter().fold(failed(said.message), FlowError::detail);
        return Some(error.hint(said.hint));
    }
    if !error.to_string().contains("TLS") {
        return None;
    }
    let cause = root_cause(error);
    if cause == "server does not support TLS" {
        return Some(
            failed(match parameters.ssl_mode_unsaid {
                true => "the server has no TLS".to_owned(),
                false => "the server has no TLS, and sslmode asks for it".to_owned(),
            })
            .context(NOT_OFFERED.0, NOT_OFFERED.1)
            .hint("switch it on there (ssl = on); sslmode = \"prefer\" would connect in the clear"),
        );
    }
    Some(failed(format!("no encrypted connection: {cause}")).hint(log_or_version(parameters)))
}

/// The error of a login without the certificate that sslcertmode requires.
pub(super) fn not_asked(target: &ConnectionTarget) -> FlowError {
    FlowError::new(
        ErrorCode::TlsFailed,
        format!("{target}: the server did not ask for a certificate, and sslcertmode is \"require\""),
    )
    .hint("have pg_hba.conf say clientcert = verify-full, or cert; sslcertmode = \"allow\" does without")
}

/// What may help where the handshake broke off.
fn log_or_version(parameters: &Parameters) -> &'static str {
    if parameters.tls.direct {
        "sslnegotiation = \"direct\" is understood by Postgres 17 and later; without it any server will do"
    } else {
        "the server's log may say more"
    }
}

/// What is said of a cause.
struct Said {
    message: String,
    details: Vec<String>,
    hint: String,
}

impl Said {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Said {
        Said { message: message.into(), details: Vec::new(), hint: hint.into() }
    }
}

fn of_certificate(cause: &CertificateError, host: &Host, parameters: &Parameters) -> Said {
    match cause {
        CertificateError::NotValidForName => of_name(host, &[]),
        CertificateError::NotValidForNameContext { presented, .. } => of_name(host, presented),
        CertificateError::UnknownIssuer => unknown_authority(parameters),
        CertificateError::Expired => expired("has expired".to_owned()),
        CertificateError::ExpiredContext { not_after, .. } => {
            expired(format!("expired on {}", day(*not_after)))
        }
        CertificateError::NotValidYet => expired("is not valid yet".to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            expired(format!("is valid only from {}", day(*not_before)))
        }
        CertificateError::Revoked => Said::new(
            "the server's certificate is revoked by its authority",
            "have another made for the server; its key may be in the wrong hands",
        ),
        CertificateError::UnknownRevocationStatus => Said::new(
            format!(
                "no revocation list is from an authority of the server's certificate: {}",
                lists(parameters)
            ),
            "each authority between sslrootcert and the server needs its list",
        ),
        CertificateError::ExpiredRevocationList => outdated_list(None, parameters),
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            outdated_list(Some(*next_update), parameters)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Said::new(
            "the server's certificate is not made for servers",
            "have it made with extendedKeyUsage = serverAuth, or without that extension",
        ),
        // webpki's own words; it is not ours to name its types.
        CertificateError::Other(other) => match root_cause(other).as_str() {
            "CaUsedAsEndEntity" => Said::new(
                "the server's certificate is that of an authority, and sslrootcert does not list it",
                "add the server's certificate to sslrootcert, or have one made with CA:FALSE",
            ),
            "UnsupportedCertVersion" => Said::new(
                "the server's certificate is of X.509 version 1, which names no host and cannot be checked",
                format!("have it made anew with a subjectAltName; {WITHOUT_CHECKS}"),
            ),
            words => refused(words),
        },
        other => refused(&format!("{other:?}")),
    }
}

/// What remains where a certificate cannot be mended.
const WITHOUT_CHECKS: &str = "sslmode = \"require\" without sslrootcert encrypts and checks nothing: anybody on the way could pretend to be the server";

fn of_name(host: &Host, presented: &[String]) -> Said {
    let message = format!("the server's certificate is not valid for `{}`", host.name);
    if presented.is_empty() {
        return Said {
            details: vec!["it has no subjectAltName, and a name in its subject (CN) is not read".to_owned()],
            ..Said::new(
                message,
                "have it made with subjectAltName = DNS:… or IP:…; sslmode = \"verify-ca\" asks for no name",
            )
        };
    }
    let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
    let hint =
        "set host to one of its names, and hostaddr to the address; sslmode = \"verify-ca\" asks for no name";
    Said { details: vec![format!("it is valid for {}", names.join(", "))], ..Said::new(message, hint) }
}

/// `db.example` of webpki's `DnsName("db.example")`.
fn plain(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')')).trim_matches('"')
}

fn unknown_authority(parameters: &Parameters) -> Said {
    let whom = match parameters.tls.root_certificates.as_deref() {
        Some("system") | None => "an authority of this machine (sslrootcert=system)".to_owned(),
        Some(path) => format!("an authority in sslrootcert `{path}`"),
    };
    Said::new(
        format!("the server's certificate is not signed by {whom}"),
        "set sslrootcert to the certificate of the authority that signed the server's, or have the server send the \
         certificates between them (ssl_cert_file may hold several)",
    )
}

fn lists(parameters: &Parameters) -> String {
    let places: Vec<_> = parameters.tls.revoked.shown().collect();
    places.join(" and ")
}

fn outdated_list(next: Option<UnixTime>, parameters: &Parameters) -> Said {
    let since = next.map(|next| format!(" since {}", day(next))).unwrap_or_default();
    Said::new(
        format!("a revocation list is out of date{since}: {}", lists(parameters)),
        format!("take the authority's newest; here it is {} now", day(UnixTime::now())),
    )
}

fn expired(what: String) -> Said {
    Said::new(
        format!("the server's certificate {what}"),
        format!("renew it on the server; here it is {} now", day(UnixTime::now())),
    )
}

fn refused(words: &str) -> Said {
    let how = if words.contains("Unsupported") && words.contains("Algorithm") {
        "have it made with a key and a signature of today (RSA 2048, ECDSA P-256, SHA-256)"
    } else {
        "have it made anew"
    };
    Said::new(
        format!("the server's certificate cannot be checked: {words}"),
        format!("{how}; {WITHOUT_CHECKS}"),
    )
}

fn of_handshake(error: &Error, parameters: &Parameters) -> Said {
    match error {
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => Said::new(
            format!("server and client have no TLS in common: {error}"),
            "the server must allow TLS 1.2 or 1.3 (ssl_min_protocol_version, ssl_ciphers)",
        ),
        Error::AlertReceived(alert) if says_of_ours(*alert) => of_own_certificate(*alert, parameters),
        other => Said::new(format!("no encrypted connection: {other}"), log_or_version(parameters)),
    }
}

/// Whether a server says it of the certificate that it was shown.
fn says_of_ours(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::UnknownCA
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::DecryptError
            | A::AccessDenied
    )
}

fn of_own_certificate(alert: AlertDescription, parameters: &Parameters) -> Said {
    let whose = match &parameters.tls.own.certificate {
        Some(path) => format!("the certificate in sslcert `{path}`"),
        None => "us without a certificate".to_owned(),
    };
    let (why, hint) = match alert {
        AlertDescription::UnknownCA => {
            ("it does not know its authority", "the authority must stand in the server's ssl_ca_file")
        }
        AlertDescription::CertificateExpired => ("it has expired, or is not valid yet", "have it renewed"),
        AlertDescription::CertificateRevoked => ("it is revoked", "have another made"),
        AlertDescription::CertificateRequired => ("it asks for one", "set sslcert and sslkey"),
        _ => ("it does not say why", "the server's log may say more"),
    };
    Said::new(format!("the server refuses {whose}: {why}"), hint)
}

fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .map_or_else(|_| "a day far away".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// rustls speaks through `io::Error`, whose source is not what it holds but the source of that.
fn rustls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let held = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = held.and_then(|held| held.downcast_ref::<Error>()) {
            return Some(found);
        }
        cause = current.source();
    }
    None
}
