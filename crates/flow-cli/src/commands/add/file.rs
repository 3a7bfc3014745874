//! A file that is written whole or not at all.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file and what it is to hold.
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl File {
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
        // What a link points to is meant.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = folder.join(format!(".{name}.{}", std::process::id()));
        let written = fs::File::create_new(&aside).and_then(|mut file| {
            file.write_all(self.text.as_bytes())?;
            if let Ok(known) = fs::metadata(&path) {
                file.set_permissions(known.permissions())?;
            }
            file.sync_all()?;
            fs::rename(&aside, &path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }
}
