//! The base directory: where it is, whom it belongs to, and who may work in it now.
//!
//! Nothing outside it is ever written or deleted, and nothing in it unless it was made by us: a
//! marker file says so, and is the lock at the same time.

use super::account::{Caller, cannot_look_at, user_text};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The marker and lock of a directory that is ours.
const LOCK: &str = "dev.lock";

/// The name that Postgres and libpq give the socket.
const SOCKET: &str = ".s.PGSQL.5432";

/// `sun_path` of unix(7) has 108 bytes, the last one zero.
const LONGEST_SOCKET_PATH: usize = 107;

const OTHER_DIRECTORY: &str = "set EMATIX_FLOW_DEV_DIR to a directory of your own";

/// A base directory, which need not exist yet.
#[derive(Clone, Debug)]
pub(super) struct Base {
    path: PathBuf,
    caller: Caller,
}

impl Base {
    /// Checks that a server can live under this path; creates nothing.
    ///
    /// # Errors
    /// `invalid_value` for a path that is too long for a socket or has characters that pg_ctl's
    /// shell would read.
    pub fn new(path: &Path, caller: Caller) -> Result<Base> {
        let path = std::path::absolute(path).map_err(|error| cannot_look_at(path, &error))?;
        let base = Base { path, caller };
        refuse_shell_characters(&base.path)?;
        let length = base.socket().as_os_str().len();
        if length > LONGEST_SOCKET_PATH {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("the path of the development server's socket has {length} bytes, {LONGEST_SOCKET_PATH} are possible"),
            )
            .detail(format!("it would be {}", base.socket().display()))
            .hint("set EMATIX_FLOW_DEV_DIR to a shorter path"));
        }
        Ok(base)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory of Postgres.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Where initdb works; it becomes the data directory when initdb is done.
    pub fn unfinished_data(&self) -> PathBuf {
        self.path.join("data.new")
    }

    /// The private directory of the socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// The socket itself.
    pub fn socket(&self) -> PathBuf {
        self.socket_dir().join(SOCKET)
    }

    /// Where binaries are copied to that the server's user cannot reach where they are.
    pub fn copies(&self) -> PathBuf {
        self.path.join("binaries")
    }

    /// What was started last: its version and where its binaries are.
    pub fn record(&self) -> PathBuf {
        self.path.join("started")
    }

    /// The permissions of the base: root's has to let the server's user through.
    fn mode(&self) -> u32 {
        if self.caller.is_root() { 0o755 } else { 0o700 }
    }

    /// Whether the directory is there.
    ///
    /// # Errors
    /// `invalid_value` if it belongs to somebody else or holds other things.
    pub fn exists(&self) -> Result<bool> {
        let link = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(cannot_look_at(&self.path, &error)),
        };
        let metadata = fs::metadata(&self.path).map_err(|error| cannot_look_at(&self.path, &error))?;
        // A link by somebody else in /tmp could lead anywhere, so its owner counts too.
        for uid in [link.uid(), metadata.uid()] {
            if uid != self.caller.uid {
                return Err(self.refusal(format!("belongs to {}", user_text(uid))));
            }
        }
        if !metadata.is_dir() {
            return Err(self.refusal("is not a directory"));
        }
        if self.holds_other_things()? {
            return Err(self.refusal("holds other things, and was not made by `flow dev`"));
        }
        Ok(true)
    }

    /// The marker is the first thing in a directory of ours and the last to go, so one look at all the
    /// names is right even while somebody else makes or deletes it; two looks would not be.
    fn holds_other_things(&self) -> Result<bool> {
        let entries = fs::read_dir(&self.path).map_err(|error| cannot_look_at(&self.path, &error))?;
        let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        Ok(!names.is_empty() && !names.iter().any(|name| name == LOCK))
    }

    fn refusal(&self, why: impl std::fmt::Display) -> FlowError {
        FlowError::new(
            ErrorCode::InvalidValue,
            format!("the development server's directory {} {why}", self.path.display()),
        )
        .hint(OTHER_DIRECTORY)
    }

    /// Makes the directory if needed and waits until nobody else works in it.
    ///
    /// The lock goes with the answer, and with the process if that is killed.
    pub fn lock(&self) -> Result<File> {
        loop {
            self.create()?;
            if let Some(lock) = self.try_lock()? {
                return Ok(lock);
            }
        }
    }

    /// As [`Base::lock`], for a directory that may be absent and then stays so.
    pub fn lock_existing(&self) -> Result<Option<File>> {
        while self.exists()? {
            if let Some(lock) = self.try_lock()? {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    fn create(&self) -> Result<()> {
        if !self.exists()? {
            make_directories(&self.path, self.mode()).map_err(|error| {
                FlowError::new(
                    ErrorCode::InvalidValue,
                    format!(
                        "cannot make the development server's directory {}: {error}",
                        self.path.display()
                    ),
                )
                .hint(OTHER_DIRECTORY)
            })?;
            // Somebody may have been faster, in /tmp even somebody else: look again.
            self.exists()?;
        }
        set_mode(&self.path, self.mode())
    }

    /// Waits for the lock; `None` if the directory was deleted meanwhile.
    fn try_lock(&self) -> Result<Option<File>> {
        let path = self.path.join(LOCK);
        // Only its owner may open it: who can open a file can lock it.
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.refusal(format!("cannot be written: {error}"))),
        };
        file.lock().map_err(|error| self.refusal(format!("cannot be locked: {error}")))?;
        // Whoever held the lock may have deleted the directory, and a lock on that is worth nothing.
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (ours, now) = (file.metadata().map(identity), fs::metadata(&path).map(identity));
        Ok(matches!((ours, now), (Ok(ours), Ok(now)) if ours == now).then_some(file))
    }

    /// Deletes the database: data, an unfinished initdb, the socket, the record of what ran.
    ///
    /// Needs the lock; the server must have been stopped.
    pub fn delete_database(&self) -> Result<()> {
        for directory in [self.data(), self.unfinished_data(), self.socket_dir()] {
            delete_directory(&directory)?;
        }
        delete_file(&self.record())
    }

    /// Deletes all that is ours, and the directory if nothing else is in it. Needs the lock.
    pub fn delete(&self) -> Result<()> {
        self.delete_database()?;
        delete_directory(&self.copies())?;
        delete_file(&self.path.join(LOCK))?;
        // What is left then was put there by somebody and stays.
        let _ = fs::remove_dir(&self.path);
        Ok(())
    }
}

