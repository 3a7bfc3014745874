//! A resolved connection: libpq's parameters, complete, with a password that nothing prints.

use super::duckdb::DuckDbOptions;
use super::local::is_local;
use super::unsaid::Filled;
use crate::declare::environment::Environment;
use crate::declare::file_dsn::DuckDbPlace;
use crate::declare::mysql_dsn::{MySqlDsn, SslMode};
use crate::engine::{DUCKDB, Foreign, POSTGRES};
use crate::error::{ErrorCode, FlowError, Result};
use crate::libpq::print_dsn;
use crate::secret::{Secret, masked};
use crate::sql::Ident;
use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The directories in which a server's socket is looked for.
const SOCKET_DIRECTORIES: &[&str] = &["/var/run/postgresql", "/tmp"];

/// libpq's file of passwords below the home directory.
const PASSFILE: &str = ".pgpass";

/// libpq's files about TLS below the home directory, each with the parameter for which it stands where nothing is said.
const OWN_FILES: &[(&str, &str)] = &[
    ("sslrootcert", ".postgresql/root.crt"),
    ("sslcrl", ".postgresql/root.crl"),
    ("sslcert", OWN_CERTIFICATE),
    ("sslkey", ".postgresql/postgresql.key"),
];
const OWN_CERTIFICATE: &str = ".postgresql/postgresql.crt";

const DEFAULT_PORT: &str = "5432";

/// What holds where nothing says `sslmode`: libpq's default on this machine, where nobody stands in between.
const MODE_OF_THIS_MACHINE: &str = "prefer";
const MODE_ELSEWHERE: &str = "verify-full";

/// How long a server may take to answer where nothing says `connect_timeout`: libpq waits for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a connection leads and what holds in it. Neither Display nor Debug show the password.
#[derive(Clone, Debug)]
pub struct ConnectionTarget {
    /// The engine, by its name.
    pub engine: &'static str,
    /// Of DuckDB: `file`; or `memory` or `python`, whose value is the connection's name. Of SQLite: `file`. Of MySQL: `host`, `port`, `user`, `sslmode`, and what else is said. Of Postgres: libpq's parameters, without the secrets. Always there: `host` or `hostaddr`, `port`, `dbname`,
    /// `user`, `sslmode`, `connect_timeout`. Of several hosts, `host`, `hostaddr` and `port` are lists
    /// of one length with commas.
    pub parameters: IndexMap<String, String>,
    /// The password. Without one, the parameter `passfile` names a file that may have it.
    pub password: Option<Secret>,
    /// Whether nothing says `sslmode`: the parameter then is for hosts that are not of this machine.
    pub sslmode_unsaid: bool,
    /// What prints the password instead, for each session anew.
    pub password_command: Option<PasswordCommand>,
    /// The passphrase of the client certificate's key.
    pub key_passphrase: Option<Secret>,
    /// Refused as a target.
    pub read_only: bool,
    /// The role that every session takes.
    pub role: Option<Ident>,
    /// How many sessions one process may have open there at once.
    pub max_connections: Option<u32>,
    /// Settings of the session.
    pub session: IndexMap<String, String>,
    /// What is said of a connection to DuckDB.
    pub duckdb: DuckDbOptions,
    /// The place that says where it leads: a variable or a file.
    pub found_in: String,
}

/// A program that prints a password, and the words that it is given; no shell reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordCommand {
    /// How messages call it; never its words, one of which may be a secret.
    pub shown: String,
    /// Program and words.
    pub words: Vec<Secret>,
}

impl PasswordCommand {
    /// As written, and as it is once every `${…}` is filled; none without a program.
    pub(super) fn new(written: &[Secret], words: Vec<Secret>) -> Option<PasswordCommand> {
        let (program, written) = (words.first()?.reveal(), written.first()?.reveal());
        if program.is_empty() {
            return None;
        }
        // What a variable holds may be anything, and one word with blanks is a whole command, which no shell reads.
        let shown = match written == program && !program.contains(char::is_whitespace) {
            true => program.rsplit('/').next().unwrap_or(program).to_owned(),
            false => "the program".to_owned(),
        };
        Some(PasswordCommand { shown, words })
    }
}

impl ConnectionTarget {
    /// A parameter by libpq's name; never the password.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The engine, where it is one that is only read.
    pub fn foreign(&self) -> Option<Foreign> {
        Foreign::of_name(self.engine)
    }

