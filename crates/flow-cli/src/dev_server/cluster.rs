//! One data directory and its server: made by initdb, started and stopped by pg_ctl.
//!
//! The server listens on a socket in a directory of its user alone, and nowhere else; that is why
//! it trusts whoever gets there.

use super::account::Account;
use super::base::{Base, delete_directory, delete_file, make_directories};
use super::binaries::{Binaries, major};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

/// How long pg_ctl waits for a start or a stop.
const PATIENCE_SECONDS: &str = "30";

/// A setting of the server, as `-c name=value`; both are words without spaces or quotes.
pub(super) type Setting = (&'static str, &'static str);

/// Settings that a development server always has.
///
/// Shared memory by mmap, because containers have a small /dev/shm and parallel plans need it.
const SETTINGS: [Setting; 3] =
    [("port", "5432"), ("unix_socket_permissions", "0700"), ("dynamic_shared_memory_type", "mmap")];

/// Whether a server answers on the socket. Postgres does not log such a visit.
pub(super) fn is_listening(base: &Base) -> bool {
    UnixStream::connect(base.socket()).is_ok()
}

/// The process id that the server wrote, if any.
pub(super) fn recorded_pid(base: &Base) -> Option<u32> {
    parse_pid(&fs::read_to_string(base.data().join("postmaster.pid")).ok()?)
}

/// The process of a server on this data directory, whether or not it answers.
///
/// After a restart of the machine or the container the number often belongs to another program, so
/// the command line decides: pg_ctl starts `postgres -D <data directory>`.
pub(super) fn live_pid(base: &Base) -> Option<u32> {
    let pid = recorded_pid(base)?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // pg_ctl tidies the path, so the two need not be spelled alike.
    let data = fs::canonicalize(base.data()).ok()?;
    let mut words = command_line.split(|byte| *byte == 0).map(|word| Path::new(OsStr::from_bytes(word)));
    words
        .any(|word| word.is_absolute() && fs::canonicalize(word).is_ok_and(|path| path == data))
        .then_some(pid)
}

/// The first line of postmaster.pid.
fn parse_pid(text: &str) -> Option<u32> {
    text.lines().next()?.trim().parse().ok()
}

/// The version in PG_VERSION; `None` without a data directory.
///
/// # Errors
/// `connect_failed` for a directory that initdb did not make.
pub(super) fn data_version(base: &Base) -> Result<Option<String>> {
    let data = base.data();
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(_) if fs::symlink_metadata(&data).is_err() => Ok(None),
        Err(error) => Err(FlowError::new(
            ErrorCode::ConnectFailed,
            format!("{} is not a data directory of Postgres: its PG_VERSION: {error}", data.display()),
        )
        .hint("delete it by `flow dev reset`, then `flow dev start` makes a new one")),
    }
}

/// Makes sure that these binaries can open the data directory, if there is one.
///
/// # Errors
/// `connect_failed` if another major version made it: Postgres cannot open those.
pub(super) fn require_same_major(base: &Base, binaries: &Binaries) -> Result<()> {
    match data_version(base)? {
        Some(version) if major(&version) != major(&binaries.version) => Err(FlowError::new(
            ErrorCode::ConnectFailed,
            format!(
                "the data directory {} was made by Postgres {version}, found is Postgres {} ({})",
                base.data().display(),
                binaries.version,
                binaries.dir.display()
            ),
        )
        .hint(format!(
            "start over by `flow dev reset`, which deletes the data; or keep the data and set \
             EMATIX_FLOW_PG_BIN to the binaries of Postgres {version}"
        ))),
        _ => Ok(()),
    }
}

/// Clears what a server left that was killed with its machine.
///
/// Postgres does so itself when the number is free, and refuses to start when another program has
/// it now.
///
/// # Errors
/// `connect_failed` if a server holds the data and does not answer.
pub(super) fn clear_stale_pid(base: &Base, messages: &mut Vec<String>) -> Result<()> {
    let Some(pid) = recorded_pid(base) else { return Ok(()) };
    if live_pid(base).is_some() {
        return Err(FlowError::new(
            ErrorCode::ConnectFailed,
            format!("the server of process {pid} holds {} and does not answer", base.data().display()),
        )
        .hint("`flow dev stop`, then `flow dev start`"));
    }
    if Path::new("/proc/self").exists() {
        delete_file(&base.data().join("postmaster.pid"))?;
        messages.push(format!("cleared the postmaster.pid of a server that is gone (process {pid})"));
    }
    Ok(())
}

/// Makes the data directory, aside first: what is called `data` is complete.
pub(super) fn initialize(base: &Base, account: &Account, binaries: &Binaries) -> Result<()> {
    let unfinished = base.unfinished_data();
    delete_directory(&unfinished)?;
    make_private(&unfinished, account)?;
    let mut initdb = account.command(binaries.program("initdb"));
    initdb
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8"])
        // Without a locale the bare environment would make it SQL_ASCII.
        .args(["--locale=C.UTF-8", "--no-sync", "--no-instructions", "-D"])
        .arg(&unfinished);
    run(initdb, "initdb").map_err(|error| error.hint("mend what it names, then try again"))?;
    fs::rename(&unfinished, base.data()).map_err(|error| not_writable(&base.data(), &error))
}

