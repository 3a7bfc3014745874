//! The project of a command: its file, read and given to an engine.

use crate::args::GlobalArgs;
use crate::console::{Console, log_line};
use crate::exit;
use crate::python::{self, ChildPython, Python, Surroundings};
use crate::render::diagnostic;
use crate::render::markdown::About;
use crate::signals;
use crate::workspace::{DEFAULT_CONFIG, Workspace};
use ematix_flow_core::connections;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::for_each::{Question, may_mean, name_glob};
use ematix_flow_core::declare::registry::Declarations;
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::declare::{
    PipelineOptions, PipelineSpec, ProjectSpec, add_sound, keep_sound, toml_file,
};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_core::graph;
use ematix_flow_run::execute::{Engine, Request, Stop};
use ematix_flow_telemetry::Telemetry;
use indexmap::IndexMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Why a command could not do its work: errors, none of them from a run.
#[derive(Debug)]
pub struct Failure(pub Vec<FlowError>);

impl Failure {
    /// The exit code that the errors share.
    pub fn exit(&self) -> ExitCode {
        exit::of_errors(&self.0)
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Failure {
        Failure(vec![error])
    }
}

impl From<Vec<FlowError>> for Failure {
    fn from(errors: Vec<FlowError>) -> Failure {
        Failure(errors)
    }
}

/// What a command ends with.
pub type Outcome = Result<ExitCode, Failure>;

/// One command's surroundings: its options and where it prints.
pub struct Session {
    /// Options of every command.
    pub global: GlobalArgs,
    /// Where it prints.
    pub console: Console,
    /// What the process around it brings.
    pub around: Surroundings,
    /// Who is told of runs.
    pub telemetry: Telemetry,
}

/// Whether a command can do without the project's file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    /// Modules alone are a project too; without them there has to be one.
    Needed,
    /// The command makes one, or has something to do where there is none.
    Optional,
}

/// What the files and the modules of a project declare, and who calls their functions.
struct Read {
    project: ProjectSpec,
    errors: Vec<FlowError>,
    python: Option<Arc<dyn Python>>,
}

impl Read {
    fn engine(self, session: &Session) -> Engine {
        session.warn_of_open_file();
        let engine = session.engine_of(self.project);
        match self.python {
            Some(python) => engine.with_callables(python.callables()),
            None => engine,
        }
    }
}

/// What ends with the process: to take a large project apart before that takes a tenth of what it took to read it.
pub fn for_good<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// What modules declare; where what is sound will do, with what is wrong with the rest.
fn declared_by(
    python: &dyn Python,
    modules: &[String],
    sound: bool,
) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
    let mut declared = Declarations::default();
    let ended = python.registry(modules, &mut declared).map_err(|error| vec![error])?;
    let read = match sound {
        true => declared.sound_project(&ProcessEnvironment),
        false => declared.project(&ProcessEnvironment).map(|project| (project, Vec::new())),
    };
    // Who has said everything ends while it is judged.
    ended().map_err(|error| vec![error])?;
    read
}

impl Session {
    /// Reads the project's files and modules.
    ///
    /// # Errors
    /// Every mistake in them, each at its place.
    pub fn project(&self) -> Result<ProjectSpec, Failure> {
        Ok(self.read(false, None, File::Needed)?.project)
    }

    /// An engine for a project, with every driver that there is here.
    pub fn engine_of(&self, project: ProjectSpec) -> Engine {
        self.around.drivers.iter().cloned().fold(Engine::new(project), Engine::with_driver)
    }

