//! Words that are no command: of a later version, of another tool, or misspelt.

use crate::args::Cli;
use crate::project::{Outcome, Session};
use crate::secrets;
use clap::CommandFactory;
use clap::error::ErrorKind;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, did_you_mean};
use std::ffi::OsString;

/// Words of other tools, and what does the same here.
const FOREIGN: &[(&str, &str)] = &[
    ("build", "run"),
    ("snapshot", "run"),
    ("apply", "run"),
    ("sync", "run"),
    ("load", "run"),
    ("execute", "run"),
    ("start", "run"),
    ("up", "run"),
    ("ls", "list"),
    ("describe", "show"),
    ("dag", "graph"),
    ("lineage", "graph"),
    ("compile", "preview --sql"),
    ("compare", "diff"),
    ("data-diff", "diff"),
    ("test", "check"),
    ("audit", "check"),
    ("lint", "validate"),
    ("parse", "validate"),
    ("debug", "connections check"),
    ("ping", "connections check"),
    ("runs", "history"),
    ("log", "logs"),
    ("new", "init"),
    ("tutorial", "demo"),
    ("psql", "dev psql"),
];

/// Refuses a word that is no command, with the one that was probably meant.
pub fn unknown(session: &Session, words: &[OsString]) -> Outcome {
    let word = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let mut command = Cli::command();
    let foreign = FOREIGN.iter().find(|(foreign, _)| *foreign == word).map(|(_, ours)| (*ours).to_owned());
    let visible: Vec<String> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| command.get_name().to_owned())
        .collect();
    let near = || did_you_mean(&word, visible.iter().map(String::as_str)).map(str::to_owned);
    let tip = match foreign.or_else(near) {
        Some(ours) => format!("there is no command `{word}`; did you mean `flow {ours}`?"),
        None => format!("there is no command `{word}`; `flow --help` lists them"),
    };
    if !session.console.is_human() || session.console.logs_json() {
        let tip = secrets::hidden(&tip, words).unwrap_or(tip);
        let (message, hint) = tip.split_once("; ").unwrap_or((&tip, "`flow --help` lists them"));
        return Err(FlowError::new(ErrorCode::InvalidValue, message).hint(hint).into());
    }
    let error = command.error(ErrorKind::InvalidSubcommand, tip);
    let shown = error.render().ansi().to_string();
    session.console.err(&secrets::hidden(&shown, words).unwrap_or(shown));
    Ok(ExitCode::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_foreign_word_leads_to_a_command() {
        let command = Cli::command();
        for (foreign, ours) in FOREIGN {
            assert!(command.find_subcommand(foreign).is_none(), "{foreign} is a command");
            let first = ours.split(' ').next().unwrap();
            assert!(command.find_subcommand(first).is_some(), "{ours} is no command");
        }
    }
}
