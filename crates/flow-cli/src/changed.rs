//! What is declared otherwise than in an earlier state of the project: in what `flow list`, `preview` or `plan` said of it.

use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::declare::fingerprint::fingerprint;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// The selector.
pub const CHANGED: &str = "state:changed";

#[derive(Deserialize)]
struct State {
    schema: String,
    pipelines: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    #[serde(alias = "name")]
    pipeline: String,
    declaration: String,
}

/// The pipelines that the file does not know, or knows otherwise; none where nobody asks.
///
/// # Errors
/// `missing_option` for one without the other, `invalid_value` for a file that is no such answer.
pub fn since(project: &ProjectSpec, against: Option<&Path>, asked: bool) -> Result<Vec<String>> {
    const MAKE_ONE: &str = "make it where nothing is changed yet: flow list --output json > before.json";
    let path = match (against, asked) {
        (None, false) => return Ok(Vec::new()),
        (Some(path), true) => path,
        (None, true) => {
            return Err(FlowError::new(
                ErrorCode::MissingOption,
                format!("`{CHANGED}` needs --against FILE"),
            )
            .hint(MAKE_ONE));
        }
        (Some(_), false) => {
            return Err(FlowError::new(
                ErrorCode::MissingOption,
                "--against says nothing of what is selected",
            )
            .hint(format!("add {CHANGED}, which it is for")));
        }
    };
    let wrong = |what: String| {
        FlowError::new(ErrorCode::InvalidValue, format!("{} {what}", path.display())).hint(MAKE_ONE)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let state: State = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("is no answer of `flow list`: {error}")))?;
    if !matches!(state.schema.as_str(), "ematix.list.v1" | "ematix.preview.v1" | "ematix.plan.v1") {
        return Err(wrong(format!("is `{}`, and no answer of `flow list`", state.schema)));
    }
    let before: HashMap<String, String> =
        state.pipelines.into_iter().map(|declared| (declared.pipeline, declared.declaration)).collect();
    let differs = |name: &&String| before.get(*name) != fingerprint(project, name).as_ref();
    Ok(project.pipelines.keys().filter(differs).cloned().collect())
}
