//! A resolved connection: libpq's parameters, complete, with a password that nothing prints.

use crate::declare::environment::Environment;
use crate::engine::{DUCKDB, POSTGRES};
use crate::error::{ErrorCode, FlowError, Result};
use crate::secret::Secret;
use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;

/// The directories in which a server's socket is looked for.
const SOCKET_DIRECTORIES: &[&str] = &["/var/run/postgresql", "/tmp"];

/// libpq's file of trusted certificates below the home directory.
const ROOT_CERTIFICATES: &str = ".postgresql/root.crt";

const DEFAULT_PORT: &str = "5432";
const DEFAULT_CONNECT_TIMEOUT_SECONDS: &str = "10";

/// Where a connection leads and what holds in it. Neither Display nor Debug show the password.
#[derive(Clone, Debug)]
pub struct ConnectionTarget {
    /// The engine, by its name.
    pub engine: &'static str,
    /// Of DuckDB: `file`. Of Postgres: libpq's parameters, without the password. Always there: `host` or `hostaddr`, `port`, `dbname`,
    /// `user`, `sslmode`, `connect_timeout`. Of several hosts, `host`, `hostaddr` and `port` are lists
    /// of one length with commas.
    pub parameters: IndexMap<String, String>,
    /// The password.
    pub password: Option<Secret>,
    /// Refused as a target.
    pub read_only: bool,
    /// How many sessions one process may have open there at once.
    pub max_connections: Option<u32>,
    /// Settings of the session.
    pub session: IndexMap<String, String>,
    /// The place that says where it leads: a variable or a file.
    pub found_in: String,
}

impl ConnectionTarget {
    /// A parameter by libpq's name; never the password.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The file of a database that is one.
    pub fn file(&self) -> Option<&Path> {
        self.parameter("file").map(Path::new)
    }

    /// Where it leads, as a digest: the password belongs to it, and the digest does not tell it.
    pub fn place(&self) -> [u8; 32] {
        Sha256::digest(self.secret_conninfo().reveal().as_bytes()).into()
    }

    /// The whole as a DSN, with the password: for a process of our own that is to connect, and for nobody to read.
    pub fn secret_conninfo(&self) -> Secret {
        if self.file().is_some() {
            return Secret::from(self.to_string());
        }
        let mut parameters = self.parameters.clone();
        if let Some(password) = &self.password {
            parameters.insert("password".to_owned(), password.reveal().to_owned());
        }
        let pinned: Vec<String> = self
            .session
            .iter()
            .map(|(name, value)| format!("-c {name}={}", value.replace('\\', "\\\\").replace(' ', "\\ ")))
            .collect();
        if !pinned.is_empty() {
            let options = parameters.entry("options".to_owned()).or_default();
            *options = format!("{options} {}", pinned.join(" ")).trim().to_owned();
        }
        let words = parameters
            .iter()
            .map(|(name, value)| format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")));
        Secret::from(words.collect::<Vec<_>>().join(" "))
    }

    /// Hosts (names, addresses or socket directories), each with its port.
    pub fn addresses(&self) -> Vec<(&str, &str)> {
        let hosts = self.parameter("host").or_else(|| self.parameter("hostaddr")).unwrap_or_default();
        let ports = self.parameter("port").unwrap_or(DEFAULT_PORT);
        hosts.split(',').zip(ports.split(',')).collect()
    }
}

impl fmt::Display for ConnectionTarget {
    /// `user@host:port/dbname`, or `duckdb:file`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = self.parameter("file") {
            return write!(f, "{}:{file}", self.engine);
        }
        write!(f, "{}@", self.parameter("user").unwrap_or_default())?;
        for (index, (host, port)) in self.addresses().into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if host.contains(':') {
                write!(f, "{comma}[{host}]:{port}")?;
            } else {
                write!(f, "{comma}{host}:{port}")?;
            }
        }
        write!(f, "/{}", self.parameter("dbname").unwrap_or_default())
    }
}

/// A file of DuckDB.
pub(super) fn of_file(file: &Path, found_in: String) -> ConnectionTarget {
    let parameters = IndexMap::from([("file".to_owned(), file.to_string_lossy().into_owned())]);
    ConnectionTarget {
        engine: DUCKDB.name,
        parameters,
        password: None,
        read_only: false,
        max_connections: None,
        session: IndexMap::new(),
        found_in,
    }
}

