//! What a store answers, as our errors: which action, on which bucket, and what to do.

use crate::address::{Remote, Scheme};
use crate::fault::changed;
use ematix_flow_core::error::{ErrorCode, FlowError};
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// What was asked of a store.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Which files are there.
    List,
    /// A file, or what is known of it.
    Read,
}

/// The error for an answer about a path.
#[cold]
pub fn explained(remote: &Remote, path: &str, action: Action, error: Error) -> FlowError {
    let address = remote.address(path);
    let told = chain(&error);
    let status = status(&told);
    match &error {
        // Whatever the place answers: it is asked for credentials, and not for files.
        _ if has_no_credentials(&told) => FlowError::new(
            ErrorCode::AuthenticationFailed,
            format!("{address}: no credentials for {} were found", cloud(remote.scheme)),
        )
        .detail(told)
        .hint(where_credentials_are(remote.scheme)),
        Error::NotFound { .. } if remote.scheme.is_web() => {
            FlowError::new(ErrorCode::SourceFailed, format!("{address}: the server has no such file"))
        }
        _ if status == Some(404) || matches!(error, Error::NotFound { .. }) => FlowError::new(
            ErrorCode::SourceFailed,
            match action {
                Action::List => format!("there is no {} `{}`", holder(remote.scheme), remote.authority),
                Action::Read => format!("{address}: there is no such file"),
            },
        ),
        Error::Precondition { .. } | Error::NotModified { .. } => changed(&address),
        _ if told.contains("InvalidAccessKeyId") || told.contains("SignatureDoesNotMatch") => {
            unauthenticated(remote, &address).detail(told)
        }
        _ if status == Some(403) || matches!(error, Error::PermissionDenied { .. }) => {
            denied(remote, &address, action).detail(told)
        }
        _ if status == Some(401) || matches!(error, Error::Unauthenticated { .. }) => {
            unauthenticated(remote, &address).detail(told)
        }
        _ => match kind(&error) {
            Some(HttpErrorKind::Timeout) => FlowError::new(
                ErrorCode::ConnectTimeout,
                format!("{address}: the store did not answer in time"),
            )
            .detail(told),
            Some(HttpErrorKind::Connect | HttpErrorKind::Request) => {
                FlowError::new(ErrorCode::ConnectFailed, format!("{address}: the store cannot be reached"))
                    .detail(told)
                    .hint("check the network, the proxy (HTTPS_PROXY) and the endpoint")
            }
            _ => {
                let hint = told.to_ascii_lowercase().contains("region").then_some(
                    "say the bucket's region: store = { region = \"eu-central-1\" }, or AWS_REGION",
                );
                let failed = FlowError::new(ErrorCode::SourceFailed, format!("{address}: the store refused"))
                    .detail(told);
                match hint {
                    Some(hint) => failed.hint(hint),
                    None => failed,
                }
            }
        },
    }
    .context("file", address)
}

/// A store that cannot be set up.
#[cold]
pub fn not_configured(remote: &Remote, error: Error) -> FlowError {
    let told = chain(&error);
    let message = format!("the store {} cannot be set up", remote.address(""));
    if told.contains("CA certificates") {
        return FlowError::new(ErrorCode::TlsFailed, message)
            .detail(told)
            .hint("install the certificates of authorities (Debian: ca-certificates), or name them by SSL_CERT_FILE");
    }
    FlowError::new(ErrorCode::AuthenticationFailed, message)
        .detail(told)
        .hint(where_credentials_are(remote.scheme))
}