    /// The file of a database that is one.
    pub fn file(&self) -> Option<&Path> {
        self.parameter("file").map(Path::new)
    }

    /// Where in DuckDB it leads that is no file, and by which name of a connection.
    pub fn unfiled(&self) -> Option<(DuckDbPlace, &str)> {
        let memory = self.parameter("memory").map(|name| (DuckDbPlace::Memory, name));
        memory.or_else(|| self.parameter("python").map(|name| (DuckDbPlace::Handed, name)))
    }

    /// Where it leads, as a digest: the password belongs to it, and the digest does not tell it.
    pub fn place(&self) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.secret_conninfo().reveal().as_bytes());
        // Each name stands for a database of its own.
        if let Some((_, name)) = self.unfiled() {
            digest.update(name.as_bytes());
        }
        for word in self.password_command.iter().flat_map(|command| &command.words) {
            digest.update([0]);
            digest.update(word.reveal().as_bytes());
        }
        digest.finalize().into()
    }

    /// The whole as a DSN, with the password where it is known: for a process of our own that is to connect, and for nobody to read.
    pub fn secret_conninfo(&self) -> Secret {
        if self.engine == DUCKDB.name {
            return Secret::from(self.to_string());
        }
        let mut parameters = self.starting_itself().parameters;
        for (name, secret) in [("password", &self.password), ("sslpassword", &self.key_passphrase)] {
            if let Some(secret) = secret {
                parameters.insert(name.to_owned(), secret.reveal().to_owned());
            }
        }
        print_dsn(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The `sslmode` of one of its hosts, by its address or else its name.
    pub fn sslmode_of(&self, place: &str) -> &str {
        match self.parameter("sslmode") {
            Some(_) if self.sslmode_unsaid && is_local(place) => MODE_OF_THIS_MACHINE,
            Some(mode) => mode,
            None => MODE_OF_THIS_MACHINE,
        }
    }

    /// The same for statements that are not ours: what is pinned holds from the session's start, by options.
    pub fn starting_itself(&self) -> ConnectionTarget {
        let mut own = self.clone();
        let settings = std::mem::take(&mut own.session);
        let role = own.role.take().map(|role| ("role".to_owned(), role.as_str().to_owned()));
        // Of a word, blanks and backslashes are escaped; every kind of blank ends one.
        let escaped = |value: &str| {
            let mut out = String::new();
            for character in value.chars() {
                if character == '\\' || matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') {
                    out.push('\\');
                }
                out.push(character);
            }
            out
        };
        let pinned: Vec<String> = settings
            .into_iter()
            .chain(role)
            .map(|(name, value)| format!("-c {name}={}", escaped(&value)))
            .collect();
        if !pinned.is_empty() {
            let options = own.parameters.entry("options".to_owned()).or_default();
            *options = format!("{options} {}", pinned.join(" ")).trim().to_owned();
        }
        own
    }

    /// How long a log-in may take; `None`: for ever.
    pub fn connect_timeout(&self) -> Option<Duration> {
        match self.parameter("connect_timeout").and_then(|seconds| seconds.trim().parse::<i64>().ok()) {
            None => Some(CONNECT_TIMEOUT),
            Some(seconds) => u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs),
        }
    }

    /// How long an answer may take of a server that has let us in, however long the log-in may take.
    pub fn patience(&self) -> Duration {
        self.connect_timeout().unwrap_or(CONNECT_TIMEOUT)
    }

    /// Hosts (names, addresses or socket directories), each with its port.
    pub fn addresses(&self) -> Vec<(&str, &str)> {
        let list =
            |name| self.parameter(name).map(|text| text.split(',').collect::<Vec<_>>()).unwrap_or_default();
        let (hosts, addresses) = (list("host"), list("hostaddr"));
        let ports = self.parameter("port").unwrap_or(DEFAULT_PORT).split(',');
        let place = |index: usize| match hosts.get(index) {
            Some(host) if !host.is_empty() => *host,
            _ => addresses.get(index).copied().unwrap_or_default(),
        };
        ports.enumerate().map(|(index, port)| (place(index), port)).collect()
    }
}

