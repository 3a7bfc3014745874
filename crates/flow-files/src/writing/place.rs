//! A file that gets its name when it is whole.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// So many names are tried.
const NAMES: u32 = 100;

/// A file on its way, beside the one that it becomes. Dropped before the end, it is removed.
#[derive(Debug)]
pub struct Unfinished {
    own: PathBuf,
    becomes: PathBuf,
    shown: String,
    is_named: bool,
}

impl Unfinished {
    /// A new file, and what it becomes.
    ///
    /// # Errors
    /// Where there is no such folder, and where what has the name is no file.
    pub fn create(path: &Path, shown: &str) -> Result<Unfinished> {
        // What a link leads to is replaced, not the link.
        let becomes = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let known = fs::metadata(&becomes).ok();
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            let message = format!("{shown} is there already, and is no file");
            return Err(FlowError::new(ErrorCode::InvalidValue, message).hint("give another name"));
        }
        let name = becomes.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let process = std::process::id();
        for number in 0..NAMES {
            let own = becomes.with_file_name(format!(".{name}.{process}-{number}.part"));
            match OpenOptions::new().write(true).create_new(true).open(&own) {
                Ok(_) => {
                    let made = Unfinished { own, becomes, shown: shown.to_owned(), is_named: false };
                    if let Some(known) = known {
                        // Who may read it, may read what it becomes.
                        let kept = fs::set_permissions(&made.own, known.permissions());
                        kept.map_err(|error| made.failed(&error))?;
                    }
                    return Ok(made);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(shown, &error)),
            }
        }
        let message = format!("beside {shown} lie {NAMES} files of this process that were not finished");
        Err(FlowError::new(ErrorCode::TargetFailed, message).hint("remove them: they end in .part"))
    }

    /// It, to write into.
    pub fn file(&self) -> Result<File> {
        OpenOptions::new().write(true).open(&self.own).map_err(|error| self.failed(&error))
    }

    /// It is whole. How many bytes it has.
    pub fn name(mut self) -> Result<u64> {
        let named = || {
            let file = OpenOptions::new().write(true).open(&self.own)?;
            file.sync_all()?;
            let bytes = file.metadata()?.len();
            fs::rename(&self.own, &self.becomes)?;
            Ok(bytes)
        };
        let bytes = named().map_err(|error| self.failed(&error))?;
        self.is_named = true;
        Ok(bytes)
    }

    /// Why it cannot be written.
    pub fn failed(&self, error: &std::io::Error) -> FlowError {
        unwritable(&self.shown, error)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.own);
        }
    }
}

#[cold]
fn unwritable(shown: &str, error: &std::io::Error) -> FlowError {
    let failed =
        |code: ErrorCode, why: &str| FlowError::new(code, format!("{shown}: {why}")).context("file", shown);
    match error.kind() {
        ErrorKind::NotFound => {
            failed(ErrorCode::TargetFailed, "there is no such folder").hint("make it, or give another path")
        }
        ErrorKind::PermissionDenied => {
            failed(ErrorCode::PermissionDenied, "this user may not write there").hint("give another path")
        }
        ErrorKind::StorageFull => {
            failed(ErrorCode::TargetFailed, "the disk is full").hint("make room, or give another path")
        }
        _ => failed(ErrorCode::TargetFailed, &error.to_string()),
    }
}
