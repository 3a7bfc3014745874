//! `flow check`: the invariants of the history that a table holds. Ends with 1 if one is broken.

use crate::args::SelectionArgs;
use crate::console::Format;
use crate::project::{Outcome, Session};
use crate::render::lists;
use crate::selection;
use crate::signals;
use ematix_flow_core::error::{ExitCode, FlowError};
use ematix_flow_core::report::Violation;
use serde::Serialize;
use serde_json::json;

/// A violation with the pipeline whose target has it.
#[derive(Serialize)]
struct Finding<'a> {
    #[serde(flatten)]
    violation: &'a Violation,
    pipeline: &'a str,
}

/// Verifies the targets of the pipelines that were asked for.
pub fn check(session: &Session, args: &SelectionArgs) -> Outcome {
    let engine = match selection::is_nothing(args) {
        true => session.engine()?,
        false => session.connected_engine(&selection::said(args))?,
    };
    let selection = selection::choose_some(engine.project(), args, "check")?;
    let checked: Vec<(String, Vec<Violation>)> = signals::block_on(async |_| {
        let mut checked = Vec::new();
        for name in selection.names {
            let found = engine.check(&name).await?;
            checked.push((name, found));
        }
        Ok::<_, FlowError>(checked)
    })??;
    let findings: Vec<Finding<'_>> = checked
        .iter()
        .flat_map(|(pipeline, found)| found.iter().map(|violation| Finding { violation, pipeline }))
        .collect();
    let console = &session.console;
    match console.format() {
        Format::Human => {
            checked.iter().for_each(|(name, found)| console.out(&lists::violations(name, found)));
        }
        Format::NdJson => findings.iter().for_each(|finding| console.json(finding)),
        _ => console.json(&json!({
            "schema": "ematix.check.v1",
            "ok": findings.is_empty(),
            "violations": findings,
        })),
    }
    Ok(if findings.is_empty() { ExitCode::Success } else { ExitCode::Failed })
}
