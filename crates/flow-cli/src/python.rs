//! Pipelines that Python declares: from a registry in this process (the wheel's `flow`), or from a child process that
//! exports one (the native `flow`). Either way the same JSON, read by the same reader.

use crate::args::DEFAULT_CONFIG;
use crate::dev_server;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::registry::{Answer, read_answer};
use ematix_flow_core::declare::toml_file;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_run::driver::Driver;
use ematix_flow_run::execute::callables::{Callables, GivenConnection};
use serde::Deserialize;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Whoever knows Python's pipelines.
pub trait Python: Callables {
    /// The registry of some modules as JSON.
    ///
    /// # Errors
    /// `import_failed`.
    fn registry(&self, modules: &[String]) -> Result<String, FlowError>;
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

/// The exit code of a child whose function raised; an import that fails has another.
const RAISED: i32 = 1;

/// The error of a function that raised; its traceback has been printed.
pub fn raised(pipeline: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("the function of `{pipeline}` raised an exception"))
        .hint("its traceback stands above")
}

/// A Python interpreter, started for each question.
pub struct ChildPython {
    interpreter: PathBuf,
    modules: Vec<String>,
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
        Ok(ChildPython { interpreter, modules: modules.to_vec() })
    }

    /// Asks the package one thing; its messages go to the terminal as they are.
    fn ask(&self, arguments: &[&str], question: &str) -> Result<String, FlowError> {
        let failed = |why: String| {
            FlowError::new(ErrorCode::ImportFailed, why)
                .hint("the package and this binary come together: pip install ematix-flow")
        };
        let mut child = Command::new(&self.interpreter)
            .args(["-m", "ematix_flow.export"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("{} cannot be started: {error}", self.interpreter.display())))?;
        if let Some(mut input) = child.stdin.take() {
            // One that ends before it has read everything says why by its exit code.
            let _ = input.write_all(question.as_bytes());
        }
        let done = child
            .wait_with_output()
            .map_err(|error| failed(format!("Python could not be asked: {error}")))?;
        let answer = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            return Ok(answer);
        }
        if done.status.code() == Some(RAISED) {
            return Err(raised(arguments.last().copied().unwrap_or_default()));
        }
        Err(error_of(&answer).unwrap_or_else(|| {
            FlowError::new(
                ErrorCode::ImportFailed,
                format!("`{}` could not be imported", self.modules.join(", ")),
            )
            .hint(format!("what {} printed above says why", self.interpreter.display()))
        }))
    }
}

impl Callables for ChildPython {
    fn resolve(&self, pipeline: &str, connection: &GivenConnection) -> Result<Answer, FlowError> {
        let question =
            json!({ "modules": self.modules, "pipeline": pipeline, "connection": connection.secret_json() });
        read_answer(pipeline, &self.ask(&["resolve", pipeline], &question.to_string())?)
    }
}

impl Python for ChildPython {
    fn registry(&self, modules: &[String]) -> Result<String, FlowError> {
        let mut arguments = vec!["registry"];
        arguments.extend(modules.iter().map(String::as_str));
        self.ask(&arguments, "")
    }

    fn callables(self: Arc<Self>) -> Arc<dyn Callables> {
        self
    }
}

#[derive(Deserialize)]
struct ErrorJson {
    code: String,
    message: String,
    hint: Option<String>,
}

/// An error as the package tells it: `{"error": {"code", "message", "hint"}}`.
pub fn error_of(answer: &str) -> Option<FlowError> {
    #[derive(Deserialize)]
    struct Answer {
        error: ErrorJson,
    }
    let Answer { error } = serde_json::from_str(answer).ok()?;
    let code = ErrorCode::from_name(&error.code).unwrap_or(ErrorCode::ImportFailed);
    let told = FlowError::new(code, error.message);
    Some(match error.hint {
        Some(hint) => told.hint(hint),
        None => told,
    })
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
    toml_file::read_sound(Path::new(config), &ProcessEnvironment)
        .map(|(project, _)| project.python)
        .unwrap_or_default()
}
