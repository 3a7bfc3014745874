//! `flow connections add`: one more section in the user's own file, which nobody else can read.

use super::{checked, print, prompt, typed};
use crate::args::ConnectionsAddArgs;
use crate::commands::DONE;
use crate::commands::add::document::Edited;
use crate::commands::add::file::{File, Turn, held};
use crate::project::{Failure, Outcome, Session};
use crate::render::diagnostic;
use ematix_flow_core::connections::{DSN_VARIABLE, USER_FILE_SHOWN, dsn_variable, user_file};
use ematix_flow_core::declare::duckdb_options::DUCKDB_OPTIONS;
use ematix_flow_core::declare::environment::{Environment, ProcessEnvironment};
use ematix_flow_core::declare::mysql_dsn::mysql_dsn;
use ematix_flow_core::declare::{ProjectSpec, toml_file};
use ematix_flow_core::engine::Foreign;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::libpq::{parse_dsn, print_dsn};
use ematix_flow_core::secret::Secret;
use ematix_flow_run::execute::Stop;
use std::io;
use std::path::Path;
use toml_edit::{Array, DocumentMut, Item, Table, value};

const SECTION: &str = "connections";

/// What says nothing of where a connection leads, and so stays when it leads elsewhere.
const KEPT: &[&str] = &["read_only", "role", "max_connections", "session"];
const KEPT_OF_DUCKDB: &[&str] = &["read_only", "session"];

/// Adds a connection.
pub fn add(session: &Session, args: &ConnectionsAddArgs) -> Outcome {
    let path = user_file(&ProcessEnvironment).ok_or_else(no_home)?;
    refuse_name(session, &path, &args.name)?;
    refuse_password_in_dsn(args)?;
    if args.dsn.is_none() && args.host.is_none() && args.dbname.is_none() {
        return Err(leads_nowhere().into());
    }
    // Before anything is asked.
    let before = edited(&path, args)?;
    let password = password(session, args)?;
    let mut table = section(args, password.as_ref())?;
    let kept = keep(&mut table, before.as_deref().unwrap_or_default(), &args.name)?;
    let project = read(&path, &args.name, &table)?;
    let mut reports = Vec::new();
    if !args.no_check && !is_elsewhere(session, &args.name) {
        reports = checked(&session.engine_of(project), std::slice::from_ref(&args.name))?;
        if let Some(error) = reports.iter_mut().find_map(|report| report.error.take()) {
            return Err(error.detail("nothing was written; --no-check writes it all the same").into());
        }
    }
    write(&path, args, table)?;
    if session.console.is_human() {
        let kept = match kept.is_empty() {
            true => String::new(),
            false => format!("; kept {}", kept.join(", ")),
        };
        session.console.tell(&format!("wrote [{SECTION}.{}] to {USER_FILE_SHOWN}{kept}\n", args.name));
    }
    // Who reads a table is told of no connection that nobody has looked at.
    if !reports.is_empty() || !session.console.is_human() {
        print(session, &reports, true);
    }
    DONE
}

fn no_home() -> FlowError {
    FlowError::new(
        ErrorCode::MissingVariable,
        format!("{USER_FILE_SHOWN} cannot be written: HOME is not set"),
    )
    .hint("set HOME, or set EMATIX_FLOW_DSN_<NAME> instead")
}

fn leads_nowhere() -> FlowError {
    FlowError::new(ErrorCode::MissingOption, "nothing says where the connection leads").hint(
        "--host crm-db.internal --dbname crm --user reader, or --dsn postgresql://reader@crm-db.internal/crm",
    )
}

/// Refuses a name that nobody could type again, or whose variable would lead another connection, too.
fn refuse_name(session: &Session, path: &Path, name: &str) -> Result<()> {
    let wrong = |words: String| FlowError::new(ErrorCode::InvalidValue, words);
    if name.is_empty() || name.chars().any(char::is_control) {
        let why =
            if name.is_empty() { "is empty" } else { "contains a line break or another control character" };
        return Err(wrong(format!("the name of a connection {why}"))
            .hint("it is a word that pipelines name, such as crm"));
    }
    let text = held(path)?.unwrap_or_default();
    let of_file = Edited::of(&text).map(|file| file.names(SECTION)).unwrap_or_default();
    let variable = dsn_variable(name);
    let names = of_file.into_iter().chain(session.connections_of_files());
    match names.into_iter().find(|other| other != name && dsn_variable(other) == variable) {
        Some(other) => Err(wrong(format!(
            "the connections `{name}` and `{other}` would share the variable {variable}, which leads both to one place"
        ))
        .hint("take a name that differs in more than case and punctuation")),
        None => Ok(()),
    }
}

