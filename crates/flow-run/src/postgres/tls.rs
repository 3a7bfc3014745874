//! Encrypted connections with libpq's meaning of `sslmode`: what asks for TLS never travels in the clear.

use super::certificates::{Checks, Trusted, Verifier};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// In the clear unless the server insists.
    Allow,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted; the certificate is not judged.
    Require,
    /// Encrypted; the certificate leads to a trusted root.
    VerifyCa,
    /// Encrypted; besides, the certificate names the host.
    VerifyFull,
}

impl SslMode {
    /// Reads libpq's word.
    ///
    /// # Errors
    /// `invalid_value` for any other.
    pub fn parse(word: &str) -> Result<SslMode> {
        Ok(match word {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => {
                return Err(FlowError::new(ErrorCode::InvalidValue, format!("`{word}` is not an sslmode"))
                    .hint("it is disable, allow, prefer, require, verify-ca or verify-full"));
            }
        })
    }
}

/// What makes an encrypted connection of a mode.
///
/// # Errors
/// `tls_failed` where the certificates to trust cannot be read.
pub fn connector(mode: SslMode, root_certificates: Option<&str>) -> Result<MakeRustlsConnect> {
    let checks = match (mode, root_certificates) {
        (SslMode::VerifyFull, _) => Checks::Full(trusted(root_certificates)?),
        // As libpq: a root certificate turns `require` into `verify-ca`. Not `prefer`: libpq then goes on in the
        // clear with a server of another authority, and unchecked encryption is better than none.
        (SslMode::VerifyCa, _) | (SslMode::Require | SslMode::Allow, Some(_)) => {
            Checks::Authority(trusted(root_certificates)?)
        }
        _ => Checks::None,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(checks, provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn trusted(root_certificates: Option<&str>) -> Result<Trusted> {
    match root_certificates {
        Some("system") => of_the_system(),
        Some(path) => of_a_file(path),
        None => Err(failed("sslmode verify-ca and verify-full need certificates to trust")
            .hint("set sslrootcert to the file with your authority's certificate, or to \"system\"")),
    }
}

fn of_a_file(path: &str) -> Result<Trusted> {
    let hint = "sslrootcert is a file with the certificate of your authority, or several, in PEM form \
                (-----BEGIN CERTIFICATE-----)";
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<std::result::Result<Vec<_>, _>>())
        .map_err(|error| {
            failed(format!("sslrootcert `{path}` cannot be read: {}", words(&error))).hint(hint)
        })?;
    let trusted = Trusted::new(certificates);
    if trusted.is_empty() {
        return Err(failed(format!("sslrootcert `{path}` holds no certificate")).hint(hint));
    }
    Ok(trusted)
}

fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string().to_lowercase(),
        other => other.to_string(),
    }
}

fn of_the_system() -> Result<Trusted> {
    let found = rustls_native_certs::load_native_certs();
    let trusted = Trusted::new(found.certs);
    if !trusted.is_empty() {
        return Ok(trusted);
    }
    let error = failed("sslrootcert is \"system\", and this machine has no certificates to trust").hint(
        "install ca-certificates, set SSL_CERT_FILE to a bundle, or set sslrootcert to the file with your authority's \
         certificate",
    );
    Err(found.errors.iter().take(3).fold(error, |error, cause| error.detail(cause.to_string())))
}

fn failed(message: impl Into<String>) -> FlowError {
    FlowError::new(ErrorCode::TlsFailed, message)
}
