//! What an API answers instead of rows, as our errors: what came, what to do, and whether asking again may help.

use super::waiting::asked_for;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::secret::Secret;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use std::time::Duration;

/// How much of an answer is shown.
const SHOWN: usize = 200;

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// For a person.
    pub error: FlowError,
    /// Whether asking again may help.
    pub again: Again,
}

/// Whether asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It will not.
    No,
    /// It may, soon.
    Soon,
    /// The server says when.
    After(Duration),
    /// It may with another token.
    NewToken,
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Failure {
        Failure { error, again: Again::No }
    }
}

/// What messages may say.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Texts that they do not.
    pub secrets: Vec<Secret>,
}

impl Shown {
    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(Secret::reveal).filter(|secret| secret.len() > 2);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    /// An address without its query, in which keys stand.
    pub fn url(&self, url: &Url) -> String {
        let mut url = url.clone();
        url.set_query(None);
        url.set_fragment(None);
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        self.text(url.as_str())
    }

    /// What was asked for, with the address where that is another than the API's.
    pub fn place(&self, name: &str, url: &Url) -> String {
        let address = self.url(url);
        if name.ends_with(&address) { name.to_owned() } else { format!("{name}, at {address}") }
    }

    /// The first characters of an answer.
    pub fn beginning(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
        // Secrets first, that no half of one is left.
        let text = self.text(&text);
        let words = text.split(|c: char| c.is_whitespace() || c.is_control());
        let text = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// What an answer is, for whoever expected another: its status, its type and its beginning.
    pub fn answer(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("of no type");
        let beginning = self.beginning(body);
        let beginning = if beginning.is_empty() { "nothing".to_owned() } else { beginning };
        format!("{}, {kind}: {beginning}", status.as_u16())
    }
}

/// The failure for a status that is none of success.
pub fn refused(
    shown: &Shown,
    name: &str,
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Failure {
    let told = shown.answer(status, headers, body);
    let (address, place) = (shown.url(url), shown.place(name, url));
    let of = |code, message: String| {
        FlowError::new(code, message).detail(told.clone()).context("url", address.clone())
    };
    let (error, again) = match status {
        StatusCode::UNAUTHORIZED => (
            of(ErrorCode::AuthenticationFailed, format!("{place}: the API does not accept who asks (401)"))
                .hint("check `auth` of the source: is the token there, is it still good?"),
            Again::NewToken,
        ),
        StatusCode::FORBIDDEN => (
            of(ErrorCode::PermissionDenied, format!("{place}: the API refuses to answer (403)"))
                .hint("whoever `auth` names may not read this: grant it there"),
            Again::No,
        ),
        StatusCode::NOT_FOUND => (
            of(ErrorCode::SourceFailed, format!("{place}: there is no such address (404)"))
                .hint("check `url`; an API that has no page behind its last needs `total` or `limit`"),
            Again::No,
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            of(ErrorCode::SourceFailed, format!("{place}: the API is asked too often (429)"))
                .hint("say how often it may be asked: rate_limit = \"10/s\""),
            wait_of(headers),
        ),
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => (
            of(ErrorCode::SourceFailed, format!("{place}: the API fails ({})", status.as_u16())),
            wait_of(headers),
        ),
        status => {
            (of(ErrorCode::SourceFailed, format!("{place}: the API answers {}", status.as_u16())), Again::No)
        }
    };
    Failure { error, again }
}

fn wait_of(headers: &HeaderMap) -> Again {
    let asked = headers.get(RETRY_AFTER).and_then(|text| text.to_str().ok());
    asked.and_then(|text| asked_for(text, Timestamp::now())).map_or(Again::Soon, Again::After)
}

/// The failure of a request without a whole answer.
pub fn unanswered(shown: &Shown, name: &str, url: &Url, error: reqwest::Error) -> Failure {
    let (address, place) = (shown.url(url), shown.place(name, url));
    let (timeout, connect) = (error.is_timeout(), error.is_connect());
    let told = shown.text(&chain(&error.without_url()));
    let (code, message) = match (timeout, connect) {
        (true, _) => (ErrorCode::ConnectTimeout, format!("{place}: there is no answer in time")),
        (_, true) => (ErrorCode::ConnectFailed, format!("{place}: the API cannot be reached")),
        _ => (ErrorCode::SourceFailed, format!("{place}: the answer ends early")),
    };
    let error = FlowError::new(code, message).detail(told).context("url", address);
    let error = match (timeout, connect) {
        (true, _) => error.hint("say how long it may take: timeout = \"5m\""),
        (_, true) => error.hint("check the address, the network and the proxy (HTTPS_PROXY)"),
        _ => error,
    };
    Failure { error, again: Again::Soon }
}

/// What an error and those behind it say, each once.
fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let told = error.to_string();
        if !parts.iter().any(|part| part.contains(&told)) {
            parts.push(told);
        }
        next = error.source();
    }
    parts.join(": ")
}
