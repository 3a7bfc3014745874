//! `flow completions SHELL`.

use super::DONE;
use crate::args::CompletionsArgs;
use crate::completing::VARIABLE;
use crate::project::{Outcome, Session};
use clap_complete::env::Shells;
use ematix_flow_core::error::{ErrorCode, FlowError};

/// Prints the completion script of a shell: it asks `flow` for what may follow, each time.
pub fn completions(session: &Session, args: &CompletionsArgs) -> Outcome {
    let shells = Shells::builtins();
    let shell = args.shell.to_string();
    let broken =
        |what: String| FlowError::new(ErrorCode::TargetFailed, format!("no script for {shell}: {what}"));
    let completer = shells.completer(&shell).ok_or_else(|| broken("it is not known".to_owned()))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "flow", "flow", "flow", &mut script)
        .map_err(|error| broken(error.to_string()))?;
    session.console.out(&String::from_utf8_lossy(&script));
    DONE
}