fn denied(remote: &Remote, address: &str, action: Action) -> FlowError {
    let (what, right) = match (remote.scheme, action) {
        (Scheme::S3, Action::List) => ("list", "s3:ListBucket"),
        (Scheme::S3, Action::Read) => ("read", "s3:GetObject"),
        (Scheme::Gcs, Action::List) => ("list", "storage.objects.list"),
        (Scheme::Gcs, Action::Read) => ("read", "storage.objects.get"),
        (Scheme::Azure, Action::List) => ("list", "Storage Blob Data Reader"),
        (Scheme::Azure, Action::Read) => ("read", "Storage Blob Data Reader"),
        (Scheme::Http | Scheme::Https, _) => {
            return FlowError::new(
                ErrorCode::PermissionDenied,
                format!("{address}: the server refuses to give it"),
            );
        }
    };
    let message = format!(
        "{address}: the credentials may not {what} in the {} `{}`",
        holder(remote.scheme),
        remote.authority
    );
    let hint = match remote.scheme {
        // S3 says "denied" of what is not there to whom it does not show what is there.
        Scheme::S3 => {
            format!("grant {right} on it; without s3:ListBucket a file that is missing looks the same")
        }
        _ => format!("grant {right} on it"),
    };
    FlowError::new(ErrorCode::PermissionDenied, message).hint(hint).context("action", right)
}

fn unauthenticated(remote: &Remote, address: &str) -> FlowError {
    FlowError::new(
        ErrorCode::AuthenticationFailed,
        match remote.scheme.is_web() {
            true => format!("{address}: the server wants to know who asks"),
            false => format!("{address}: {} does not accept the credentials", cloud(remote.scheme)),
        },
    )
    .hint(where_credentials_are(remote.scheme))
}

/// The answer's number, which only its text has where files are listed.
fn status(told: &str) -> Option<u16> {
    told.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// The metadata service is the last place that is looked at; off a cloud's machine nobody answers there.
fn has_no_credentials(told: &str) -> bool {
    let told = told.to_ascii_lowercase();
    ["169.254.169.254", "169.254.170.2", "metadata.google.internal", "metadata/identity", "az account"]
        .iter()
        .any(|place| told.contains(place))
}

fn where_credentials_are(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket say anonymous = true"
        }
        Scheme::Gcs => {
            "set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`; for a public bucket \
             say anonymous = true"
        }
        Scheme::Azure => {
            "set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or run `az login`; for a public \
             container say anonymous = true"
        }
        Scheme::Http | Scheme::Https => "a key may stand in the address: https://host/file.csv?${TOKEN}",
    }
}

fn cloud(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => "S3",
        Scheme::Gcs => "Google Cloud Storage",
        Scheme::Azure => "Azure",
        Scheme::Http | Scheme::Https => "the server",
    }
}

fn holder(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Azure => "container",
        _ => "bucket",
    }
}

fn kind(error: &Error) -> Option<HttpErrorKind> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        next = error.source();
    }
    None
}

/// What an error and those behind it say, each once, without the queries of addresses: they may hold a key.
fn chain(error: &Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let told = error.to_string();
        if !parts.iter().any(|part| part.contains(&told)) {
            parts.push(told);
        }
        next = error.source();
    }
    let told = without_queries(&parts.join(": ")).replace(['\n', '\r'], " ");
    match told.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &told[..end]),
        None => told,
    }
}

fn without_queries(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at);
        let end = after.find([' ', ')', '"', '\'', '<', ',']).unwrap_or(after.len());
        out.push_str(before);
        out.push_str(after[..end].split('?').next().unwrap_or_default());
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_credentials_is_not_told_of_rights() {
        let remote =
            Remote { scheme: Scheme::S3, authority: "lake".to_owned(), path: "a".to_owned(), query: None };
        let denied =
            |told: &str| Error::PermissionDenied { path: "a".to_owned(), source: told.to_owned().into() };
        let code = |told: &str| explained(&remote, "a", Action::Read, denied(told)).code;
        assert_eq!(code("PUT http://169.254.169.254/latest/api/token: 403"), ErrorCode::AuthenticationFailed);
        assert_eq!(code("AccessDenied"), ErrorCode::PermissionDenied);
        assert_eq!(code("InvalidAccessKeyId"), ErrorCode::AuthenticationFailed);
    }

    #[test]
    fn the_query_of_an_address_is_not_told() {
        assert_eq!(
            without_queries("error for url (https://a/b?sig=x) and http://c?d, e"),
            "error for url (https://a/b) and http://c, e"
        );
    }
}
