//! Cancels the statement of a session as libpq does: on a connection of its own, which the server closes.
//! The driver closes it itself, as soon as the request is written. PgBouncer 1.18 takes that for a client that has lost
//! interest, and forgets the request.

use crate::session::Canceller;
use async_trait::async_trait;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where a session was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By TCP.
    Address {
        /// The address and the port.
        address: SocketAddr,
        /// The host, as its certificate may name it.
        name: String,
    },
    /// By the socket with this path.
    Socket(PathBuf),
}

/// Cancels the running statement of a session, on the server.
#[derive(Clone)]
pub struct PostgresCanceller {
    token: CancelToken,
    tls: MakeRustlsConnect,
    place: Place,
    under_way: UnderWay,
}

/// The requests of a session that the server has not answered yet.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl UnderWay {
    /// Waits for them, but not for ever: PgBouncer 1.18 dies of a client that goes while its request is passed on.
    pub async fn finish(&self) {
        let requests = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async {
            for request in requests {
                let _ = request.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
    }
}

impl PostgresCanceller {
    pub(super) fn new(
        token: CancelToken,
        tls: MakeRustlsConnect,
        place: Place,
        under_way: UnderWay,
    ) -> PostgresCanceller {
        PostgresCanceller { token, tls, place, under_way }
    }

    async fn connect_and_ask(&self) {
        let _ = match &self.place {
            Place::Address { address, name } => match TcpStream::connect(address).await {
                Ok(stream) => self.ask(stream, name).await,
                Err(_) => return,
            },
            #[cfg(unix)]
            Place::Socket(path) => match tokio::net::UnixStream::connect(path).await {
                Ok(stream) => self.ask(stream, "").await,
                Err(_) => return,
            },
            #[cfg(not(unix))]
            Place::Socket(_) => self.token.cancel_query(self.tls.clone()).await,
        };
    }

    async fn ask<S>(&self, stream: S, name: &str) -> Result<(), tokio_postgres::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut stream = Shared(Arc::new(Mutex::new(stream)));
        let mut tls = self.tls.clone();
        let Ok(connect) = MakeTlsConnect::<Shared<S>>::make_tls_connect(&mut tls, name);
        self.token.cancel_query_raw(stream.clone(), LeftOpen(connect)).await?;
        // The end comes when the request has been passed on, or has been carried out.
        let mut rest = [0; 256];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
        Ok(())
    }
}

#[async_trait]
impl Canceller for PostgresCanceller {
    /// The request goes on where nobody waits for it any more; closing the session waits for it.
    async fn cancel(&self) {
        let (done, finished) = oneshot::channel();
        let canceller = self.clone();
        let request = tokio::spawn(async move {
            canceller.connect_and_ask().await;
            let _ = done.send(());
        });
        self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let _ = finished.await;
    }
}

/// A stream that stays open when the driver is done with it.
struct Shared<S>(Arc<Mutex<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<S: Unpin> Shared<S> {
    fn with<T>(&self, ask: impl FnOnce(Pin<&mut S>) -> T) -> T {
        // Nothing panics in between, and a stream has no state that a panic could spoil.
        ask(Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Shared<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(context, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Shared<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// A connector, and the encrypted stream that it makes, which says no good-bye when the driver is done with it.
struct LeftOpen<T>(T);

impl<S, T> TlsConnect<S> for LeftOpen<T>
where
    S: Send + 'static,
    T: TlsConnect<S> + Send + 'static,
    T::Future: Send,
{
    type Stream = LeftOpen<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(LeftOpen) })
    }
}

impl<T: TlsStream + Unpin> TlsStream for LeftOpen<T> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LeftOpen<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LeftOpen<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
