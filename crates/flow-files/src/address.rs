//! Where a pattern leads: to this machine's disks, or to an object store. Pure.
#![cfg_attr(not(feature = "clouds"), allow(dead_code, reason = "only stores ask for some of it"))]

use ematix_flow_core::error::{ErrorCode, FlowError, Result};

/// A kind of object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Amazon S3, and what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A web server without encryption.
    Http,
    /// A web server.
    Https,
}

impl Scheme {
    /// As it stands before `://`.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Azure => "az",
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// Whether it is asked for single files only.
    pub fn is_web(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Https)
    }
}

/// A place of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A path of this machine.
    Local(String),
    /// A path in a bucket, a container or of a host.
    Remote(Remote),
}

/// A path in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Which kind of store.
    pub scheme: Scheme,
    /// The bucket, the container or the host with its port.
    pub authority: String,
    /// The path, without a slash at its beginning.
    pub path: String,
    /// What follows a `?` in the address of a web server: it may be a key, and is shown nowhere.
    pub query: Option<String>,
}

impl Remote {
    /// The address of a path in the same store, without a query.
    pub fn address(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme.name(), self.authority)
    }
}

/// Reads a path or an address.
pub fn parse(text: &str) -> Result<Address> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(Address::Local(text.to_owned())) };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "file" => return Ok(Address::Local(rest.to_owned())),
        "s3" | "s3a" => Scheme::S3,
        "gs" | "gcs" => Scheme::Gcs,
        "az" | "azure" => Scheme::Azure,
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("files are not read from {other}://"),
            )
            .hint("they are read from paths, s3://, gs://, az://, http:// and https://"));
        }
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = match path.split_once('?') {
        Some((path, query)) if scheme.is_web() => (path, Some(query.to_owned())),
        _ => (path, None),
    };
    if authority.is_empty() || authority.contains(['*', '?', '[']) && !authority.starts_with('[') {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the address {}://{authority}/… names no {}", scheme.name(), holder(scheme)),
        )
        .hint(format!("write {}://{}/path", scheme.name(), holder(scheme))));
    }
    if authority.contains('@') {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the address {}://…@{} has a user's name", scheme.name(), authority.rsplit('@').next().unwrap_or_default()),
        )
        .hint("an address has a host and a path; a key may stand in its query, as in https://host/file.csv?${TOKEN}"));
    }
    Ok(Address::Remote(Remote {
        scheme,
        authority: authority.to_owned(),
        path: path.trim_start_matches('/').to_owned(),
        query,
    }))
}

fn holder(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 | Scheme::Gcs => "bucket",
        Scheme::Azure => "container",
        Scheme::Http | Scheme::Https => "host",
    }
}

/// A pattern as it may be shown: without a query, and without a user's password.
pub fn shown(pattern: &str) -> String {
    match pattern.split_once("://") {
        Some((scheme, rest)) if scheme.to_ascii_lowercase().starts_with("http") => {
            let path = rest.split('?').next().unwrap_or_default();
            let host = path.split('/').next().unwrap_or_default();
            match host.rsplit_once('@') {
                Some((user, _)) => format!("{scheme}://…{}", &path[user.len()..]),
                None => format!("{scheme}://{path}"),
            }
        }
        _ => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_store_a_holder_and_a_path() {
        let remote = |scheme, authority: &str, path: &str, query: Option<&str>| {
            Address::Remote(Remote {
                scheme,
                authority: authority.to_owned(),
                path: path.to_owned(),
                query: query.map(str::to_owned),
            })
        };
        assert_eq!(parse("a/*.csv").unwrap(), Address::Local("a/*.csv".to_owned()));
        assert_eq!(parse("file:///a/b.csv").unwrap(), Address::Local("/a/b.csv".to_owned()));
        assert_eq!(parse("s3://lake/a/?.csv").unwrap(), remote(Scheme::S3, "lake", "a/?.csv", None));
        assert_eq!(parse("az://lake").unwrap(), remote(Scheme::Azure, "lake", "", None));
        assert_eq!(
            parse("https://host:1/a.csv?sig=1").unwrap(),
            remote(Scheme::Https, "host:1", "a.csv", Some("sig=1"))
        );
        for wrong in ["ftp://a/b", "s3:///a", "s3://*/a", "https://u:p@host/a"] {
            assert_eq!(parse(wrong).unwrap_err().code, ErrorCode::InvalidValue, "{wrong}");
        }
    }

    #[test]
    fn no_key_of_an_address_is_shown() {
        assert_eq!(shown("https://host/a.csv?sig=secret"), "https://host/a.csv");
        assert_eq!(shown("https://user:secret@host/a.csv"), "https://…@host/a.csv");
        assert_eq!(shown("s3://lake/a?.csv"), "s3://lake/a?.csv");
        assert!(!parse("https://u:secret@host/a").unwrap_err().to_string().contains("secret"));
    }
}
