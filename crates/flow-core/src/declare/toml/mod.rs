//! Reads `pipelines.toml` and the files that it includes. Every mistake of every file is reported at
//! once, each at its line and column; what comes out is as written, with `[defaults]` applied.

mod file;
mod sound;
mod text;
mod tree;

pub use sound::read_sound;
pub(crate) use text::SourceText;

use super::environment::{Environment, is_pattern};
use super::interpolation::reason;
use super::node::Table;
use super::sections::{Mistake, Reader, position};
use super::variables::Chosen;
use super::{ConnectionSpec, Places, ProjectSpec};
use crate::error::{ErrorCode, FlowError, Location};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a project from its file and the files that it includes.
///
/// # Errors
/// Every mistake that the files alone show.
pub fn read_project(
    path: &Path,
    chosen: &Chosen,
    files: &dyn Environment,
) -> Result<ProjectSpec, Vec<FlowError>> {
    let text = files.read_file(path).map_err(|error| {
        vec![unreadable(path, &error).hint("`flow init` writes a first one; --config FILE names another")]
    })?;
    read_chosen(text, path, chosen, files)
}

/// Reads a project from a text that stands for a file of that name.
///
/// # Errors
/// Every mistake that the text, and the files that it includes, alone show.
///
/// ```
/// use ematix_flow_core::declare::environment::ProcessEnvironment;
/// use ematix_flow_core::declare::toml::read_text;
/// let project = read_text("[connections.crm]\nhost = 'db'", "pipelines.toml", &ProcessEnvironment).unwrap();
/// assert_eq!(project.connections["crm"].host.as_deref(), Some("db"));
/// ```
pub fn read_text(
    text: &str,
    file_name: &str,
    files: &dyn Environment,
) -> Result<ProjectSpec, Vec<FlowError>> {
    read_chosen(text.to_owned(), Path::new(file_name), &Chosen::default(), files)
}

/// As [`read_text`], with what a command line says of the project.
///
/// # Errors
/// As [`read_text`].
pub fn read_chosen(
    text: String,
    path: &Path,
    chosen: &Chosen,
    files: &dyn Environment,
) -> Result<ProjectSpec, Vec<FlowError>> {
    let mut reader = Files::new(files, false);
    reader.text(text, path);
    reader.read(chosen);
    reader.finish()
}

/// Reads the `[connections]` of the user's own file.
///
/// # Errors
/// Every mistake in it.
pub(crate) fn read_connections(
    path: &Path,
    files: &dyn Environment,
) -> Result<(IndexMap<String, ConnectionSpec>, Places), Vec<FlowError>> {
    let text = files.read_file(path).map_err(|error| vec![unreadable(path, &error)])?;
    let mut reader = Files::new(files, true);
    reader.text(text, path);
    reader.read(&Chosen::default());
    reader.finish().map(|project| (project.connections, project.places))
}

fn unreadable(path: &Path, error: &std::io::Error) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("`{}` cannot be read: {}", path.display(), reason(error)))
}

/// Reads files, each with those that it includes.
struct Files<'e> {
    environment: &'e dyn Environment,
    /// Whether this is the user's own file, which holds connections and nothing else.
    only_connections: bool,
    /// The files in the order in which they were met.
    files: Vec<Loaded>,
    /// The files that are open now, each included by the one before it.
    open: Vec<(PathBuf, String)>,
    /// Where each file was included.
    included: HashMap<PathBuf, Option<Location>>,
    reader: Reader,
}

/// A file as a tree of values, which is judged when all files are there: a variable may stand in any of them.
struct Loaded {
    name: String,
    path: PathBuf,
    source: Arc<SourceText>,
    tree: Table,
    syntax: Vec<::toml::de::Error>,
}

impl<'e> Files<'e> {
    fn new(environment: &'e dyn Environment, only_connections: bool) -> Files<'e> {
        Files {
            environment,
            only_connections,
            files: Vec::new(),
            open: Vec::new(),
            included: HashMap::new(),
            reader: Reader::default(),
        }
    }

    /// Loads one file's text, then the files that it includes.
    fn text(&mut self, text: String, path: &Path) {
        let identity = self.environment.identity(path);
        self.included.entry(identity.clone()).or_insert(None);
        let name = path.display().to_string();
        self.open.push((identity, name.clone()));
        let (loaded, patterns) = self.load(text, name, path);
        self.files.push(loaded);
        for (pattern, place) in patterns {
            self.include(&pattern, path, &place);
        }
        self.open.pop();
    }

    fn include(&mut self, pattern: &str, from: &Path, place: &Location) {
        let directory = from.parent().unwrap_or(Path::new(""));
        let found = if is_pattern(pattern) {
            self.environment.glob(directory, pattern).unwrap_or_default()
        } else {
            vec![directory.join(pattern)]
        };
        if found.is_empty() {
            let error = FlowError::new(ErrorCode::InvalidValue, format!("no file matches `{pattern}`"));
            let from = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            self.mistake(error.hint(format!("the pattern starts at `{}`", from.display())), place);
        }
        for path in found {
            if let Err(error) = self.include_file(&path, place) {
                self.mistake(error, place);
            }
        }
    }

    fn include_file(&mut self, path: &Path, place: &Location) -> Result<(), FlowError> {
        let identity = self.environment.identity(path);
        let name = path.display();
        if let Some(start) = self.open.iter().position(|(open, _)| *open == identity) {
            let circle: Vec<&str> = self.open[start..].iter().map(|(_, name)| name.as_str()).collect();
            return Err(FlowError::new(ErrorCode::InvalidValue, format!("`{name}` includes itself"))
                .detail(format!("{} → {name}", circle.join(" → "))));
        }
        if let Some(first) = self.included.get(&identity) {
            let error = FlowError::new(ErrorCode::InvalidValue, format!("`{name}` is included twice"));
            return Err(match first {
                Some(first) => error.detail(format!("first at {}", position(first))),
                None => error,
            });
        }
        let text = self.environment.read_file(path).map_err(|error| unreadable(path, &error))?;
        self.included.insert(identity, Some(place.clone()));
        self.text(text, path);
        Ok(())
    }

    fn mistake(&mut self, error: FlowError, place: &Location) {
        self.reader.mistakes.push(Mistake { error: error.at(place.clone()), order: None });
    }

    /// Everything that was read, or every mistake in the order of the files.
    fn finish(self) -> Result<ProjectSpec, Vec<FlowError>> {
        match self.conclude() {
            (project, errors) if errors.is_empty() => Ok(project),
            (_, errors) => Err(errors),
        }
    }

    /// Everything that was read, and every mistake in the order of the files.
    fn conclude(self) -> (ProjectSpec, Vec<FlowError>) {
        self.reader.conclude(self.files.into_iter().map(|loaded| loaded.name).collect())
    }
}