/// Fills what was not said as libpq would, and checks what belongs together.
pub(super) fn complete(
    name: &str,
    said: Vec<(String, Secret)>,
    found_in: String,
    environment: &dyn Environment,
) -> Result<ConnectionTarget> {
    let mut said: IndexMap<String, Secret> = said.into_iter().collect();
    let password = said.shift_remove("password");
    let mut said: IndexMap<String, String> =
        said.into_iter().map(|(name, value)| (name, value.reveal().to_owned())).collect();
    let (hosts, addresses, ports) = places(name, &mut said, environment)?;
    let mut parameters = IndexMap::new();
    let mut put = |name: &str, value: String| {
        parameters.insert(name.to_owned(), value);
    };
    if let Some(hosts) = hosts {
        put("host", hosts);
    }
    if let Some(addresses) = addresses {
        put("hostaddr", addresses);
    }
    put("port", ports);
    let user = match said.shift_remove("user") {
        Some(user) => user,
        None => system_user(name, environment)?,
    };
    put("dbname", said.shift_remove("dbname").unwrap_or_else(|| user.clone()));
    put("user", user);
    put("sslmode", sslmode(name, &mut said)?);
    if !said.contains_key("sslrootcert")
        && let Some(file) = own_root_certificates(environment)
    {
        put("sslrootcert", file);
    }
    put(
        "connect_timeout",
        said.shift_remove("connect_timeout").unwrap_or_else(|| DEFAULT_CONNECT_TIMEOUT_SECONDS.to_owned()),
    );
    parameters.extend(said);
    Ok(ConnectionTarget {
        engine: POSTGRES.name,
        parameters,
        password,
        read_only: false,
        max_connections: None,
        session: IndexMap::new(),
        found_in,
    })
}

fn system_user(name: &str, environment: &dyn Environment) -> Result<String> {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| environment.variable(variable).filter(|user| !user.is_empty()))
        .or_else(|| user_of_process(environment))
        .ok_or_else(|| {
            FlowError::new(
                ErrorCode::MissingOption,
                format!("the connection `{name}` names no user, and the system has no name for you"),
            )
            .hint("set user=")
        })
}

/// The name in /etc/passwd of the user who runs this process: a container may set no USER, and a
/// static binary has no other way to ask.
fn user_of_process(environment: &dyn Environment) -> Option<String> {
    let status = environment.read_file(Path::new("/proc/self/status")).ok()?;
    // Uid: real, effective, saved, file system. libpq asks for the effective one.
    let user_id = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?;
    let users = environment.read_file(Path::new("/etc/passwd")).ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (user, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == user_id && !user.is_empty()).then(|| user.to_owned())
    })
}

/// The certificates that libpq trusts where nothing is said, if the user has such a file.
fn own_root_certificates(environment: &dyn Environment) -> Option<String> {
    let home = environment.variable("HOME").filter(|home| !home.is_empty())?;
    let file = Path::new(&home).join(ROOT_CERTIFICATES);
    environment.exists(&file).then(|| file.display().to_string())
}

/// libpq does not let `sslrootcert=system` go with less than a full check.
fn sslmode(name: &str, said: &mut IndexMap<String, String>) -> Result<String> {
    let system = said.get("sslrootcert").is_some_and(|certificate| certificate == "system");
    match said.shift_remove("sslmode") {
        None if system => Ok("verify-full".to_owned()),
        None => Ok("prefer".to_owned()),
        Some(mode) if system && mode != "verify-full" => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the connection `{name}` has sslrootcert=system with a weaker sslmode than verify-full"),
        )
        .hint("set sslmode=verify-full, or leave it out")),
        Some(mode) => Ok(mode),
    }
}

type Places = (Option<String>, Option<String>, String);

/// Hosts, addresses and ports as lists of one length.
fn places(name: &str, said: &mut IndexMap<String, String>, environment: &dyn Environment) -> Result<Places> {
    let list = |text: Option<String>| {
        text.map(|text| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>())
    };
    let mut hosts = list(said.shift_remove("host"));
    let addresses = list(said.shift_remove("hostaddr"));
    let ports = list(said.shift_remove("port")).unwrap_or_else(|| vec![String::new()]);
    let count = match (&hosts, &addresses) {
        (Some(hosts), Some(addresses)) if hosts.len() != addresses.len() => {
            return Err(uneven(name, "hosts", hosts.len(), "addresses in hostaddr", addresses.len()));
        }
        (Some(hosts), _) => hosts.len(),
        (None, Some(addresses)) => addresses.len(),
        (None, None) => 1,
    };
    let mut ports = match ports.len() {
        1 => vec![ports[0].clone(); count],
        length if length == count => ports,
        length => return Err(uneven(name, "hosts", count, "ports", length)),
    };
    for port in ports.iter_mut().filter(|port| port.is_empty()) {
        *port = DEFAULT_PORT.to_owned();
    }
    if addresses.is_none() {
        let hosts = hosts.get_or_insert_with(|| vec![String::new()]);
        for (host, port) in hosts.iter_mut().zip(&ports).filter(|(host, _)| host.is_empty()) {
            *host = default_host(port, environment);
        }
    }
    let join = |list: Vec<String>| list.join(",");
    Ok((hosts.map(join), addresses.map(join), ports.join(",")))
}

fn uneven(name: &str, one: &str, ones: usize, other: &str, others: usize) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!("the connection `{name}` has {ones} {one} but {others} {other}"),
    )
    .hint("write one for each host, or one for all")
}

/// The first directory with a server's socket, else this machine by its name.
fn default_host(port: &str, environment: &dyn Environment) -> String {
    SOCKET_DIRECTORIES
        .iter()
        .find(|directory| environment.exists(&Path::new(directory).join(format!(".s.PGSQL.{port}"))))
        .map_or_else(|| "localhost".to_owned(), |directory| (*directory).to_owned())
}
