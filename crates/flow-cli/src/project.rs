//! The project of a command: its file, read and given to an engine.

use crate::args::GlobalArgs;
use crate::console::Console;
use crate::exit;
use crate::render::markdown::About;
use crate::signals;
use crate::workspace::Workspace;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_core::execute::{Engine, Request, Stop};
use ematix_flow_core::spec::environment::ProcessEnvironment;
use ematix_flow_core::spec::{PipelineOptions, PipelineSpec, ProjectSpec, toml_file};
use indexmap::IndexMap;
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
#[derive(Debug)]
pub struct Session {
    /// Options of every command.
    pub global: GlobalArgs,
    /// Where it prints.
    pub console: Console,
}

impl Session {
    /// Reads the project's files.
    ///
    /// # Errors
    /// Every mistake in them, each at its place.
    pub fn project(&self) -> Result<ProjectSpec, Failure> {
        self.refuse_what_is_not_here()?;
        Ok(toml_file::read_project(&self.global.config, &ProcessEnvironment)?)
    }

    /// Reads the project's files for a command that works on its pipelines.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn engine(&self) -> Result<Engine, Failure> {
        Ok(Engine::new(self.project()?))
    }

    /// As [`Session::engine`], for a command that goes on without the pipelines that are faulty.
    ///
    /// # Errors
    /// Mistakes that concern every pipeline.
    pub fn sound_engine(&self) -> Result<(Engine, Vec<FlowError>), Failure> {
        self.refuse_what_is_not_here()?;
        let (project, errors) = toml_file::read_sound(&self.global.config, &ProcessEnvironment)?;
        Ok((Engine::new(project), errors))
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

    /// Refuses global options that this version knows and does not have.
    ///
    /// # Errors
    /// `not_yet_supported`.
    pub fn refuse_what_is_not_here(&self) -> Result<(), FlowError> {
        let given = [
            ("--module", self.global.module.is_some()),
            ("--env", self.global.env.is_some()),
            ("--var", !self.global.var.is_empty()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(FlowError::new(
                ErrorCode::NotYetSupported,
                format!("`{flag}` is not in this version yet"),
            )),
            None => Ok(()),
        }
    }
}

/// A request of somebody at the command line.
pub fn request(overrides: PipelineOptions, stop: watch::Receiver<Stop>) -> Request {
    Request {
        overrides,
        full_scan: false,
        dry_run: false,
        sample: 0,
        started_by: "cli".to_owned(),
        slot: None,
        stop,
    }
}

/// A request for what nobody can stop: a plan from the files.
pub fn offline_request(overrides: PipelineOptions) -> Request {
    let (_, stop) = watch::channel(Stop::No);
    request(overrides, stop)
}

/// The connection that a pipeline reads from.
pub fn source_connection(spec: &PipelineSpec) -> &str {
    spec.source.connection.as_deref().unwrap_or("default")
}

/// The connection that a pipeline writes to: the source's unless said.
pub fn target_connection(spec: &PipelineSpec) -> &str {
    spec.options.target_connection.as_deref().unwrap_or_else(|| source_connection(spec))
}

/// The target as `schema.table`.
pub fn target_name(project: &ProjectSpec, spec: &PipelineSpec) -> String {
    match project.tables.get(&spec.target) {
        Some(table) => {
            let schema = table.schema.as_deref().unwrap_or("public");
            format!("{schema}.{}", table.name.as_deref().unwrap_or(&spec.target))
        }
        None => spec.target.clone(),
    }
}

/// Pipelines by the connection of their target, where each has its metadata.
pub fn by_target_connection(project: &ProjectSpec, names: &[String]) -> Vec<Vec<String>> {
    let mut groups: IndexMap<&str, Vec<String>> = IndexMap::new();
    for name in names {
        groups.entry(target_connection(&project.pipelines[name])).or_default().push(name.clone());
    }
    groups.into_values().collect()
}

/// Asks every target's metadata. One that cannot be reached does not hide what the others know: its
/// error stands beside the answers.
///
/// # Errors
/// When the operating system gives no event loop.
pub fn ask_each_target<T>(
    engine: &Engine,
    names: &[String],
    mut ask: impl AsyncFnMut(Vec<String>) -> Result<Vec<T>, FlowError>,
) -> Result<(Vec<T>, Vec<FlowError>), FlowError> {
    signals::block_on(async |_| {
        let (mut answers, mut errors) = (Vec::new(), Vec::new());
        for group in by_target_connection(engine.project(), names) {
            match ask(group).await {
                Ok(rows) => answers.extend(rows),
                Err(error) => errors.push(error),
            }
        }
        (answers, errors)
    })
}
