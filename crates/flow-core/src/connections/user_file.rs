//! The user's own file of connections, below the home directory: what it says, and whether others can read it.

use super::{Declared, set_variable};
use crate::declare::environment::Environment;
use crate::declare::toml_file::read_connections;
use crate::declare::{ConnectionSpec, Places};
use crate::error::{FlowError, Result};
use indexmap::IndexMap;
use std::path::PathBuf;

/// The user's own file below the home directory.
const USER_FILE: &str = ".ematix-flow/connections.toml";
/// How messages call the user's own file.
pub const USER_FILE_SHOWN: &str = "~/.ematix-flow/connections.toml";

/// The user's own file, which `flow connections add` writes; none without HOME.
pub fn user_file(environment: &dyn Environment) -> Option<PathBuf> {
    set_variable("HOME", environment).map(|home| PathBuf::from(home.reveal()).join(USER_FILE))
}

/// What is to be told of the user's own file where others can read it; it may hold passwords.
pub fn warning(environment: &dyn Environment) -> Option<String> {
    let file = user_file(environment)?;
    let mode = environment.mode(&file).filter(|mode| mode & 0o077 != 0)?;
    Some(format!(
        "{USER_FILE_SHOWN} can be read by others: its mode is {mode:04o}; it holds passwords: chmod 0600 {USER_FILE_SHOWN}"
    ))
}

/// Whether the user's own file can be read, for those who ask for everything.
///
/// # Errors
/// What is wrong with it.
pub fn check_user_file(environment: &dyn Environment) -> Result<()> {
    match UserFile::new(environment) {
        UserFile::Wrong(error) => Err(error),
        _ => Ok(()),
    }
}

/// The user's own file, read once.
pub(super) enum UserFile {
    /// Without HOME there is none.
    NoHome,
    /// There is no such file.
    Absent,
    /// Its connections.
    Read(IndexMap<String, ConnectionSpec>, Places),
    /// It cannot be read; told only to those who need it.
    Wrong(FlowError),
}

impl UserFile {
    pub fn new(environment: &dyn Environment) -> UserFile {
        let Some(path) = user_file(environment) else { return UserFile::NoHome };
        if !environment.exists(&path) {
            return UserFile::Absent;
        }
        match read_connections(&path, environment) {
            Ok((connections, places)) => UserFile::Read(connections, places),
            Err(errors) => {
                let mut errors = errors.into_iter();
                match errors.next() {
                    Some(first) => {
                        UserFile::Wrong(errors.fold(first, |first, next| first.detail(next.message)))
                    }
                    None => UserFile::Absent,
                }
            }
        }
    }

    pub fn connections(&self) -> &IndexMap<String, ConnectionSpec> {
        static NONE: std::sync::LazyLock<IndexMap<String, ConnectionSpec>> =
            std::sync::LazyLock::new(IndexMap::new);
        match self {
            UserFile::Read(connections, _) => connections,
            _ => &NONE,
        }
    }

    pub fn declared<'a>(&'a self, name: &str) -> Option<Declared<'a>> {
        match self {
            UserFile::Read(connections, places) => {
                let (name, spec) = connections.get_key_value(name)?;
                Some(Declared { name, spec, places, environment: None })
            }
            _ => None,
        }
    }

    pub fn shown(&self) -> String {
        match self {
            UserFile::NoHome => format!("{USER_FILE_SHOWN}, but HOME is not set"),
            UserFile::Absent => format!("{USER_FILE_SHOWN}, but there is no such file"),
            _ => USER_FILE_SHOWN.to_owned(),
        }
    }
}
