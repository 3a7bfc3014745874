//! A file that is written whole or not at all, and not over what somebody else has made of it meanwhile.

use ematix_flow_core::declare::environment::{Environment, ProcessEnvironment};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Keeps others who write the same project out for as long as it lives.
pub struct Turn {
    _folder: Option<fs::File>,
}

impl Turn {
    /// Waits until nobody else writes the project of this file.
    ///
    /// What is locked is the folder: the file itself is replaced by each writer, and may not be there yet. Where a system
    /// cannot lock a folder there is still the look at what a file holds, just before it is written.
    pub fn take(config: &Path) -> Turn {
        let path = real(config);
        let locked = fs::File::open(folder_of(&path)).and_then(|folder| folder.lock().map(|()| folder));
        Turn { _folder: locked.ok() }
    }
}

/// A file and what it is to hold.
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What it held when the text was made; `None` where there was none.
    pub before: Option<String>,
    /// Whether nobody else may read it, whoever could before.
    pub is_private: bool,
}

impl File {
    /// Whether it still holds what it held when its text was made.
    ///
    /// # Errors
    /// `invalid_value` with the system's words.
    pub fn is_as_before(&self) -> Result<bool> {
        Ok(held(&self.path)? == self.before)
    }

    /// Puts the text where the file is, or is to be: beside it first, and then in its place, with its permissions.
    ///
    /// # Errors
    /// `invalid_value` with the system's words.
    pub fn write(&self) -> Result<()> {
        self.replace().map_err(|error| {
            FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{}` cannot be written: {error}", self.path.display()),
            )
        })
    }

    /// As [`File::write`], where nothing is yet.
    ///
    /// # Errors
    /// `duplicate_name` where something is.
    pub fn create(&self) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let shown = self.path.display();
        let created = folder
            .map_or(Ok(()), fs::create_dir_all)
            // Creates or fails: no look before, so nothing can come between.
            .and_then(|()| fs::File::create_new(&self.path))
            .and_then(|mut file| file.write_all(self.text.as_bytes()));
        created.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => FlowError::new(
                ErrorCode::DuplicateName,
                format!("`{shown}` is there already; it is left as it is"),
            ),
            _ => FlowError::new(ErrorCode::InvalidValue, format!("`{shown}` cannot be written: {error}")),
        })
    }

    fn replace(&self) -> std::io::Result<()> {
        let path = real(&self.path);
        let folder = folder_of(&path);
        fs::create_dir_all(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = folder.join(format!(".{name}.{}", std::process::id()));
        let known = fs::metadata(&path).ok().filter(|_| !self.is_private).map(|known| known.permissions());
        let written = create_aside(&aside, self.is_private || known.is_some()).and_then(|mut file| {
            if let Some(known) = known {
                file.set_permissions(known)?;
            }
            file.write_all(self.text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }
}

/// A file that nobody else can read while it is written, unless anybody may.
fn create_aside(path: &Path, is_private: bool) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options.open(path)
}

/// What a file holds; `None` where there is none.
///
/// # Errors
/// `invalid_value` with the system's words.
pub fn held(path: &Path) -> Result<Option<String>> {
    match ProcessEnvironment.read_file(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", path.display());
            Err(FlowError::new(ErrorCode::InvalidValue, message))
        }
    }
}

/// The file that is meant: what a link points to.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
