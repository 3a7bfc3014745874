//! `flow man`: the manual page, or one a command.

use super::DONE;
use crate::args::{Cli, ManArgs};
use crate::project::{Outcome, Session};
use clap::{Command, CommandFactory};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::path::Path;

/// Prints the page of `flow`, or writes every page into a directory.
pub fn man(session: &Session, args: &ManArgs) -> Outcome {
    let mut command = Cli::command();
    command.build();
    match &args.directory {
        None => session.console.out(&String::from_utf8_lossy(&page(&command)?)),
        Some(directory) => {
            let written = write(&command, directory)?;
            session.console.tell(&format!("{written} pages written to {}\n", directory.display()));
        }
    }
    DONE
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(|error| cannot("the page", &error))?;
    Ok(text)
}

fn write(command: &Command, directory: &Path) -> Result<usize> {
    std::fs::create_dir_all(directory).map_err(|error| cannot(&directory.display().to_string(), &error))?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let path = directory.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).map_err(|error| cannot(&path.display().to_string(), &error))?;
    let mut written = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        written += write(inner, directory)?;
    }
    Ok(written)
}

fn cannot(what: &str, error: &std::io::Error) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("{what} cannot be written: {error}"))
}
