//! Where a connection leads: the first of an environment variable, the project's files and the user's
//! own file says it whole; `read_only`, `max_connections` and `session` come from the files in every case.
//! Pure: what it needs of the machine it asks an [`Environment`]; it opens nothing.

mod target;

pub use target::ConnectionTarget;

use crate::declare::environment::Environment;
use crate::declare::file_dsn::duckdb_file;
use crate::declare::interpolation::{Missing, Template};
use crate::declare::toml_file::read_connections;
use crate::declare::{ConnectionSpec, Places, ProjectSpec};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::libpq::{check_parameter, of_connection, parse_dsn};
use crate::secret::Secret;
use indexmap::IndexMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// The name of the connection that stands where none is named.
const DEFAULT: &str = "default";

/// The variable that says where `default` leads; with `_NAME` behind it, where NAME leads.
pub const DSN_VARIABLE: &str = "EMATIX_FLOW_DSN";

/// The user's own file below the home directory, and how messages call it.
const USER_FILE: &str = ".ematix-flow/connections.toml";
const USER_FILE_SHOWN: &str = "~/.ematix-flow/connections.toml";

/// libpq's variables for what a DSN can say.
const PG_VARIABLES: &[(&str, &str)] = &[
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGOPTIONS", "options"),
    ("PGAPPNAME", "application_name"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGSERVICE", "service"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCRL", "sslcrl"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGCHANNELBINDING", "channel_binding"),
];

/// Where a connection leads, with everything looked up that the machine must say.
///
/// # Errors
/// `unknown_connection` with every place that was searched, `missing_variable` for a `${…}`, and
/// what is wrong with a DSN or a parameter.
pub fn resolve(name: &str, project: &ProjectSpec, environment: &dyn Environment) -> Result<ConnectionTarget> {
    let user_file = UserFile::new(environment);
    let found = locate(name, project, &user_file, environment)?;
    let found_in = found.shown();
    let mut target = match found.duckdb_file(environment).map_err(|error| of_connection(error, name))? {
        Some(file) => target::of_file(&file, found_in),
        None => {
            let parameters = found.parameters(environment).map_err(|error| of_connection(error, name))?;
            target::complete(name, parameters, found_in, environment)
                .map_err(|error| found.place(error, "dsn"))?
        }
    };
    let sides = [of_environment(name, project), of_files(name, project), user_file.declared(name)];
    for declared in sides.into_iter().flatten() {
        target.read_only |= declared.spec.read_only;
        let most = declared.spec.max_connections.map(NonZeroU32::get);
        target.max_connections = target.max_connections.or(most);
        for (setting, value) in &declared.spec.session {
            if !target.session.contains_key(setting) {
                let value = declared.value(&format!("session.{setting}"), value, environment)?;
                target.session.insert(setting.clone(), value.reveal().to_owned());
            }
        }
    }
    Ok(target)
}

/// Whether anything seen from here says where a connection leads. Nothing of it is looked up.
///
/// # Errors
/// `unknown_connection` with every place that was searched, and what is wrong with the user's own file.
pub fn declared(name: &str, project: &ProjectSpec, environment: &dyn Environment) -> Result<()> {
    locate(name, project, &UserFile::new(environment), environment).map(|_| ())
}

/// Every connection that can be seen from here: its name, where it was found, and where it leads.
pub fn known_connections(
    project: &ProjectSpec,
    environment: &dyn Environment,
) -> Vec<(String, String, Result<ConnectionTarget>)> {
    let user_file = UserFile::new(environment);
    names(project, &user_file, environment)
        .into_iter()
        .map(|name| {
            let found = locate(&name, project, &user_file, environment);
            let found_in = found.map_or_else(|_| String::new(), |found| found.shown());
            let target = resolve(&name, project, environment);
            (name, found_in, target)
        })
        .collect()
}

/// The variable that says where a connection leads: `EMATIX_FLOW_DSN_CRM`.
pub fn dsn_variable(name: &str) -> String {
    let upper: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{DSN_VARIABLE}_{upper}")
}

/// The place that says where a connection leads.
enum Found<'a> {
    Variable {
        name: String,
        dsn: Secret,
    },
    Project(Declared<'a>),
    User(Declared<'a>),
    /// libpq's variables, for `default`.
    PgVariables(Vec<(&'static str, &'static str, Secret)>),
}

/// A `[connections.NAME]`.
#[derive(Clone, Copy)]
struct Declared<'a> {
    name: &'a str,
    spec: &'a ConnectionSpec,
    places: &'a Places,
    /// The environment whose it is.
    environment: Option<&'a str>,
}

/// What the files say of a connection.
fn of_files<'a>(name: &'a str, project: &'a ProjectSpec) -> Option<Declared<'a>> {
    let spec = project.connections.get(name)?;
    Some(Declared { name, spec, places: &project.places, environment: None })
}

/// What the environment that was chosen says of a connection.
fn of_environment<'a>(name: &'a str, project: &'a ProjectSpec) -> Option<Declared<'a>> {
    let chosen = project.environment.as_ref()?;
    let spec = chosen.connections.get(name)?;
    Some(Declared { name, spec, places: &project.places, environment: Some(&chosen.name) })
}

fn locate<'a>(
    name: &'a str,
    project: &'a ProjectSpec,
    user_file: &'a UserFile,
    environment: &dyn Environment,
) -> Result<Found<'a>> {
    let plain = (name == DEFAULT).then(|| DSN_VARIABLE.to_owned());
    for variable in plain.into_iter().chain([dsn_variable(name)]) {
        if let Some(dsn) = set_variable(&variable, environment) {
            return Ok(Found::Variable { name: variable, dsn });
        }
    }
    let sides = [of_environment(name, project), of_files(name, project)];
    if let Some(found) = sides.into_iter().flatten().find(|side| leads_somewhere(side.spec)) {
        return Ok(Found::Project(found));
    }
    if let Some(declared) = user_file.declared(name).filter(|declared| leads_somewhere(declared.spec)) {
        return Ok(Found::User(declared));
    }
    if let UserFile::Wrong(error) = user_file {
        return Err(error.clone());
    }
    if name == DEFAULT {
        let set = |(variable, parameter): &(&'static str, &'static str)| {
            set_variable(variable, environment).map(|value| (*variable, *parameter, value))
        };
        return Ok(Found::PgVariables(PG_VARIABLES.iter().filter_map(set).collect()));
    }
    Err(unknown(name, project, user_file, environment))
}

