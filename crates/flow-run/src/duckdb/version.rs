//! Which DuckDB can read a file: what the library says of the file's version, and what its header says of who wrote it.

use ematix_flow_core::error::{ErrorCode, FlowError};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The header begins with a checksum, then these letters, the version of the format, flags, and who wrote it.
const MAGIC: (usize, &[u8]) = (8, b"DUCK");
const WRITER: std::ops::Range<usize> = 52..84;

/// Versions of the format of files, as the library names them when it cannot read one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// The file's.
    pub found: u64,
    /// The oldest that is read here.
    pub oldest: u64,
    /// The newest that is read here.
    pub newest: u64,
}

impl Unreadable {
    /// From the library's words; `None` where they are about something else.
    pub fn said(words: &str) -> Option<Unreadable> {
        let (_, rest) = words.split_once("version number ")?;
        let (found, rest) = rest.split_once(',')?;
        let (_, rest) = rest.split_once("between ")?;
        let (oldest, rest) = rest.split_once(" and ")?;
        let newest: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(Unreadable {
            found: found.trim().parse().ok()?,
            oldest: oldest.trim().parse().ok()?,
            newest: newest.parse().ok()?,
        })
    }
}

/// The error of a file that this version cannot read.
pub(super) fn unreadable(version: Unreadable, file: &str) -> FlowError {
    let Unreadable { found, oldest, newest } = version;
    let age = if found > newest { "newer" } else { "older" };
    let writer = writer_of(Path::new(file));
    let by = writer.as_ref().map(|name| format!(", written by DuckDB {name}")).unwrap_or_default();
    let reader = writer.unwrap_or_else(|| format!("a version that reads {found}"));
    let hint = match found > newest {
        true => format!("use DuckDB {reader} or newer: pip install --upgrade duckdb"),
        false => format!("let DuckDB {reader} export it (EXPORT DATABASE), and import it into a new file"),
    };
    FlowError::new(
        ErrorCode::ConnectFailed,
        format!("the file {file} was written by a version of DuckDB that is {age}"),
    )
    .detail(format!("its format is {found}{by}; this version of DuckDB reads {oldest} to {newest}"))
    .hint(hint)
}

/// The version of DuckDB that has written a file, such as `v1.5.5`, where its header says so.
pub(super) fn writer_of(file: &Path) -> Option<String> {
    let mut header = [0; WRITER.end];
    File::open(file).ok()?.read_exact(&mut header).ok()?;
    writer_in(&header)
}

fn writer_in(header: &[u8]) -> Option<String> {
    let (at, magic) = MAGIC;
    if header.get(at..at + magic.len())? != magic {
        return None;
    }
    let written = std::str::from_utf8(header.get(WRITER)?).ok()?;
    let name = written.trim_end_matches('\0');
    let is_version = name.strip_prefix('v')?.starts_with(|first: char| first.is_ascii_digit());
    (is_version && name.chars().all(|c| c.is_ascii_graphic())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_read_from_the_words() {
        let words = "Trying to read a database file with version number 999, but we can only read versions between 64 and 68.\nThe …";
        assert_eq!(Unreadable::said(words), Some(Unreadable { found: 999, oldest: 64, newest: 68 }));
        for other in
            ["Could not set lock on file \"version number 3\"", "", "version number x, between 1 and 2"]
        {
            assert_eq!(Unreadable::said(other), None, "{other}");
        }
    }

    #[test]
    fn the_writer_is_read_from_the_header() {
        let header = |magic: &[u8], writer: &[u8]| {
            let mut header = [0; WRITER.end];
            header[8..12].copy_from_slice(magic);
            header[WRITER.start..WRITER.start + writer.len()].copy_from_slice(writer);
            header
        };
        assert_eq!(writer_in(&header(b"DUCK", b"v2.1.0")), Some("v2.1.0".to_owned()));
        for (magic, writer) in [(b"duck", b"v2.1.0"), (b"DUCK", b"\0\0\0\0\0\0"), (b"DUCK", b"v2\n1.0")] {
            assert_eq!(writer_in(&header(magic, writer)), None);
        }
        assert_eq!(writer_in(b"DUCK"), None);
    }
}
