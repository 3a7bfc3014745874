//! The methods of authentication that a client lets a server use
//! (<https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH>).

/// A way in which a server may ask who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// It does not ask.
    None,
    /// For the password, in the clear.
    Password,
    /// For a digest of the password.
    Md5,
    /// By GSSAPI.
    Gss,
    /// By SSPI.
    Sspi,
    /// By SCRAM, which shows the password to nobody.
    Scram,
    /// For a token.
    Oauth,
}

const METHODS: &[(&str, AuthMethod)] = &[
    ("password", AuthMethod::Password),
    ("md5", AuthMethod::Md5),
    ("gss", AuthMethod::Gss),
    ("sspi", AuthMethod::Sspi),
    ("scram-sha-256", AuthMethod::Scram),
    ("oauth", AuthMethod::Oauth),
    ("none", AuthMethod::None),
];

impl AuthMethod {
    /// libpq's word.
    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("none", |(name, _)| name)
    }
}

/// The methods that a `require_auth` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthMethods(Vec<AuthMethod>);

impl AuthMethods {
    /// Reads libpq's list: methods that are allowed, or with `!` those that are not.
    ///
    /// # Errors
    /// What the parameter does wrong, for a message that begins with its name.
    ///
    /// ```
    /// use ematix_flow_core::libpq::{AuthMethod, AuthMethods};
    /// let methods = AuthMethods::parse("!password,!none").unwrap();
    /// assert!(methods.allow(AuthMethod::Md5) && !methods.allow(AuthMethod::Password));
    /// ```
    pub fn parse(text: &str) -> Result<AuthMethods, String> {
        let mut listed = Vec::new();
        let negative = text.starts_with('!');
        for word in text.split(',') {
            if word.starts_with('!') != negative {
                return Err("mixes methods with and without `!`".to_owned());
            }
            let word = word.strip_prefix('!').unwrap_or(word);
            let Some((_, method)) = METHODS.iter().find(|(name, _)| *name == word) else {
                return Err("has a method that is not known".to_owned());
            };
            if listed.contains(method) {
                return Err("names a method twice".to_owned());
            }
            listed.push(*method);
        }
        if !negative {
            return Ok(AuthMethods(listed));
        }
        Ok(AuthMethods(METHODS.iter().map(|(_, method)| *method).filter(|m| !listed.contains(m)).collect()))
    }

    /// Whether a server may use a method.
    pub fn allow(&self, method: AuthMethod) -> bool {
        self.0.contains(&method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_libpq_reads_it() {
        let names = |text: &str| match AuthMethods::parse(text) {
            Ok(methods) => methods.0.iter().map(|method| method.name()).collect::<Vec<_>>().join(" "),
            Err(what) => what,
        };
        let cases = [
            ("scram-sha-256", "scram-sha-256"),
            ("none,md5", "none md5"),
            ("!none", "password md5 gss sspi scram-sha-256 oauth"),
            ("!password,!md5,!none", "gss sspi scram-sha-256 oauth"),
            ("md5,!none", "mixes methods with and without `!`"),
            ("!md5,none", "mixes methods with and without `!`"),
            ("md5,md5", "names a method twice"),
            ("md5, none", "has a method that is not known"),
            ("md5,", "has a method that is not known"),
            ("scram", "has a method that is not known"),
        ];
        for (text, expected) in cases {
            assert_eq!(names(text), expected, "{text}");
        }
    }
}
