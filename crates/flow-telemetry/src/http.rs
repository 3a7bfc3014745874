//! Sends a body to a URL, and waits no longer than it was told. What goes wrong is said without the URL's path and
//! without headers: they are often the secret.

use rustls::crypto::ring;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

/// What is sent, where to, and as what.
pub struct Post<'a> {
    /// The URL.
    pub url: &'a str,
    /// Headers besides the type of the body.
    pub headers: &'a [(String, ematix_flow_core::secret::Secret)],
    /// The type of the body.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The certificates that are trusted, instead of the machine's.
    pub certificate: Option<&'a Path>,
}

/// Why nothing was taken at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In words, without any secret.
    pub words: String,
    /// Whether the same may be taken later.
    pub may_pass: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How often a pause looks whether there is a hurry.
const LOOK: Duration = Duration::from_millis(20);

impl Post<'_> {
    /// Sends until it is taken, refused for good, or the time is up; in a hurry it is tried once more and then given up.
    ///
    /// # Errors
    /// Why the last try was not taken.
    pub fn send_within(&self, limit: Duration, hurry: &dyn Fn() -> bool) -> Result<(), Refusal> {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let refusal = match self.send(left, limit) {
                Err(refusal) if refusal.may_pass && Instant::now() + pause < deadline => refusal,
                done => return done,
            };
            let again = Instant::now() + pause;
            while Instant::now() < again {
                if pause > FIRST_PAUSE && hurry() {
                    return Err(refusal);
                }
                std::thread::sleep(LOOK);
            }
            pause *= 2;
        }
    }

    fn send(&self, left: Duration, limit: Duration) -> Result<(), Refusal> {
        let agent = self.agent()?;
        let request = agent.post(self.url).config().timeout_global(Some(left)).build();
        let request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(name, value.reveal()));
        let status = match request.header("Content-Type", self.content_type).send(self.body) {
            Ok(answer) => answer.status().as_u16(),
            Err(error) => return Err(refused(&error, limit)),
        };
        match status {
            200..=299 => Ok(()),
            _ => Err(Refusal {
                words: format!("it answered {status}"),
                may_pass: matches!(status, 408 | 429 | 500..=599),
            }),
        }
    }

    fn agent(&self) -> Result<Agent, Refusal> {
        static PLAIN: OnceLock<Agent> = OnceLock::new();
        static ENCRYPTED: OnceLock<Agent> = OnceLock::new();
        if let Some(file) = self.certificate {
            return Ok(agent_trusting(Some(certificates_of(file)?)));
        }
        let encrypted = self.url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        // To read what the machine trusts takes longer than a plain request.
        Ok(match encrypted {
            true => ENCRYPTED.get_or_init(|| agent_trusting(Some(of_the_machine()))).clone(),
            false => PLAIN.get_or_init(|| agent_trusting(None)).clone(),
        })
    }
}

fn agent_trusting(certificates: Option<Vec<Certificate<'static>>>) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // Where a header with a token is sent, the user has said.
        .max_redirects(0)
        .user_agent(concat!("ematix-flow/", env!("CARGO_PKG_VERSION")));
    if let Some(certificates) = certificates {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(certificates)));
        config = config.tls_config(tls.build());
    }
    config.build().new_agent()
}

fn of_the_machine() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

fn certificates_of(file: &Path) -> Result<Vec<Certificate<'static>>, Refusal> {
    let unread = |why: String| Refusal {
        words: format!("the certificates in {} cannot be read: {why}", file.display()),
        may_pass: false,
    };
    let text = std::fs::read(file).map_err(|error| unread(error.to_string()))?;
    let items = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<Certificate<'static>> = items.collect();
    if found.is_empty() { Err(unread("there is none in it".to_owned())) } else { Ok(found) }
}

/// The words of an error, without the URL that some of them have.
fn refused(error: &Error, limit: Duration) -> Refusal {
    let (words, may_pass) = match error {
        Error::Timeout(_) => (format!("no answer within {:.1} s", limit.as_secs_f64()), true),
        Error::HostNotFound => ("its host is not known".to_owned(), true),
        Error::ConnectionFailed => ("it cannot be reached".to_owned(), true),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(why) => (format!("no encrypted connection: {why}"), false),
            None => (error.to_string(), true),
        },
        Error::Tls(why) => (format!("no encrypted connection: {why}"), false),
        Error::Rustls(why) => (format!("no encrypted connection: {why}"), false),
        Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => {
            ("its proxy does not lead there".to_owned(), true)
        }
        Error::BadUri(_) | Error::Http(_) => ("that is no URL, or no header".to_owned(), false),
        Error::Protocol(_) | Error::LargeResponseHeader(..) => ("its answer is no HTTP".to_owned(), true),
        _ => ("it cannot be sent".to_owned(), false),
    };
    Refusal { words, may_pass }
}
