//! `flow connections`: where each leads, and whether it can be logged in to.

use super::{DONE, after_errors, print_items};
use crate::args::ConnectionsCommand;
use crate::project::{Outcome, Session};
use crate::render::lists;
use crate::signals;
use ematix_flow_core::error::{ErrorCode, FlowError, did_you_mean};
use ematix_flow_core::report::ConnectionReport;
use ematix_flow_run::execute::Engine;

/// Lists or checks connections.
pub fn connections(session: &Session, command: &ConnectionsCommand) -> Outcome {
    let engine = session.engine()?;
    match command {
        ConnectionsCommand::List => {
            print(session, &engine.connections(), false);
            DONE
        }
        ConnectionsCommand::Check { names } => check(session, &engine, names),
    }
}

fn check(session: &Session, engine: &Engine, names: &[String]) -> Outcome {
    let known: Vec<String> = engine.connections().into_iter().map(|connection| connection.name).collect();
    for name in names {
        if !known.contains(name) {
            return Err(unknown(name, &known).into());
        }
    }
    let wanted = if names.is_empty() { &known } else { names };
    let reports = signals::block_on(async |_| {
        let mut reports = Vec::new();
        for name in wanted {
            reports.push(engine.check_connection(name).await);
        }
        reports
    })?;
    print(session, &reports, true);
    let errors: Vec<FlowError> = reports.iter().filter_map(|report| report.error.clone()).collect();
    after_errors(&session.console, &errors)
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
