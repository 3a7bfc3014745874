//! What is asked of stores: which files are there, a file from its beginning, a part of it. Each answer is of the
//! version that was listed, or an error.

use super::answers::{Action, explained};
use super::{Chunks, connect};
use crate::address::{Remote, Scheme};
use crate::fault::changed;
use crate::glob::{Glob, Part, Token, is_pattern};
use crate::local::is_of;
use crate::options::{FileVersion, Format, StoreOptions};
use bytes::Bytes;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// As much of a file is asked for at once.
const PART: u64 = 8 << 20;
/// So many parts are on their way together.
const PARTS: usize = 4;

/// The stores that were opened.
#[derive(Debug)]
pub struct Stores {
    options: StoreOptions,
    open: tokio::sync::Mutex<HashMap<Key, Arc<dyn ObjectStore>>>,
}

/// The scheme, who holds the files, and the key to them.
type Key = (Scheme, String, Option<String>);

impl Stores {
    /// None yet.
    pub fn new(options: &StoreOptions) -> Stores {
        Stores { options: options.clone(), open: tokio::sync::Mutex::default() }
    }

    async fn store(&self, remote: &Remote) -> Result<Arc<dyn ObjectStore>> {
        let mut open = self.open.lock().await;
        let key = (remote.scheme, remote.authority.clone(), remote.query.clone());
        if let Some(store) = open.get(&key) {
            return Ok(Arc::clone(store));
        }
        let store = connect::open(remote, &self.options).await?;
        open.insert(key, Arc::clone(&store));
        Ok(store)
    }

    /// Files of a pattern without braces, by their addresses; of a folder all below it whose endings say the format.
    pub async fn list(
        &self,
        remote: &Remote,
        format: Option<Format>,
    ) -> Result<BTreeMap<String, FileVersion>> {
        let store = self.store(remote).await?;
        let is_glob = is_pattern(&remote.path);
        let names_a_file = !is_glob && !remote.path.is_empty() && !remote.path.ends_with('/');
        if remote.scheme.is_web() && !names_a_file {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("{}: a web server does not say which files it has", remote.address(&remote.path)),
            )
            .hint("name each file; {a,b} means several"));
        }
        if names_a_file {
            match store.head(&location(remote, &remote.path)?).await {
                Ok(facts) => {
                    let version = version(remote, &remote.path, &facts);
                    return Ok(BTreeMap::from([(version.path.clone(), version)]));
                }
                Err(Error::NotFound { .. }) if !remote.scheme.is_web() => {}
                Err(error) => return Err(explained(remote, &remote.path, Action::Read, error)),
            }
        }
        let mut glob = Glob::parse(&remote.path)?;
        if !is_glob {
            glob.parts.extend([Part::Folders, Part::Wild(vec![Token::Many])]);
        }
        let prefix = glob.literal().collect::<Vec<_>>().join("/");
        let prefix = if prefix.is_empty() { None } else { Some(location(remote, &prefix)?) };
        let mut listed = store.list(prefix.as_ref());
        let mut found = BTreeMap::new();
        while let Some(facts) = listed.next().await {
            let facts = facts.map_err(|error| explained(remote, &remote.path, Action::List, error))?;
            let path = facts.location.as_ref();
            if glob.matches(path) && (is_glob || is_of(path, format)) {
                let version = version(remote, path, &facts);
                found.insert(version.path.clone(), version);
            }
        }
        Ok(found)
    }

    /// The bytes of a version from its first to its last.
    pub async fn open(&self, remote: &Remote, listed: &FileVersion) -> Result<Chunks> {
        let store = self.store(remote).await?;
        let result = store
            .get_opts(&location(remote, &remote.path)?, of_version(listed))
            .await
            .map_err(|error| explained(remote, &remote.path, Action::Read, error))?;
        check(listed, &result.meta)?;
        let remote = remote.clone();
        let chunks = result.into_stream().map_err(move |error| {
            std::io::Error::other(explained(&remote, &remote.path, Action::Read, error))
        });
        Ok(chunks.boxed())
    }

    /// A part of a version.
    pub async fn range(&self, remote: &Remote, listed: &FileVersion, range: Range<u64>) -> Result<Bytes> {
        let store = &self.store(remote).await?;
        let place = &location(remote, &remote.path)?;
        let starts = (range.start..range.end).step_by(PART as usize);
        let parts = starts.map(|start| async move {
            let part = start..range.end.min(start + PART);
            let options = GetOptions { range: Some(GetRange::Bounded(part)), ..of_version(listed) };
            let result = store.get_opts(place, options).await?;
            let facts = result.meta.clone();
            Ok::<_, Error>((facts, result.bytes().await?))
        });
        let mut parts: Vec<(ObjectMeta, Bytes)> = futures_util::stream::iter(parts)
            .buffered(PARTS)
            .try_collect()
            .await
            .map_err(|error| explained(remote, &remote.path, Action::Read, error))?;
        for (facts, _) in &parts {
            check(listed, facts)?;
        }
        match parts.as_mut_slice() {
            [(_, one)] => Ok(std::mem::take(one)),
            parts => {
                let mut all = Vec::with_capacity((range.end - range.start) as usize);
                parts.iter().for_each(|(_, bytes)| all.extend_from_slice(bytes));
                Ok(all.into())
            }
        }
    }
}

fn location(remote: &Remote, path: &str) -> Result<Path> {
    let read = match remote.scheme.is_web() {
        true => Path::from_url_path(path),
        false => Path::parse(path.trim_end_matches('/')),
    };
    read.map_err(|error| explained(remote, path, Action::Read, Error::InvalidPath { source: error }))
}

fn version(remote: &Remote, path: &str, facts: &ObjectMeta) -> FileVersion {
    FileVersion {
        path: remote.address(path),
        size: facts.size,
        etag: facts.e_tag.clone(),
        modified: facts.last_modified.to_rfc3339(),
    }
}

/// A weak etag never matches as a condition; it is compared with the answer's.
fn of_version(listed: &FileVersion) -> GetOptions {
    let etag = listed.etag.clone().filter(|etag| !etag.starts_with("W/"));
    GetOptions { if_match: etag, ..GetOptions::default() }
}

fn check(listed: &FileVersion, facts: &ObjectMeta) -> Result<()> {
    let is_same = match (&listed.etag, &facts.e_tag) {
        (Some(then), Some(now)) => then == now,
        _ => listed.modified == facts.last_modified.to_rfc3339(),
    };
    match is_same && listed.size == facts.size {
        true => Ok(()),
        false => Err(changed(&listed.path)),
    }
}
