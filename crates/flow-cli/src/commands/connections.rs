//! `flow connections`: where each leads, whether it can be logged in to, and one more of them.

mod add;
mod prompt;
mod typed;

use super::{DONE, after_errors, print_items};
use crate::args::ConnectionsCommand;
use crate::project::{Outcome, Session};
use crate::render::lists;
use crate::signals;
use ematix_flow_core::connections::check_user_file;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::error::{ErrorCode, FlowError, did_you_mean};
use ematix_flow_core::report::ConnectionReport;
use ematix_flow_run::execute::{Engine, Stop};

/// Lists, checks or adds connections.
pub fn connections(session: &Session, command: &ConnectionsCommand) -> Outcome {
    match command {
        ConnectionsCommand::List => {
            print(session, &session.engine_without_file()?.connections(), false);
            check_user_file(&ProcessEnvironment)?;
            DONE
        }
        ConnectionsCommand::Check { names } => check(session, &session.engine_without_file()?, names),
        ConnectionsCommand::Add(args) => add::add(session, args),
    }
}

fn check(session: &Session, engine: &Engine, names: &[String]) -> Outcome {
    let known: Vec<String> = engine.connections().into_iter().map(|connection| connection.name).collect();
    for name in names {
        if !known.contains(name) {
            // Where there is no file, or the user's own is faulty, that is the reason.
            check_user_file(&ProcessEnvironment)?;
            session.engine()?;
            return Err(unknown(name, &known).into());
        }
    }
    if names.is_empty() {
        check_user_file(&ProcessEnvironment)?;
    }
    let wanted = if names.is_empty() { &known } else { names };
    let reports = checked(engine, wanted)?;
    print(session, &reports, true);
    let errors: Vec<FlowError> = reports.iter().filter_map(|report| report.error.clone()).collect();
    after_errors(&session.console, &errors)
}

/// Logs in to each, until Ctrl-C.
fn checked(engine: &Engine, names: &[String]) -> Result<Vec<ConnectionReport>, FlowError> {
    signals::block_on(async |mut stop| {
        let work = async {
            let mut reports = Vec::new();
            for name in names {
                reports.push(engine.check_connection(name).await);
            }
            reports
        };
        tokio::select! {
            reports = work => Ok(reports),
            Ok(_) = stop.wait_for(|stop| *stop != Stop::No) => {
                Err(FlowError::new(ErrorCode::Cancelled, "the check was stopped"))
            }
        }
    })?
}

fn unknown(name: &str, known: &[String]) -> FlowError {
    let error = FlowError::new(ErrorCode::UnknownConnection, format!("there is no connection `{name}`"));
    match did_you_mean(name, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => error,
        None => error.hint(format!("connections: {}", known.join(", "))),
    }
}

fn print(session: &Session, reports: &[ConnectionReport], checked: bool) {
    let console = &session.console;
    if console.is_human() {
        console.out(&lists::connections(reports, checked));
    } else {
        print_items(console, "ematix.connections.v1", "connections", reports);
    }
}