    /// Reads the project for a command that works on its pipelines.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn engine(&self) -> Result<Engine, Failure> {
        Ok(for_good(self.read(false, None, File::Needed)?.engine(self)).clone())
    }

    /// As [`Session::engine`], for a command that does without the file where there is none.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn engine_without_file(&self) -> Result<Engine, Failure> {
        Ok(self.read(false, None, File::Optional)?.engine(self))
    }

    /// As [`Session::engine`], for a command that asks the databases about these pipelines (none: about all): what a
    /// `for_each` of theirs goes over is asked first.
    ///
    /// # Errors
    /// Every mistake in the project, and what keeps a connection from answering.
    pub fn connected_engine(&self, wanted: &[String]) -> Result<Engine, Failure> {
        Ok(self.read(false, Some(wanted), File::Needed)?.engine(self))
    }

    /// As [`Session::connected_engine`], for a command that goes on without the pipelines that are faulty.
    ///
    /// # Errors
    /// Mistakes that concern every pipeline.
    pub fn sound_engine(&self, wanted: &[String]) -> Result<(Engine, Vec<FlowError>), Failure> {
        self.sound_engine_of(wanted, File::Needed)
    }

    /// As [`Session::sound_engine`], for a command that does without the file where there is none.
    ///
    /// # Errors
    /// Mistakes that concern every pipeline.
    pub fn sound_engine_without_file(&self, wanted: &[String]) -> Result<(Engine, Vec<FlowError>), Failure> {
        self.sound_engine_of(wanted, File::Optional)
    }

    fn sound_engine_of(&self, wanted: &[String], file: File) -> Result<(Engine, Vec<FlowError>), Failure> {
        let mut read = self.read(true, Some(wanted), file)?;
        let errors = std::mem::take(&mut read.errors);
        Ok((read.engine(self), errors))
    }

    /// The names of the connections that the project's files declare; none where they cannot be read.
    pub fn connections_of_files(&self) -> Vec<String> {
        toml_file::read_project(&self.global.config, &self.global.chosen(), &ProcessEnvironment)
            .map(|project| project.connections.into_keys().collect())
            .unwrap_or_default()
    }

    /// The files; where databases are asked, with the members of every `for_each` that is meant.
    fn files(
        &self,
        sound: bool,
        wanted: Option<&[String]>,
    ) -> Result<(ProjectSpec, Vec<FlowError>), Failure> {
        let config = &self.global.config;
        let mut chosen = self.global.chosen();
        let read = |chosen: &Chosen| match sound {
            true => toml_file::read_sound(config, chosen, &ProcessEnvironment),
            false => toml_file::read_project(config, chosen, &ProcessEnvironment)
                .map(|project| (project, Vec::new())),
        };
        let (mut project, mut errors) = read(&chosen)?;
        let Some(wanted) = wanted.filter(|_| !project.each.is_empty()) else { return Ok((project, errors)) };
        let meant = project.each.iter().filter(|(name, _)| may_mean(wanted, name));
        let asked: Vec<(String, Question)> = meant.map(|(_, asked)| asked.clone()).collect();
        if !asked.is_empty() {
            let engine = self.engine_of(project);
            let (answers, faults) = signals::block_on(async |_| engine.answers(&asked).await)?;
            if !faults.is_empty() && !sound {
                return Err(faults.into());
            }
            chosen.answers = answers;
            (project, errors) = read(&chosen)?;
            errors.extend(faults);
            project.asked = true;
        }
        // What stands for many and was not asked is no pipeline that could run.
        let each = std::mem::take(&mut project.each);
        project.unasked = each.keys().map(|name| name_glob(name)).collect();
        project.pipelines.retain(|name, _| !each.contains_key(name));
        project.together.retain(|name, _| !each.contains_key(name));
        Ok((project, errors))
    }

    fn read(&self, sound: bool, wanted: Option<&[String]>, file: File) -> Result<Read, Failure> {
        let named: Vec<String> =
            self.global.module.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
        let of_directory = match (&named[..], std::env::current_dir()) {
            ([], Ok(directory)) => python::modules_of_project(&directory)?,
            _ => Vec::new(),
        };
        let has_modules = !named.is_empty() || !of_directory.is_empty() || self.around.python.is_some();
        let config = &self.global.config;
        let needless = has_modules || file == File::Optional;
        let no_file = needless && config.as_os_str() == DEFAULT_CONFIG && !config.exists();
        let (mut project, mut errors) = match no_file {
            true => {
                self.refuse_environment()?;
                (ProjectSpec::default(), Vec::new())
            }
            false => self.files(sound, wanted)?,
        };
        let mut modules = named;
        modules.extend(of_directory.into_iter().filter(|_| self.global.module.is_none()));
        modules.extend(project.python.iter().cloned());
        modules.dedup();
        let python = match (&self.around.python, modules.is_empty()) {
            (Some(here), _) => Some(Arc::clone(here)),
            (None, true) => None,
            (None, false) => match ChildPython::find(&modules) {
                Ok(child) => Some(Arc::new(child) as Arc<dyn Python>),
                Err(error) if sound => {
                    errors.push(error);
                    None
                }
                Err(error) => return Err(error.into()),
            },
        };
        if let Some(python) = &python {
            match declared_by(python.as_ref(), &modules, sound).and_then(|(declared, mut mistakes)| {
                match sound {
                    true => mistakes.extend(add_sound(&mut project, declared)),
                    false => project.add(declared)?,
                }
                Ok(mistakes)
            }) {
                Ok(mistakes) => {
                    // What Python loads into a table of the files is as sound as that table.
                    keep_sound(&mut project, &errors);
                    errors.extend(mistakes);
                }
                Err(mistakes) if sound => errors.extend(mistakes),
                Err(mistakes) => return Err(mistakes.into()),
            }
        }
        // What comes after what is known when all is there: files and modules may name each other's pipelines.
        match sound {
            true => errors.extend(graph::keep_sound(&mut project)),
            false => {
                let faults = graph::faults(&project);
                if !faults.is_empty() {
                    return Err(faults.into());
                }
            }
        }
        Ok(Read { project, errors, python })
    }

    /// Says where others can read the user's own connections.
    pub fn warn_of_open_file(&self) {
        let Some(words) = connections::warning(&ProcessEnvironment) else { return };
        if self.console.logs_json() {
            log_line(&self.console, "warn", &words, serde_json::json!({}));
        } else {
            self.console.tell(&diagnostic::warning(&words));
        }
    }

    /// How files are named in what a pull request shows.
    pub fn workspace(&self) -> Workspace {
        Workspace::of_process()
    }

    /// Prints a page for a pull request.
    pub fn page(&self, command: &str, page: impl FnOnce(&About<'_>) -> String) {
        let workspace = self.workspace();
        let config = workspace.relative(&self.global.config.to_string_lossy());
        self.console.out(&page(&About { command, config: &config, workspace: &workspace }));
    }

    /// Refuses an environment where no file declares one.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn refuse_environment(&self) -> Result<(), FlowError> {
        match &self.global.env {
            Some(name) if !name.is_empty() => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("there is no environment `{name}`: there is no {}", self.global.config.display()),
            )
            .hint("environments stand in the project's file: [environments.NAME]")),
            _ => Ok(()),
        }
    }
}

