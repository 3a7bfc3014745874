//! Files on this machine's disks.

use crate::fault::{changed, failed};
use crate::glob::{Glob, Part, is_hidden, is_pattern};
use crate::options::{FileVersion, Format};
use ematix_flow_core::error::Result;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files of a pattern without braces, by their paths as the pattern has them; of a folder all below it whose endings
/// say the format.
pub fn list(base: &Path, pattern: &str, format: Option<Format>) -> Result<BTreeMap<String, FileVersion>> {
    // A folder without a name is none.
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let mut walk = Walk { found: BTreeMap::new(), above: Vec::new() };
    let whole = base.join(pattern);
    // A name may have brackets of its own.
    match std::fs::metadata(&whole) {
        Ok(facts) if facts.is_dir() => {
            let root = pattern.trim_end_matches('/');
            walk.go(&whole, root, &[Part::Folders, Part::Wild(vec![crate::glob::Token::Many])])?;
            walk.found.retain(|path, _| is_of(path, format));
        }
        Ok(facts) => walk.add(&whole, pattern, &facts)?,
        Err(error) if !is_pattern(pattern) && error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(pattern, error));
        }
        Err(_) if !is_pattern(pattern) => {}
        Err(_) => {
            let glob = Glob::parse(pattern)?;
            let root = if pattern.starts_with('/') { "/" } else { "" };
            walk.go(&base.join(root), root, &glob.parts)?;
        }
    }
    Ok(walk.found)
}

/// Whether a file of a folder is one of those that are asked for.
pub fn is_of(path: &str, format: Option<Format>) -> bool {
    match (Format::of(path), format) {
        (Some(found), Some(wanted)) => found == wanted,
        (found, None) => found.is_some(),
        (None, Some(_)) => false,
    }
}

struct Walk {
    found: BTreeMap<String, FileVersion>,
    /// The folders that one stands in: a link to one of them leads nowhere new.
    above: Vec<PathBuf>,
}

impl Walk {
    fn go(&mut self, folder: &Path, shown: &str, parts: &[Part]) -> Result<()> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        match part {
            Part::Name(name) => self.step(&folder.join(name), &joined(shown, name), rest),
            Part::Wild(_) => {
                for name in names(folder, shown)? {
                    if part.matches(&name) {
                        self.step(&folder.join(&name), &joined(shown, &name), rest)?;
                    }
                }
                Ok(())
            }
            Part::Folders => {
                let own = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
                if self.above.contains(&own) {
                    return Ok(());
                }
                self.above.push(own);
                self.go(folder, shown, rest)?;
                for name in names(folder, shown)? {
                    let below = folder.join(&name);
                    if !is_hidden(&name) && below.is_dir() {
                        self.go(&below, &joined(shown, &name), parts)?;
                    }
                }
                self.above.pop();
                Ok(())
            }
        }
    }

    fn step(&mut self, path: &Path, shown: &str, rest: &[Part]) -> Result<()> {
        match std::fs::metadata(path) {
            Ok(facts) if rest.is_empty() && !facts.is_dir() => self.add(path, shown, &facts),
            Ok(facts) if facts.is_dir() && !rest.is_empty() => self.go(path, shown, rest),
            Ok(_) => Ok(()),
            // A file that went between the listing and now, or a link to nothing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(shown, error)),
        }
    }

    fn add(&mut self, path: &Path, shown: &str, facts: &Metadata) -> Result<()> {
        let facts = version(shown, facts).map_err(|error| failed(&path.display().to_string(), error))?;
        self.found.insert(shown.to_owned(), facts);
        Ok(())
    }
}

fn joined(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ if folder.ends_with('/') => format!("{folder}{name}"),
        _ => format!("{folder}/{name}"),
    }
}

/// The names in a folder; those that are no UTF-8 cannot be named by a pattern either.
fn names(folder: &Path, shown: &str) -> Result<Vec<String>> {
    // Where a pattern goes on below what is a file, nothing matches.
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let shown = if shown.is_empty() { "." } else { shown };
    let entries = std::fs::read_dir(folder).map_err(|error| failed(shown, error))?;
    let names: std::io::Result<Vec<Option<String>>> =
        entries.map(|entry| Ok(entry?.file_name().into_string().ok())).collect();
    Ok(names.map_err(|error| failed(shown, error))?.into_iter().flatten().collect())
}

fn version(shown: &str, facts: &Metadata) -> std::io::Result<FileVersion> {
    let time = facts.modified()?;
    let modified = jiff::Timestamp::try_from(time).map_err(std::io::Error::other)?;
    Ok(FileVersion {
        path: shown.to_owned(),
        size: facts.len(),
        etag: Some(format!("{:x}", modified.as_nanosecond())),
        modified: modified.to_string(),
    })
}

/// A file that is the one that was listed, from its first byte to its last.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    path: String,
    size: u64,
    changed_at: SystemTime,
}

impl LocalFile {
    /// Opens a version.
    pub fn open(base: &Path, listed: &FileVersion) -> Result<LocalFile> {
        let whole = base.join(&listed.path);
        let open = || {
            let file = File::open(&whole)?;
            let facts = file.metadata()?;
            Ok((file, facts.modified()?, version(&listed.path, &facts)?))
        };
        let (file, changed_at, found) = open().map_err(|error| failed(&listed.path, error))?;
        if found.size != listed.size || found.etag != listed.etag {
            return Err(changed(&listed.path));
        }
        Ok(LocalFile { file, path: listed.path.clone(), size: listed.size, changed_at })
    }

    /// The file itself.
    pub fn handle(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// Says so where it is another by now.
    pub fn check(&self) -> std::io::Result<()> {
        let facts = self.file.metadata()?;
        if facts.len() != self.size || facts.modified()? != self.changed_at {
            return Err(std::io::Error::other(changed(&self.path)));
        }
        Ok(())
    }
}

impl Read for LocalFile {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        if read == 0 && !into.is_empty() {
            self.check()?;
        }
        Ok(read)
    }
}
