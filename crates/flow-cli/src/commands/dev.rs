//! `flow dev`: a private Postgres for trying things out.

use super::DONE;
use crate::args::DevCommand;
use crate::console::Console;
use crate::dev_server::{DevServer, Status};
use crate::project::{Outcome, Session};
use crate::render::style::{FAINT, GOOD, paint};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use serde_json::json;
use std::process::Command;

/// Does what was asked with the private server.
pub fn dev(session: &Session, command: &DevCommand) -> Outcome {
    let console = &session.console;
    let server = DevServer::locate()?;
    match command {
        DevCommand::Start => start(console, &server),
        DevCommand::Stop => {
            let stopped = server.stop()?;
            told(console, &server, if stopped { "stopped; its data stays" } else { "it was not running" })
        }
        DevCommand::Status => status(console, &server),
        DevCommand::Url => {
            console.out(&format!("{}\n", server.url()));
            DONE
        }
        DevCommand::Psql { database, arguments } => {
            Err(psql(&server, database.as_deref(), arguments)?.into())
        }
        DevCommand::Reset => {
            let deleted = server.reset()?;
            told(
                console,
                &server,
                if deleted { "stopped, and its data deleted" } else { "there was nothing to delete" },
            )
        }
    }
}

fn start(console: &Console, server: &DevServer) -> Outcome {
    let started = server.start()?;
    if !console.is_human() {
        console.json(&document(&server.status()?));
        return DONE;
    }
    for message in &started.messages {
        console.tell(&format!("{message}\n"));
    }
    console.out(&format!("{}\n", started.url));
    DONE
}

fn told(console: &Console, server: &DevServer, message: &str) -> Outcome {
    if console.is_human() {
        console.tell(&format!("{message}\n"));
    } else {
        console.json(&document(&server.status()?));
    }
    DONE
}

fn status(console: &Console, server: &DevServer) -> Outcome {
    let status = server.status()?;
    if console.is_human() {
        console.out(&text(&status));
    } else {
        console.json(&document(&status));
    }
    DONE
}

fn text(status: &Status) -> String {
    let state = match (status.running, &status.version) {
        (true, _) => paint(GOOD, "running"),
        (false, Some(_)) => paint(FAINT, "not running"),
        (false, None) => paint(FAINT, "never started"),
    };
    let mut text = format!("{state}\n");
    let mut fact = |name: &str, value: String| text.push_str(&format!("  {name:<8} {value}\n"));
    if let Some(version) = &status.version {
        fact("version", format!("Postgres {version}"));
    }
    if let Some(pid) = status.pid {
        fact("process", pid.to_string());
    }
    fact("data", status.data_dir.display().to_string());
    fact("url", status.url.clone());
    text
}

fn document(status: &Status) -> serde_json::Value {
    json!({
        "schema": "ematix.dev.v1",
        "running": status.running,
        "version": status.version,
        "pid": status.pid,
        "data_dir": status.data_dir,
        "socket_dir": status.socket_dir,
        "url": status.url,
    })
}

/// Becomes psql; comes back only with the reason why not.
fn psql(server: &DevServer, database: Option<&str>, arguments: &[String]) -> Result<FlowError> {
    let own = server.psql_command()?;
    let mut command = match database {
        None => own,
        Some(database) => on_database(&own, server, database)?,
    };
    let error = become_it(command.args(arguments));
    Ok(FlowError::new(ErrorCode::ConnectFailed, format!("psql cannot be started: {error}")))
}

#[cfg(unix)]
fn become_it(command: &mut Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(command)
}

/// Nothing gets here where there is no server.
#[cfg(not(unix))]
fn become_it(_: &mut Command) -> std::io::Error {
    std::io::ErrorKind::Unsupported.into()
}

/// The same command on another database of the server.
fn on_database(own: &Command, server: &DevServer, database: &str) -> Result<Command> {
    let url = url_of(&server.url(), database)?;
    let mut command = Command::new(own.get_program());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.arg(url);
    Ok(command)
}

/// The address of another database of the private server.
///
/// # Errors
/// `invalid_value` for a name that would not stand unchanged in an address.
pub fn url_of(server_url: &str, database: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if database.is_empty() || !database.chars().all(plain) {
        let error =
            FlowError::new(ErrorCode::InvalidValue, format!("`{database}` is no plain name of a database"));
        return Err(error.hint(format!("open psql without it and use \\c, or psql on {server_url}")));
    }
    Ok(server_url.replacen("/postgres?", &format!("/{database}?"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_keeps_the_socket() {
        let url = "postgresql://postgres@/postgres?host=%2Frun%2Fpostgres&port=5432";
        assert_eq!(
            url_of(url, "ematix_demo").unwrap(),
            "postgresql://postgres@/ematix_demo?host=%2Frun%2Fpostgres&port=5432"
        );
        assert_eq!(url_of(url, "a?b").unwrap_err().code, ErrorCode::InvalidValue);
    }

    #[test]
    fn a_status_says_what_runs_where() {
        let status = Status {
            running: true,
            version: Some("18.6".into()),
            data_dir: "/d/data".into(),
            socket_dir: "/d/socket".into(),
            url: "postgresql://x".into(),
            pid: Some(4711),
        };
        assert_eq!(
            crate::render::plain(&text(&status)),
            "running\n  version  Postgres 18.6\n  process  4711\n  data     /d/data\n  url      postgresql://x\n"
        );
    }
}
