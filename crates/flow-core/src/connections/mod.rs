//! Where a connection leads: the first of an environment variable, the project's files and the user's
//! own file says it whole, and what that leaves unsaid is filled as psql fills it; `read_only`, `role`, `max_connections`,
//! `session` and the options of DuckDB come from the files in every case.
//! Pure: what it needs of the machine it asks an [`Environment`]; it opens nothing.

mod duckdb;
mod elsewhere;
mod local;
mod target;
mod unsaid;
mod user_file;

pub use duckdb::DuckDbOptions;
pub use elsewhere::know_engines;
pub use local::{is_local, is_socket};
pub use target::{ConnectionTarget, PasswordCommand};
pub use user_file::{USER_FILE_SHOWN, check_user_file, user_file, warning};

use crate::declare::environment::Environment;
use crate::declare::interpolation::{Missing, Template};
use crate::declare::{ConnectionSpec, Places, ProjectSpec};
use crate::engine::DUCKDB;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::libpq::{VARIABLES, check_parameter, of_connection, parse_dsn};
use crate::secret::Secret;
use crate::sql::Ident;
use indexmap::IndexMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use user_file::UserFile;

/// The name of the connection that stands where none is named.
const DEFAULT: &str = "default";

/// What Postgres calls the role of whoever has set none; no role can have that name.
const NO_ROLE: &str = "none";

/// The variable that says where `default` leads; with `_NAME` behind it, where NAME leads.
pub const DSN_VARIABLE: &str = "EMATIX_FLOW_DSN";

/// Where a connection leads, with everything looked up that the machine must say.
///
/// # Errors
/// `unknown_connection` with every place that was searched, `missing_variable` for a `${…}`, and
/// what is wrong with a DSN or a parameter.
pub fn resolve(name: &str, project: &ProjectSpec, environment: &dyn Environment) -> Result<ConnectionTarget> {
    let user_file = UserFile::new(environment);
    let found = locate(name, project, &user_file, environment)?;
    let found_in = found.shown();
    let other =
        found.other_engine(name, &found_in, environment).map_err(|error| of_connection(error, name))?;
    let mut target = match other {
        Some(target) => target,
        None => {
            let parameters = found.parameters(environment).map_err(|error| of_connection(error, name))?;
            let said = parameters.iter().any(|(parameter, _)| parameter == "password");
            let filled = unsaid::fill(parameters, environment)
                .map_err(|error| found.place(of_connection(error, name), "dsn"))?;
            // A password of the surroundings is for who says nothing of one.
            let command = found.password_command(environment)?;
            if command.is_some() && said {
                return Err(found.place(two_passwords(name), "password_command"));
            }
            let target = target::complete(name, filled, found_in, environment)
                .map_err(|error| found.place(error, "dsn"))?;
            match command {
                Some(_) => ConnectionTarget { password: None, password_command: command, ..target },
                None => target,
            }
        }
    };
    let mut session = IndexMap::new();
    let sides = [of_environment(name, project), of_files(name, project), user_file.declared(name)];
    for declared in sides.into_iter().flatten() {
        let place = target.unfiled().map(|(place, _)| place);
        duckdb::refuse_others(&declared, target.engine, place.as_ref())?;
        if target.engine == DUCKDB.name {
            target.duckdb.fill(&declared, environment)?;
        }
        target.read_only |= declared.spec.read_only;
        if let (None, Some(role)) = (&target.role, &declared.spec.role) {
            target.role = Some(declared.role(role, environment)?);
        }
        let most = declared.spec.max_connections.map(NonZeroU32::get);
        target.max_connections = target.max_connections.or(most);
        for (setting, value) in &declared.spec.session {
            if !session.contains_key(setting) {
                let value = declared.value(&format!("session.{setting}"), value, environment)?;
                session.insert(setting.clone(), value.reveal().to_owned());
            }
        }
    }
    for (setting, value) in std::mem::take(&mut target.session) {
        if !session.keys().any(|pinned| pinned.eq_ignore_ascii_case(&setting)) {
            session.insert(setting, value);
        }
    }
    // The word with which an environment takes back what the files say.
    target.role = target.role.filter(|role| role.as_str() != NO_ROLE);
    Ok(ConnectionTarget { session, ..target })
}

fn two_passwords(name: &str) -> FlowError {
    FlowError::new(
        ErrorCode::ConflictingOptions,
        format!("the connection `{name}` has a password and a `password_command`"),
    )
    .hint("take one out: the password comes from the one or from the other")
}

