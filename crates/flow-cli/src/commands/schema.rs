//! `flow schema`: the JSON Schema of `pipelines.toml`.

use super::DONE;
use crate::args::SchemaArgs;
use crate::project::{Outcome, Session};
use ematix_flow_core::declare::json_schema::json_schema;
use ematix_flow_core::declare::options::described;

/// Prints the schema, or the table of options.
pub fn schema(session: &Session, args: &SchemaArgs) -> Outcome {
    let document = if args.options { described() } else { json_schema() };
    let schema = serde_json::to_string_pretty(&document).expect("a JSON Schema is JSON");
    session.console.out(&format!("{schema}\n"));
    DONE
}