/// The default place, or what `EMATIX_FLOW_DEV_DIR` says.
pub(super) fn default_path(uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG base directory specification: a relative path there is to be ignored.
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    if let Some(path) = set("EMATIX_FLOW_DEV_DIR") {
        path
    } else if uid == 0 {
        PathBuf::from("/var/lib/ematix-flow/dev")
    } else if let Some(state) = absolute("XDG_STATE_HOME") {
        state.join("ematix-flow/dev")
    } else if let Some(home) = absolute("HOME") {
        home.join(".local/state/ematix-flow/dev")
    } else {
        PathBuf::from(format!("/tmp/ematix-flow-{uid}"))
    }
}

/// pg_ctl pastes paths into a shell command between double quotes, and the list of socket
/// directories is split at commas.
fn refuse_shell_characters(path: &Path) -> Result<()> {
    let odd = |byte: &u8| byte.is_ascii_control() || b"\"'`$\\,".contains(byte);
    match path.as_os_str().as_bytes().iter().find(|byte| odd(byte)) {
        None => Ok(()),
        Some(byte) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!(
                "the development server's directory {} has the character `{}` in its path, which pg_ctl cannot take",
                path.display(),
                byte.escape_ascii()
            ),
        )
        .hint("set EMATIX_FLOW_DEV_DIR to another path")),
    }
}

