//! One file a command; this one leads to them and prints what kept a command from its work.

pub mod check;
pub mod completions;
pub mod connections;
pub mod demo;
pub mod dev;
pub mod explain;
pub mod history;
pub mod init;
pub mod list;
pub mod logs;
pub mod man;
pub mod plan;
pub mod run;
pub mod run_due;
pub mod schema;
pub mod show;
pub mod status;
pub mod unknown;
pub mod validate;
pub mod version;
pub mod watermark;

use crate::args::{Cli, Command, Output};
use crate::console::{Console, Format};
use crate::exit;
use crate::project::{Outcome, Session};
use crate::render::diagnostic;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use serde_json::json;

/// Runs the command that was asked for.
pub fn dispatch(cli: Cli) -> u8 {
    let session = Session { console: Console::new(cli.global.manner()), global: cli.global };
    let outcome = match format_refused(&session, &cli.command) {
        Some(error) => Err(error.into()),
        None => perform(&session, cli.command),
    };
    match outcome {
        Ok(code) => code as u8,
        Err(failure) => {
            report_errors(&session.console, &failure.0);
            failure.exit() as u8
        }
    }
}

fn perform(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Init(args) => init::init(session, &args),
        Command::Demo(args) => demo::demo(session, &args),
        Command::Dev(command) => dev::dev(session, &command),
        Command::List(selection) => list::list(session, &selection),
        Command::Show(args) => show::show(session, &args),
        Command::Validate(args) => validate::validate(session, &args),
        Command::Preview(args) => plan::preview(session, &args),
        Command::Plan(args) => plan::plan(session, &args),
        Command::DryRun(args) => run::dry_run(session, &args),
        Command::Run(args) => run::run(session, &args),
        Command::RunDue(selection) => run_due::run_due(session, &selection),
        Command::Status(selection) => status::status(session, &selection),
        Command::History(args) => history::history(session, &args),
        Command::Logs(args) => logs::logs(session, &args),
        Command::Check(selection) => check::check(session, &selection),
        Command::Watermark(command) => watermark::watermark(session, &command),
        Command::Connections(command) => connections::connections(session, &command),
        Command::Schema => schema::schema(session),
        Command::Completions(args) => completions::completions(session, &args),
        Command::Man(args) => man::man(session, &args),
        Command::Explain(args) => explain::explain(session, &args),
        Command::Version => version::version(session),
        Command::Other(words) => unknown::unknown(session, &words),
    }
}

/// Two forms that only plans have, and not yet.
fn format_refused(session: &Session, command: &Command) -> Option<FlowError> {
    let form = match session.global.output {
        Output::Markdown => "markdown",
        Output::Github => "github",
        Output::Human | Output::Json | Output::Ndjson => return None,
    };
    Some(match command {
        Command::Plan(_) | Command::Preview(_) => FlowError::new(
            ErrorCode::NotYetSupported,
            format!("`--output {form}` is not in this version yet"),
        )
        .hint("--output json has all of the plan"),
        _ => FlowError::new(ErrorCode::InvalidValue, format!("`--output {form}` is a form of plans"))
            .hint("the forms are human, json and ndjson"),
    })
}

/// Tells errors that are no run's: on stderr for people, and as a document where one was asked for.
pub fn report_errors(console: &Console, errors: &[FlowError]) {
    if console.format() != Format::Human {
        console.json(&errors_document(errors));
    }
    tell_errors(console, errors);
}

/// Tells errors on stderr.
pub fn tell_errors(console: &Console, errors: &[FlowError]) {
    if console.logs_json() {
        for error in errors {
            log_line(console, "error", &error.message, json!({ "error": error }));
        }
    } else {
        console.err(&diagnostic::errors(errors));
    }
}

/// The document of errors that are no run's.
pub fn errors_document(errors: &[FlowError]) -> serde_json::Value {
    json!({ "schema": "ematix.error.v1", "errors": errors })
}

/// One line for a log collector: `{"timestamp":…,"level":…,"message":…, …}`.
pub fn log_line(console: &Console, level: &str, message: &str, fields: serde_json::Value) {
    let mut line =
        json!({ "timestamp": jiff::Timestamp::now().to_string(), "level": level, "message": message });
    if let (Some(line), serde_json::Value::Object(fields)) = (line.as_object_mut(), fields) {
        line.extend(fields);
    }
    console.err(&format!("{line}\n"));
}

/// Prints a list: one document, or one line an item.
pub fn print_items<T: serde::Serialize>(console: &Console, schema: &str, name: &str, items: &[T]) {
    match console.format() {
        Format::NdJson => items.iter().for_each(|item| console.json(item)),
        _ => {
            let mut document = serde_json::Map::new();
            document.insert("schema".to_owned(), json!(schema));
            document.insert(name.to_owned(), json!(items));
            console.json(&document);
        }
    }
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
