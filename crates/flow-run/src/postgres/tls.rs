//! Encrypted connections with libpq's meaning of `sslmode`: what asks for TLS never travels in the clear.

use super::certificates::{Checks, Trusted, Verifier};
use super::client_certificate::{ClientCertificate, Files, Showing};
use super::key_log::KeysInFile;
use super::revocation::Places;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::declare::environment::read_plain;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::libpq::TLS_VERSIONS;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::path::Path;
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

/// What is said of the encryption.
#[derive(Clone, Debug)]
pub(super) struct TlsOptions {
    /// The file with the certificates to trust, or `system`.
    pub root_certificates: Option<String>,
    /// Whether the encryption begins without asking.
    pub direct: bool,
    /// The files of the own certificate.
    pub own: Files,
    /// The places of revocation lists.
    pub revoked: Places,
    versions: Vec<&'static SupportedProtocolVersion>,
    tells_name: bool,
    key_log: Option<String>,
}

impl TlsOptions {
    /// Reads libpq's words.
    ///
    /// # Errors
    /// `invalid_value` for a word, or for some that do not go together.
    pub fn read(target: &ConnectionTarget) -> Result<TlsOptions> {
        let get = |name: &str| target.parameter(name).filter(|value| !value.is_empty());
        let text = |name: &str| get(name).map(str::to_owned);
        let mode = SslMode::parse(get("sslmode").unwrap_or("prefer"))?;
        let direct = get("sslnegotiation") == Some("direct");
        if direct && mode < SslMode::Require {
            let weak = get("sslmode").unwrap_or("prefer");
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("{target}: sslnegotiation is \"direct\", and the weak sslmode \"{weak}\" may go on in the clear"),
            )
            .hint("set sslmode to require, verify-ca or verify-full"));
        }
        Ok(TlsOptions {
            root_certificates: text("sslrootcert"),
            direct,
            own: Files {
                certificate: text("sslcert"),
                key: text("sslkey"),
                passphrase: target.key_passphrase.clone(),
                showing: match get("sslcertmode") {
                    Some("disable") => Showing::Never,
                    Some("require") => Showing::Required,
                    _ => Showing::Allowed,
                },
            },
            revoked: Places { file: text("sslcrl"), directory: text("sslcrldir") },
            versions: versions(target, get("ssl_min_protocol_version"), get("ssl_max_protocol_version"))?,
            tells_name: get("sslsni") != Some("0"),
            key_log: text("sslkeylogfile"),
        })
    }

    fn trusted(&self, provider: &Arc<CryptoProvider>) -> Result<Trusted> {
        let trusted = match self.root_certificates.as_deref() {
            Some("system") => of_the_system(),
            Some(path) => of_a_file(path),
            None => Err(failed("sslmode verify-ca and verify-full need certificates to trust")
                .hint("set sslrootcert to the file with your authority's certificate, or to \"system\"")),
        }?;
        let revoked = self.revoked.verifier(trusted.authorities(), provider)?;
        Ok(trusted.with_revocation(revoked))
    }
}

fn versions(
    target: &ConnectionTarget,
    oldest: Option<&str>,
    newest: Option<&str>,
) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let number = |word: &str| TLS_VERSIONS.iter().position(|known| known.eq_ignore_ascii_case(word));
    let oldest = oldest.and_then(number).unwrap_or(0);
    let newest = newest.and_then(number).unwrap_or(TLS_VERSIONS.len() - 1);
    let spoken = [(2, &TLS12), (3, &TLS13)];
    let versions: Vec<_> = spoken
        .into_iter()
        .filter(|(number, _)| (oldest..=newest).contains(number))
        .map(|(_, version)| version)
        .collect();
    if versions.is_empty() {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("{target}: no version of TLS lies between ssl_min_protocol_version and ssl_max_protocol_version"),
        )
        .hint("take one of them out; TLSv1.2 and TLSv1.3 are spoken"));
    }
    Ok(versions)
}

/// What makes encrypted connections, and shows the own certificate to servers that ask for it.
#[derive(Clone)]
pub(super) struct Connector {
    /// What the driver takes.
    pub tls: MakeRustlsConnect,
    /// The own certificate.
    pub own: Arc<ClientCertificate>,
}

/// What makes an encrypted connection of a mode.
///
/// # Errors
/// `tls_failed` where a file that it needs cannot be read.
pub(super) fn connector(mode: SslMode, options: &TlsOptions) -> Result<Connector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let checks = match (mode, &options.root_certificates) {
        (SslMode::VerifyFull, _) => Checks::Full(options.trusted(&provider)?),
        // As libpq: a root certificate turns `require` into `verify-ca`. Not `prefer`: libpq then goes on in the
        // clear with a server of another authority, and unchecked encryption is better than none.
        (SslMode::VerifyCa, _) | (SslMode::Require | SslMode::Allow, Some(_)) => {
            Checks::Authority(options.trusted(&provider)?)
        }
        _ => Checks::None,
    };
    // What is never encrypted needs no file.
    let nothing = Files { certificate: None, key: None, passphrase: None, showing: Showing::Never };
    let encrypts = mode != SslMode::Disable;
    let own = Arc::new(ClientCertificate::read(if encrypts { &options.own } else { &nothing })?);
    let verifier = Verifier::new(checks, provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&options.versions)
        .map_err(|error| failed(format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(own.clone());
    config.enable_sni = options.tells_name;
    if options.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    if let Some(path) = options.key_log.as_deref().filter(|_| encrypts) {
        config.key_log = Arc::new(KeysInFile::open(path)?);
    }
    Ok(Connector { tls: MakeRustlsConnect::new(config), own })
}

fn of_a_file(path: &str) -> Result<Trusted> {
    let hint = "sslrootcert is a file with the certificate of your authority, or several, in PEM form \
                (-----BEGIN CERTIFICATE-----)";
    let certificates = of_pem(path)
        .map_err(|why| failed(format!("sslrootcert `{path}` cannot be read: {why}")).hint(hint))?;
    let trusted = Trusted::new(certificates);
    if trusted.is_empty() {
        return Err(failed(format!("sslrootcert `{path}` holds no certificate")).hint(hint));
    }
    Ok(trusted)
}

/// Everything of a kind that a file in PEM form holds.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn of_pem<T: PemObject>(path: &str) -> std::result::Result<Vec<T>, String> {
    let content = read_plain(Path::new(path)).map_err(|error| error.to_string().to_lowercase())?;
    T::pem_slice_iter(&content).collect::<std::result::Result<_, _>>().map_err(|error| error.to_string())
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

pub(super) fn failed(message: impl Into<String>) -> FlowError {
    FlowError::new(ErrorCode::TlsFailed, message)
}
