//! A Postgres of one's own for development: what `flow dev` and `flow demo` stand on.
//!
//! Finds the binaries, makes a data directory and runs a server that only its user can reach, by a
//! socket. Root hands it to an unprivileged user. Never touches anything outside its base directory,
//! and never a server that it did not start.

mod account;
mod base;
mod binaries;
mod cluster;
mod discovery;
mod package;

use account::{Account, Caller};
use base::Base;
use binaries::Binaries;
use cluster::Setting;
use discovery::Surroundings;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of libpq that would lead psql elsewhere or make it refuse a socket.
const LIBPQ_VARIABLES: [&str; 17] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGSERVICE",
    "PGOPTIONS",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGREQUIREPEER",
    "PGREQUIREAUTH",
    "PGREQUIRESSL",
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
];

/// The Pythons that may have what we look for, best first: `EMATIX_FLOW_PYTHON`, `$VIRTUAL_ENV`,
/// `.venv` in the current directory, `python3` on PATH. The binaries' packages and `--module` are
/// looked for in this order.
///
/// # Errors
/// `invalid_value` if `EMATIX_FLOW_PYTHON` cannot be started.
pub fn pythons() -> Result<Vec<PathBuf>> {
    discovery::pythons(&Surroundings::current())
}

/// A development server, which may or may not be running.
///
/// Several processes may work with the same one: those that change something take turns.
///
/// ```no_run
/// use ematix_flow_cli::dev_server::DevServer;
///
/// let server = DevServer::locate()?;
/// let started = server.start()?;
/// for message in &started.messages {
///     eprintln!("{message}");
/// }
/// println!("{}", started.url);
/// server.stop()?;
/// # Ok::<(), ematix_flow_core::error::FlowError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DevServer {
    base: Base,
    caller: Caller,
    settings: &'static [Setting],
}

/// What [`DevServer::start`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The server ran before; nothing was done.
    pub already_running: bool,
    /// One line a step, for the person.
    pub messages: Vec<String>,
    /// The directory of the binaries that run; `None` if a running server's are not known.
    pub binaries: Option<PathBuf>,
    /// The user whom the server runs as.
    pub user: String,
    /// The server's version: `18.6`.
    pub version: String,
    /// As [`DevServer::url`].
    pub url: String,
}

/// What [`DevServer::status`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// A server answers on the socket.
    pub running: bool,
    /// The version that was started last, else the major version that made the data; `None` before
    /// the first start.
    pub version: Option<String>,
    /// Where the data is, or will be.
    pub data_dir: PathBuf,
    /// Where the socket is, or will be.
    pub socket_dir: PathBuf,
    /// As [`DevServer::url`].
    pub url: String,
    /// The server's process, while it runs.
    pub pid: Option<u32>,
}

impl DevServer {
    /// The user's development server: in `EMATIX_FLOW_DEV_DIR`, else `/var/lib/ematix-flow/dev` for
    /// root, `$XDG_STATE_HOME/ematix-flow/dev` or `~/.local/state/ematix-flow/dev` for others, and
    /// `/tmp/ematix-flow-<uid>` for those without a home. Creates nothing and needs no binaries.
    ///
    /// # Errors
    /// `invalid_value` for a directory that no server can live in, as its path is too long for a
    /// socket.
    pub fn locate() -> Result<DevServer> {
        let caller = Caller::current()?;
        let path = base::default_path(caller.uid, |name| env::var_os(name));
        Ok(DevServer { base: Base::new(&path, caller)?, caller, settings: &[] })
    }

    /// A server of its own in this directory, which is absent, empty, or was made by an earlier one.
    ///
    /// # Errors
    /// As [`DevServer::locate`].
    pub fn at(base: impl AsRef<Path>) -> Result<DevServer> {
        let caller = Caller::current()?;
        Ok(DevServer { base: Base::new(base.as_ref(), caller)?, caller, settings: &[] })
    }

    /// For tests and demonstrations: faster, takes 300 connections, and its data does not survive
    /// a crash of the machine.
    pub fn disposable(mut self) -> DevServer {
        self.settings = &[("fsync", "off"), ("full_page_writes", "off"), ("max_connections", "300")];
        self
    }

    /// Makes sure that a server runs: finds the binaries, makes the data directory the first time,
    /// and waits until connections are taken. Of several callers at once one starts it.
    ///
    /// # Errors
    /// `missing_option` without binaries, or without a user to run them; `invalid_value` for a
    /// directory that cannot be used; `connect_failed` if the server does not come up, or if the
    /// data was made by another major version; `unsupported_server` if `EMATIX_FLOW_PG_BIN` is older
    /// than Postgres 15.
    pub fn start(&self) -> Result<Started> {
        let _lock = self.base.lock()?;
        if cluster::is_listening(&self.base) {
            return self.found_running();
        }
        let mut messages = Vec::new();
        cluster::clear_stale_pid(&self.base, &mut messages)?;
        let account = self.account(&mut messages)?;
        let binaries = binaries::choose(&Surroundings::current(), &self.base, &account, &mut messages)?;
        cluster::require_same_major(&self.base, &binaries)?;
        self.require_reachable(&account, &binaries)?;
        if account.switched {
            messages.push(format!("runs as {}, as Postgres refuses root", account.text()));
        }
        if cluster::data_version(&self.base)?.is_none() {
            cluster::initialize(&self.base, &account, &binaries)?;
            messages.push(format!("new data directory {}", self.base.data().display()));
        }
        self.remember(&binaries)?;
        cluster::launch(&self.base, &account, &binaries, self.settings)?;
        messages.push("started".to_owned());
        Ok(Started {
            already_running: false,
            messages,
            binaries: Some(binaries.dir),
            user: account.name(),
            version: binaries.version,
            url: self.url(),
        })
    }

