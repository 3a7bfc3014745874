//! The certificate by which a server knows us: found, checked and shown as libpq does.

use super::tls::failed;
use ematix_flow_core::declare::environment::read_plain;
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::secret::Secret;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// libpq's `sslcertmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Showing {
    /// No certificate is shown.
    Never,
    /// One is shown to a server that asks, if there is one.
    Allowed,
    /// The server must ask for one.
    Required,
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub passphrase: Option<Secret>,
    pub showing: Showing,
}

/// What rustls asks for a certificate; it remembers whether it was asked.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ClientCertificate {
    /// Reads certificate and key, if there are any.
    ///
    /// # Errors
    /// `tls_failed` where one cannot be read, is without the other, does not fit it, or is open to others.
    pub fn read(files: &Files) -> Result<ClientCertificate> {
        let key = match (&files.certificate, files.showing) {
            (_, Showing::Never) => None,
            (None, Showing::Required) => {
                return Err(failed("sslcertmode is \"require\", and there is no certificate to show")
                    .hint("set sslcert and sslkey, or put them into ~/.postgresql/postgresql.crt and .key"));
            }
            (None, Showing::Allowed) => None,
            (Some(path), _) => Some(Arc::new(certified_key(path, files)?)),
        };
        Ok(ClientCertificate { key, asked: AtomicBool::new(false) })
    }

    /// Forgets that a server has asked.
    pub fn begin(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Whether a server has asked since.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

fn certified_key(path: &str, files: &Files) -> Result<CertifiedKey> {
    let unread = |why: String| {
        failed(format!("sslcert `{path}` {why}")).hint(
            "sslcert is a file with your certificate, and those between it and its authority, in PEM form \
             (-----BEGIN CERTIFICATE-----)",
        )
    };
    let certificates: Vec<CertificateDer<'static>> =
        super::tls::of_pem(path).map_err(|why| unread(format!("cannot be read: {why}")))?;
    let Some(own) = certificates.first() else { return Err(unread("holds no certificate".to_owned())) };
    let Some(key_path) = &files.key else {
        return Err(failed(format!("sslcert `{path}` has no key"))
            .hint("set sslkey to the file with its key, or put it into ~/.postgresql/postgresql.key"));
    };
    let key = signing_key(key_path, files.passphrase.as_ref())?;
    // Not by rustls: it opens no certificate of X.509 version 1, which is what `openssl x509 -req` makes.
    let of_certificate = Certificate::from_der(own.as_ref())
        .and_then(|certificate| certificate.tbs_certificate.subject_public_key_info.to_der())
        .map_err(|_| unread("holds something that is no certificate".to_owned()))?;
    if key.public_key().is_some_and(|of_key| of_key.as_ref() != of_certificate) {
        return Err(failed(format!(
            "the key of sslkey `{key_path}` does not fit the certificate of sslcert `{path}`"
        ))
        .hint("set both to the files that were made together; the first certificate of sslcert is yours"));
    }
    Ok(CertifiedKey::new(certificates, key))
}

fn signing_key(path: &str, passphrase: Option<&Secret>) -> Result<Arc<dyn SigningKey>> {
    let unread = |why: &str| failed(format!("sslkey `{path}` {why}")).hint(FORM);
    refuse_open_file(path)?;
    let content = read_plain(Path::new(path))
        .map_err(|error| unread(&format!("cannot be read: {}", error.to_string().to_lowercase())))?;
    let key = match std::str::from_utf8(&content).ok().filter(|text| text.contains(BEGIN)) {
        Some(text) => key_of_pem(path, text, passphrase)?,
        None => key_of_der(path, &content, passphrase)?,
    };
    any_supported_type(&key).map_err(|_| {
        failed(format!("the key in sslkey `{path}` is none that can sign here"))
            .hint("it may be RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519")
    })
}

const FORM: &str =
    "sslkey is a file with the key of sslcert, in PEM form (-----BEGIN PRIVATE KEY-----) or DER";

const BEGIN: &str = "-----BEGIN ";
const ENCRYPTED: (&str, &str) =
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----");

fn key_of_pem(path: &str, text: &str, passphrase: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    if let Some(start) = text.find(ENCRYPTED.0) {
        let end = text[start..].find(ENCRYPTED.1).map_or(text.len(), |end| start + end + ENCRYPTED.1.len());
        // The parser wants every line but the last to be of 64 letters, and nothing behind them.
        let (_, document) = SecretDocument::from_pem(&text[start..end]).map_err(|_| {
            failed(format!("the encrypted key in sslkey `{path}` is not in PEM form")).hint(ANEW)
        })?;
        return decrypted(path, document.as_bytes(), passphrase);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(failed(format!(
            "sslkey `{path}` is encrypted in OpenSSL's old form, whose passphrase is guessed fast"
        ))
        .hint(format!("write it in the form of today: openssl pkcs8 -topk8 -in {path} -out NEW")));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| failed(format!("sslkey `{path}` holds no key")).hint(FORM))
}

fn key_of_der(path: &str, content: &[u8], passphrase: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    if EncryptedPrivateKeyInfoRef::try_from(content).is_ok() {
        return decrypted(path, content, passphrase);
    }
    PrivateKeyDer::try_from(content)
        .map(|key| key.clone_key())
        .map_err(|_| failed(format!("sslkey `{path}` holds no key")).hint(FORM))
}

const ANEW: &str = "have it written anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW";

/// PKCS#8 with PBES2: what OpenSSL has written since 1.1.
fn decrypted(path: &str, content: &[u8], passphrase: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    let Some(passphrase) = passphrase else {
        return Err(failed(format!("sslkey `{path}` is encrypted, and there is no passphrase"))
            .hint("set sslpassword, best as \"${env:NAME}\" or \"${file:PATH}\""));
    };
    let info = EncryptedPrivateKeyInfoRef::try_from(content).map_err(|_| unsupported(path))?;
    if info.encryption_algorithm.pbes2().is_none() {
        return Err(unsupported(path));
    }
    match info.decrypt(passphrase.reveal()) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. })) => {
            Err(unsupported(path))
        }
        // A wrong passphrase and a damaged key look alike.
        Err(_) => Err(failed(format!("the passphrase in sslpassword does not open sslkey `{path}`"))
            .hint("check sslpassword; openssl pkey -in KEY -noout asks for it and tells")),
    }
}

fn unsupported(path: &str) -> FlowError {
    failed(format!("sslkey `{path}` is encrypted in a way that is not read here")).hint(ANEW)
}

/// As libpq: a key that others can read is not one any more. Root may share its own with a group.
#[cfg(unix)]
fn refuse_open_file(path: &str) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).map_err(|error| {
        failed(format!("sslkey `{path}` cannot be read: {}", error.to_string().to_lowercase()))
            .hint("sslkey is the file with the key of sslcert")
    })?;
    if !found.is_file() {
        return Err(failed(format!("sslkey `{path}` is not a file"))
            .hint("sslkey is the file with the key of sslcert"));
    }
    let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
    if found.mode() & forbidden != 0 {
        return Err(failed(format!(
            "sslkey `{path}` can be read by others: its mode is {:04o}",
            found.mode() & 0o7777
        ))
        .hint(format!("chmod 0600 {path}; of root's own files 0640 will do")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_open_file(_path: &str) -> Result<()> {
    Ok(())
}
