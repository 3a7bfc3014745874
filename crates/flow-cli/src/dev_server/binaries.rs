//! The server's programs: the first found that the server's user can run.
//!
//! Every candidate is tried as that user. Remembers what was started, so that a stop needs no search.

use super::account::Account;
use super::base::Base;
use super::discovery::{self, Candidate, Surroundings};
use super::package::Package;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest server that the product works with.
const OLDEST_MAJOR: u32 = 15;

/// Programs of one version that the server's user can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub dir: PathBuf,
    /// As the server says it: `18.6`.
    pub version: String,
}

impl Binaries {
    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What was started last, if its programs are still there.
    ///
    /// The record is written by us in our own directory, so root may trust it; the file
    /// postmaster.opts, which says the same, can be written by the server's user.
    pub fn recorded(base: &Base) -> Option<Binaries> {
        let record = fs::read(base.record()).ok()?;
        let (version, dir) = parse_record(&record)?;
        Some(Binaries { dir, version }).filter(|found| found.program("pg_ctl").exists())
    }

    /// Remembers what runs now.
    pub fn record(&self, base: &Base) -> io::Result<()> {
        let mut text = format!("{}\n", self.version).into_bytes();
        text.extend_from_slice(self.dir.as_os_str().as_bytes());
        text.push(b'\n');
        fs::write(base.record(), text)
    }
}

fn parse_record(record: &[u8]) -> Option<(String, PathBuf)> {
    let text = record.strip_suffix(b"\n")?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (version, dir) = (&text[..end], &text[end + 1..]);
    Some((String::from_utf8(version.to_vec()).ok()?, PathBuf::from(OsStr::from_bytes(dir))))
}

/// Takes the first candidate that the account can run.
///
/// # Errors
/// `missing_option` if there is none, `unsupported_server` or `connect_failed` if the one that the
/// person named cannot be used.
pub(super) fn choose(
    here: &Surroundings,
    base: &Base,
    account: &Account,
    messages: &mut Vec<String>,
) -> Result<Binaries> {
    let (mut tried, mut passed_over) = (Vec::new(), Vec::new());
    for candidate in discovery::candidates(here)? {
        if tried.contains(&candidate.dir) {
            continue;
        }
        match usable(&candidate, base, account, messages) {
            Ok(binaries) => {
                messages.splice(0..0, passed_over.iter().map(|reason| format!("passed over: {reason}")));
                return Ok(binaries);
            }
            Err(error) if candidate.demanded => return Err(error),
            Err(error) => passed_over.push(error.message),
        }
        tried.push(candidate.dir);
    }
    Err(discovery::nothing_found(here, passed_over))
}

fn usable(
    candidate: &Candidate,
    base: &Base,
    account: &Account,
    messages: &mut Vec<String>,
) -> Result<Binaries> {
    let found =
        |version: &str| format!("Postgres {version} from {} ({})", candidate.origin, candidate.dir.display());
    match version_of(account, &candidate.dir) {
        Ok(version) => {
            require_supported(candidate, &version)?;
            messages.push(found(&version));
            Ok(Binaries { dir: candidate.dir.clone(), version })
        }
        Err(reason) => {
            let cannot_run = || cannot_run(candidate, account, &reason);
            let package = Package::of(&candidate.dir).filter(|_| account.switched).ok_or_else(cannot_run)?;
            // Root itself can tell the version, unless the package is broken for everybody.
            let version =
                read_version(Command::new(candidate.dir.join("postgres"))).map_err(|_| cannot_run())?;
            require_supported(candidate, &version)?;
            let copy = package.copy_to(base, &version)?;
            version_of(account, &copy.dir).map_err(|reason| cannot_run_copy(&copy.dir, account, &reason))?;
            messages.push(found(&version));
            if copy.is_new {
                let (to, who) = (copy.dir.display(), account.text());
                messages.push(format!("copied it to {to}, as {who} cannot enter the package"));
            }
            Ok(Binaries { dir: copy.dir, version })
        }
    }
}

fn require_supported(candidate: &Candidate, version: &str) -> Result<()> {
    if major(version).is_some_and(|major| major >= OLDEST_MAJOR) {
        return Ok(());
    }
    Err(FlowError::new(
        ErrorCode::UnsupportedServer,
        format!("{} is Postgres {version}, older than {OLDEST_MAJOR}", candidate.dir.display()),
    )
    .hint(format!("install Postgres {OLDEST_MAJOR} or later")))
}

fn cannot_run(candidate: &Candidate, account: &Account, reason: &str) -> FlowError {
    FlowError::new(
        ErrorCode::ConnectFailed,
        format!("{} cannot run {}/postgres: {reason}", account.text(), candidate.dir.display()),
    )
    .hint("give everybody read and execute permission on it, or install Postgres for the whole system")
}

fn cannot_run_copy(dir: &Path, account: &Account, reason: &str) -> FlowError {
    FlowError::new(
        ErrorCode::ConnectFailed,
        format!("{} cannot run the copy {}/postgres: {reason}", account.text(), dir.display()),
    )
    .hint(
        "set EMATIX_FLOW_DEV_DIR to a directory that every user can enter, on a file system \
         that is not mounted noexec",
    )
}

/// The version, asked as the user who is to run it; else why it cannot be run.
fn version_of(account: &Account, dir: &Path) -> Result<String, String> {
    read_version(account.command(dir.join("postgres")))
}

fn read_version(mut postgres: Command) -> Result<String, String> {
    let output = postgres.arg("--version").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        complaint.lines().next().unwrap_or("it does not tell its version").to_owned()
    })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<String> {
    let version = text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    major(version).map(|_| version.to_owned())
}

/// The major version: 18 of `18.6` and of `18beta1`.
pub(super) fn major(version: &str) -> Option<u32> {
    let end = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        let version = |text| parse_version(text);
        assert_eq!(version("postgres (PostgreSQL) 18.6\n").as_deref(), Some("18.6"));
        assert_eq!(
            version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(),
            Some("15.18")
        );
        assert_eq!(version("postgres (PostgreSQL) 19beta1\n").as_deref(), Some("19beta1"));
        assert_eq!(version("bash: not found"), None);
        assert_eq!(
            (major("18.6"), major("19beta1"), major("15"), major("x")),
            (Some(18), Some(19), Some(15), None)
        );
    }

    #[test]
    fn what_was_recorded_is_read_again() {
        let record = parse_record(b"18.6\n/a b/pginstall/bin\n");
        assert_eq!(record, Some(("18.6".to_owned(), PathBuf::from("/a b/pginstall/bin"))));
        assert_eq!(parse_record(b""), None);
    }
}
