//! Encrypted connections with libpq's meaning of `sslmode`: what asks for TLS never travels in the clear.

use crate::error::{ErrorCode, FlowError, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
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
    // As libpq: a root certificate turns `require` into `verify-ca`.
    let mode = match (mode, root_certificates) {
        (SslMode::Require, Some(_)) => SslMode::VerifyCa,
        (SslMode::VerifyCa, Some("system")) => SslMode::VerifyFull,
        (mode, _) => mode,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots =
        if mode >= SslMode::VerifyCa { trusted_roots(root_certificates)? } else { RootCertStore::empty() };
    let verifier = Verifier { mode, roots: Arc::new(roots), provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FlowError::new(ErrorCode::TlsFailed, format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn trusted_roots(file: Option<&str>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file {
        Some("system") => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(FlowError::new(
                    ErrorCode::TlsFailed,
                    "this machine has no certificates of its own to trust",
                )
                .hint("set sslrootcert to a file with the certificates of your authority"));
            }
        }
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(|certificates| certificates.collect::<std::result::Result<Vec<_>, _>>())
                .map_err(|error| {
                    FlowError::new(ErrorCode::TlsFailed, format!("sslrootcert `{path}` cannot be read"))
                        .detail(error.to_string())
                        .hint("it is a file with one or more certificates in PEM form")
                })?;
            roots.add_parsable_certificates(certificates);
            if roots.is_empty() {
                return Err(FlowError::new(
                    ErrorCode::TlsFailed,
                    format!("sslrootcert `{path}` holds no certificate"),
                ));
            }
        }
        None => {
            return Err(FlowError::new(
                ErrorCode::TlsFailed,
                "sslmode verify-ca and verify-full need certificates to trust",
            )
            .hint("set sslrootcert to a file, or to \"system\""));
        }
    }
    Ok(roots)
}

#[derive(Debug)]
struct Verifier {
    mode: SslMode,
    roots: Arc<RootCertStore>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        match self.mode {
            SslMode::VerifyFull => {
                WebPkiServerVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
                    .build()
                    .map_err(|error| rustls::Error::General(error.to_string()))?
                    .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            SslMode::VerifyCa => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                let algorithms = self.provider.signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &certificate,
                    &self.roots,
                    intermediates,
                    now,
                    algorithms,
                )?;
                Ok(ServerCertVerified::assertion())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
