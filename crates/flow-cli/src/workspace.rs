//! Names of files as a pull request knows them: relative to the checkout, or to where the command runs.

use ematix_flow_core::error::FlowError;
use std::path::{Path, PathBuf};

/// The project's file where none is named.
pub const DEFAULT_CONFIG: &str = "pipelines.toml";

/// The directory that files are named from.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: Option<PathBuf>,
    current: Option<PathBuf>,
}

impl Workspace {
    /// GitHub's checkout where there is one, else the current directory.
    pub fn of_process() -> Workspace {
        let current = std::env::current_dir().ok().map(|path| resolved(&path));
        let checkout = std::env::var_os("GITHUB_WORKSPACE").filter(|path| !path.is_empty());
        let root = checkout.map(|path| resolved(Path::new(&path))).or_else(|| current.clone());
        Workspace { root, current }
    }

    /// A file's name below the root, with `/`; as it was given where it lies elsewhere.
    pub fn relative(&self, file: &str) -> String {
        self.below_root(Path::new(file)).unwrap_or_else(|| file.to_owned())
    }

    fn below_root(&self, file: &Path) -> Option<String> {
        let path = self.current.as_ref()?.join(file);
        // Only the directory is resolved: a link in the checkout is what the pull request shows.
        let path = resolved(path.parent()?).join(path.file_name()?);
        let parts = path.strip_prefix(self.root.as_ref()?).ok()?;
        let parts: Option<Vec<&str>> = parts.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    }

    /// An error whose place is named from the root.
    pub fn relocated(&self, error: &FlowError) -> FlowError {
        let mut error = error.clone();
        if let Some(location) = &mut error.location {
            location.file = self.relative(&location.file);
        }
        error
    }
}

/// Without links and `..`, as far as the path exists.
fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
