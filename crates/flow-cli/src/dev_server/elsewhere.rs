//! What `flow dev` is where there are no sockets of Unix: an error that says so. The Pythons are found here too.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Pythons that may have what we look for, best first: `EMATIX_FLOW_PYTHON`, `%VIRTUAL_ENV%`, `.venv` in the current
/// directory, `python` on PATH.
///
/// # Errors
/// `invalid_value` if `EMATIX_FLOW_PYTHON` is not a program.
pub fn pythons() -> Result<Vec<PathBuf>> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let here = env::current_dir().unwrap_or_default();
    let mut found = Vec::new();
    if let Some(named) = set("EMATIX_FLOW_PYTHON") {
        let python = if named.components().count() == 1 { on_path(&named) } else { Some(here.join(&named)) };
        found.push(python.filter(|python| python.is_file()).ok_or_else(|| {
            FlowError::new(
                ErrorCode::InvalidValue,
                format!("EMATIX_FLOW_PYTHON is {}, which is not a program", named.display()),
            )
            .hint("set it to a Python interpreter, or unset it")
        })?);
    }
    let environments = [set("VIRTUAL_ENV"), Some(here.join(".venv"))];
    found.extend(
        environments.into_iter().flatten().map(|environment| environment.join("Scripts\\python.exe")),
    );
    found.extend(on_path(Path::new("python.exe")));
    found.retain(|python| python.is_file());
    Ok(found)
}

fn on_path(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .flat_map(|directory| [directory.join(program), directory.join(program).with_extension("exe")])
        .find(|file| file.is_file())
}

/// A development server, of which there is none here.
#[derive(Clone, Debug)]
pub struct DevServer(std::convert::Infallible);

/// What starting one did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The server ran before; nothing was done.
    pub already_running: bool,
    /// One line a step, for the person.
    pub messages: Vec<String>,
    /// The directory of the binaries that run.
    pub binaries: Option<PathBuf>,
    /// The user whom the server runs as.
    pub user: String,
    /// The server's version.
    pub version: String,
    /// The address.
    pub url: String,
}

/// How one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// A server answers.
    pub running: bool,
    /// The version that was started last.
    pub version: Option<String>,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// Where the socket is.
    pub socket_dir: PathBuf,
    /// The address.
    pub url: String,
    /// The server's process.
    pub pid: Option<u32>,
}

impl DevServer {
    /// The user's development server.
    ///
    /// # Errors
    /// `unsupported_by_engine`: always.
    pub fn locate() -> Result<DevServer> {
        Err(FlowError::new(
            ErrorCode::UnsupportedByEngine,
            "a Postgres of one's own listens on a socket of Unix, which this system does not have",
        )
        .hint("name a server by EMATIX_FLOW_DSN; `flow demo --engine duckdb` needs none"))
    }

    /// As [`DevServer::locate`].
    ///
    /// # Errors
    /// As [`DevServer::locate`].
    pub fn at(_: impl AsRef<Path>) -> Result<DevServer> {
        DevServer::locate()
    }

    /// There is none to be so.
    pub fn disposable(self) -> DevServer {
        match self.0 {}
    }

    /// There is none to start.
    ///
    /// # Errors
    /// None: nobody has one.
    pub fn start(&self) -> Result<Started> {
        match self.0 {}
    }

    /// There is none to stop.
    ///
    /// # Errors
    /// None: nobody has one.
    pub fn stop(&self) -> Result<bool> {
        match self.0 {}
    }

    /// There is none to look at.
    ///
    /// # Errors
    /// None: nobody has one.
    pub fn status(&self) -> Result<Status> {
        match self.0 {}
    }

    /// There is none to reach.
    pub fn url(&self) -> String {
        match self.0 {}
    }

    /// There is none to talk to.
    ///
    /// # Errors
    /// None: nobody has one.
    pub fn psql_command(&self) -> Result<Command> {
        match self.0 {}
    }

    /// There is none to delete.
    ///
    /// # Errors
    /// None: nobody has one.
    pub fn reset(&self) -> Result<bool> {
        match self.0 {}
    }

    /// There is none to remove.
    ///
    /// # Errors
    /// None: nobody has one.
    pub fn remove(&self) -> Result<()> {
        match self.0 {}
    }
}
