//! Pipelines that Python declares: from a registry in this process (the wheel's `flow`), or from a child process that
//! exports one (the native `flow`). Either way the same JSON, read by the same reader.

mod child;
mod frames;

use crate::dev_server;
use crate::workspace::DEFAULT_CONFIG;
use child::{Process, Whom};
use ematix_flow_arrow::BatchSource;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::registry::{Answer, Declarations, ToldError, read_answer, read_metrics};
use ematix_flow_core::declare::toml_file;
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_run::driver::Driver;
use ematix_flow_run::execute::callables::{Callables, GivenConnection, Interrupt};
use frames::Frames;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Says whether who has told everything has ended well.
pub type Ended = Box<dyn FnOnce() -> Result<(), FlowError>>;

/// Whoever knows Python's pipelines.
pub trait Python: Callables {
    /// Adds what some modules declare.
    ///
    /// # Errors
    /// `import_failed`, and what [`Ended`] says.
    fn registry(&self, modules: &[String], declared: &mut Declarations) -> Result<Ended, FlowError>;
    /// Itself, as who calls functions.
    fn callables(self: Arc<Self>) -> Arc<dyn Callables>;
}

/// What a process around the command brings to it.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The Python that the process lives in.
    pub python: Option<Arc<dyn Python>>,
    /// Drivers of engines that it can reach and this binary alone cannot.
    pub drivers: Vec<Arc<dyn Driver>>,
}

/// The error of a function that raised, where its exception is told by somebody else.
pub fn raised(pipeline: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("the function of `{pipeline}` raised an exception"))
}

/// A Python interpreter, started for each question.
pub struct ChildPython {
    interpreter: PathBuf,
    modules: Vec<String>,
    frames: Frames,
}

impl ChildPython {
    /// The interpreter that has the package: `EMATIX_FLOW_PYTHON`, the active virtual environment, `.venv`, `python3`.
    ///
    /// # Errors
    /// `import_failed` where there is none.
    pub fn find(modules: &[String]) -> Result<ChildPython, FlowError> {
        let interpreter = dev_server::pythons()?.into_iter().next().ok_or_else(|| {
            FlowError::new(ErrorCode::ImportFailed, "pipelines of Python need a Python, and none was found")
                .hint("activate a virtual environment with ematix-flow, or set EMATIX_FLOW_PYTHON")
        })?;
        Ok(ChildPython { interpreter, modules: modules.to_vec(), frames: Frames::default() })
    }

    /// Asks the package one thing.
    fn ask(
        &self,
        arguments: &[&str],
        question: &str,
        interrupt: Option<&Interrupt>,
    ) -> Result<(Process, BufReader<ChildStdout>), FlowError> {
        let interpreter = self.interpreter.display().to_string();
        let whom = Whom { interpreter, modules: self.modules.clone() };
        let asked = child::asked(whom, &self.interpreter, arguments, question)?;
        if let Some(interrupt) = interrupt {
            asked.0.ends_by(interrupt);
        }
        Ok(asked)
    }

    /// Asks for one answer.
    fn answer(
        &self,
        arguments: &[&str],
        question: &str,
        interrupt: Option<&Interrupt>,
    ) -> Result<String, FlowError> {
        let (process, output) = self.ask(arguments, question, interrupt)?;
        process.answer(String::new(), output)
    }
}

fn held<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Callables for ChildPython {
    fn resolve(
        &self,
        pipeline: &str,
        connection: &GivenConnection,
        interrupt: &Interrupt,
    ) -> Result<Answer, FlowError> {
        let question = json!({
            "modules": self.modules,
            "pipeline": pipeline,
            "connection": connection.secret_json(),
            "frames": "piped",
        });
        let (process, mut output) =
            self.ask(&["resolve", pipeline], &question.to_string(), Some(interrupt))?;
        let line = process.line(&mut output)?;
        let stays = serde_json::from_str::<Map<String, Value>>(&line);
        if !stays.is_ok_and(|answer| answer.contains_key("frame")) {
            return read_answer(pipeline, &process.answer(line, output)?);
        }
        let mut answer = read_answer(pipeline, &line)?;
        if let Some(frame) = &mut answer.source.frame {
            frame.id = self.frames.hold(process, &frame.words, output);
        }
        Ok(answer)
    }

    fn call(
        &self,
        transform: &str,
        connection: &GivenConnection,
        report: Option<&Value>,
        interrupt: &Interrupt,
    ) -> Result<Map<String, Value>, FlowError> {
        let question = json!({
            "modules": self.modules,
            "transform": transform,
            "connection": connection.secret_json(),
            "report": report,
        });
        read_metrics(transform, &self.answer(&["call", transform], &question.to_string(), Some(interrupt))?)
    }

    fn frame(&self, id: u64) -> Option<Arc<dyn BatchSource>> {
        self.frames.find(id)
    }

    fn release(&self, id: u64) {
        self.frames.release(id);
    }
}

