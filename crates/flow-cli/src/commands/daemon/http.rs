//! The answers of the daemon: whether it lives and is ready, its numbers, the status page. It only reads.

use super::view::View;
use crate::args::DaemonArgs;
use crate::commands::status::page_of;
use crate::signals;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{Builder, Scope};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many are listened to at once; others wait. Who asks slowly must not keep a probe from its answer.
const AT_ONCE: usize = 512;

/// How many pages are made at once: each asks the databases.
const PAGES_AT_ONCE: usize = 4;

/// How long somebody may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Response<Full<Bytes>>;

/// Where it answers.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    answers: Arc<Answers>,
}

/// What it answers.
struct Answers {
    view: Arc<View>,
    token: Option<String>,
    /// Whether only this machine can ask.
    is_local: bool,
    pages: Semaphore,
}

impl Server {
    /// Takes its place, unless it is to be off.
    ///
    /// # Errors
    /// `invalid_value` for an address that is none or is taken, and for a token that cannot be read.
    pub fn bind(args: &DaemonArgs, view: Arc<View>) -> Result<Option<Server>> {
        let token = args.token_file.as_deref().map(read_token).transpose()?;
        if args.listen == "off" {
            return Ok(None);
        }
        let wrong = |why: String| {
            FlowError::new(
                ErrorCode::InvalidValue,
                format!("the daemon cannot answer at {}: {why}", args.listen),
            )
            .hint("--listen ADDRESS:PORT takes another place, --listen off none; port 0 is a free one")
        };
        let address = args.listen.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.next();
        let address = address.ok_or_else(|| wrong("the name has no address".to_owned()))?;
        let listener = TcpListener::bind(address).map_err(|error| wrong(error.to_string()))?;
        listener.set_nonblocking(true).map_err(|error| wrong(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| wrong(error.to_string()))?;
        let answers = Arc::new(Answers {
            view,
            token,
            is_local: address.ip().is_loopback(),
            pages: Semaphore::new(PAGES_AT_ONCE),
        });
        Ok(Some(Server { listener, address, answers }))
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, in a thread of its own, until the view is closed.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Result<()> {
        let serve = move || {
            if let Ok(events) = signals::event_loop() {
                events.block_on(self.serve());
                events.shutdown_background();
            }
        };
        let thread = Builder::new().name("answers".to_owned()).stack_size(signals::STACK);
        thread.spawn_scoped(scope, serve).map(|_| ()).map_err(|error| {
            FlowError::new(ErrorCode::TargetFailed, format!("the operating system gives no thread: {error}"))
        })
    }

    async fn serve(&self) {
        let Ok(listener) = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std) else {
            return;
        };
        let mut closed = self.answers.view.closed();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let accepted = tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Too many open files, say: others close theirs.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let answers = Arc::clone(&self.answers);
            tokio::spawn(async move {
                let _place = place;
                let service = hyper::service::service_fn(|request| {
                    let answers = Arc::clone(&answers);
                    async move { Ok::<Answer, Infallible>(answers.to(&request).await) }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
                // Whoever hangs up has no interest in an answer.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

impl Answers {
    async fn to(&self, request: &Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "the daemon only answers questions\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        // A page of another site must not read ours by a name of its own for this machine.
        if self.is_local && !asks_this_machine(request.headers()) {
            return text(StatusCode::MISDIRECTED_REQUEST, "ask localhost\n");
        }
        match request.uri().path() {
            "/livez" => verdict(self.view.is_alive()),
            "/readyz" => verdict(self.view.is_ready()),
            "/metrics" | "/" if !self.may_read(request) => {
                let words = match self.token {
                    Some(_) => "this needs the token: Authorization: Bearer …, or ?token=…\n",
                    None => "this is answered on loopback alone, or with the token of --token-file\n",
                };
                let mut answer = text(StatusCode::UNAUTHORIZED, words);
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                answer
            }
            "/metrics" => text(StatusCode::OK, self.metrics()),
            "/" => self.page().await,
            _ => text(StatusCode::NOT_FOUND, "there are /, /metrics, /livez and /readyz\n"),
        }
    }

    fn may_read(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else { return self.is_local };
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let said = header.and_then(|value| value.strip_prefix("Bearer "));
        let query = request.uri().query().unwrap_or_default();
        let in_query = query.split('&').find_map(|part| part.strip_prefix("token="));
        said.or(in_query).is_some_and(|said| is_same(said, token))
    }

    /// The status page, as of now.
    async fn page(&self) -> Answer {
        let Some((engine, names)) = self.view.engine() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the schedules were not looked at yet\n");
        };
        let _turn = self.pages.acquire().await;
        // What kept a database from answering stands in the page.
        let (page, _) = page_of(&engine, &names).await;
        answer(StatusCode::OK, "text/html; charset=utf-8", page)
    }

    fn metrics(&self) -> String {
        let mut out = self.view.runs();
        for (name, help, value) in self.view.numbers() {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
        }
        out
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(said: &str, token: &str) -> bool {
    said.len() == token.len() && said.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn asks_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn verdict(verdict: std::result::Result<(), String>) -> Answer {
    match verdict {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn text(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", words)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// The token of a file: its first line.
fn read_token(path: &std::path::Path) -> Result<String> {
    let wrong = |why: String| {
        FlowError::new(
            ErrorCode::InvalidValue,
            format!("the token of {} cannot be read: {why}", path.display()),
        )
        .hint("write it into the first line of the file")
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    match text.lines().next().map(str::trim).filter(|token| !token.is_empty()) {
        Some(token) => Ok(token.to_owned()),
        None => Err(wrong("its first line is empty".to_owned())),
    }
}
