//! `flow logs RUN`: the steps of one run.

use super::DONE;
use crate::args::LogsArgs;
use crate::console::Format;
use crate::project::{Outcome, Session};
use crate::render::history;
use crate::signals;
use jiff::tz::TimeZone;
use serde_json::json;

/// Shows one run by its id or the last digits of it.
pub fn logs(session: &Session, args: &LogsArgs) -> Outcome {
    let engine = session.engine()?;
    let log = signals::block_on(async |_| engine.run_log(&args.run).await)??;
    let console = &session.console;
    match console.format() {
        Format::Human => console.out(&history::log(&log, &TimeZone::system())),
        Format::NdJson => log.steps.iter().for_each(|step| console.json(step)),
        _ => console.json(&json!({ "schema": "ematix.logs.v1", "run": log.run, "steps": log.steps })),
    }
    DONE
}
