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
use trees::{Lines, Section, Trees};

/// The version of the shape.
pub const SCHEMA: &str = "ematix.registry.v2";
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    schema: String,
    version: String,
    /// Whether the parts before it are taken back: they were said while modules still declared.
    #[serde(default)]
    restarts: bool,
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
    places: IndexMap<String, Lines>,
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

/// What Python declares, a part at a time: a registry, or several of which each goes on with the one before.
#[derive(Default)]
pub struct Declarations {
    trees: Trees,
    errors: Vec<FlowError>,
    begun: bool,
}

impl Declarations {
    /// Adds what stands in a text, one registry or several.
    ///
    /// # Errors
    /// `import_failed` for what is none, and for another version's.
    pub fn add(&mut self, json: &str) -> Result<(), FlowError> {
        for part in serde_json::Deserializer::from_str(json).into_iter::<Registry>() {
            let part = part.map_err(|error| unreadable(&error.to_string()))?;
            if part.schema != SCHEMA || part.version != env!("CARGO_PKG_VERSION") {
                return Err(part.of_another_version());
            }
            if part.restarts {
                *self = Declarations::default();
            }
            self.begun = true;
            self.errors.extend(part.errors.into_iter().map(FlowError::from));
            self.trees.places(part.places);
            self.trees.section(Section::Connections, part.connections);
            self.trees.section(Section::Tables, part.tables);
            self.trees.section(Section::Features, part.features);
            self.trees.pipelines(part.pipelines);
            self.trees.transforms(part.transforms);
        }
        Ok(())
    }

    /// The project that was declared.
    ///
    /// # Errors
    /// `import_failed` for modules that could not be imported; every mistake, each at the line of Python that declared it.
    pub fn project(self, environment: &dyn Environment) -> Result<ProjectSpec, Vec<FlowError>> {
        match self.read(environment)? {
            (project, errors) if errors.is_empty() => Ok(project),
            (_, errors) => Err(errors),
        }
    }

    /// What is sound of the project that was declared, and what is wrong with the rest.
    ///
    /// # Errors
    /// Mistakes that concern every pipeline.
    pub fn sound_project(
        self,
        environment: &dyn Environment,
    ) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
        let (mut project, errors) = self.read(environment)?;
        // A module that could not be imported declares nothing that would be left.
        let mistakes: Vec<FlowError> =
            errors.iter().filter(|error| error.code != ErrorCode::ImportFailed).cloned().collect();
        if keep_sound(&mut project, &mistakes) { Ok((project, errors)) } else { Err(errors) }
    }

    /// What was declared, and all that is wrong with it.
    fn read(self, environment: &dyn Environment) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
        let Declarations { mut trees, mut errors, begun } = self;
        if !begun {
            return Err(vec![unreadable("it is empty")]);
        }
        let mut reader = Reader::default();
        let mistakes = std::mem::take(&mut trees.mistakes);
        let mut document = Document {
            reader: &mut reader,
            checker: Checker { source: None, mistakes },
            places: Places::default(),
            directory: Path::new(""),
            environment,
        };
        document.connections(&trees.whole(Section::Connections));
        document.tables(&trees.whole(Section::Tables));
        document.features(&trees.whole(Section::Features));
        document.pipelines(&trees.whole(Section::Pipelines));
        document.transforms(&trees.whole(Section::Transforms), &trees.functions);
        reader.mistakes = document.checker.mistakes;
        for (path, location) in trees.places {
            reader.project.places.insert(path, location);
        }
        let (mut project, mistakes) = reader.conclude(Vec::new());
        project.called = trees.called;
        for (name, frame) in trees.frames {
            let parts = project.together.get_mut(&name).into_iter().flat_map(|parts| parts.values_mut());
            for spec in project.pipelines.get_mut(&name).into_iter().chain(parts) {
                spec.source = SourceSpec { frame: Some(frame.clone()), ..SourceSpec::default() };
            }
        }
        errors.extend(mistakes);
        Ok((project, errors))
    }
}

fn unreadable(why: &str) -> FlowError {
    FlowError::new(ErrorCode::ImportFailed, format!("the exported registry cannot be read: {why}"))
}

impl Registry {
    fn of_another_version(&self) -> FlowError {
        FlowError::new(
            ErrorCode::ImportFailed,
            format!(
                "the Python package is ematix-flow {} ({}), and this binary is {}",
                self.version,
                self.schema,
                env!("CARGO_PKG_VERSION")
            ),
        )
        .hint("install the same version of both: pip install ematix-flow")
    }
}

/// Reads a registry.
///
/// # Errors
/// As [`Declarations::add`] and [`Declarations::project`].
pub fn read_registry(json: &str, environment: &dyn Environment) -> Result<ProjectSpec, Vec<FlowError>> {
    let mut declared = Declarations::default();
    declared.add(json).map_err(|error| vec![error])?;
    declared.project(environment)
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
