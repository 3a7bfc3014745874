//! Asks an API: one whole answer, or an error. What fails for now is asked again.

use super::answers::{Again, Failure, Shown, refused, unanswered};
use super::waiting::{LONGEST, backoff};
use crate::api::{Api, Auth};
use bytes::{Bytes, BytesMut};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::secret::Secret;
use flate2::read::MultiGzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION,
};
use reqwest::{Method, Response, StatusCode, Url};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::io::Read;
use std::time::Duration;
use tokio::time::Instant;

/// As many redirects are followed.
const REDIRECTS: usize = 10;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where.
    pub url: Url,
    /// What is sent.
    pub body: Option<Map<String, Value>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Who gave it.
    pub url: Url,
    /// What it says of itself.
    pub status: StatusCode,
    /// The same.
    pub headers: HeaderMap,
    /// A text of JSON; nothing where the API has no content.
    pub text: Bytes,
}

/// Asks one API.
#[derive(Debug)]
pub struct Client {
    api: Api,
    http: reqwest::Client,
    origin: Url,
    headers: HeaderMap,
    /// The header that says who asks.
    authorization: Option<HeaderValue>,
    /// When it may be asked again.
    free_at: Option<Instant>,
    /// What messages may say.
    pub shown: Shown,
}

impl Client {
    /// A client of an API, and what is asked first.
    pub fn new(api: &Api) -> Result<(Client, Ask)> {
        let invalid = |message: String| FlowError::new(ErrorCode::InvalidValue, message);
        let mut url = Url::parse(api.url.reveal())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| invalid(format!("{} is no http or https URL", api.shown)))?;
        if !url.username().is_empty() || url.password().is_some() {
            let error = invalid(format!("{} holds a user or a password", api.shown));
            return Err(error.hint("write auth = { basic = { username = \"…\", password = \"…\" } }"));
        }
        if !api.params.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &api.params {
                pairs.append_pair(name, value.reveal());
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &api.headers {
            let wrong = || {
                invalid(format!("the header `{name}` cannot have its value"))
                    .hint("it is one line of plain text")
            };
            let mut text = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            text.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, text);
        }
        // The HTTP client asks the process for its provider and has none of its own; one that is there stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(api.timeout)
            .user_agent(concat!("ematix-flow/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                FlowError::new(ErrorCode::SourceFailed, "HTTP cannot be spoken").detail(error.to_string())
            })?;
        let mut shown = Shown { secrets: api.secrets.clone() };
        shown.secrets.extend(api.headers.iter().map(|(_, value)| value.clone()));
        let ask = Ask { url: url.clone(), body: api.body.clone() };
        let mut client = Client {
            api: api.clone(),
            http,
            origin: url,
            headers,
            authorization: None,
            free_at: None,
            shown,
        };
        match &api.auth {
            Auth::Nobody | Auth::Oauth { .. } => {}
            Auth::Bearer(token) => client.is_asked_by(&Auth::Bearer(token.clone()))?,
            basic @ Auth::Basic { .. } => client.is_asked_by(basic)?,
        }
        Ok((client, ask))
    }

    /// Remembers who asks.
    fn is_asked_by(&mut self, auth: &Auth) -> Result<()> {
        let request = self.http.get(self.origin.clone());
        let request = match auth {
            Auth::Bearer(token) => request.bearer_auth(token.reveal()),
            Auth::Basic { username, password } => {
                request.basic_auth(username.reveal(), Some(password.reveal()))
            }
            Auth::Nobody | Auth::Oauth { .. } => request,
        };
        let request = request.build().map_err(|_| {
            FlowError::new(ErrorCode::InvalidValue, "`auth` of the source is no text that a header may hold")
                .hint("a token is one line: does its file hold more?")
        })?;
        self.authorization = request.headers().get(AUTHORIZATION).cloned();
        let text = self.authorization.as_ref().and_then(|value| value.to_str().ok());
        let words = text.and_then(|text| text.split_once(' ')).map(|(_, token)| Secret::from(token));
        self.shown.secrets.extend(words);
        match auth {
            Auth::Basic { password, .. } => self.shown.secrets.push(password.clone()),
            Auth::Bearer(token) => self.shown.secrets.push(token.clone()),
            Auth::Nobody | Auth::Oauth { .. } => {}
        }
        Ok(())
    }

    /// The whole answer; `name` is what it is.
    pub async fn ask(&mut self, ask: &Ask, name: &str) -> Result<Answer> {
        let (mut tried, mut has_new_token) = (0, false);
        loop {
            self.take_turn().await;
            let Failure { error, again } = match self.once(ask, name).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = match again {
                Again::No => return Err(error),
                Again::NewToken if matches!(self.api.auth, Auth::Oauth { .. }) && !has_new_token => {
                    has_new_token = true;
                    self.authorization = None;
                    continue;
                }
                Again::NewToken => return Err(error),
                Again::After(wait) if wait > LONGEST => {
                    let message = format!(
                        "{}, and wants to be left alone for {} seconds",
                        error.message,
                        wait.as_secs()
                    );
                    return Err(FlowError { message, ..error });
                }
                Again::After(wait) => wait.max(Duration::from_millis(10)),
                Again::Soon => backoff(tried + 1),
            };
            if tried == self.api.retries {
                let message = match tried {
                    0 => error.message.clone(),
                    1 => format!("{}, also when it was asked once more", error.message),
                    _ => format!("{}, also when it was asked {tried} times more", error.message),
                };
                return Err(FlowError { message, ..error });
            }
            tried += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until it may be asked.
    async fn take_turn(&mut self) {
        let Some(interval) = self.api.interval else { return };
        if let Some(free_at) = self.free_at {
            tokio::time::sleep_until(free_at).await;
        }
        self.free_at = Some(Instant::now() + interval);
    }

    async fn once(&mut self, ask: &Ask, name: &str) -> std::result::Result<Answer, Failure> {
        if let (Auth::Oauth { .. }, None) = (&self.api.auth, &self.authorization) {
            self.get_token(name).await?;
        }
        let mut url = ask.url.clone();
        let mut post = self.api.post;
        for _ in 0..=REDIRECTS {
            let response = self
                .send(&url, post, ask.body.as_ref())
                .await
                .map_err(|error| unanswered(&self.shown, name, &url, error))?;
            let status = response.status();
            let to = response
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok())
                .and_then(|to| url.join(to).ok());
            match (status.is_redirection(), to) {
                (true, Some(to)) if matches!(to.scheme(), "http" | "https") => {
                    post &= matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
                    url = to;
                }
                _ => return self.taken(response, url, name).await,
            }
        }
        let message =
            format!("{}: it leads elsewhere more than {REDIRECTS} times", self.shown.place(name, &ask.url));
        Err(FlowError::new(ErrorCode::SourceFailed, message).into())
    }

    /// Sends a request. Who asks, and with which headers, only its own origin is told.
    async fn send(
        &self,
        url: &Url,
        post: bool,
        body: Option<&Map<String, Value>>,
    ) -> reqwest::Result<Response> {
        let method = if post { Method::POST } else { Method::GET };
        let mut request = self.http.request(method, url.clone());
        request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "gzip");
        let own = url.origin() == self.origin.origin();
        if let Some(body) = body.filter(|_| post && own) {
            let text = serde_json::to_vec(body).unwrap_or_default();
            request = request.header(CONTENT_TYPE, "application/json").body(text);
        }
        if own {
            request = request.headers(self.headers.clone());
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
        }
        request.send().await
    }

    /// The answer, from its first byte to its last.
    async fn taken(&self, response: Response, url: Url, name: &str) -> std::result::Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let packed = self.bytes(response, &url, name).await?;
        let body = self.unpacked(packed, &headers, &url, name)?;
        if !status.is_success() {
            return Err(refused(&self.shown, name, &url, status, &headers, &body));
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Answer { url, status, headers, text: Bytes::new() });
        }
        let no_json = |why: String, again| {
            let message = format!("{}: the answer {why}", self.shown.place(name, &url));
            let error = FlowError::new(ErrorCode::SourceFailed, message);
            Failure { error: error.detail(self.shown.answer(status, &headers, &body)), again }
        };
        if std::str::from_utf8(&body).is_err() {
            return Err(no_json("is not UTF-8".to_owned(), Again::No));
        }
        match serde_json::from_slice::<IgnoredAny>(&body) {
            Ok(_) => Ok(Answer { url, status, headers, text: body }),
            Err(error) if error.is_eof() => Err(no_json("ends early".to_owned(), Again::Soon)),
            Err(error) => Err(no_json(format!("is no JSON: {error}"), Again::No)),
        }
    }

    async fn bytes(
        &self,
        mut response: Response,
        url: &Url,
        name: &str,
    ) -> std::result::Result<Bytes, Failure> {
        let mut all = BytesMut::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| unanswered(&self.shown, name, url, error))?
        {
            if all.len() as u64 + chunk.len() as u64 > self.api.max_bytes {
                return Err(self.too_long(url, name).into());
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    fn unpacked(
        &self,
        packed: Bytes,
        headers: &HeaderMap,
        url: &Url,
        name: &str,
    ) -> std::result::Result<Bytes, Failure> {
        let coding =
            headers.get(CONTENT_ENCODING).and_then(|coding| coding.to_str().ok()).unwrap_or("identity");
        match coding.trim().to_ascii_lowercase().as_str() {
            "identity" | "" => return Ok(packed),
            "gzip" | "x-gzip" => {}
            other => {
                let message = format!(
                    "{}: the answer is in the encoding {other:?}, which nobody asked for",
                    self.shown.place(name, url)
                );
                return Err(FlowError::new(ErrorCode::SourceFailed, message).into());
            }
        }
        let mut text = Vec::new();
        let read = MultiGzDecoder::new(packed.as_ref()).take(self.api.max_bytes + 1).read_to_end(&mut text);
        if text.len() as u64 > self.api.max_bytes {
            return Err(self.too_long(url, name).into());
        }
        match read {
            Ok(_) => Ok(text.into()),
            Err(error) => {
                let message = format!("{}: the answer cannot be unpacked", self.shown.place(name, url));
                let error = FlowError::new(ErrorCode::SourceFailed, message).detail(error.to_string());
                Err(Failure { error, again: Again::Soon })
            }
        }
    }

    fn too_long(&self, url: &Url, name: &str) -> FlowError {
        let message = format!(
            "{}: the answer is longer than {} bytes",
            self.shown.place(name, url),
            self.api.max_bytes
        );
        FlowError::new(ErrorCode::SourceFailed, message).hint("ask for smaller pages, or set max_bytes")
    }

    /// Gets a token by client credentials: who asks stands in the header, else in the form, where a server wants it there.
    async fn get_token(&mut self, name: &str) -> std::result::Result<(), Failure> {
        let Auth::Oauth { token_url, client_id, client_secret, scope } = self.api.auth.clone() else {
            return Ok(());
        };
        let url = Url::parse(token_url.reveal()).map_err(|_| {
            FlowError::new(ErrorCode::InvalidValue, "`token_url` of the source is no http or https URL")
        })?;
        self.shown.secrets.push(client_secret.clone());
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(scope.as_deref().map(|scope| ("scope", scope)));
        let name = format!("the token for {name}");
        let basic = self
            .http
            .post(url.clone())
            .basic_auth(encoded(client_id.reveal()), Some(encoded(client_secret.reveal())));
        let mut response = self.form(basic, &form, &url, &name).await?;
        if matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
            form.extend([("client_id", client_id.reveal()), ("client_secret", client_secret.reveal())]);
            response = self.form(self.http.post(url.clone()), &form, &url, &name).await?;
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.bytes(response, &url, &name).await?;
        if !status.is_success() {
            let Failure { error, again } = refused(&self.shown, &name, &url, status, &headers, &body);
            let error = error.hint("check client_id, client_secret and scope of `auth`");
            return Err(Failure { error, again: if again == Again::NewToken { Again::No } else { again } });
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let Some(token) = answer.get("access_token").and_then(Value::as_str) else {
            let message = format!("{}: the answer holds no access_token", self.shown.place(&name, &url));
            return Err(FlowError::new(ErrorCode::AuthenticationFailed, message).into());
        };
        Ok(self.is_asked_by(&Auth::Bearer(token.into()))?)
    }

    async fn form(
        &self,
        request: reqwest::RequestBuilder,
        form: &[(&str, &str)],
        url: &Url,
        name: &str,
    ) -> std::result::Result<Response, Failure> {
        let text: Vec<String> = form.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        request.body(text.join("&")).send().await.map_err(|error| unanswered(&self.shown, name, url, error))
    }
}

/// A text as it stands in a form.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