/// Takes over what the section of before says beside where it leads; the names of it.
fn keep(table: &mut Table, before: &str, name: &str) -> Result<Vec<&'static str>> {
    let file = Edited::of(before)?;
    let mut kept = Vec::new();
    let is_duckdb = table.get("dsn").and_then(Item::as_str).is_some_and(|dsn| dsn.starts_with("duckdb:"));
    let of_engine: Vec<&str> = match is_duckdb {
        true => KEPT_OF_DUCKDB.iter().chain(DUCKDB_OPTIONS).copied().collect(),
        false => KEPT.to_vec(),
    };
    for option in of_engine {
        let Some(said) = file.said(SECTION, name, option) else { continue };
        if !table.contains_key(option) {
            table.insert(option, said.clone());
            kept.push(option);
        }
    }
    Ok(kept)
}

/// A password on the command line is in the shell's history, and `ps` shows it to everybody.
fn refuse_password_in_dsn(args: &ConnectionsAddArgs) -> Result<()> {
    let Some(dsn) = args.dsn.as_deref().filter(|dsn| !is_file(dsn)) else { return Ok(()) };
    let has_password = match dsn.contains("${") {
        true => typed::has_password(dsn),
        false => match mysql_dsn(dsn)? {
            Some(said) => said.password.is_some(),
            None => parse_dsn(dsn)?.iter().any(|(name, _)| is_secret(name)),
        },
    };
    if !has_password {
        return Ok(());
    }
    Err(FlowError::new(
        ErrorCode::InvalidValue,
        "the DSN holds a password, which the shell's history keeps and `ps` shows",
    )
    .hint("leave it out: it is asked for, or comes by --password-stdin; and change the one that was typed"))
}

/// Whether a DSN leads to a file, which asks for no password.
fn is_file(dsn: &str) -> bool {
    dsn.starts_with("duckdb:") || Foreign::of_dsn(dsn) == Some(Foreign::Sqlite)
}

fn is_secret(parameter: &str) -> bool {
    matches!(parameter, "password" | "sslpassword")
}

/// The file as it is, taken apart.
fn edited(path: &Path, args: &ConnectionsAddArgs) -> Result<Option<String>> {
    let text = held(path)?;
    let has = Edited::of(text.as_deref().unwrap_or_default())
        .map_err(|error| FlowError { message: format!("{USER_FILE_SHOWN}: {}", error.message), ..error })?
        .has(SECTION, &args.name);
    if has && !args.replace {
        let words = format!("{USER_FILE_SHOWN} has a connection `{}` already", args.name);
        return Err(FlowError::new(ErrorCode::DuplicateName, words)
            .hint("take another name, or --replace to write over it"));
    }
    Ok(text)
}

/// The password: asked for, or read. None where a command prints it, or nobody is there to ask.
fn password(session: &Session, args: &ConnectionsAddArgs) -> Result<Option<Secret>, Failure> {
    let is_file = args.dsn.as_deref().is_some_and(is_file);
    let has_places = args.dsn.as_deref().is_some_and(|dsn| dsn.contains("${"));
    if args.password_stdin {
        if is_file || has_places {
            let words = "--password-stdin does not go with this DSN, which says itself all there is";
            return Err(FlowError::new(ErrorCode::ConflictingOptions, words)
                .hint("write ${env:NAME} or ${file:PATH} where its password belongs")
                .into());
        }
        let line = prompt::first_line().map_err(|error| unread(&error))?;
        return match line.reveal() {
            "" => Err(FlowError::new(ErrorCode::InvalidValue, "the input holds no password")
                .hint("its first line is the password")
                .into()),
            _ => Ok(Some(line)),
        };
    }
    if !args.password_command.is_empty() || is_file || has_places || !session.console.can_ask() {
        return Ok(None);
    }
    session.console.err(&format!("password of {} (empty: none): ", args.name));
    match prompt::hidden_line() {
        Ok(Ok(line)) => Ok(Some(line).filter(|line| !line.reveal().is_empty())),
        Ok(Err(stop)) => {
            let error = FlowError::new(ErrorCode::Cancelled, "nothing was written");
            Err(match stop {
                Stop::Terminate => error.context("signal", "SIGTERM"),
                _ => error,
            }
            .into())
        }
        Err(error) => Err(unread(&error).into()),
    }
}

