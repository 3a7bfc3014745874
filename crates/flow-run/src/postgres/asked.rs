//! Listens to how a server asks who we are, and closes the ear before an answer where `require_auth` does not allow it:
//! a server that asks for the password in the clear then never gets it. After that it hears which process serves us.

use ematix_flow_core::libpq::{AuthMethod, AuthMethods};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The way that a server wants and that is not allowed.
#[derive(Debug)]
pub(super) struct NotAllowed(pub AuthMethod);

impl std::fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server asks by {}", self.0.name())
    }
}

impl std::error::Error for NotAllowed {}

/// The process that serves a session, as the server names it when the session begins; a pooler names one of its own.
pub(super) type Process = Arc<OnceLock<i32>>;

/// Reads the first messages of a server (<https://www.postgresql.org/docs/18/protocol-message-formats.html>).
#[derive(Clone, Debug)]
struct Ear {
    listens: bool,
    /// None: any will do.
    allowed: Option<AuthMethods>,
    process: Process,
    /// Whether the first byte answers the question for TLS.
    before_tls: bool,
    /// What has come of a message.
    message: Vec<u8>,
    has_asked: bool,
}

/// The kind, the length and the code of a message about authentication.
const HEAD: usize = 9;

impl Ear {
    fn new(allowed: Option<&AuthMethods>, process: &Process, before_tls: bool) -> Ear {
        Ear {
            listens: true,
            allowed: allowed.cloned(),
            process: Arc::clone(process),
            before_tls,
            message: Vec::new(),
            has_asked: false,
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), NotAllowed> {
        for &byte in bytes {
            if !self.listens {
                return Ok(());
            }
            if std::mem::take(&mut self.before_tls) {
                // What is encrypted is heard inside. After any other answer the driver goes on in the clear.
                self.listens = byte != b'S';
                continue;
            }
            self.message.push(byte);
            // It is ready: what follows may be the rows of a table.
            if self.message == [b'Z'] {
                self.listens = false;
                return Ok(());
            }
            if self.message.len() < HEAD {
                continue;
            }
            let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|offset| self.message[at + offset]));
            if self.message[0] == b'K' && self.message.len() == number(1) as usize + 1 {
                // The first to be set is the one: nobody else sets it.
                let _ = self.process.set(number(5) as i32);
            }
            if self.message[0] == b'R'
                && let Some(allowed) = &self.allowed
            {
                let method = match number(5) {
                    0 => AuthMethod::None,
                    3 => AuthMethod::Password,
                    5 => AuthMethod::Md5,
                    9 => AuthMethod::Sspi,
                    10..=12 => AuthMethod::Scram,
                    _ => AuthMethod::Gss,
                };
                let is_end = method == AuthMethod::None;
                if !(is_end && self.has_asked || allowed.allow(method)) {
                    return Err(NotAllowed(method));
                }
                if is_end {
                    self.allowed = None;
                }
                self.has_asked = true;
            }
            // The rest of it is the driver's; the length counts itself, not the kind.
            if self.message.len() > number(1) as usize {
                self.message.clear();
            }
        }
        Ok(())
    }
}

/// A stream that is listened to.
pub(super) struct Heard<S> {
    stream: S,
    ear: Ear,
}

impl<S> Heard<S> {
    /// `before_tls`: the server is asked for TLS first.
    pub fn new(stream: S, allowed: Option<&AuthMethods>, process: &Process, before_tls: bool) -> Heard<S> {
        Heard { stream, ear: Ear::new(allowed, process, before_tls) }
    }

    /// One from which nothing is heard: all that matters is said inside of TLS.
    pub fn deaf(stream: S) -> Heard<S> {
        Heard { stream, ear: Ear { listens: false, ..Ear::new(None, &Process::default(), false) } }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.ear.hear(&buffer.filled()[before..]).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Heard<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// A connector whose encrypted stream is listened to.
pub(super) struct HeardTls<'a, T>(pub T, pub Option<&'a AuthMethods>, pub &'a Process);

impl<S, T> TlsConnect<S> for HeardTls<'_, T>
where
    T: TlsConnect<S>,
    T::Stream: Unpin,
    T::Future: Send + 'static,
{
    type Stream = Heard<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let ear = Ear::new(self.1, self.2, false);
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(|stream| Heard { stream, ear }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn asks(code: u32, more: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes(), more].concat())
    }

    /// What is heard of a server, byte by byte and at once alike.
    fn heard(allowed: &str, before_tls: bool, bytes: &[u8]) -> Option<&'static str> {
        let methods = AuthMethods::parse(allowed).unwrap();
        let refused = |error: NotAllowed| error.0.name();
        let process = Process::default();
        let at_once = Ear::new(Some(&methods), &process, before_tls).hear(bytes).err().map(refused);
        let mut ear = Ear::new(Some(&methods), &process, before_tls);
        let one_by_one = bytes.chunks(1).find_map(|byte| ear.hear(byte).err()).map(refused);
        assert_eq!(at_once, one_by_one);
        at_once
    }

    #[test]
    fn what_a_server_asks_for_is_heard_before_it_is_answered() {
        let scram =
            [asks(10, b"SCRAM-SHA-256\0\0"), asks(11, b"r=x"), asks(12, b"v=y"), asks(0, b"")].concat();
        let md5 = [asks(5, b"salt"), asks(0, b"")].concat();
        assert_eq!(heard("scram-sha-256", false, &scram), None);
        assert_eq!(heard("md5", false, &scram), Some("scram-sha-256"));
        assert_eq!(heard("!md5", false, &md5), Some("md5"));
        assert_eq!(heard("md5,password", false, &md5), None);
        assert_eq!(heard("!none", false, &asks(0, b"")), Some("none"));
        assert_eq!(heard("none", false, &asks(0, b"")), None);
        assert_eq!(heard("none", false, &asks(3, b"")), Some("password"));
        // A negotiation of the protocol goes before.
        let later = [message(b'v', &[0, 3, 0, 0, 0, 0, 0, 1, b'x', 0]), asks(3, b"")].concat();
        assert_eq!(heard("!password", false, &later), Some("password"));
        assert_eq!(heard("!password", true, &[b"?".as_slice(), &asks(3, b"")].concat()), Some("password"));
        // Nothing is heard of what is encrypted, and nothing after the end of the questions.
        assert_eq!(heard("!password", true, &[b"S".as_slice(), &asks(3, b"")].concat()), None);
        assert_eq!(heard("!password", true, &[b"N".as_slice(), &asks(3, b"")].concat()), Some("password"));
        assert_eq!(heard("md5", false, &[md5, asks(3, b"")].concat()), None);
        assert_eq!(heard("none", false, &[asks(0, b""), asks(3, b"")].concat()), None);
    }

    #[test]
    fn the_process_is_heard_before_the_server_is_ready() {
        let key = message(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]);
        let ready = message(b'Z', b"I");
        let status = message(b'S', b"TimeZone\0UTC\0");
        let heard = |parts: &[Vec<u8>]| {
            let process = Process::default();
            Ear::new(None, &process, false).hear(&parts.concat()).unwrap();
            process.get().copied()
        };
        assert_eq!(heard(&[asks(0, b""), status.clone(), key.clone(), ready.clone()]), Some(258));
        assert_eq!(heard(&[asks(0, b""), status, ready, key]), None);
    }
}
