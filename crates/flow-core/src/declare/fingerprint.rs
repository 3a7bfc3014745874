//! What a pipeline declares as one short text, by which two states of a project are compared.

use super::{PipelineSpec, ProjectSpec};
use crate::sql::Literal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The digest of everything that a pipeline declares: its options with the defaults, the text of its query, the tables
/// that it loads, the transforms that it names, the variables that it uses. Where connections lead is no part of it.
pub fn fingerprint(project: &ProjectSpec, name: &str) -> Option<String> {
    let spec = project.pipelines.get(name)?;
    let parts = project.together.get(name).into_iter().flatten().map(|(_, part)| part);
    let declared: Vec<Value> =
        std::iter::once(spec).chain(parts).map(|spec| of_spec(project, spec)).collect();
    let variables: Vec<(&String, String)> = project
        .used_variables
        .get(name)
        .into_iter()
        .flatten()
        .filter_map(|name| Some((name, shown(project.variables.get(name).map(|variable| &variable.value)?))))
        .collect();
    let text = json!([declared, variables]).to_string();
    Some(Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn of_spec(project: &ProjectSpec, spec: &PipelineSpec) -> Value {
    let named = spec.options.transforms_post.iter().flatten().filter_map(|transform| transform.refers_to());
    let transforms: Vec<Value> = named
        .filter_map(|name| project.transforms.get(name))
        .map(|transform| json!([transform.connection, transform.sql, transform.transaction]))
        .collect();
    json!([spec.source, spec.target, spec.options, project.tables.get(&spec.target), transforms])
}

fn shown(value: &Literal) -> String {
    format!("{value:?}")
}