impl fmt::Display for ConnectionTarget {
    /// `user@host:port/dbname`, `mysql://user@host:port/dbname`, `duckdb:file` or `sqlite:file`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dsn) = self.unfiled().and_then(|(place, _)| place.without_file()) {
            return f.write_str(&dsn);
        }
        if let Some(file) = self.parameter("file") {
            return write!(f, "{}:{file}", self.engine);
        }
        let places: Vec<String> = self
            .addresses()
            .into_iter()
            .map(
                |(host, port)| {
                    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
                },
            )
            .collect();
        let parameter = |name| self.parameter(name).unwrap_or_default();
        let whole = match (self.foreign(), self.parameter("socket")) {
            (Some(Foreign::MySql), Some(socket)) => {
                format!("mysql://{}@{socket}/{}", parameter("user"), parameter("dbname"))
            }
            (Some(Foreign::MySql), None) => {
                format!("mysql://{}@{}/{}", parameter("user"), places.join(","), parameter("dbname"))
            }
            _ => format!("{}@{}/{}", parameter("user"), places.join(","), parameter("dbname")),
        };
        // Where a DSN stands by mistake instead of a host or a database.
        f.write_str(&masked(whole))
    }
}

/// A database of DuckDB.
pub(super) fn of_duckdb(name: &str, place: &DuckDbPlace, found_in: String) -> ConnectionTarget {
    let (parameter, value) = match place {
        DuckDbPlace::File(file) => ("file", file.as_str()),
        DuckDbPlace::Memory => ("memory", name),
        DuckDbPlace::Handed => ("python", name),
    };
    let parameters = IndexMap::from([(parameter.to_owned(), value.to_owned())]);
    plain(DUCKDB.name, parameters, None, found_in)
}

/// A file of SQLite.
pub(super) fn of_sqlite(file: &Path, found_in: String) -> ConnectionTarget {
    let parameters = IndexMap::from([("file".to_owned(), file.to_string_lossy().into_owned())]);
    plain(Foreign::Sqlite.name(), parameters, None, found_in)
}

/// A server of MySQL; a relative file lies in `directory`.
pub(super) fn of_mysql(dsn: MySqlDsn, directory: &Path, found_in: String) -> ConnectionTarget {
    let is_here = dsn.socket.is_some() || is_local(&dsn.host);
    let mode = match dsn.ssl_mode {
        Some(mode) => mode,
        // Whoever names who is trusted wants it checked.
        None if dsn.ssl_ca.is_some() || !is_here => SslMode::VerifyIdentity,
        None => SslMode::Disabled,
    };
    let mut parameters = IndexMap::from([
        ("host".to_owned(), dsn.host),
        ("port".to_owned(), dsn.port.to_string()),
        ("user".to_owned(), dsn.user),
        ("sslmode".to_owned(), mode.name().to_owned()),
    ]);
    parameters.extend(dsn.database.map(|name| ("dbname".to_owned(), name)));
    parameters.extend(dsn.socket.map(|socket| ("socket".to_owned(), socket)));
    let file = |file: String| directory.join(file).to_string_lossy().into_owned();
    parameters.extend(dsn.ssl_ca.map(|ca| ("sslrootcert".to_owned(), file(ca))));
    parameters.extend(dsn.connect_timeout.map(|limit| ("connect_timeout".to_owned(), limit.to_string())));
    plain(Foreign::MySql.name(), parameters, dsn.password, found_in)
}

fn plain(
    engine: &'static str,
    parameters: IndexMap<String, String>,
    password: Option<Secret>,
    found_in: String,
) -> ConnectionTarget {
    ConnectionTarget {
        engine,
        parameters,
        password,
        sslmode_unsaid: false,
        password_command: None,
        key_passphrase: None,
        read_only: false,
        role: None,
        max_connections: None,
        session: IndexMap::new(),
        duckdb: DuckDbOptions::default(),
        found_in,
    }
}

