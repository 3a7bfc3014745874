//! `flow init`: a commented project to begin with, which runs as it is. Never writes over a file.

mod starter;

use super::DONE;
use super::add::file::{File, Turn};
use super::add::wanted::Wanted;
use super::add::{document, module};
use crate::args::InitArgs;
use crate::dev_server::DevServer;
use crate::project::{self, Outcome, Session};
use crate::render::diagnostic;
use crate::signals;
use ematix_flow_core::connections::DSN_VARIABLE;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::{PipelineOptions, toml_file};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::described::DescribedTable;
use starter::{CONNECTION, MODULE};
use std::path::{Path, PathBuf};

/// How many tables are looked at, and shown to choose from.
const MOST: usize = 20;

/// Where the project's database is.
enum Database {
    /// As the environment says.
    OfEnvironment,
    /// The private server, which runs.
    Private(String),
    /// Nobody knows yet.
    Unknown,
}

/// Writes a project to the file that `--config` names.
pub fn init(session: &Session, args: &InitArgs) -> Outcome {
    let config = &session.global.config;
    let module = args.python.then(|| PathBuf::from(format!("{MODULE}.py")));
    for path in std::iter::once(config).chain(&module) {
        refuse_existing(path)?;
    }
    let database = Database::find();
    let head = starter::head(&database.dsn());
    let (wanted, doubt) = match database {
        Database::Unknown => (starter::sample(), None),
        Database::OfEnvironment | Database::Private(_) => chosen(session, &head)?,
    };
    let files = match &module {
        None => vec![File {
            path: config.clone(),
            text: starter::project(&head, &wanted)?,
            before: None,
            is_private: false,
        }],
        Some(path) => vec![
            File {
                path: path.clone(),
                text: module::written(&[&wanted], &starter::load()),
                before: None,
                is_private: false,
            },
            File {
                path: config.clone(),
                text: document::with_module(&head, MODULE)?,
                before: None,
                is_private: false,
            },
        ],
    };
    {
        let _turn = Turn::take(config);
        files.iter().try_for_each(File::create)?;
    }
    tell(session, &files, &database, &wanted, doubt);
    DONE
}

fn refuse_existing(path: &Path) -> Result<()> {
    // What a link leads to may not be there: it would be written to all the same.
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let message = format!("`{}` is there already; it is left as it is", path.display());
    Err(FlowError::new(ErrorCode::DuplicateName, message).hint("--config FILE writes another"))
}

impl Database {
    fn find() -> Database {
        if std::env::var_os(DSN_VARIABLE).is_some_and(|dsn| !dsn.is_empty()) {
            return Database::OfEnvironment;
        }
        // Without a private server, or without a Postgres to make one of, there is none that runs.
        let status = DevServer::locate().and_then(|server| server.status());
        match status {
            Ok(status) if status.running => Database::Private(status.url),
            _ => Database::Unknown,
        }
    }

    /// The DSN as a file has it. Whoever sets the variable means another database than the private one.
    fn dsn(&self) -> String {
        match self {
            Database::OfEnvironment | Database::Unknown => format!("${{env:{DSN_VARIABLE}}}"),
            Database::Private(url) => format!("${{env:{DSN_VARIABLE}:-{url}}}"),
        }
    }
}

/// What is loaded: a table of the database that can be, else a sample; with what speaks against it.
fn chosen(session: &Session, head: &str) -> Result<(Wanted, Option<FlowError>), project::Failure> {
    let engine = engine(session, head)?;
    let load = starter::load();
    let found = signals::block_on(async |_| engine.describe(CONNECTION, CONNECTION, &["*.*"]).await)?;
    let tables = match found {
        Ok(described) => described.tables,
        // The file is as good as it can be: what is wrong is told.
        Err(error) => return Ok((starter::sample(), Some(error))),
    };
    // Those with a key first: a history needs one.
    let (keyed, _): (Vec<DescribedTable>, Vec<_>) =
        tables.into_iter().partition(|table| !table.primary_key.is_empty() || !table.unique.is_empty());
    let mut candidates = Vec::new();
    for table in keyed.into_iter().take(MOST) {
        let Ok(wanted) = Wanted::of(table, &load) else { continue };
        if doubt(session, head, &wanted)?.is_none() {
            candidates.push(wanted);
        }
        if !session.console.can_ask() && !candidates.is_empty() {
            break;
        }
    }
    let wanted = match ask(session, &candidates) {
        Some(index) => candidates.swap_remove(index),
        None => starter::sample(),
    };
    let doubt = doubt(session, head, &wanted)?;
    Ok((wanted, doubt))
}