/// Makes a directory and the missing ones above it, with these permissions whatever the umask.
pub(super) fn make_directories(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives a directory of ours these permissions.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let now = fs::metadata(path).map_err(|error| cannot_look_at(path, &error))?;
    if now.mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| cannot_look_at(path, &error))
}

/// Deletes a directory tree that may be absent; never follows a link out of it.
pub(super) fn delete_directory(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => succeeded(path, fs::remove_dir_all(path)),
        Ok(_) => delete_file(path),
        Err(_) => Ok(()),
    }
}

/// Deletes a file that may be absent.
pub(super) fn delete_file(path: &Path) -> Result<()> {
    succeeded(path, fs::remove_file(path))
}

fn succeeded(path: &Path, deletion: io::Result<()>) -> Result<()> {
    match deletion {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FlowError::new(ErrorCode::TargetFailed, format!("cannot delete {}: {error}", path.display()))
                .hint("delete it by hand, then try again"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_for(uid: u32, variables: &[(&str, &str)]) -> PathBuf {
        default_path(uid, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn every_kind_of_user_has_a_place() {
        let variables = [("HOME", "/home/ada"), ("XDG_STATE_HOME", "/state")];
        let cases = [
            (path_for(0, &variables), "/var/lib/ematix-flow/dev"),
            (path_for(7, &variables), "/state/ematix-flow/dev"),
            (path_for(7, &variables[..1]), "/home/ada/.local/state/ematix-flow/dev"),
            (path_for(7, &[("XDG_STATE_HOME", "state"), ("HOME", "/h")]), "/h/.local/state/ematix-flow/dev"),
            (path_for(7, &[("HOME", "")]), "/tmp/ematix-flow-7"),
            (path_for(7, &[]), "/tmp/ematix-flow-7"),
            (path_for(0, &[("EMATIX_FLOW_DEV_DIR", "/x")]), "/x"),
            (path_for(7, &[("EMATIX_FLOW_DEV_DIR", "")]), "/tmp/ematix-flow-7"),
        ];
        for (path, expected) in cases {
            assert_eq!(path, Path::new(expected));
        }
    }

    fn refused(path: &str) -> Option<FlowError> {
        Base::new(Path::new(path), Caller::current().unwrap()).err()
    }

    #[test]
    fn a_socket_path_has_at_most_107_bytes() {
        let with_bytes = |bytes: usize| format!("/{}", "x".repeat(bytes - 1 - "/socket/.s.PGSQL.5432".len()));
        assert_eq!(refused(&with_bytes(107)), None);
        let error = refused(&with_bytes(108)).unwrap();
        assert_eq!(error.code, ErrorCode::InvalidValue);
        assert_eq!(
            error.message,
            "the path of the development server's socket has 108 bytes, 107 are possible"
        );
    }

    #[test]
    fn characters_that_a_shell_reads_are_refused_and_spaces_are_not() {
        assert_eq!(refused("/tmp/a place"), None);
        for path in ["/tmp/$HOME", "/tmp/`x`", "/tmp/a\"b", "/tmp/a'b", "/tmp/a,b", "/tmp/a\\b", "/tmp/a\nb"]
        {
            assert_eq!(refused(path).map(|error| error.code), Some(ErrorCode::InvalidValue), "{path}");
        }
    }

    #[test]
    fn a_directory_that_several_make_at_once_is_ours() {
        let path = std::env::temp_dir().join(format!("ematix-flow-base-{}", std::process::id()));
        for _ in 0..100 {
            let base = Base::new(&path, Caller::current().unwrap()).unwrap();
            std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(|| base.lock().map(drop)));
                assert_eq!(threads.map(|thread| thread.join().unwrap()), [const { Ok(()) }; 4]);
            });
            base.delete().unwrap();
            assert!(!path.exists());
        }
    }
}