/// Fills what nothing says by what the machine knows, and checks what belongs together.
pub(super) fn complete(
    name: &str,
    filled: Filled,
    found_in: String,
    environment: &dyn Environment,
) -> Result<ConnectionTarget> {
    let Filled { parameters: mut said, settings: session, sources } = filled;
    // What is said to be nothing has kept variables away; from here on it is as if it had not been said.
    said.retain(|_, value| !value.reveal().is_empty());
    let password = said.shift_remove("password");
    let key_passphrase = said.shift_remove("sslpassword");
    let mut said: IndexMap<String, String> =
        said.into_iter().map(|(name, value)| (name, value.reveal().to_owned())).collect();
    let (hosts, addresses, ports) = places(name, &mut said, environment)?;
    let elsewhere = !addresses.as_ref().or(hosts.as_ref()).is_some_and(|places| {
        let names: Vec<&str> = hosts.iter().flat_map(|hosts| hosts.split(',')).collect();
        places.split(',').enumerate().all(|(index, place)| {
            is_local(if place.is_empty() { names.get(index).copied().unwrap_or_default() } else { place })
        })
    });
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
    let mode = sslmode(name, &mut said)?;
    let sslmode_unsaid = mode.is_none();
    put(
        "sslmode",
        mode.unwrap_or_else(|| if elsewhere { MODE_ELSEWHERE } else { MODE_OF_THIS_MACHINE }.to_owned()),
    );
    for (parameter, file) in OWN_FILES {
        let has_other = match *parameter {
            "sslcrl" => said.contains_key("sslcrldir"),
            "sslcert" => said.get("sslcertmode").is_some_and(|mode| mode == "disable"),
            // A key by itself is for nothing.
            "sslkey" => !said.contains_key("sslcert") && home_file(OWN_CERTIFICATE, environment).is_none(),
            _ => false,
        };
        // Whoever does not say `sslmode` has not thought of an authority either: the system's may do.
        let system =
            || (*parameter == "sslrootcert" && sslmode_unsaid && elsewhere).then(|| "system".to_owned());
        if !said.contains_key(*parameter)
            && !has_other
            && let Some(file) = home_file(file, environment).or_else(system)
        {
            put(parameter, file);
        }
    }
    put(
        "connect_timeout",
        said.shift_remove("connect_timeout").unwrap_or_else(|| CONNECT_TIMEOUT.as_secs().to_string()),
    );
    let passfile = said.shift_remove("passfile").or_else(|| home_file(PASSFILE, environment));
    if let Some(passfile) = passfile.filter(|_| password.is_none()) {
        put("passfile", passfile);
    }
    parameters.extend(said);
    Ok(ConnectionTarget {
        engine: POSTGRES.name,
        parameters,
        password,
        sslmode_unsaid,
        password_command: None,
        key_passphrase,
        read_only: false,
        role: None,
        max_connections: None,
        session,
        duckdb: DuckDbOptions::default(),
        found_in: shown(found_in, sources),
    })
}

/// Everything that says where a connection leads.
fn shown(found_in: String, sources: Vec<String>) -> String {
    let all: Vec<String> =
        Some(found_in).filter(|place| !place.is_empty()).into_iter().chain(sources).collect();
    if all.is_empty() { "libpq's defaults".to_owned() } else { all.join(", ") }
}

fn system_user(name: &str, environment: &dyn Environment) -> Result<String> {
    // As libpq, which asks the system: a variable may be somebody else's, left by su or sudo.
    user_of_process(environment)
        .or_else(|| {
            let mut variables = ["USER", "LOGNAME"].into_iter();
            variables.find_map(|variable| environment.variable(variable).filter(|user| !user.is_empty()))
        })
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

/// A file that libpq looks for below the home directory, if the user has it.
fn home_file(name: &str, environment: &dyn Environment) -> Option<String> {
    let home = environment.variable("HOME").filter(|home| !home.is_empty())?;
    let file = Path::new(&home).join(name);
    environment.exists(&file).then(|| file.display().to_string())
}

/// The mode that is said, or that goes without saying: libpq does not let `sslrootcert=system` go with less than a
/// full check.
fn sslmode(name: &str, said: &mut IndexMap<String, String>) -> Result<Option<String>> {
    let system = said.get("sslrootcert").is_some_and(|certificate| certificate == "system");
    match said.shift_remove("sslmode") {
        None if system => Ok(Some("verify-full".to_owned())),
        Some(mode) if system && mode != "verify-full" => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the connection `{name}` has sslrootcert=system with a weaker sslmode than verify-full"),
        )
        .hint("set sslmode=verify-full, or leave it out")),
        mode => Ok(mode),
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
    for port in &mut ports {
        // Checked before; libpq lets a sign stand before it, and zeros.
        *port = port.parse::<u16>().map_or_else(|_| DEFAULT_PORT.to_owned(), |port| port.to_string());
    }
    let known = |index: usize| {
        addresses
            .as_ref()
            .and_then(|addresses: &Vec<String>| addresses.get(index))
            .is_some_and(|a| !a.is_empty())
    };
    if (0..count).any(|index| !known(index)) {
        let hosts = hosts.get_or_insert_with(|| vec![String::new(); count]);
        for (index, (host, port)) in hosts.iter_mut().zip(&ports).enumerate() {
            if host.is_empty() && !known(index) {
                *host = default_host(port, environment);
            }
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