/// Starts the server and waits until it takes connections. Needs the lock; nobody may be listening.
pub(super) fn launch(
    base: &Base,
    account: &Account,
    binaries: &Binaries,
    settings: &[Setting],
) -> Result<()> {
    // A killed server leaves the socket's lock there, with a number that may be another's by now.
    delete_directory(&base.socket_dir())?;
    make_private(&base.socket_dir(), account)?;
    let log = base.data().join("log");
    let log_length = fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let mut pg_ctl = account.command(binaries.program("pg_ctl"));
    pg_ctl
        .arg("-D")
        .arg(base.data())
        // Always a log file: without one the server keeps our pipe, and we would wait for its end.
        .arg("-l")
        .arg(&log)
        .args(["-w", "-t", PATIENCE_SECONDS, "-o"])
        .arg(server_options(&base.socket_dir(), settings))
        .arg("start");
    run(pg_ctl, "pg_ctl start").map_err(|mut error| {
        error.details.extend(read_from(&log, log_length));
        error.hint(format!("the server's log is {}", log.display()))
    })
}

/// Stops the server: sessions are ended, the data is left clean.
pub(super) fn halt(base: &Base, account: &Account, binaries: &Binaries) -> Result<()> {
    let mut pg_ctl = account.command(binaries.program("pg_ctl"));
    pg_ctl.arg("-D").arg(base.data()).args(["-m", "fast", "-w", "-t", PATIENCE_SECONDS, "stop"]);
    run(pg_ctl, "pg_ctl stop")
        .map_err(|error| error.hint(format!("the server's log is {}", base.data().join("log").display())))
}

/// The text for pg_ctl's `-o`, which a shell splits into words.
fn server_options(socket_dir: &Path, settings: &[Setting]) -> OsString {
    let mut options = OsString::from("-c listen_addresses='' -c unix_socket_directories='");
    options.push(socket_dir);
    options.push("'");
    for (name, value) in SETTINGS.iter().chain(settings) {
        options.push(format!(" -c {name}={value}"));
    }
    options
}

/// Makes a directory that only the account can enter.
fn make_private(path: &Path, account: &Account) -> Result<()> {
    make_directories(path, 0o700)
        .and_then(|()| chown(path, Some(account.uid), Some(account.gid)))
        .map_err(|error| not_writable(path, &error))
}

fn not_writable(path: &Path, error: &io::Error) -> FlowError {
    FlowError::new(ErrorCode::ConnectFailed, format!("cannot make {}: {error}", path.display()))
        .hint("set EMATIX_FLOW_DEV_DIR to a directory of your own")
}

/// Runs a tool to its end; what it says goes into the error.
fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|error| {
        let program = Path::new(command.get_program()).display().to_string();
        FlowError::new(ErrorCode::ConnectFailed, format!("cannot run {program}: {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let mut error = FlowError::new(ErrorCode::ConnectFailed, format!("{what} failed ({})", output.status));
    error.details.extend(last_lines(&complaint));
    Err(error)
}

/// What was written to a log since it had that length.
fn read_from(log: &Path, length: u64) -> Vec<String> {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(log)?;
        file.seek(SeekFrom::Start(length))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map(|text| last_lines(&text)).unwrap_or_default()
}

fn last_lines(text: &str) -> Vec<String> {
    const LINES: usize = 8;
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// A libpq URL for a socket directory. The port is in it, else PGPORT would count.
pub(super) fn url(socket_dir: &Path) -> String {
    format!("postgresql://postgres@/postgres?host={}&port=5432", percent_encoded(socket_dir.as_os_str()))
}

/// Encodes all but RFC 3986's unreserved characters.
fn percent_encoded(text: &OsStr) -> String {
    let mut encoded = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_the_socket_directory_as_its_host() {
        assert_eq!(
            url(Path::new("/var/lib/ematix-flow/dev/socket")),
            "postgresql://postgres@/postgres?host=%2Fvar%2Flib%2Fematix-flow%2Fdev%2Fsocket&port=5432"
        );
        assert_eq!(
            url(Path::new("/a b&c%/é")),
            "postgresql://postgres@/postgres?host=%2Fa%20b%26c%25%2F%C3%A9&port=5432"
        );
    }

    #[test]
    fn the_pid_is_the_first_line() {
        assert_eq!(parse_pid("4711\n/data\n1700000000\n"), Some(4711));
        assert_eq!(parse_pid(""), None);
        assert_eq!(parse_pid("-12\n"), None);
    }

    #[test]
    fn a_socket_directory_with_spaces_stays_one_word_of_the_options() {
        assert_eq!(
            server_options(Path::new("/a place/socket"), &[("fsync", "off")]),
            "-c listen_addresses='' -c unix_socket_directories='/a place/socket' -c port=5432 \
             -c unix_socket_permissions=0700 -c dynamic_shared_memory_type=mmap -c fsync=off"
        );
    }

    #[test]
    fn only_the_end_of_a_long_complaint_is_shown() {
        let text: String = (1..=20).map(|line| format!("{line}\n\n")).collect();
        assert_eq!(last_lines(&text), ["13", "14", "15", "16", "17", "18", "19", "20"]);
    }
}
