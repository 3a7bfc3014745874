//! Notices a server that has fallen silent. The system notices one that is gone (keepalives); one that hangs, or whose
//! proxy does, goes on taking bytes, and a run would wait for it for ever. A long statement is silent as well: whether
//! the server is there, only another connection can tell.

use super::cancel::Place;
use ematix_flow_core::error::{ErrorCode, FlowError};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How often the time to connect passes without a byte until the server is asked whether it is there.
const SILENCES: u32 = 3;

/// How often it must give no answer.
const QUESTIONS: usize = 2;

/// Asks for encryption: what every server and pooler answers by one byte, whatever it thinks of it.
/// <https://www.postgresql.org/docs/18/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST>
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The pulse of one connection.
pub(super) struct Pulse {
    connection: JoinHandle<()>,
    watcher: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// When something last moved.
    heard: Mutex<Instant>,
    /// How many wait for an answer.
    waiting: AtomicUsize,
    /// How long it had said nothing when it was given up.
    silent: OnceLock<Duration>,
}

impl Shared {
    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Whoever waits for an answer, as long as they hold it.
pub(super) struct Waiting(Arc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Drives a connection to a place, where an answer to a new connection may take `limit`.
    pub fn of(connection: impl Future<Output = ()> + Send + 'static, place: Place, limit: Duration) -> Pulse {
        let shared = Arc::new(Shared {
            heard: Mutex::new(Instant::now()),
            waiting: AtomicUsize::new(0),
            silent: OnceLock::new(),
        });
        let connection = tokio::spawn(Heard { connection: Box::pin(connection), shared: shared.clone() });
        let given_up = connection.abort_handle();
        let watched = shared.clone();
        let watcher = tokio::spawn(async move {
            while !given_up.is_finished() {
                tokio::time::sleep(limit).await;
                if watched.waiting.load(Ordering::Relaxed) == 0 || watched.silence() < limit * SILENCES {
                    continue;
                }
                let before = watched.silence();
                if !answers(&place, limit).await && watched.silence() > before {
                    let _ = watched.silent.set(watched.silence());
                    given_up.abort();
                }
            }
        });
        Pulse { connection, watcher, shared }
    }

    /// Says that an answer is awaited.
    pub fn wait(&self) -> Waiting {
        // What is asked now could not have been answered before.
        self.shared.hear();
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.shared.clone())
    }

    /// What can say later whether the connection was given up.
    pub fn teller(&self) -> Teller {
        Teller(self.shared.clone())
    }

    /// Ends the connection without a word to the server.
    pub fn give_up(&self) {
        self.connection.abort();
    }

    /// Waits for the end of the connection.
    pub async fn end(mut self, limit: Duration) {
        let _ = tokio::time::timeout(limit, &mut self.connection).await;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Says of an error whether it is that of a connection that was given up.
#[derive(Clone, Debug)]
pub(super) struct Teller(Arc<Shared>);

impl Teller {
    /// The error, with what is known of it.
    pub fn explained(&self, mut error: FlowError) -> FlowError {
        if error.code == ErrorCode::ConnectionLost
            && let Some(silence) = self.0.silent.get()
        {
            let seconds = silence.as_secs_f64();
            error.details = vec![format!(
                "the server had said nothing for {seconds:.0} s, and did not answer another connection either"
            )];
        }
        error
    }
}

/// A connection that takes note of whatever moves.
struct Heard {
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    shared: Arc<Shared>,
}

impl Future for Heard {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // It is woken by what arrives, by room for what is to be sent, and by who asks.
        self.shared.hear();
        self.connection.as_mut().poll(context)
    }
}

/// Whether whoever listens at a place answers a connection at all.
async fn answers(place: &Place, limit: Duration) -> bool {
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        if let Ok(Ok(())) = tokio::time::timeout(limit, ask(place)).await {
            return true;
        }
        // One that refuses may be about to start again.
        tokio::time::sleep(limit.saturating_sub(began.elapsed())).await;
    }
    false
}

async fn ask(place: &Place) -> io::Result<()> {
    match place {
        Place::Address { address, .. } => ask_on(TcpStream::connect(address).await?).await,
        #[cfg(unix)]
        Place::Socket(path) => ask_on(tokio::net::UnixStream::connect(path).await?).await,
        #[cfg(not(unix))]
        Place::Socket(_) => Ok(()),
    }
}

async fn ask_on(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let mut stream = pin!(stream);
    stream.write_all(&SSL_REQUEST).await?;
    stream.read_u8().await.map(|_| ())
}
