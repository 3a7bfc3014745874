//! A file of which parts are read: on disk, or in a store by requests that are as few as its layout allows.

use crate::address::Remote;
use crate::local::LocalFile;
use crate::opened::{Opener, Place};
use crate::options::FileVersion;
use bytes::{Buf, Bytes};
use ematix_flow_core::error::{FlowError, Result};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The end of a file is read at once: what it says of itself stands there.
const FOOTER: u64 = 256 << 10;
/// What is read of a part whose length is not known.
const AHEAD: u64 = 64 << 10;

/// A file that is read in parts.
#[derive(Clone)]
pub struct Parts(Arc<Kept>);

enum Kept {
    Local(LocalFile),
    Remote(Box<Stored>),
}

/// A file in a store.
struct Stored {
    opener: Opener,
    remote: Remote,
    listed: FileVersion,
    held: Mutex<Held>,
    /// What the store answered last in place of bytes: whoever decodes keeps its text alone.
    refused: Mutex<Option<FlowError>>,
}

/// A part that is held in memory.
#[derive(Default)]
struct Held {
    start: u64,
    bytes: Bytes,
}

impl Held {
    fn part(&self, range: Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end - self.start).ok()?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }

    /// As much of a range as is held from its beginning on.
    fn from(&self, range: Range<u64>) -> Option<Bytes> {
        let known = self.start + self.bytes.len() as u64;
        let end = range.end.min(known);
        (range.start < end).then(|| self.part(range.start..end))?
    }
}

impl Parts {
    /// Opens a version.
    pub fn open(opener: &Opener, listed: &FileVersion) -> Result<Parts> {
        Ok(Parts(Arc::new(match opener.place(listed)? {
            Place::Local(file) => Kept::Local(file),
            Place::Remote(remote) => Kept::Remote(Box::new(Stored {
                opener: opener.clone(),
                remote,
                listed: listed.clone(),
                held: Mutex::default(),
                refused: Mutex::default(),
            })),
        })))
    }

    /// Takes a part into memory in place of the one before, where the file is not on disk.
    pub fn hold(&self, range: Range<u64>) -> Result<()> {
        if let Kept::Remote(stored) = &*self.0 {
            // Not both at once.
            *lock(&stored.held) = Held::default();
            let bytes = stored.range(range.clone())?;
            *lock(&stored.held) = Held { start: range.start, bytes };
        }
        Ok(())
    }

    /// Says so where a file on disk is another by now. Each answer of a store is of the version that was asked for.
    pub fn check(&self) -> std::io::Result<()> {
        match &*self.0 {
            Kept::Local(file) => file.check(),
            Kept::Remote(_) => Ok(()),
        }
    }

    /// What a store answered in place of bytes.
    pub fn refused(&self) -> Option<FlowError> {
        match &*self.0 {
            Kept::Local(_) => None,
            Kept::Remote(stored) => lock(&stored.refused).take(),
        }
    }
}

impl Stored {
    fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let (stores, remote) = (Arc::clone(&self.opener.stores), self.remote.clone());
        let listed = self.listed.clone();
        self.opener.wait(async move { stores.range(&remote, &listed, range).await })
    }

    fn fetched(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        self.range(range).map_err(|error| {
            let told = ParquetError::General(error.to_string());
            *lock(&self.refused) = Some(error);
            told
        })
    }

    /// What is held, else what is asked for; the end of the file is asked for once.
    fn part(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        if let Some(bytes) = lock(&self.held).part(range.clone()) {
            return Ok(bytes);
        }
        let cut_off = || ParquetError::EOF("the file is cut off".to_owned());
        if range.end > self.listed.size {
            return Err(cut_off());
        }
        let footer = self.listed.size.saturating_sub(FOOTER);
        if range.start < footer {
            return self.fetched(range);
        }
        let end = Held { start: footer, bytes: self.fetched(footer..self.listed.size)? };
        let bytes = end.part(range).ok_or_else(cut_off);
        *lock(&self.held) = end;
        bytes
    }

    /// What is held from a place on, at most so much; as much is asked for where nothing is.
    fn ahead(&self, at: u64) -> parquet::errors::Result<Bytes> {
        let end = self.listed.size.min(at + AHEAD);
        let held = lock(&self.held).from(at..end);
        held.map_or_else(|| self.part(at..end), Ok)
    }
}

fn lock<T>(held: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Length for Parts {
    fn len(&self) -> u64 {
        match &*self.0 {
            Kept::Local(file) => file.handle().map_or(0, |file| file.len()),
            Kept::Remote(stored) => stored.listed.size,
        }
    }
}

impl ChunkReader for Parts {
    type T = Reading;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Reading> {
        Ok(match &*self.0 {
            Kept::Local(file) => Reading::Local(file.handle()?.get_read(start)?),
            Kept::Remote(_) => Reading::Remote { parts: self.clone(), at: start, ahead: Bytes::new() },
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match &*self.0 {
            Kept::Local(file) => file.handle()?.get_bytes(start, length),
            Kept::Remote(stored) => stored.part(start..start.saturating_add(length as u64)),
        }
    }
}

/// Bytes from a place on.
pub enum Reading {
    /// On disk.
    Local(BufReader<File>),
    /// In a store.
    Remote {
        /// Of which file.
        parts: Parts,
        /// What is read next behind `ahead`.
        at: u64,
        /// What was read already.
        ahead: Bytes,
    },
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Reading::Local(file) => file.read(into),
            Reading::Remote { parts, at, ahead } => {
                if ahead.is_empty()
                    && let Kept::Remote(stored) = &*parts.0
                {
                    *ahead = stored.ahead(*at).map_err(std::io::Error::other)?;
                    *at += ahead.len() as u64;
                }
                let length = into.len().min(ahead.len());
                ahead.copy_to_slice(&mut into[..length]);
                Ok(length)
            }
        }
    }
}
