//! The `flow` binary: the library with this process's arguments, and with the drivers that a process without Python has.

mod memory;
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod static_glibc;

use ematix_flow_cli::python::Surroundings;
use ematix_flow_run::duckdb::{self, DuckDbDriver};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    memory::gives_back_soon();
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    static_glibc::keep_to_what_is_linked_in();
    let around = Surroundings { python: None, drivers: vec![duckdb_driver()] };
    ExitCode::from(ematix_flow_cli::run_beside(std::env::args_os(), around))
}

// The C library of a static binary loads libraries only on machines like the one that has built it, and crashes elsewhere.
// Only this crate is built with the feature that says so.
#[cfg(target_feature = "crt-static")]
fn duckdb_driver() -> Arc<DuckDbDriver> {
    duckdb::without_library("this flow is one static binary, which loads no library")
}

#[cfg(all(feature = "adbc", not(target_feature = "crt-static")))]
fn duckdb_driver() -> Arc<DuckDbDriver> {
    duckdb::native()
}

#[cfg(not(any(feature = "adbc", target_feature = "crt-static")))]
fn duckdb_driver() -> Arc<DuckDbDriver> {
    duckdb::without_library("this flow was built without its feature `adbc`")
}
