//! A version of a file as bytes: from disk or from a store, and the text within its compression.

use crate::address::{self, Address, Remote};
use crate::fault::{failed, unreadable};
use crate::local::LocalFile;
use crate::options::{Compression, FileVersion, Files};
use crate::stores::{Chunks, Stores};
use bytes::{Buf, Bytes};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::StreamExt;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// As much is read at once.
const BUFFER: usize = 256 << 10;

/// What some programs write before UTF-8.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// So many chunks wait for who reads them.
const AHEAD: usize = 4;

/// Where files are opened: on a thread that may wait.
#[derive(Clone, Debug)]
pub struct Opener {
    /// How they are to be read.
    pub files: Arc<Files>,
    /// The stores in which they are.
    pub stores: Arc<Stores>,
    /// Who waits for the stores.
    pub handle: Handle,
}

/// Where a version is.
pub enum Place {
    /// On disk.
    Local(LocalFile),
    /// In a store.
    Remote(Remote),
}

impl Opener {
    /// Where a version is.
    pub fn place(&self, listed: &FileVersion) -> Result<Place> {
        Ok(match address::parse(&listed.path)? {
            Address::Local(_) => Place::Local(LocalFile::open(&self.files.base, listed)?),
            Address::Remote(remote) => {
                // What is kept of a file has no query; the pattern's is the key to each of its files.
                let query = match address::parse(&self.files.pattern)? {
                    Address::Remote(pattern) => pattern.query,
                    Address::Local(_) => None,
                };
                Place::Remote(Remote { query, ..remote })
            }
        })
    }

    /// What a store answers. The asking is the runtime's: where that ends, the answer is an error.
    pub fn wait<T: Send + 'static>(
        &self,
        answer: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        self.handle.spawn(async move { sender.send(answer.await) });
        receiver.blocking_recv().unwrap_or_else(|_| Err(given_up()))
    }

    /// Chunks on their way to a thread that waits for them, the last of which is empty: an end that is not said is none.
    fn pumped(&self, mut chunks: Chunks) -> mpsc::Receiver<std::io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        self.handle.spawn(async move {
            while let Some(chunk) = chunks.next().await {
                if !chunk.as_ref().is_ok_and(Bytes::is_empty) && sender.send(chunk).await.is_err() {
                    return;
                }
            }
            // Whoever waited may be gone.
            let _ = sender.send(Ok(Bytes::new())).await;
        });
        receiver
    }

    /// The text of a version from its beginning.
    pub fn text(&self, listed: &FileVersion) -> Result<Box<dyn BufRead + Send>> {
        let bytes: Box<dyn Read + Send> = match self.place(listed)? {
            Place::Local(file) => Box::new(file),
            Place::Remote(remote) => {
                let (stores, version) = (Arc::clone(&self.stores), listed.clone());
                let chunks = self.wait(async move { stores.open(&remote, &version).await })?;
                Box::new(Waited { chunks: self.pumped(chunks), chunk: Bytes::new(), ended: false })
            }
        };
        let wrong = |error| failed(&listed.path, error);
        let mut text: Box<dyn BufRead + Send> = match self.files.compression_of(&listed.path) {
            Compression::None => Box::new(BufReader::with_capacity(BUFFER, bytes)),
            // A file may be several, one behind the other.
            Compression::Gzip => {
                let bytes = BufReader::with_capacity(BUFFER, bytes);
                Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(bytes)))
            }
            Compression::Zstd => {
                let decoder = zstd::Decoder::new(bytes).map_err(wrong)?;
                Box::new(BufReader::with_capacity(BUFFER, decoder))
            }
        };
        let mut head = Vec::new();
        text.by_ref().take(MARK.len() as u64).read_to_end(&mut head).map_err(wrong)?;
        match head.as_slice() {
            MARK => head.clear(),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                return Err(unreadable(&listed.path, "the text is UTF-16").hint("write the file as UTF-8"));
            }
            _ => {}
        }
        Ok(Box::new(Read::chain(Cursor::new(head), text)))
    }
}

/// Chunks that are waited for.
struct Waited {
    chunks: mpsc::Receiver<std::io::Result<Bytes>>,
    chunk: Bytes,
    ended: bool,
}

impl Read for Waited {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.chunk.is_empty() && !self.ended {
            self.chunk =
                self.chunks.blocking_recv().unwrap_or_else(|| Err(std::io::Error::other(given_up())))?;
            self.ended = self.chunk.is_empty();
        }
        let length = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

#[cold]
fn given_up() -> FlowError {
    FlowError::new(ErrorCode::Cancelled, "reading files was given up")
}
