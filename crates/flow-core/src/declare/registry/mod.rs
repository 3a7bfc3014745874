//! A registry of pipelines that Python declared, as versioned JSON whose keys are those of `pipelines.toml`.
//!
//! It becomes the tree of values that TOML becomes too, and is read by the same reader: one place judges names, values
//! and what fits what, and says it in the same words. Places lead to the line of Python that declared a thing.

mod source;
#[cfg(test)]
mod tests;
mod trees;

use super::environment::Environment;
use super::sections::{Checker, Document, Reader};
use super::{ConnectionSpec, Places, ProjectSpec, SourceSpec, keep_sound};
use crate::error::{ErrorCode, FlowError, Location};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use source::as_in_toml;
use std::path::Path;
use trees::{DeclaredAt, Trees};

/// The version of the shape.
pub const SCHEMA: &str = "ematix.registry.v1";
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    schema: String,
    version: String,
    #[serde(default)]
    connections: IndexMap<String, Json>,
    #[serde(default)]
    tables: IndexMap<String, Json>,
    #[serde(default)]
    features: IndexMap<String, Json>,
    #[serde(default)]
    pipelines: IndexMap<String, Json>,
    #[serde(default)]
    transforms: IndexMap<String, Json>,
    #[serde(default)]
    places: IndexMap<String, DeclaredAt>,
    /// Why modules could not be imported that would declare more.
    #[serde(default)]
    errors: Vec<ToldError>,
}

/// An error as Python tells it.
#[derive(Deserialize)]
pub struct ToldError {
    code: String,
    message: String,
    #[serde(default)]
    details: Vec<String>,
    hint: Option<String>,
    #[serde(default)]
    context: Map<String, Json>,
    location: Option<ToldPlace>,
}

#[derive(Deserialize)]
struct ToldPlace {
    file: String,
    line: usize,
    #[serde(default)]
    column: usize,
}

impl From<ToldError> for FlowError {
    fn from(told: ToldError) -> FlowError {
        let code = ErrorCode::from_name(&told.code).unwrap_or(ErrorCode::ImportFailed);
        let place = |at: ToldPlace| Location {
            file: at.file,
            line: at.line,
            column: at.column.max(1),
            section: None,
            excerpt: None,
        };
        FlowError {
            details: told.details,
            hint: told.hint,
            context: told.context,
            location: told.location.map(|at| Box::new(place(at))),
            ..FlowError::new(code, told.message)
        }
    }
}

/// Reads a registry.
///
/// # Errors
/// `import_failed` for another version's, and for modules that could not be imported; every mistake, each at the line
/// of Python that declared it.
pub fn read_registry(json: &str, environment: &dyn Environment) -> Result<ProjectSpec, Vec<FlowError>> {
    match read(json, environment)? {
        (project, errors) if errors.is_empty() => Ok(project),
        (_, errors) => Err(errors),
    }
}

/// Reads a registry and keeps what is sound of it.
///
/// # Errors
/// `import_failed` for another version's, and mistakes that concern every pipeline.
pub fn read_sound_registry(
    json: &str,
    environment: &dyn Environment,
) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
    let (mut project, errors) = read(json, environment)?;
    // A module that could not be imported declares nothing that would be left.
    let mistakes: Vec<FlowError> =
        errors.iter().filter(|error| error.code != ErrorCode::ImportFailed).cloned().collect();
    if keep_sound(&mut project, &mistakes) { Ok((project, errors)) } else { Err(errors) }
}

/// A registry, and all that is wrong with it.
fn read(json: &str, environment: &dyn Environment) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
    let registry: Registry = serde_json::from_str(json).map_err(|error| {
        vec![FlowError::new(
            ErrorCode::ImportFailed,
            format!("the exported registry cannot be read: {error}"),
        )]
    })?;
    if registry.schema != SCHEMA || registry.version != env!("CARGO_PKG_VERSION") {
        return Err(vec![
            FlowError::new(
                ErrorCode::ImportFailed,
                format!(
                    "the Python package is ematix-flow {} ({}), and this binary is {}",
                    registry.version,
                    registry.schema,
                    env!("CARGO_PKG_VERSION")
                ),
            )
            .hint("install the same version of both: pip install ematix-flow"),
        ]);
    }
    let mut trees = Trees::new(registry.places);
    let connections = trees.section("connections", registry.connections);
    let tables = trees.section("tables", registry.tables);
    let features = trees.section("features", registry.features);
    let pipelines = trees.pipelines(registry.pipelines);
    let (transforms, functions) = trees.transforms(registry.transforms);
    let Trees { places, called, frames, mistakes, .. } = trees;

    let mut reader = Reader::default();
    let mut document = Document {
        reader: &mut reader,
        checker: Checker { source: None, mistakes },
        places: Places::default(),
        directory: Path::new(""),
        environment,
    };
    document.connections(&connections.node);
    document.tables(&tables.node);
    document.features(&features.node);
    document.pipelines(&pipelines.node);
    document.transforms(&transforms.node, &functions);
    reader.mistakes = document.checker.mistakes;
    for (path, location) in places {
        reader.project.places.insert(path, location);
    }
    let (mut project, mistakes) = reader.conclude(Vec::new());
    project.called = called;
    for (name, frame) in frames {
        let parts = project.together.get_mut(&name).into_iter().flat_map(|parts| parts.values_mut());
        for spec in project.pipelines.get_mut(&name).into_iter().chain(parts) {
            spec.source = SourceSpec { frame: Some(frame.clone()), ..SourceSpec::default() };
        }
    }
    let mut errors: Vec<FlowError> = registry.errors.into_iter().map(FlowError::from).collect();
    errors.extend(mistakes);
    Ok((project, errors))
}

/// What a pipeline's function answered: its source, and connections of its own.
///
/// # Errors
/// `import_failed` for what is none; what is wrong with `params`.
pub fn read_answer(pipeline: &str, answer: &str) -> Result<Answer, FlowError> {
    let no_source = |error: serde_json::Error| {
        FlowError::new(
            ErrorCode::ImportFailed,
            format!("the function of `{pipeline}` answered no source: {error}"),
        )
        .hint("it returns SQL text, or a Source")
    };
    let mut source: Map<String, Json> = serde_json::from_str(answer).map_err(no_source)?;
    let connections = match source.shift_remove("connections").filter(|said| !said.is_null()) {
        Some(connections) => serde_json::from_value(connections).map_err(no_source)?,
        None => IndexMap::new(),
    };
    as_in_toml(&mut source)?;
    Ok(Answer { source: serde_json::from_value(Json::Object(source)).map_err(no_source)?, connections })
}

/// What a transform's function returned: `{"metrics": {…}}`.
///
/// # Errors
/// `import_failed` for what is none.
pub fn read_metrics(transform: &str, answer: &str) -> Result<Map<String, Json>, FlowError> {
    #[derive(Deserialize)]
    struct Answer {
        metrics: Map<String, Json>,
    }
    serde_json::from_str(answer).map(|Answer { metrics }| metrics).map_err(|error| {
        FlowError::new(
            ErrorCode::ImportFailed,
            format!("the function of the transform `{transform}` answered no metrics: {error}"),
        )
    })
}

/// What a pipeline's function answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where the rows come from.
    pub source: SourceSpec,
    /// Connections that only the function knows.
    pub connections: IndexMap<String, ConnectionSpec>,
}
