//! What a pipeline declares as one short text, by which two states of a project are compared.

use super::{PipelineSpec, ProjectSpec};
use crate::sql::Literal;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The digest of everything that a pipeline declares: its options with the defaults, the text of its query, the tables
/// that it loads, the transforms that it names, the variables that it uses. Where connections lead is no part of it.
pub fn fingerprint(project: &ProjectSpec, name: &str) -> Option<String> {
    let spec = project.pipelines.get(name)?;
    let parts = project.together.get(name).into_iter().flatten().map(|(_, part)| part);
    let declared: Vec<_> = std::iter::once(spec).chain(parts).map(|spec| of_spec(project, spec)).collect();
    let variables: Vec<(&String, String)> = project
        .used_variables
        .get(name)
        .into_iter()
        .flatten()
        .filter_map(|name| Some((name, shown(project.variables.get(name).map(|variable| &variable.value)?))))
        .collect();
    let text = serde_json::to_vec(&(declared, variables)).expect("what is declared has a JSON form");
    let mut digest = String::with_capacity(32);
    for byte in Sha256::digest(text).iter().take(16) {
        digest.extend([byte >> 4, byte & 15].map(|half| char::from(b"0123456789abcdef"[usize::from(half)])));
    }
    Some(digest)
}

fn of_spec<'p>(project: &'p ProjectSpec, spec: &'p PipelineSpec) -> impl Serialize + 'p {
    let named = spec.options.transforms_post.iter().flatten().filter_map(|transform| transform.refers_to());
    let transforms: Vec<_> = named
        .filter_map(|name| project.transforms.get(name))
        .map(|transform| (&transform.connection, &transform.sql, &transform.transaction))
        .collect();
    (&spec.source, &spec.target, &spec.options, project.tables.get(&spec.target), transforms)
}

fn shown(value: &Literal) -> String {
    format!("{value:?}")
}
