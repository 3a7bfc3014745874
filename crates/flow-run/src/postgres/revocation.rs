//! Lists of certificates that their authorities have revoked, as libpq finds them.

use super::tls::{failed, of_pem};
use ematix_flow_core::error::{FlowError, Result};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::{CertRevocationListError, RootCertStore};
use std::fs;
use std::path::Path;
use std::sync::Arc;

type List = CertificateRevocationListDer<'static>;

/// Where lists are.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub file: Option<String>,
    pub directory: Option<String>,
}

impl Places {
    /// What judges a certificate by the lists, if there are any. As OpenSSL: then each authority of a chain must have
    /// one, and it must be of today.
    ///
    /// # Errors
    /// `tls_failed` where a list cannot be read.
    pub fn verifier(
        &self,
        authorities: &RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<WebPkiServerVerifier>>> {
        let mut lists = Vec::new();
        if let Some(path) = &self.file {
            lists.extend(of_a_file("sslcrl", path)?);
        }
        if let Some(path) = &self.directory {
            lists.extend(of_a_directory(path)?);
        }
        if lists.is_empty() {
            return Ok(None);
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(authorities.clone()), provider.clone())
            .with_crls(lists)
            .enforce_revocation_expiration()
            .build()
            .map(Some)
            .map_err(|error| self.unread(&error))
    }

    /// Each as messages name it.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        [("sslcrl", &self.file), ("sslcrldir", &self.directory)]
            .into_iter()
            .filter_map(|(name, path)| Some(format!("{name} `{}`", path.as_ref()?)))
    }

    fn unread(&self, error: &VerifierBuilderError) -> FlowError {
        let places: Vec<_> = self.shown().collect();
        let (why, hint) = match error {
            VerifierBuilderError::InvalidCrl(CertRevocationListError::UnsupportedCrlVersion) => (
                "is of X.509 version 1, which does not say whose list it is".to_owned(),
                "have it made with `crl_extensions` in the authority's openssl.cnf, which makes version 2",
            ),
            VerifierBuilderError::InvalidCrl(
                CertRevocationListError::UnsupportedDeltaCrl
                | CertRevocationListError::UnsupportedIndirectCrl,
            ) => (
                "names only changes, or certificates of others".to_owned(),
                "take the authority's whole list",
            ),
            other => (format!("cannot be read: {other}"), "take the authority's list anew"),
        };
        failed(format!("a revocation list in {} {why}", places.join(" and "))).hint(hint)
    }
}

fn of_a_file(parameter: &str, path: &str) -> Result<Vec<List>> {
    let hint = "it is a file with revocation lists in PEM form (-----BEGIN X509 CRL-----)";
    let lists: Vec<List> = of_pem(path)
        .map_err(|why| failed(format!("{parameter} `{path}` cannot be read: {why}")).hint(hint))?;
    if lists.is_empty() {
        return Err(failed(format!("{parameter} `{path}` holds no revocation list")).hint(hint));
    }
    Ok(lists)
}

/// The files that OpenSSL looks for: `<hash of the authority's name>.r<number>`.
fn of_a_directory(path: &str) -> Result<Vec<List>> {
    let hint = "it is a directory with files like 9d66eef0.r0; `openssl rehash` names them";
    let entries = fs::read_dir(path).map_err(|error| {
        failed(format!("sslcrldir `{path}` cannot be read: {}", error.to_string().to_lowercase())).hint(hint)
    })?;
    let mut lists = Vec::new();
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_list) {
            lists.extend(of_a_file(
                "a file of sslcrldir,",
                &Path::new(path).join(entry.file_name()).to_string_lossy(),
            )?);
        }
    }
    if lists.is_empty() {
        return Err(failed(format!("sslcrldir `{path}` holds no revocation list")).hint(hint));
    }
    Ok(lists)
}

fn is_list(name: &str) -> bool {
    let all = |text: &str, of: fn(&char) -> bool| !text.is_empty() && text.chars().all(|c| of(&c));
    name.split_once(".r").is_some_and(|(hash, number)| {
        hash.len() == 8 && all(hash, char::is_ascii_hexdigit) && all(number, char::is_ascii_digit)
    })
}
