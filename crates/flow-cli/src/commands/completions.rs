//! `flow completions SHELL`.

use super::DONE;
use crate::args::{Cli, CompletionsArgs};
use crate::project::{Outcome, Session};
use clap::CommandFactory;

/// Prints the completion script of a shell.
pub fn completions(session: &Session, args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "flow", &mut script);
    session.console.out(&String::from_utf8_lossy(&script));
    DONE
}
