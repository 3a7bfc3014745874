//! The `flow` command: arguments in, calls to the core, text and JSON out.
//!
//! The modules stand in the order in which they may use each other: each uses only those above it, and
//! a test holds them to it. Nothing here plans, reads a database or judges a spec; that is the core's
//! work. The same application serves the native binary and the Python wheel.

#![forbid(unsafe_code)]

pub mod console;
#[cfg_attr(not(unix), path = "dev_server/elsewhere.rs")]
pub mod dev_server;
pub mod secrets;
pub mod signals;
pub mod exit;
pub mod workspace;
mod completing;
pub mod args;
pub mod render;
pub mod python;
mod jobs;
mod project;
mod watching;
mod changed;
pub mod selection;
pub mod commands;
pub mod usage;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use console::Console;
use python::Surroundings;
use std::ffi::OsString;

/// Runs one command to its end, with what the process around it brings, and answers the exit code of the process.
pub fn run_beside(arguments: impl IntoIterator<Item = OsString>, around: Surroundings) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let [_, only] = arguments.as_slice()
        && (only == "--version" || only == "-V")
    {
        // Asked by scripts and shells at every start: answered before any parser is built.
        Console::plain().out(&commands::version::line());
        return 0;
    }
    if std::env::var_os(completing::VARIABLE).is_some() {
        match CompleteEnv::with_factory(args::Cli::command).try_complete(&arguments, None) {
            Ok(false) => {}
            Ok(true) => return 0,
            Err(error) => {
                drop(error.print());
                return 2;
            }
        }
    }
    match parsed(&arguments) {
        Ok(cli) => commands::dispatch(cli, around),
        Err(error) => {
            // Help and version go to stdout with 0, usage errors to stderr with 2. A closed pipe is no error.
            match error.use_stderr() {
                true => usage::tell(&Console::new(args::manner_of(&arguments)), &error, &arguments),
                false => drop(error.print()),
            }
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
    }
}

fn parsed(arguments: &[OsString]) -> Result<args::Cli, clap::Error> {
    let mut command = args::Cli::command();
    // Known before it is parsed: help and usage errors are printed by the parser.
    if arguments.iter().any(|argument| argument == "--no-color") {
        command = command.color(clap::ColorChoice::Never);
    }
    let parsed = command.try_get_matches_from_mut(arguments);
    let mut matches = parsed.map_err(|error| usage::advised(error, arguments))?;
    args::Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}