fn unread(error: &io::Error) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("the password cannot be read: {error}"))
}

/// A password as it stands in a URL.
fn encoded(password: &str) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    password.bytes().map(one).collect()
}

/// The section as it is to be written.
fn section(args: &ConnectionsAddArgs, password: Option<&Secret>) -> Result<Table> {
    let mut table = Table::new();
    match (&args.dsn, password) {
        (Some(dsn), None) => {
            table.insert("dsn", value(dsn));
        }
        (Some(dsn), Some(password)) if Foreign::of_dsn(dsn) == Some(Foreign::MySql) => {
            let (login, rest) = dsn.split_once('@').unwrap_or((dsn, ""));
            let whole = format!("{}:{}@{rest}", login.trim_end_matches(':'), encoded(password.reveal()));
            table.insert("dsn", value(whole));
        }
        // Whole, in the form that can hold any password.
        (Some(dsn), Some(password)) => {
            let said = parse_dsn(dsn)?;
            let said = said.iter().map(|(name, word)| (name.as_str(), word.reveal()));
            let whole = print_dsn(said.chain([("password", password.reveal())]));
            table.insert("dsn", value(plain(whole.reveal())));
        }
        (None, _) => {
            let said = [
                ("host", &args.host),
                ("port", &args.port),
                ("dbname", &args.dbname),
                ("user", &args.user),
                ("sslmode", &args.sslmode),
                ("sslrootcert", &args.sslrootcert),
            ];
            for (name, word) in said {
                match word.as_deref().map(|word| (word, word.parse::<i64>())) {
                    Some((_, Ok(port))) if name == "port" => table.insert(name, value(port)),
                    Some((word, _)) => table.insert(name, value(word)),
                    None => None,
                };
            }
            if let Some(password) = password {
                table.insert("password", value(plain(password.reveal())));
            }
        }
    }
    if !args.password_command.is_empty() {
        table.insert("password_command", value(Array::from_iter(&args.password_command)));
    }
    if args.read_only {
        table.insert("read_only", value(true));
    }
    Ok(table)
}

/// A text in which `${` is what it is.
fn plain(text: &str) -> String {
    text.replace("${", "$${")
}

/// The project that has this connection and nothing else, judged as any.
fn read(path: &Path, name: &str, table: &Table) -> Result<ProjectSpec, Failure> {
    let mut sections = Table::new();
    sections.insert(name, Item::Table(table.clone()));
    let mut document = DocumentMut::new();
    document.insert(SECTION, Item::Table(sections));
    toml_file::read_text(&document.to_string(), &path.to_string_lossy(), &ProcessEnvironment).map_err(
        |errors| {
            // Its place is a file that is not written.
            let errors: Vec<FlowError> =
                errors.into_iter().map(|error| FlowError { location: None, ..error }).collect();
            errors.into()
        },
    )
}

/// Whether a variable goes before the file, so that logging in would tell nothing of what is written.
fn is_elsewhere(session: &Session, name: &str) -> bool {
    let plain = (name == "default").then(|| DSN_VARIABLE.to_owned());
    let variable = plain
        .into_iter()
        .chain([dsn_variable(name)])
        .find(|variable| ProcessEnvironment.variable(variable).is_some_and(|dsn| !dsn.is_empty()));
    let Some(variable) = variable else { return false };
    session
        .console
        .tell(&diagnostic::warning(&format!("{variable} is set and goes before the file: not logged in")));
    true
}

fn write(path: &Path, args: &ConnectionsAddArgs, table: Table) -> Result<()> {
    if let Some(directory) = path.parent() {
        make_private(directory)?;
    }
    let _turn = Turn::take(path);
    let before = edited(path, args)?;
    let mut file = Edited::of(before.as_deref().unwrap_or_default())?;
    match file.has(SECTION, &args.name) {
        true => file.replace(SECTION, &args.name, table),
        false => file.put(SECTION, &args.name, table)?,
    }
    let text = file.finish();
    File { path: path.to_owned(), text, before, is_private: true }.write()
}

fn make_private(directory: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| {
        FlowError::new(ErrorCode::InvalidValue, format!("`{}` cannot be made: {error}", directory.display()))
    })
}
