//! What a build without object stores says of them.

use super::Chunks;
use crate::address::Remote;
use crate::options::{FileVersion, Format, StoreOptions};
use bytes::Bytes;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// None of them.
#[derive(Debug)]
pub struct Stores;

impl Stores {
    /// None of them.
    pub fn new(_options: &StoreOptions) -> Stores {
        Stores
    }

    /// An error that says what to do.
    pub async fn list(
        &self,
        remote: &Remote,
        _format: Option<Format>,
    ) -> Result<BTreeMap<String, FileVersion>> {
        Err(absent(remote))
    }

    /// An error that says what to do.
    pub async fn open(&self, remote: &Remote, _listed: &FileVersion) -> Result<Chunks> {
        Err(absent(remote))
    }

    /// An error that says what to do.
    pub async fn range(&self, remote: &Remote, _listed: &FileVersion, _range: Range<u64>) -> Result<Bytes> {
        Err(absent(remote))
    }
}

fn absent(remote: &Remote) -> FlowError {
    let scheme = remote.scheme.name();
    FlowError::new(ErrorCode::NotYetSupported, format!("this build does not read files from {scheme}://"))
        .hint("take a released build, or build with the cargo feature `clouds`")
}