impl Python for ChildPython {
    fn registry(&self, modules: &[String], declared: &mut Declarations) -> Result<Ended, FlowError> {
        let mut arguments = vec!["registry"];
        arguments.extend(modules.iter().map(String::as_str));
        let (process, mut output) = self.ask(&arguments, "", None)?;
        loop {
            let line = process.line(&mut output)?;
            if line.is_empty() {
                return Ok(Box::new(move || process.ended("")));
            }
            // Each part is read while Python writes the next.
            if let Err(error) = declared.add(&line) {
                process.answer(line, output)?;
                return Err(error);
            }
        }
    }

    fn callables(self: Arc<Self>) -> Arc<dyn Callables> {
        self
    }
}

/// An error as the package tells it: `{"error": {"code", "message", …}}`.
pub fn error_of(answer: &str) -> Option<FlowError> {
    #[derive(Deserialize)]
    struct Answer {
        error: ToldError,
    }
    serde_json::from_str(answer).ok().map(|Answer { error }| error.into())
}

/// The modules that pyproject.toml of a directory, or of one above it, names: `[tool.ematix-flow] modules = [...]`.
///
/// # Errors
/// `invalid_toml` for a file that cannot be read as TOML.
pub fn modules_of_project(directory: &Path) -> Result<Vec<String>, FlowError> {
    for place in directory.ancestors() {
        let file = place.join("pyproject.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            FlowError::new(ErrorCode::InvalidToml, format!("{}: {}", file.display(), error.message()))
        })?;
        let named =
            table.get("tool").and_then(|tool| tool.get("ematix-flow")).and_then(|own| own.get("modules"));
        return match named {
            None => Ok(Vec::new()),
            Some(toml::Value::String(one)) => Ok(vec![one.clone()]),
            Some(toml::Value::Array(many)) => {
                Ok(many.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
            }
            Some(_) => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("{}: [tool.ematix-flow] modules is no list of names", file.display()),
            )
            .hint("write modules = [\"my_pipelines\"]")),
        };
    }
    Ok(Vec::new())
}

/// The modules that a command line (`--module`), the environment or pyproject.toml names; the file's own `python`
/// besides.
///
/// # Errors
/// As reading pyproject.toml, and the file where it is named.
pub fn module_names(arguments: &[String]) -> Result<Vec<String>, FlowError> {
    let mut named = arguments.iter().skip(1).skip_while(|argument| *argument != "--module").skip(1);
    let joined = arguments.iter().find_map(|argument| argument.strip_prefix("--module="));
    let flag = named.next().map(String::as_str).or(joined).map(str::to_owned);
    let chosen = flag.or_else(|| std::env::var("EMATIX_FLOW_MODULE").ok()).filter(|names| !names.is_empty());
    let mut modules = match chosen {
        Some(names) => names.split(',').map(str::to_owned).collect(),
        None => modules_of_project(&std::env::current_dir().unwrap_or_default())?,
    };
    modules.extend(of_config(arguments));
    modules.dedup();
    Ok(modules)
}

/// `python = [...]` of the file; a file that cannot be read is the command's to complain of.
fn of_config(arguments: &[String]) -> Vec<String> {
    let mut named = arguments.iter().skip_while(|argument| *argument != "--config").skip(1);
    let joined = arguments.iter().find_map(|argument| argument.strip_prefix("--config="));
    let config = named.next().map(String::as_str).or(joined).unwrap_or(DEFAULT_CONFIG);
    toml_file::read_sound(Path::new(config), &Chosen::default(), &ProcessEnvironment)
        .map(|(project, _)| project.python)
        .unwrap_or_default()
}