/// A variable that is set to something.
fn set_variable(name: &str, environment: &dyn Environment) -> Option<Secret> {
    environment.variable(name).filter(|value| !value.is_empty()).map(Secret::from)
}

/// Whether a section says where it leads, and not only `read_only`, `max_connections` or `session`.
fn leads_somewhere(spec: &ConnectionSpec) -> bool {
    spec.dsn.is_some() || !spec.parameters().is_empty()
}

fn unknown(
    name: &str,
    project: &ProjectSpec,
    user_file: &UserFile,
    environment: &dyn Environment,
) -> FlowError {
    let declared = project.connections.contains_key(name) || user_file.declared(name).is_some();
    let message = if declared {
        format!("nothing says where the connection `{name}` leads")
    } else {
        format!("there is no connection `{name}`")
    };
    let files =
        if project.files.is_empty() { "the project's files".to_owned() } else { project.files.join(", ") };
    let mut error = FlowError::new(ErrorCode::UnknownConnection, message)
        .context("connection", name)
        .detail(format!("searched: the environment variable {}, which is not set", dsn_variable(name)))
        .detail(format!("searched: [connections.{name}] in {files}"))
        .detail(format!("searched: {}", user_file.shown()));
    let known: Vec<String> =
        names(project, user_file, environment).into_iter().filter(|known| known != name).collect();
    let near = did_you_mean(name, known.iter().map(String::as_str)).map(str::to_owned);
    error = match near {
        Some(near) if !declared => error
            .context("meant", near.as_str())
            .hint(format!("did you mean `{near}`? `flow connections list` shows all")),
        _ => error.hint(format!(
            "set {} to a DSN, or write dsn = \"…\" in [connections.{name}]",
            dsn_variable(name)
        )),
    };
    match project.places.get(&Places::path("connections", name)) {
        Some(place) if declared => error.at(place.clone()),
        _ => error,
    }
}

