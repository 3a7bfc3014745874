//! The `flow` binary: the library's `run` with this process's arguments.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ematix_flow_cli::run(std::env::args_os()))
}