fn engine(session: &Session, text: &str) -> Result<Engine, project::Failure> {
    Ok(session.engine_of(toml_file::read_text(text, "pipelines.toml", &ProcessEnvironment)?))
}

/// What keeps a pipeline from running, as far as a plan tells.
fn doubt(session: &Session, head: &str, wanted: &Wanted) -> Result<Option<FlowError>, project::Failure> {
    let engine = engine(session, &starter::project(head, wanted)?)?;
    if let Some(error) = engine.validate(&wanted.name).into_iter().next() {
        return Ok(Some(error));
    }
    let errors = signals::block_on(async |stop| {
        let request = project::request(PipelineOptions::default(), stop);
        engine.validate_connected(&wanted.name, &request).await
    })?;
    Ok(errors.into_iter().next())
}

/// The table that somebody at a terminal chooses; else the first.
fn ask(session: &Session, candidates: &[Wanted]) -> Option<usize> {
    let console = &session.console;
    if candidates.is_empty() || !console.can_ask() {
        return (!candidates.is_empty()).then_some(0);
    }
    let mut lines = "Which table shall the first pipeline load?\n".to_owned();
    for (index, wanted) in candidates.iter().enumerate() {
        lines.push_str(&format!("  {:>2}  {}\n", index + 1, wanted.source));
    }
    lines.push_str("   0  a sample of three rows, in the file itself\n");
    console.err(&lines);
    loop {
        let answer = console.ask(&format!("A number, or Enter for 1 ({}): ", candidates[0].source));
        match answer.as_deref().map(str::trim) {
            // At the end of the input nobody will say more.
            None | Some("") => return Some(0),
            Some("0") => return None,
            Some(text) => {
                let number =
                    text.parse::<usize>().ok().filter(|number| (1..=candidates.len()).contains(number));
                if let Some(number) = number {
                    return Some(number - 1);
                }
            }
        }
    }
}

fn tell(session: &Session, files: &[File], database: &Database, wanted: &Wanted, doubt: Option<FlowError>) {
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    let source = match &wanted.query {
        None => format!("loads {} into {}", wanted.source, wanted.target),
        Some(_) => format!("loads a sample into {}", wanted.target),
    };
    let next = match database {
        Database::Unknown => format!(
            "next:  export {DSN_VARIABLE}=postgresql://…, or  flow dev start  and  export {DSN_VARIABLE}=\"$(flow dev url)\"\n       \
             then  flow plan  and  flow run --all\n"
        ),
        Database::OfEnvironment | Database::Private(_) => {
            "next:  flow plan  and  flow run --all\n".to_owned()
        }
    };
    let console = &session.console;
    console.tell(&format!("written: {}\n{}: {source}\n\n", names.join(", "), wanted.name));
    if let Some(error) = doubt {
        console.tell(&diagnostic::doubt(&error));
        console.tell("\n");
    }
    console.tell(&next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_valid_wherever_it_leads() {
        for database in
            [Database::Unknown, Database::Private("postgresql://p@/p?host=%2Fs&port=1".to_owned())]
        {
            let text = starter::project(&starter::head(&database.dsn()), &starter::sample()).unwrap();
            let project = toml_file::read_text(&text, "pipelines.toml", &ProcessEnvironment).unwrap();
            let engine = Engine::new(project);
            assert_eq!(engine.project().pipelines.keys().collect::<Vec<_>>(), ["customers"]);
            assert_eq!(engine.validate("customers"), []);
        }
    }
}