    /// Stops the server, ending its sessions. False if it was not running.
    ///
    /// # Errors
    /// `connect_failed` if it does not stop within 30 seconds.
    pub fn stop(&self) -> Result<bool> {
        match self.base.lock_existing()? {
            Some(_lock) => self.stop_locked(),
            None => Ok(false),
        }
    }

    /// Whether it runs, and where everything is. Changes nothing.
    ///
    /// # Errors
    /// `invalid_value` if the directory is somebody else's.
    pub fn status(&self) -> Result<Status> {
        let exists = self.base.exists()?;
        let running = exists && cluster::is_listening(&self.base);
        let data_version = cluster::data_version(&self.base).ok().flatten();
        let recorded = Binaries::recorded(&self.base).map(|binaries| binaries.version);
        Ok(Status {
            running,
            version: data_version.map(|major| recorded.unwrap_or(major)),
            data_dir: self.base.data(),
            socket_dir: self.base.socket_dir(),
            url: self.url(),
            pid: cluster::recorded_pid(&self.base).filter(|_| running),
        })
    }

    /// The address for libpq and for `flow`, whether or not the server runs.
    pub fn url(&self) -> String {
        cluster::url(&self.base.socket_dir())
    }

    /// A psql on the running server, to be given more arguments and executed.
    ///
    /// # Errors
    /// `connect_failed` if the server does not run, `missing_option` if there is no psql.
    pub fn psql_command(&self) -> Result<Command> {
        if !self.base.exists()? || !cluster::is_listening(&self.base) {
            return Err(FlowError::new(ErrorCode::ConnectFailed, "the development server is not running")
                .hint("start it: flow dev start"));
        }
        let beside = Binaries::recorded(&self.base).map(|binaries| binaries.program("psql"));
        let psql = beside
            .filter(|psql| psql.exists())
            .or_else(|| Surroundings::current().on_path("psql"))
            .ok_or_else(|| {
                FlowError::new(ErrorCode::MissingOption, "there is no psql beside the server or on PATH")
                    .hint(format!(
                        "apt-get install postgresql-client, or use another client on {}",
                        self.url()
                    ))
            })?;
        let mut command = Command::new(psql);
        for variable in LIBPQ_VARIABLES {
            command.env_remove(variable);
        }
        command.arg(self.url());
        Ok(command)
    }

    /// Stops the server and deletes its data; the next start begins anew. False if there was none.
    ///
    /// # Errors
    /// As [`DevServer::stop`]; `target_failed` if something cannot be deleted.
    pub fn reset(&self) -> Result<bool> {
        let Some(_lock) = self.base.lock_existing()? else { return Ok(false) };
        self.stop_locked()?;
        let had_data = self.base.data().exists();
        self.base.delete_database()?;
        Ok(had_data)
    }

    /// As [`DevServer::reset`], and deletes copied binaries and the directory too.
    ///
    /// # Errors
    /// As [`DevServer::reset`].
    pub fn remove(&self) -> Result<()> {
        let Some(_lock) = self.base.lock_existing()? else { return Ok(()) };
        self.stop_locked()?;
        self.base.delete()
    }

    /// The user of the data there is, else of the data to be made.
    fn account(&self, messages: &mut Vec<String>) -> Result<Account> {
        let data = self.base.data();
        if data.exists() {
            Account::owning(&data, self.caller)
        } else {
            Account::for_new_server(self.caller, messages)
        }
    }

    fn stop_locked(&self) -> Result<bool> {
        let answers = cluster::is_listening(&self.base);
        if !answers && cluster::live_pid(&self.base).is_none() {
            return Ok(false);
        }
        let account = Account::owning(&self.base.data(), self.caller)?;
        let binaries = match Binaries::recorded(&self.base) {
            Some(binaries) => binaries,
            None => binaries::choose(&Surroundings::current(), &self.base, &account, &mut Vec::new())?,
        };
        cluster::halt(&self.base, &account, &binaries)?;
        Ok(true)
    }

    fn found_running(&self) -> Result<Started> {
        let account = Account::owning(&self.base.data(), self.caller)?;
        let recorded = Binaries::recorded(&self.base);
        let (version, dir) = match recorded {
            Some(Binaries { version, dir }) => (version, Some(dir)),
            None => (cluster::data_version(&self.base)?.unwrap_or_default(), None),
        };
        let pid = cluster::recorded_pid(&self.base);
        let process = pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        Ok(Started {
            already_running: true,
            messages: vec![format!("already running: Postgres {version}{process}")],
            binaries: dir,
            user: account.name(),
            version,
            url: self.url(),
        })
    }

    /// Before the start, so that even a server that comes up late can be stopped.
    fn remember(&self, binaries: &Binaries) -> Result<()> {
        binaries.record(&self.base).map_err(|error| {
            let record = self.base.record();
            FlowError::new(ErrorCode::ConnectFailed, format!("cannot write {}: {error}", record.display()))
                .hint("make room there, or set EMATIX_FLOW_DEV_DIR to another directory")
        })
    }

    /// The base may lie under a directory that the server's user cannot enter: let that user try.
    fn require_reachable(&self, account: &Account, binaries: &Binaries) -> Result<()> {
        let base = fs::canonicalize(self.base.path()).unwrap_or_else(|_| self.base.path().to_owned());
        let mut visit = account.command(binaries.program("postgres"));
        match visit.arg("--version").current_dir(&base).output() {
            Ok(_) => Ok(()),
            Err(error) => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} cannot enter {}: {error}", account.text(), base.display()),
            )
            .hint(
                "set EMATIX_FLOW_DEV_DIR to a directory that every user can enter, under /var/lib or /tmp",
            )),
        }
    }
}
