//! Connections to DuckDB: where they lead, what is said beside that, and what is refused there.

#[path = "support/memory.rs"]
mod memory;

use ematix_flow_core::connections::{ConnectionTarget, DuckDbOptions, resolve};
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::error::FlowError;
use memory::Memory;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

fn found(text: &str, machine: &Memory) -> Result<ConnectionTarget, FlowError> {
    let project = read_text(text, "etl/pipelines.toml", &Memory::new()).expect("the file is right");
    resolve("w", &project, machine)
}

fn refused(text: &str, machine: &Memory) -> String {
    let error = found(text, machine).expect_err("it is refused");
    format!("{} {}", error.code, error.message)
}

/// The mistakes that the reader of a file finds.
fn mistakes(text: &str) -> Vec<String> {
    let errors = read_text(text, "pipelines.toml", &Memory::new()).expect_err("it is refused");
    errors.iter().map(|error| format!("{} {}", error.code, error.message)).collect()
}

#[test]
fn a_file_lies_beside_the_one_that_names_it_and_so_do_its_directories() {
    let text = "[connections.w]\ndsn = 'duckdb:w.duckdb'\nmemory_limit = '1 GB'\nthreads = 2\n\
                temp_directory = 'spilled'\nstorage_version = 'v1.0.0'\ndriver = 'lib/libduckdb.so'\nread_only = true\n";
    let target = found(text, &Memory::new()).unwrap();
    assert_eq!(target.file(), Some(Path::new("etl/w.duckdb")));
    assert!(target.read_only);
    assert_eq!(
        target.duckdb,
        DuckDbOptions {
            memory_limit: Some("1 GB".to_owned()),
            threads: NonZeroU32::new(2),
            temp_directory: Some(PathBuf::from("etl/spilled")),
            storage_version: Some("v1.0.0".to_owned()),
            driver: Some("etl/lib/libduckdb.so".to_owned()),
        }
    );
    // A manifest has a name and no place.
    let named = found("[connections.w]\ndsn = 'duckdb:/w.duckdb'\ndriver = 'duckdb'\n", &Memory::new());
    assert_eq!(named.unwrap().duckdb.driver.as_deref(), Some("duckdb"));
}

#[test]
fn a_variable_moves_a_connection_and_the_files_say_how_it_is_opened() {
    let machine = Memory::new().variable("EMATIX_FLOW_DSN_W", "duckdb:other.duckdb").variable("LIMIT", "2GB");
    let text = "[connections.w]\nmemory_limit = '${env:LIMIT}'\n";
    let target = found(text, &machine).unwrap();
    assert_eq!(target.to_string(), "duckdb:other.duckdb");
    assert_eq!(target.duckdb.memory_limit.as_deref(), Some("2GB"));
    let wrong = machine.variable("LIMIT", "much");
    assert_eq!(refused(text, &wrong), "invalid_value `memory_limit` is \"much\"");
}

#[test]
fn a_database_in_memory_is_its_connections_own() {
    let text = "[connections.w]\ndsn = 'duckdb:'\n[connections.v]\ndsn = 'duckdb::memory:'\n";
    let project = read_text(text, "pipelines.toml", &Memory::new()).unwrap();
    let [w, v] = ["w", "v"].map(|name| resolve(name, &project, &Memory::new()).unwrap());
    assert_eq!((w.to_string(), w.file()), ("duckdb::memory:".to_owned(), None));
    assert_ne!(w.place(), v.place());
}

#[test]
fn what_is_duckdbs_is_refused_elsewhere_by_its_name() {
    let says = |option: &str| {
        format!("conflicting_options `{option}` says nothing of connection `w`: it does not lead to DuckDB")
    };
    for (option, value) in [
        ("memory_limit", "'1GB'"),
        ("threads", "2"),
        ("temp_directory", "'t'"),
        ("storage_version", "'v1.0.0'"),
        ("driver", "'duckdb'"),
    ] {
        for other in ["dsn = 'postgresql:///shop'", "host = 'db'"] {
            assert_eq!(mistakes(&format!("[connections.w]\n{other}\n{option} = {value}\n")), [says(option)]);
        }
        let machine =
            Memory::new().variable("USER", "ann").variable("EMATIX_FLOW_DSN_W", "postgresql:///shop");
        assert_eq!(refused(&format!("[connections.w]\n{option} = {value}\n"), &machine), says(option));
    }
}

#[test]
fn what_is_postgres_is_refused_of_duckdb_by_its_name() {
    for (line, why) in [
        ("sslmode = 'require'", "`sslmode` says nothing of connection `w`: DuckDB has no server"),
        ("host = 'db'", "`host` says nothing of connection `w`: DuckDB has no server"),
        (
            "password_command = ['pass']",
            "`password_command` says nothing of connection `w`: DuckDB has no server",
        ),
        ("role = 'loader'", "`role` says nothing of connection `w`: DuckDB knows no roles"),
        (
            "max_connections = 2",
            "`max_connections` says nothing of connection `w`: a DuckDB file is opened once",
        ),
    ] {
        let text = format!("[connections.w]\ndsn = 'duckdb:w.duckdb'\n{line}\n");
        assert_eq!(mistakes(&text), [format!("conflicting_options {why}")]);
    }
    let machine = Memory::new().variable("EMATIX_FLOW_DSN_W", "duckdb:w.duckdb");
    assert_eq!(
        refused("[connections.w]\nrole = 'loader'\n", &machine),
        "conflicting_options `role` says nothing of connection `w`: DuckDB knows no roles"
    );
    assert!(found("[connections.w]\nrole = 'none'\n", &machine).is_ok());
}

#[test]
fn a_database_in_memory_has_no_file_to_say_anything_of() {
    for line in ["read_only = true", "storage_version = 'v1.0.0'"] {
        let found = mistakes(&format!("[connections.w]\ndsn = 'duckdb:'\n{line}\n"));
        let option = line.split(' ').next().unwrap();
        assert!(found[0].contains(&format!("`{option}` says nothing of connection `w`")), "{found:?}");
    }
    assert!(
        found("[connections.w]\ndsn = 'duckdb:'\nread_only = false\nthreads = 1\n", &Memory::new()).is_ok()
    );
}

#[test]
fn values_and_dsns_have_their_form() {
    let of = |line: &str| mistakes(&format!("[connections.w]\ndsn = 'duckdb:w.duckdb'\n{line}\n")).join("; ");
    for value in ["much", "1", "GB", "1 parsec", ""] {
        let said = of(&format!("memory_limit = '{value}'"));
        assert!(said.starts_with("invalid_value") && said.contains("`memory_limit`"), "{said}");
    }
    for value in ["1.0.0", "v1", "v1.x.0", ""] {
        let said = of(&format!("storage_version = '{value}'"));
        assert!(said.starts_with("invalid_value") && said.contains("`storage_version`"), "{said}");
    }
    assert!(of("threads = 0").contains("`threads`"));
    for (dsn, said) in [
        ("duckdb://w.duckdb", "a DSN of DuckDB has no host"),
        ("duckdb:w.duckdb?threads=1", "a DSN of DuckDB has no options behind a ?"),
        ("duckdb::w", "what follows duckdb: begins with a colon, as no file's name does"),
    ] {
        let found = mistakes(&format!("[connections.w]\ndsn = '{dsn}'\n"));
        assert!(found[0].contains(said), "{found:?}");
    }
}