/// A request of somebody at the command line.
pub fn request(overrides: PipelineOptions, stop: watch::Receiver<Stop>) -> Request {
    Request { overrides, started_by: "cli".to_owned(), ..Request::plain(stop) }
}

/// A request for what nobody can stop: a plan from the files.
pub fn offline_request(overrides: PipelineOptions) -> Request {
    let (_, stop) = watch::channel(Stop::No);
    request(overrides, stop)
}

/// The connection that a pipeline reads from, or what brings its rows instead.
pub fn source_connection(spec: &PipelineSpec) -> &str {
    spec.source.place()
}

/// The connection that a pipeline writes to: the source's unless said.
pub fn target_connection(spec: &PipelineSpec) -> &str {
    let said = spec.options.target_connection.as_deref();
    said.or_else(|| spec.source.first_connection()).unwrap_or("default")
}

/// Pipelines by the connection of their target, where each has its metadata.
pub fn by_target_connection(project: &ProjectSpec, names: &[String]) -> Vec<Vec<String>> {
    let mut groups: IndexMap<&str, Vec<String>> = IndexMap::new();
    for name in names {
        groups.entry(target_connection(&project.pipelines[name])).or_default().push(name.clone());
    }
    groups.into_values().collect()
}

/// As [`answers_of_each_target`], to its end.
///
/// # Errors
/// When the operating system gives no event loop.
pub fn ask_each_target<T>(
    engine: &Engine,
    names: &[String],
    ask: impl AsyncFnMut(Vec<String>) -> Result<Vec<T>, FlowError>,
) -> Result<(Vec<T>, Vec<FlowError>), FlowError> {
    signals::block_on(async |_| answers_of_each_target(engine, names, ask).await)
}

/// Asks every target's metadata. One that cannot be reached does not hide what the others know: its
/// error stands beside the answers.
pub async fn answers_of_each_target<T>(
    engine: &Engine,
    names: &[String],
    mut ask: impl AsyncFnMut(Vec<String>) -> Result<Vec<T>, FlowError>,
) -> (Vec<T>, Vec<FlowError>) {
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for group in by_target_connection(engine.project(), names) {
        match ask(group).await {
            Ok(rows) => answers.extend(rows),
            Err(error) => errors.push(error),
        }
    }
    (answers, errors)
}
