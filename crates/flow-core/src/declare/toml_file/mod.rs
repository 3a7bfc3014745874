//! Reads `pipelines.toml` and the files that it includes. Every mistake of every file is reported at
//! once, each at its line and column; what comes out is as written, with `[defaults]` applied.

mod check;
mod finish;
mod sections;
mod text;
mod words;

use super::environment::{Environment, is_pattern};
use super::interpolation::reason;
use super::{ConnectionSpec, PipelineSpec, Places, ProjectSpec};
use crate::error::{ErrorCode, FlowError, Location};
use finish::ReadPipeline;
use indexmap::IndexMap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Reads a project from its file and the files that it includes.
///
/// # Errors
/// Every mistake that the files alone show.
pub fn read_project(path: &Path, files: &dyn Environment) -> Result<ProjectSpec, Vec<FlowError>> {
    let text = files.read_file(path).map_err(|error| {
        vec![unreadable(path, &error).hint("`flow init` writes a first one; --config FILE names another")]
    })?;
    read_text(&text, &path.display().to_string(), files)
}

/// Reads a project and keeps what is sound of it: a mistake in a pipeline, or in a table or connection
/// that it uses, takes this pipeline out and leaves the others.
///
/// # Errors
/// Mistakes that concern every pipeline: files that are not TOML, `[defaults]`, `include`.
pub fn read_sound(
    path: &Path,
    files: &dyn Environment,
) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
    let text = files.read_file(path).map_err(|error| vec![unreadable(path, &error)])?;
    let mut reader = Reader::new(files, false);
    reader.text(&text, path);
    let (mut project, errors) = reader.conclude();
    let faulty: Option<Vec<FaultyPart>> = errors.iter().map(FaultyPart::of).collect();
    let Some(faulty) = faulty else { return Err(errors) };
    project.pipelines.retain(|name, pipeline| !faulty.iter().any(|part| part.concerns(name, pipeline)));
    Ok((project, errors))
}

/// The part of a project that a mistake stands in.
enum FaultyPart {
    Pipeline(String),
    Table(String),
    Connection(String),
}

impl FaultyPart {
    /// `None` where the mistake is not in one part alone.
    fn of(error: &FlowError) -> Option<FaultyPart> {
        if error.code == ErrorCode::InvalidToml {
            return None;
        }
        let section = error.location.as_ref()?.section.as_ref()?.trim_matches(['[', ']']);
        let (kind, rest) = section.split_once('.')?;
        let name = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => rest.split('.').next().unwrap_or_default(),
        };
        match kind {
            "pipelines" => Some(FaultyPart::Pipeline(name.to_owned())),
            "tables" => Some(FaultyPart::Table(name.to_owned())),
            "connections" => Some(FaultyPart::Connection(name.to_owned())),
            _ => None,
        }
    }

    fn concerns(&self, name: &str, pipeline: &PipelineSpec) -> bool {
        match self {
            FaultyPart::Pipeline(faulty) => faulty == name,
            // A qualified target may mean the table too.
            FaultyPart::Table(faulty) => {
                pipeline.target == *faulty || pipeline.target.ends_with(faulty.as_str())
            }
            FaultyPart::Connection(faulty) => {
                let uses = |connection: &Option<String>| connection.as_deref().unwrap_or("default") == faulty;
                uses(&pipeline.source.connection)
                    || uses(
                        &pipeline.options.target_connection.clone().or(pipeline.source.connection.clone()),
                    )
            }
        }
    }
}

/// Reads a project from a text that stands for a file of that name.
///
/// # Errors
/// Every mistake that the text, and the files that it includes, alone show.
///
/// ```
/// use ematix_flow_core::declare::environment::ProcessEnvironment;
/// use ematix_flow_core::declare::toml_file::read_text;
/// let project = read_text("[connections.crm]\nhost = 'db'", "pipelines.toml", &ProcessEnvironment).unwrap();
/// assert_eq!(project.connections["crm"].host.as_deref(), Some("db"));
/// ```
pub fn read_text(
    text: &str,
    file_name: &str,
    files: &dyn Environment,
) -> Result<ProjectSpec, Vec<FlowError>> {
    let mut reader = Reader::new(files, false);
    reader.text(text, Path::new(file_name));
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
    let mut reader = Reader::new(files, true);
    reader.text(&text, path);
    reader.finish().map(|project| (project.connections, project.places))
}

fn unreadable(path: &Path, error: &std::io::Error) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("`{}` cannot be read: {}", path.display(), reason(error)))
}

/// What is known of a project while its files are read.
struct Reader<'e> {
    environment: &'e dyn Environment,
    /// Whether this is the user's own file, which holds connections and nothing else.
    only_connections: bool,
    /// The files in the order in which they were met.
    files: Vec<String>,
    /// The files that are open now, each included by the one before it.
    open: Vec<(PathBuf, String)>,
    /// Where each file was included.
    included: HashMap<PathBuf, Option<Location>>,
    project: ProjectSpec,
    pipelines: IndexMap<String, ReadPipeline>,
    defaults: IndexMap<String, serde_json::Value>,
    /// The options that `[defaults]` name, right or wrong.
    attempted_defaults: HashSet<String>,
    /// Whether a file is not TOML, so that what is missing may be there.
    broken: bool,
    errors: Vec<FlowError>,
}

impl<'e> Reader<'e> {
    fn new(environment: &'e dyn Environment, only_connections: bool) -> Reader<'e> {
        Reader {
            environment,
            only_connections,
            files: Vec::new(),
            open: Vec::new(),
            included: HashMap::new(),
            project: ProjectSpec::default(),
            pipelines: IndexMap::new(),
            defaults: IndexMap::new(),
            attempted_defaults: HashSet::new(),
            broken: false,
            errors: Vec::new(),
        }
    }

    /// Reads one file's text, then the files that it includes.
    fn text(&mut self, text: &str, path: &Path) {
        let identity = self.environment.identity(path);
        self.included.entry(identity.clone()).or_insert(None);
        let name = path.display().to_string();
        self.files.push(name.clone());
        self.open.push((identity, name.clone()));
        let patterns = self.sections(text, name, path);
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
            self.errors
                .push(error.hint(format!("the pattern starts at `{}`", from.display())).at(place.clone()));
        }
        for path in found {
            if let Err(error) = self.include_file(&path, place) {
                self.errors.push(error.at(place.clone()));
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
        self.text(&text, path);
        Ok(())
    }

    /// Everything that was read, or every mistake in the order of the files.
    fn finish(self) -> Result<ProjectSpec, Vec<FlowError>> {
        match self.conclude() {
            (project, errors) if errors.is_empty() => Ok(project),
            (_, errors) => Err(errors),
        }
    }

    /// Everything that was read, and every mistake in the order of the files.
    fn conclude(mut self) -> (ProjectSpec, Vec<FlowError>) {
        self.finish_pipelines();
        let files = self.files;
        self.errors.sort_by_key(|error| {
            error.location.as_ref().map(|location| {
                (files.iter().position(|file| *file == location.file), location.line, location.column)
            })
        });
        self.project.files = files;
        (self.project, self.errors)
    }
}

/// `pipelines.toml:3:1`.
fn position(location: &Location) -> String {
    format!("{}:{}:{}", location.file, location.line, location.column)
}
