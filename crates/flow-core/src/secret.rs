//! A text that nothing shows: a password, or what may hold one.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// A text from where it is read to where it is used. Neither Debug nor Display show it, no message can hold it by
/// mistake, and it is wiped from memory when it is dropped.
///
/// ```
/// use ematix_flow_core::secret::Secret;
/// let password = Secret::from("hunter2");
/// assert_eq!(format!("{password} {password:?}"), "… …");
/// assert_eq!(password.reveal(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text, for whoever is to connect with it.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A text that is shown, without the passwords of URLs that came into it by mistake: a DSN where a name was wanted.
///
/// ```
/// use ematix_flow_core::secret::masked;
/// assert_eq!(masked("no pipeline `postgresql://ann:tea@db/shop`"), "no pipeline `postgresql://ann:***@db/shop`");
/// assert_eq!(masked("see https://example.com/a:b"), "see https://example.com/a:b");
/// ```
pub fn masked(text: impl Into<String>) -> String {
    let text = text.into();
    if !text.contains("://") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(begin) = rest.find("://").map(|found| found + 3) {
        let end = rest[begin..]
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
            .map_or(rest.len(), |end| begin + end);
        // The password may have an @ of its own: the last one ends it.
        let password = rest[begin..end].rfind('@').map(|at| begin + at).and_then(|at| {
            let colon = rest[begin..at].find(':')?;
            Some((begin + colon + 1, at))
        });
        match password {
            Some((from, to)) => {
                out.push_str(&rest[..from]);
                // As long as it was, so that marks below a line stay where they are.
                out.extend(rest[from..to].chars().map(|_| '*'));
                out.push_str(&rest[to..end]);
            }
            None => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(SecretString::from(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }
}

impl ExposeSecret<str> for Secret {
    fn expose_secret(&self) -> &str {
        self.reveal()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}
