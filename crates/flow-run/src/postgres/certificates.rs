//! Judges a server's certificate as libpq does, as far as webpki goes.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// What is asked of a certificate.
#[derive(Debug)]
pub(super) enum Checks {
    /// Nothing.
    None,
    /// That it leads to somebody trusted.
    Authority(Trusted),
    /// Besides, that it names the host.
    Full(Trusted),
}

/// The certificates that are trusted.
#[derive(Debug)]
pub(super) struct Trusted {
    authorities: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
    /// What knows which of their certificates they have revoked.
    revoked: Option<Arc<WebPkiServerVerifier>>,
}

impl Trusted {
    /// Those that can be read; a bundle may hold some that cannot.
    pub fn new(mut certificates: Vec<CertificateDer<'static>>) -> Trusted {
        let mut authorities = RootCertStore::empty();
        certificates.retain(|certificate| authorities.add(certificate.clone()).is_ok());
        Trusted { authorities, certificates, revoked: None }
    }

    pub fn authorities(&self) -> &RootCertStore {
        &self.authorities
    }

    /// The same, by revocation lists too.
    pub fn with_revocation(self, revoked: Option<Arc<WebPkiServerVerifier>>) -> Trusted {
        Trusted { revoked, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

/// What rustls asks about the server's certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    checks: Checks,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub fn new(checks: Checks, algorithms: WebPkiSupportedAlgorithms) -> Verifier {
        Verifier { checks, algorithms }
    }

    fn verify_authority(
        &self,
        trusted: &Trusted,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if let Some(revoked) = &trusted.revoked {
            return match revoked.verify_server_cert(end_entity, intermediates, server_name, &[], now) {
                // The name comes last, and is not this check's.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => Ok(()),
                judged => judged.map(|_| ()),
            };
        }
        // webpki takes no authority for a server. A self-signed certificate is both, and is trusted by being listed.
        if trusted.certificates.iter().any(|certificate| certificate.as_ref() == end_entity.as_ref()) {
            return verify_validity(end_entity, now);
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &trusted.authorities,
            intermediates,
            now,
            self.algorithms.all,
        )
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.checks {
            Checks::None => {}
            Checks::Authority(trusted) => {
                self.verify_authority(trusted, end_entity, intermediates, server_name, now)?;
            }
            Checks::Full(trusted) => {
                self.verify_authority(trusted, end_entity, intermediates, server_name, now)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By its key alone: webpki opens no certificate of X.509 version 1, which is what the manual of Postgres makes
        // with `openssl x509 -req`, and `require` asks for encryption, not for a certificate that can be judged.
        let key = parsed(certificate)?
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_validity(certificate: &CertificateDer<'_>, time: UnixTime) -> Result<(), Error> {
    let validity = parsed(certificate)?.tbs_certificate.validity;
    let instant = |duration: Duration| UnixTime::since_unix_epoch(duration);
    let (not_before, not_after) =
        (instant(validity.not_before.to_unix_duration()), instant(validity.not_after.to_unix_duration()));
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before }.into());
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after }.into());
    }
    Ok(())
}

fn parsed(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate.as_ref()).map_err(|_| CertificateError::BadEncoding.into())
}
