//! What a connection leaves unsaid, filled in the order of libpq: a service, then the PG* variables. What is said goes
//! before both, also where it is said to be nothing.

use crate::declare::environment::Environment;
use crate::error::{ErrorCode, FlowError, Result};
use crate::libpq::{Meaning, ServiceError, VARIABLES, check_parameter, service_in};
use crate::secret::Secret;
use indexmap::IndexMap;
use std::io;
use std::path::{Path, PathBuf};

/// The user's own service file below the home directory.
const SERVICE_FILE: &str = ".pg_service.conf";
const SYSTEM_SERVICE_FILE: &str = "pg_service.conf";

/// Where packages of Debian, of Red Hat and of others look for the system's files, unless PGSYSCONFDIR says it.
const SYSTEM_DIRECTORIES: &[&str] = &["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/etc/postgresql"];

/// Everything that is said of a connection.
pub(super) struct Filled {
    /// libpq's parameters; one that is said to be nothing is empty.
    pub parameters: IndexMap<String, Secret>,
    /// Settings of the session.
    pub settings: IndexMap<String, String>,
    /// What has said something beside the place that was found.
    pub sources: Vec<String>,
}

/// Adds to what is said of a connection.
///
/// # Errors
/// What is wrong with a service file or a variable, with its line or its name.
pub(super) fn fill(said: Vec<(String, Secret)>, environment: &dyn Environment) -> Result<Filled> {
    let mut filled =
        Filled { parameters: said.into_iter().collect(), settings: IndexMap::new(), sources: Vec::new() };
    filled.service(environment)?;
    filled.variables(environment)?;
    Ok(filled)
}

impl Filled {
    /// A parameter, or the variable that says it.
    fn take(&mut self, name: &str, variable: &str, environment: &dyn Environment) -> Option<Secret> {
        let said =
            self.parameters.shift_remove(name).or_else(|| environment.variable(variable).map(Secret::from));
        said.filter(|value| !value.reveal().is_empty())
    }

    fn service(&mut self, environment: &dyn Environment) -> Result<()> {
        let chosen = self.take("servicefile", "PGSERVICEFILE", environment);
        let Some(service) = self.take("service", "PGSERVICE", environment) else { return Ok(()) };
        let service = service.reveal();
        let files = service_files(chosen.map(|file| PathBuf::from(file.reveal())), environment);
        let mut searched = Vec::new();
        for file in files {
            let shown = file.display().to_string();
            let text = environment.read_file(&file).map_err(|error| unreadable(&shown, &error))?;
            match service_in(&text, service).map_err(|wrong| in_file(wrong, &shown))? {
                Some(parameters) => {
                    for (name, value) in parameters {
                        self.parameters.entry(name).or_insert(value);
                    }
                    self.sources.push(format!("service {service} of {shown}"));
                    return Ok(());
                }
                None => searched.push(shown),
            }
        }
        let mut error = FlowError::new(
            ErrorCode::InvalidValue,
            format!("the service `{service}` of a connection is in no service file"),
        )
        .hint(format!(
            "write [{service}] and lines name=value below it into ~/{SERVICE_FILE}, or name another file by PGSERVICEFILE"
        ));
        if searched.is_empty() {
            let system = system_directory(environment).join(SYSTEM_SERVICE_FILE);
            let words =
                format!("searched: ~/{SERVICE_FILE} and {}, but there is no such file", system.display());
            error = error.detail(words);
        }
        Err(searched.into_iter().fold(error, |error, file| error.detail(format!("searched: {file}"))))
    }

    fn variables(&mut self, environment: &dyn Environment) -> Result<()> {
        for (variable, meaning) in VARIABLES {
            let Some(value) = environment.variable(variable) else { continue };
            let used = match meaning {
                // The service was looked up before.
                Meaning::Parameter("service" | "servicefile") => false,
                Meaning::Parameter(name) => self.variable(variable, name, value)?,
                Meaning::Setting(name) => {
                    // As libpq, which leaves it to the server then.
                    if !value.is_empty() && !value.eq_ignore_ascii_case("default") {
                        self.settings.insert((*name).to_owned(), value);
                    }
                    // It says nothing of where a connection leads.
                    false
                }
                Meaning::RequireSsl => {
                    let unsaid = !self.parameters.contains_key("sslmode");
                    let says = unsaid && value.starts_with('1');
                    if says {
                        self.parameters.insert("sslmode".to_owned(), "require".into());
                    }
                    says
                }
                Meaning::Directory | Meaning::Nothing => false,
            };
            if used {
                self.sources.push((*variable).to_owned());
            }
        }
        Ok(())
    }

    /// Whether a variable fills a parameter.
    fn variable(&mut self, variable: &str, name: &str, value: String) -> Result<bool> {
        if value.is_empty() || self.parameters.contains_key(name) {
            return Ok(false);
        }
        let kept = check_parameter(name, &value)
            .map_err(|error| error.detail(format!("it comes from the environment variable {variable}")))?;
        if kept {
            self.parameters.insert(name.to_owned(), value.into());
        }
        Ok(kept)
    }
}

/// The service files: the chosen one in place of the user's own, and then the system's. Only what is chosen must be there.
fn service_files(chosen: Option<PathBuf>, environment: &dyn Environment) -> Vec<PathBuf> {
    let is_there = |file: &PathBuf| environment.exists(file);
    let own = || {
        let home = environment.variable("HOME").filter(|home| !home.is_empty())?;
        Some(Path::new(&home).join(SERVICE_FILE)).filter(is_there)
    };
    let system = system_directory(environment).join(SYSTEM_SERVICE_FILE);
    chosen.or_else(own).into_iter().chain(Some(system).filter(is_there)).collect()
}

/// The directory of the system's files: the first that has a service file.
fn system_directory(environment: &dyn Environment) -> PathBuf {
    if let Some(chosen) = environment.variable("PGSYSCONFDIR") {
        return PathBuf::from(chosen);
    }
    let has_file = |directory: &&&str| environment.exists(&Path::new(directory).join(SYSTEM_SERVICE_FILE));
    PathBuf::from(SYSTEM_DIRECTORIES.iter().find(has_file).unwrap_or(&SYSTEM_DIRECTORIES[0]))
}

fn unreadable(file: &str, error: &io::Error) -> FlowError {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string().to_lowercase(),
    };
    FlowError::new(ErrorCode::InvalidValue, format!("the service file `{file}` cannot be read: {why}"))
        .hint("make the file readable, or say the parameters where you say service")
}

fn in_file(wrong: ServiceError, file: &str) -> FlowError {
    wrong.error.detail(format!("it stands in line {} of {file}", wrong.line))
}
