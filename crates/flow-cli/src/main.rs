//! The `flow` binary: the library's `run` with this process's arguments.

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod static_glibc;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    static_glibc::keep_to_what_is_linked_in();
    ExitCode::from(ematix_flow_cli::run(std::env::args_os()))
}