/// Whether anything seen from here says where a connection leads. Nothing of it is looked up.
///
/// # Errors
/// `unknown_connection` with every place that was searched, and what is wrong with the user's own file.
pub fn declared(name: &str, project: &ProjectSpec, environment: &dyn Environment) -> Result<()> {
    let said = [of_environment(name, project), of_files(name, project)];
    if said.into_iter().flatten().any(|side| leads_somewhere(side.spec)) {
        return Ok(());
    }
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
            let target = resolve(&name, project, environment);
            let found_in = match &target {
                Ok(target) => target.found_in.clone(),
                Err(_) => found.map_or_else(|_| String::new(), |found| found.shown()),
            };
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
    /// Nothing says it, and libpq's variables and defaults do: for `default`.
    Unsaid,
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
        return Ok(Found::Unsaid);
    }
    Err(unknown(name, project, user_file, environment))
}

/// A variable that is set to something.
fn set_variable(name: &str, environment: &dyn Environment) -> Option<Secret> {
    environment.variable(name).filter(|value| !value.is_empty()).map(Secret::from)
}

/// Whether a section says where it leads, and not only what holds there.
fn leads_somewhere(spec: &ConnectionSpec) -> bool {
    spec.dsn.is_some() || !spec.parameters().is_empty()
}

fn unknown(
    name: &str,
    project: &ProjectSpec,
    user_file: &UserFile,
    environment: &dyn Environment,
) -> FlowError {
    // Names of variables are made of it, so that a password in it would be shown in another form.
    if name.contains("://") {
        return FlowError::new(
            ErrorCode::UnknownConnection,
            "a DSN stands where the name of a connection should",
        )
        .hint("declare it, [connections.NAME] with dsn = \"…\", and write NAME");
    }
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
        Some(place) if declared => error.at(place),
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
    let sets_default = VARIABLES.iter().map(|(variable, _)| *variable).chain([DSN_VARIABLE]);
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
                let file = declared.places.get(&declared.section()).map(|place| place.file);
                let file = file.unwrap_or_else(|| "the project".to_owned());
                match declared.environment {
                    Some(environment) => format!("{file} [environments.{environment}]"),
                    None => file,
                }
            }
            Found::User(_) => USER_FILE_SHOWN.to_owned(),
            Found::Unsaid => String::new(),
        }
    }

    /// Its DSN, with every `${…}` filled, and the directory of the file in which it stands.
    fn dsn(&self, environment: &dyn Environment) -> Result<Option<(Secret, PathBuf)>> {
        Ok(Some(match self {
            Found::Variable { dsn, .. } => (dsn.clone(), PathBuf::new()),
            Found::Project(declared) | Found::User(declared) => match &declared.spec.dsn {
                Some(dsn) => (declared.value("dsn", dsn.reveal(), environment)?, declared.directory("dsn")),
                None => return Ok(None),
            },
            Found::Unsaid => return Ok(None),
        }))
    }

    /// What prints the password, with every `${…}` filled.
    fn password_command(&self, environment: &dyn Environment) -> Result<Option<PasswordCommand>> {
        let (Found::Project(declared) | Found::User(declared)) = self else { return Ok(None) };
        let Some(written) = &declared.spec.password_command else { return Ok(None) };
        let words = written
            .iter()
            .map(|word| declared.value("password_command", word.reveal(), environment))
            .collect::<Result<Vec<Secret>>>()?;
        PasswordCommand::new(written, words).map(Some).ok_or_else(|| {
            let words = format!("`password_command` of connection `{}` names no program", declared.name);
            let error = FlowError::new(ErrorCode::InvalidValue, words);
            declared.place(
                error.hint("it is a list: [\"pass\", \"show\", \"crm\"]; no shell reads it"),
                "password_command",
            )
        })
    }

    /// The parameters that are said, with every `${…}` filled.
    fn parameters(&self, environment: &dyn Environment) -> Result<Vec<(String, Secret)>> {
        match self {
            Found::Variable { dsn, .. } => parse_dsn(dsn.reveal()).map_err(|error| self.place(error, "dsn")),
            Found::Project(declared) | Found::User(declared) => declared.parameters(environment),
            Found::Unsaid => Ok(Vec::new()),
        }
    }

    /// Says where the mistake stands.
    fn place(&self, error: FlowError, parameter: &str) -> FlowError {
        match self {
            Found::Variable { name, .. } => {
                error.detail(format!("it stands in the environment variable {name}"))
            }
            Found::Project(declared) | Found::User(declared) => declared.place(error, parameter),
            Found::Unsaid => error,
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

    /// The role that its sessions take.
    fn role(&self, text: &str, environment: &dyn Environment) -> Result<Ident> {
        let value = self.value("role", text, environment)?;
        Ident::new(value.reveal()).map_err(|error| self.place(error, "role"))
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
        place.and_then(|place| Path::new(&place.file).parent().map(Path::to_owned)).unwrap_or_default()
    }

    fn place(&self, error: FlowError, parameter: &str) -> FlowError {
        match self.places.find(&self.path(parameter)) {
            Some(place) => error.at(place),
            None => error.detail(format!("connection `{}`", self.name)),
        }
    }
}
