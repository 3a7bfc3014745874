//! One file a command; this one leads to them and prints what kept a command from its work.

pub mod add;
pub mod check;
pub mod completions;
pub mod connections;
pub mod copy;
pub mod daemon;
pub mod demo;
pub mod dev;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod features;
pub mod graph;
pub mod history;
pub mod init;
pub mod list;
pub mod logs;
pub mod lsp;
pub mod man;
pub mod mend;
pub mod plan;
pub mod rejected;
pub mod run;
pub mod run_due;
pub mod schema;
pub mod serve;
pub mod show;
pub mod status;
pub mod transform;
pub mod unknown;
pub mod validate;
pub mod version;
pub mod watermark;
pub mod wishes;

use crate::args::{Cli, Command, GlobalArgs, Output, manner_of};
pub use crate::console::log_line;
use crate::console::{Console, Format};
use crate::exit;
use crate::project::{Outcome, Session};
use crate::python::Surroundings;
use crate::render::github::Annotations;
use crate::render::{diagnostic, markdown};
use ematix_flow_core::declare::Places;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_run::execute::Engine;
use ematix_flow_telemetry::Telemetry;
use serde_json::json;
use std::sync::Arc;

/// Runs the command that was asked for.
pub fn dispatch(cli: Cli, around: Surroundings) -> u8 {
    let name = looks_ahead(&cli.command);
    let refused = form_refused(&cli.global, &cli.command, name);
    let mut manner = cli.global.manner();
    if let Command::Other(words) = &cli.command {
        // What stands behind a word that is no command was not parsed.
        let said = manner_of(words);
        manner.log_json |= said.log_json;
        if said.format != Format::Human {
            manner.format = said.format;
        }
    }
    if refused.is_some() {
        // The form that was asked for is none of this command's: its errors are words.
        manner.format = Format::Human;
    }
    let telemetry = Telemetry::from_environment(Arc::new(ProcessEnvironment));
    let session = Session { console: Console::new(manner), global: cli.global, around, telemetry };
    let outcome = match refused {
        Some(error) => Err(error.into()),
        None => perform(&session, cli.command),
    };
    match outcome {
        Ok(code) => code as u8,
        Err(failure) => {
            report_errors(&session, name.unwrap_or_default(), &failure.0);
            failure.exit() as u8
        }
    }
}

/// The name of a command that says what would happen, or what is: a reviewer wants that beside the change.
fn looks_ahead(command: &Command) -> Option<&'static str> {
    match command {
        Command::Validate(_) => Some("validate"),
        Command::Preview(_) => Some("preview"),
        Command::Plan(_) => Some("plan"),
        Command::DryRun(_) => Some("dry-run"),
        Command::Run(args) if args.dry_run => Some("dry-run"),
        Command::Diff(_) => Some("diff"),
        _ => None,
    }
}

fn perform(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Init(args) => init::init(session, &args),
        Command::Add(args) => add::add(session, &args),
        Command::Demo(args) => demo::demo(session, &args),
        Command::Dev(command) => dev::dev(session, &command),
        Command::List(args) => list::list(session, &args),
        Command::Show(args) => show::show(session, &args),
        Command::Graph(args) => graph::graph(session, &args),
        Command::Validate(args) => validate::validate(session, &args),
        Command::Preview(args) => plan::preview(session, &args),
        Command::Plan(args) => plan::plan(session, &args),
        Command::DryRun(args) => run::dry_run(session, &args),
        Command::Run(args) => run::run(session, &args),
        Command::Copy(args) => copy::copy(session, &args),
        Command::RunDue(selection) => run_due::run_due(session, &selection),
        Command::Daemon(args) => daemon::daemon(session, &args),
        Command::Retry(args) => wishes::retry(session, &args),
        Command::Cancel(selection) => wishes::cancel(session, &selection),
        Command::Pause(args) => wishes::pause(session, &args),
        Command::Resume(selection) => wishes::resume(session, &selection),
        Command::Unlock(selection) => wishes::unlock(session, &selection),
        Command::Status(args) => status::status(session, &args),
        Command::History(args) => history::history(session, &args),
        Command::Logs(args) => logs::logs(session, &args),
        Command::Rejected(args) => rejected::rejected(session, &args),
        Command::Diff(args) => diff::diff(session, &args),
        Command::Doctor(args) => doctor::doctor(session, &args),
        Command::Check(selection) => check::check(session, &selection),
        Command::Watermark(command) => watermark::watermark(session, &command),
        Command::Rewind(args) => mend::rewind(session, &args),
        Command::Backfill(args) => mend::backfill(session, &args),
        Command::Transform(command) => transform::transform(session, &command),
        Command::Features(command) => features::features(session, &command),
        Command::Connections(command) => connections::connections(session, &command),
        Command::Schema(args) => schema::schema(session, &args),
        Command::Lsp(args) => lsp::lsp(session, &args),
        Command::Completions(args) => completions::completions(session, &args),
        Command::Man(args) => man::man(session, &args),
        Command::Explain(args) => explain::explain(session, &args),
        Command::Version => version::version(session),
        Command::Other(words) => unknown::unknown(session, &words),
    }
}

