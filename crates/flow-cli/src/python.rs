//! Pipelines that Python declares: from a registry in this process (the wheel's `flow`), or from a child process that
//! exports one (the native `flow`). Either way the same JSON, read by the same reader.

use crate::dev_server;
use crate::workspace::DEFAULT_CONFIG;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::registry::{Answer, ToldError, read_answer, read_metrics};
use ematix_flow_core::declare::toml_file;
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_run::driver::Driver;
use ematix_flow_run::execute::callables::{Callables, GivenConnection, Interrupt};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// What the interpreter is given: the package's own command, and an exit code of ours where there is no package.
const COMMAND: &str = "\
import sys
try:
    from ematix_flow.export import main
except ModuleNotFoundError as missing:
    if missing.name not in ('ematix_flow', 'ematix_flow.export'):
        raise
    sys.exit(97)
sys.exit(main(sys.argv[1:]))
";

/// The exit code of [`COMMAND`] where the interpreter has no package.
const NO_PACKAGE: i32 = 97;

/// Says to the package that whoever asks tells of errors, and holds its standard input open until it has the answer.
const ASKER: (&str, &str) = ("EMATIX_FLOW_ASKER", "holding");

/// The error of a function that raised, where its exception is told by somebody else.
pub fn raised(pipeline: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("the function of `{pipeline}` raised an exception"))
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

    /// Asks the package one thing; what the user's code prints goes to the terminal as it is. It ends where its standard
    /// input does: when it is interrupted, or this process is gone.
    fn ask(
        &self,
        arguments: &[&str],
        question: &str,
        interrupt: Option<&Interrupt>,
    ) -> Result<String, FlowError> {
        let interpreter = self.interpreter.display();
        let asked = format!("asked for `{}`", self.modules.join(", "));
        let failed = |why: String| {
            FlowError::new(ErrorCode::ImportFailed, why)
                .detail(asked.clone())
                .context("interpreter", interpreter.to_string())
                .context("modules", self.modules.clone())
        };
        let mut child = Command::new(&self.interpreter)
            .args(["-c", COMMAND])
            .args(arguments)
            .env(ASKER.0, ASKER.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                failed(format!("{interpreter} cannot be started: {error}"))
                    .hint("set EMATIX_FLOW_PYTHON to the Python that has ematix-flow")
            })?;
        let mut input = child.stdin.take();
        if let Some(input) = &mut input {
            // One that ends before it has read everything says why by its exit code.
            let _ = input.write_all(question.as_bytes()).and_then(|()| input.write_all(b"\n"));
        }
        let output = child.stdout.take();
        let child = Arc::new(Mutex::new(child));
        // Without a wish it stays open until the answer is there.
        let open = Arc::new(Mutex::new(input));
        if let Some(interrupt) = interrupt {
            let (open, child) = (Arc::clone(&open), Arc::clone(&child));
            interrupt.granted_by(move |asked| {
                drop(held(&open).take());
                if asked == 0 {
                    kill_later(Arc::clone(&child));
                }
            });
        }
        let mut answer = Vec::new();
        let read = || -> std::io::Result<ExitStatus> {
            if let Some(mut output) = output {
                output.read_to_end(&mut answer)?;
            }
            ended(&child)
        };
        let status = read().map_err(|error| failed(format!("{interpreter} could not be asked: {error}")))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if status.success() {
            return Ok(answer);
        }
        if status.code() == Some(NO_PACKAGE) {
            return Err(failed(format!("the Python that was asked, {interpreter}, has no package ematix-flow"))
                .hint(format!(
                    "install it there: {interpreter} -m pip install ematix-flow; or activate the environment that has it, or set EMATIX_FLOW_PYTHON"
                )));
        }
        if let Some(signal) = signal_of(status) {
            return Err(FlowError::new(
                ErrorCode::Cancelled,
                format!("{interpreter} was stopped by {signal}"),
            )
            .detail(asked)
            .context("signal", signal));
        }
        Err(error_of(&answer).unwrap_or_else(|| {
            failed(format!("{interpreter} ended without an answer ({status})"))
                .hint("what it printed above says why")
        }))
    }
}

/// How long an interrupted Python may take: longer than it gives its own function.
const GRACE: Duration = Duration::from_secs(6);

/// How often is looked whether a process has ended that has answered.
const LOOK: Duration = Duration::from_millis(2);

fn held<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills what has not ended by itself: a function deep in C lets no other thread of its process end it.
fn kill_later(child: Arc<Mutex<Child>>) {
    std::thread::spawn(move || {
        std::thread::sleep(GRACE);
        // One that was waited for is left alone.
        let _ = held(&child).kill();
    });
}

/// Waits for the end, and leaves the process to others meanwhile.
fn ended(child: &Mutex<Child>) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = held(child).try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}

/// The wish to stop that ended a process: one in the terminal reaches the whole group.
fn signal_of(status: ExitStatus) -> Option<&'static str> {
    #[cfg(unix)]
    let by = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let by = None;
    match (status.code(), by) {
        // As the package says it.
        (Some(130), _) | (_, Some(2)) => Some("SIGINT"),
        (Some(143), _) | (_, Some(15)) => Some("SIGTERM"),
        _ => None,
    }
}

impl Callables for ChildPython {
    fn resolve(
        &self,
        pipeline: &str,
        connection: &GivenConnection,
        interrupt: &Interrupt,
    ) -> Result<Answer, FlowError> {
        let question =
            json!({ "modules": self.modules, "pipeline": pipeline, "connection": connection.secret_json() });
        read_answer(pipeline, &self.ask(&["resolve", pipeline], &question.to_string(), Some(interrupt))?)
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
        read_metrics(transform, &self.ask(&["call", transform], &question.to_string(), Some(interrupt))?)
    }
}

impl Python for ChildPython {
    fn registry(&self, modules: &[String]) -> Result<String, FlowError> {
        let mut arguments = vec!["registry"];
        arguments.extend(modules.iter().map(String::as_str));
        self.ask(&arguments, "", None)
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
