//! `flow schema`: the JSON Schema of `pipelines.toml`.

use super::DONE;
use crate::project::{Outcome, Session};
use ematix_flow_core::declare::json_schema::json_schema;

/// Prints the schema.
pub fn schema(session: &Session) -> Outcome {
    let schema = serde_json::to_string_pretty(&json_schema()).expect("a JSON Schema is JSON");
    session.console.out(&format!("{schema}\n"));
    DONE
}