/// Refuses a form that a command has no answer in, and a flag that a form has no place for.
fn form_refused(global: &GlobalArgs, command: &Command, looks_ahead: Option<&str>) -> Option<FlowError> {
    let form = match global.output {
        Output::Markdown => "markdown",
        Output::Github => "github",
        Output::Human | Output::Json | Output::Ndjson => return None,
    };
    if looks_ahead.is_none() {
        let hint = match command {
            Command::Run(_) => "add --dry-run; the forms of a run are human, json and ndjson",
            _ => "its forms are human, json and ndjson",
        };
        let message = format!(
            "`--output {form}` is for what a reviewer reads: validate, preview, plan and dry-run have it"
        );
        return Some(FlowError::new(ErrorCode::InvalidValue, message).hint(hint));
    }
    if let (Command::Diff(_), Output::Github) = (command, global.output) {
        let message = "`--output github` is for what stands in a file: a difference of rows does not";
        return Some(
            FlowError::new(ErrorCode::InvalidValue, message).hint("--output markdown has a page of it"),
        );
    }
    let flag = match command {
        Command::Plan(args) | Command::Preview(args) if args.sql => "--sql",
        Command::DryRun(args) if args.sample > 0 => "--sample",
        _ => return None,
    };
    (global.output == Output::Github).then(|| {
        let message = format!("`{flag}` has no place in `--output github`");
        FlowError::new(ErrorCode::ConflictingOptions, message).hint("--output markdown shows both")
    })
}

/// Tells errors that are no run's: on stderr for people, and in the form that was asked for.
pub fn report_errors(session: &Session, command: &str, errors: &[FlowError]) {
    let console = &session.console;
    match console.format() {
        Format::Human => {}
        Format::Json | Format::NdJson => console.json(&errors_document(errors)),
        Format::Markdown => session.page(command, |about| markdown::errors(about, errors)),
        Format::Github => {
            let annotations = Annotations { places: &Places::default(), workspace: &session.workspace() };
            console.out(&annotations.errors(errors));
        }
    }
    tell_errors(console, errors);
}

/// Tells errors on stderr.
pub fn tell_errors(console: &Console, errors: &[FlowError]) {
    if console.logs_json() {
        for error in errors {
            log_line(console, "error", &error.message, json!({ "error": error }));
        }
    } else if console.format() != Format::Github {
        // GitHub's log shows annotations in full: said once is enough.
        console.err(&diagnostic::errors(errors));
    }
}

/// The document of errors that are no run's.
pub fn errors_document(errors: &[FlowError]) -> serde_json::Value {
    json!({ "schema": "ematix.error.v1", "errors": errors })
}

/// Tells of pipelines that a `for_each` had when it last ran and has no more, where commands are about its members.
pub async fn tell_gone(console: &Console, engine: &Engine, names: &[String]) {
    let members = &engine.project().members;
    if !names.iter().any(|name| members.contains_key(name)) {
        return;
    }
    for (name, of) in engine.gone().await {
        let words = format!(
            "`{name}` is no member of `{of}` any more: its table is gone, or left out; what it loaded stays as it is"
        );
        if console.logs_json() {
            log_line(console, "warn", &words, json!({ "pipeline": name }));
        } else {
            console.tell(&diagnostic::warning(&words));
        }
    }
}

/// Prints a list: one document, or one line an item.
pub fn print_items<T: serde::Serialize>(console: &Console, schema: &str, name: &str, items: &[T]) {
    let mut listing = console.listing(schema, name);
    items.iter().for_each(|item| listing.add(item));
    listing.end(&[]);
}

/// Ends a command that answered as far as it could.
pub fn after_errors(console: &Console, errors: &[FlowError]) -> Outcome {
    if !errors.is_empty() {
        tell_errors(console, errors);
    }
    Ok(exit::of_errors(errors))
}

/// Success, for commands that only print.
pub const DONE: Outcome = Ok(ExitCode::Success);
