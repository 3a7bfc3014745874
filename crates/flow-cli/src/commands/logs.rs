//! `flow logs RUN`: the steps of one run; with `--watch` until it ends.

use super::DONE;
use crate::args::LogsArgs;
use crate::console::Format;
use crate::exit;
use crate::project::{Outcome, Session};
use crate::render::history;
use crate::signals;
use crate::watching::{Item, Look, Watch};
use ematix_flow_core::report::RunLog;
use jiff::tz::TimeZone;
use serde_json::json;
use std::time::Duration;

/// Shows one run by its id or the last digits of it.
pub fn logs(session: &Session, args: &LogsArgs) -> Outcome {
    if let Some(every) = args.watch.watch {
        return watched(session, &args.run, every);
    }
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

fn watched(session: &Session, run: &str, every: Duration) -> Outcome {
    let engine = session.engine()?;
    // Runs that begin meanwhile may end in the same digits.
    let mut run = run.to_owned();
    let mut last_look = false;
    Watch { console: &session.console, command: "logs", every }.until_stopped(async || {
        let log = engine.run_log(&run).await?;
        run.clone_from(&log.run.run_id);
        let items = log.steps.iter().map(|step| Item {
            key: step.n.to_string(),
            state: json!(step),
            whole: json!(step),
        });
        // The steps are recorded after the end, a moment later.
        let over = !goes_on(&log) && (!log.steps.is_empty() || std::mem::replace(&mut last_look, true));
        Ok(Look {
            text: history::log(&log, &TimeZone::system()),
            items: items.collect(),
            errors: Vec::new(),
            ended: over.then(|| exit::of_row(&log.run)),
        })
    })
}

/// What follows a load is a part of its run.
fn goes_on(log: &RunLog) -> bool {
    let after = log.run.transforms.iter().map(|transform| &transform.status);
    std::iter::once(&log.run.status).chain(after).any(|status| status == "running")
}