/// The names of all connections, in the order of their places; `default` where something needs it.
fn names(project: &ProjectSpec, user_file: &UserFile, environment: &dyn Environment) -> Vec<String> {
    let of_environment = project.environment.iter().flat_map(|chosen| chosen.connections.keys());
    let mut names: Vec<String> = project
        .connections
        .keys()
        .chain(of_environment)
        .chain(user_file.connections().keys())
        .cloned()
        .collect();
    let uses_default = project.pipelines.values().any(|pipeline| {
        let mut sources = pipeline.source.connections().into_iter();
        sources.any(|source| source.unwrap_or(DEFAULT) == DEFAULT)
            || pipeline.options.target_connection.as_deref() == Some(DEFAULT)
    });
    let sets_default = PG_VARIABLES.iter().map(|(variable, _)| *variable).chain([DSN_VARIABLE]);
    if uses_default || sets_default.into_iter().any(|variable| set_variable(variable, environment).is_some())
    {
        names.push(DEFAULT.to_owned());
    }
    let mut variables = environment.variable_names();
    variables.sort();
    for variable in variables.iter().filter(|variable| set_variable(variable, environment).is_some()) {
        let Some(name) = variable.strip_prefix(DSN_VARIABLE).and_then(|rest| rest.strip_prefix('_')) else {
            continue;
        };
        if !name.is_empty() && !names.iter().any(|known| dsn_variable(known) == *variable) {
            names.push(name.to_ascii_lowercase());
        }
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

impl Found<'_> {
    /// How `flow connections list` calls the place.
    fn shown(&self) -> String {
        match self {
            Found::Variable { name, .. } => name.clone(),
            Found::Project(declared) => {
                let file = declared.places.get(&declared.section()).map(|place| place.file.as_str());
                let file = file.unwrap_or("the project");
                match declared.environment {
                    Some(environment) => format!("{file} [environments.{environment}]"),
                    None => file.to_owned(),
                }
            }
            Found::User(_) => USER_FILE_SHOWN.to_owned(),
            Found::PgVariables(set) if set.is_empty() => "libpq's defaults".to_owned(),
            Found::PgVariables(set) => {
                set.iter().map(|(variable, ..)| *variable).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// The file of DuckDB to which it leads; a relative one lies beside the file in which it stands.
    fn duckdb_file(&self, environment: &dyn Environment) -> Result<Option<PathBuf>> {
        let (dsn, directory) = match self {
            Found::Variable { dsn, .. } => (dsn.clone(), PathBuf::new()),
            Found::Project(declared) | Found::User(declared) => match &declared.spec.dsn {
                Some(dsn) => (declared.value("dsn", dsn.reveal(), environment)?, declared.directory("dsn")),
                None => return Ok(None),
            },
            Found::PgVariables(_) => return Ok(None),
        };
        let file = duckdb_file(dsn.reveal()).map_err(|error| self.place(error, "dsn"))?;
        Ok(file.map(|file| directory.join(file)))
    }

    /// The parameters that are said, with every `${…}` filled.
    fn parameters(&self, environment: &dyn Environment) -> Result<Vec<(String, Secret)>> {
        match self {
            Found::Variable { dsn, .. } => parse_dsn(dsn.reveal()).map_err(|error| self.place(error, "dsn")),
            Found::Project(declared) | Found::User(declared) => declared.parameters(environment),
            Found::PgVariables(set) => {
                let mut parameters = Vec::new();
                for (variable, parameter, value) in set {
                    let kept = check_parameter(parameter, value.reveal()).map_err(|error| {
                        error.detail(format!("it comes from the environment variable {variable}"))
                    })?;
                    if kept {
                        parameters.push(((*parameter).to_owned(), value.clone()));
                    }
                }
                Ok(parameters)
            }
        }
    }

    /// Says where the mistake stands.
    fn place(&self, error: FlowError, parameter: &str) -> FlowError {
        match self {
            Found::Variable { name, .. } => {
                error.detail(format!("it stands in the environment variable {name}"))
            }
            Found::Project(declared) | Found::User(declared) => declared.place(error, parameter),
            Found::PgVariables(_) => error,
        }
    }
}

impl Declared<'_> {
    /// The path of its section.
    fn section(&self) -> String {
        match self.environment {
            Some(environment) => {
                Places::path(&format!("{}.connections", Places::path("environments", environment)), self.name)
            }
            None => Places::path("connections", self.name),
        }
    }

    fn path(&self, parameter: &str) -> String {
        format!("{}.{parameter}", self.section())
    }

    fn parameters(&self, environment: &dyn Environment) -> Result<Vec<(String, Secret)>> {
        if let Some(dsn) = &self.spec.dsn {
            let dsn = self.value("dsn", dsn.reveal(), environment)?;
            return parse_dsn(dsn.reveal()).map_err(|error| self.place(error, "dsn"));
        }
        let mut parameters = Vec::new();
        for (name, value) in self.spec.parameters() {
            let value = self.value(name, value.reveal(), environment)?;
            if !value.reveal().is_empty()
                && check_parameter(name, value.reveal()).map_err(|error| self.place(error, name))?
            {
                parameters.push((name.to_owned(), value));
            }
        }
        Ok(parameters)
    }

    /// A value with its `${…}` filled.
    fn value(&self, parameter: &str, text: &str, environment: &dyn Environment) -> Result<Secret> {
        let template = Template::parse(text).map_err(|malformed| {
            let error = FlowError::new(ErrorCode::InvalidValue, malformed.message);
            self.place(FlowError { hint: malformed.hint, ..error }, parameter)
        })?;
        template.resolve(environment, &self.directory(parameter)).map_err(|missing| {
            let error = FlowError::new(
                ErrorCode::MissingVariable,
                format!("{missing}; `{parameter}` of connection `{}` asks for it", self.name),
            )
            .context("connection", self.name);
            let instead = dsn_variable(self.name);
            let error = match &missing {
                Missing::Variable(variable) => error
                    .context("variable", variable.as_str())
                    .hint(format!("set {variable}, or set {instead} to a whole DSN")),
                Missing::File(path, _) => error
                    .context("file", path.display().to_string())
                    .hint(format!("make the file readable, or set {instead} to a whole DSN")),
            };
            self.place(error, parameter)
        })
    }

    /// The directory of the file in which a parameter stands.
    fn directory(&self, parameter: &str) -> PathBuf {
        let place = self.places.find(&self.path(parameter));
        place.and_then(|place| Path::new(&place.file).parent()).unwrap_or(Path::new("")).to_owned()
    }

    fn place(&self, error: FlowError, parameter: &str) -> FlowError {
        match self.places.find(&self.path(parameter)) {
            Some(place) => error.at(place.clone()),
            None => error.detail(format!("connection `{}`", self.name)),
        }
    }
}

/// The user's own file, read once.
enum UserFile {
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
    fn new(environment: &dyn Environment) -> UserFile {
        let Some(home) = set_variable("HOME", environment) else { return UserFile::NoHome };
        let path = PathBuf::from(home.reveal()).join(USER_FILE);
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

    fn connections(&self) -> &IndexMap<String, ConnectionSpec> {
        static NONE: std::sync::LazyLock<IndexMap<String, ConnectionSpec>> =
            std::sync::LazyLock::new(IndexMap::new);
        match self {
            UserFile::Read(connections, _) => connections,
            _ => &NONE,
        }
    }

    fn declared<'a>(&'a self, name: &str) -> Option<Declared<'a>> {
        match self {
            UserFile::Read(connections, places) => {
                let (name, spec) = connections.get_key_value(name)?;
                Some(Declared { name, spec, places, environment: None })
            }
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            UserFile::NoHome => format!("{USER_FILE_SHOWN}, but HOME is not set"),
            UserFile::Absent => format!("{USER_FILE_SHOWN}, but there is no such file"),
            _ => USER_FILE_SHOWN.to_owned(),
        }
    }
}
