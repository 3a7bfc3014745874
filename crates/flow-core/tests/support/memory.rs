//! A machine in memory: variables and files that a test writes down.

use ematix_flow_core::declare::environment::{Environment, matches_pattern};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Variables and files.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

#[allow(dead_code)] // each test file uses a part
impl Memory {
    /// Nothing at all.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// With a variable.
    pub fn variable(mut self, name: &str, value: &str) -> Memory {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a file.
    pub fn file(mut self, path: &str, text: &str) -> Memory {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }
}

impl Environment for Memory {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn variable_names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        let path = self.identity(path);
        self.files.get(&path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(&self.identity(path))
    }

    fn glob(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let matches = |path: &&PathBuf| {
            let inside = path.strip_prefix(directory).ok().and_then(Path::to_str);
            inside.is_some_and(|inside| matches_pattern(pattern, inside))
        };
        Ok(self.files.keys().filter(matches).cloned().collect())
    }
}
