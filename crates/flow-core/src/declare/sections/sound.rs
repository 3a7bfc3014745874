//! Keeps what is sound of a project, for a scheduler that goes on without the pipelines that are faulty.

use super::words::kind_and_name;
use crate::declare::transforms::{FullPostTransform, PostTransform};
use crate::declare::{PipelineSpec, ProjectSpec};
use crate::error::{ErrorCode, FlowError};
use crate::sql::QualifiedName;
use std::collections::HashSet;

/// Takes out the pipelines in which mistakes stand, or in a table or connection that they use. `false` where a mistake
/// concerns every pipeline.
pub fn keep_sound(project: &mut ProjectSpec, errors: &[FlowError]) -> bool {
    let mut faulty = Faulty::default();
    if !errors.iter().all(|error| faulty.add(error)) {
        return false;
    }
    faulty.leave_nothing_of(project);
    true
}

/// Adds what another project declares. Of a name that both declare nobody knows which is meant, so nothing that uses
/// it is left.
pub fn add_sound(project: &mut ProjectSpec, mut other: ProjectSpec) -> Vec<FlowError> {
    let (mut faulty, mut errors) = (Faulty::default(), Vec::new());
    for (sections, name, error) in project.clashes(&other) {
        faulty.insert(sections, name);
        errors.push(error);
    }
    other.connections.retain(|name, _| !project.connections.contains_key(name));
    other.tables.retain(|name, _| !project.tables.contains_key(name));
    other.pipelines.retain(|name, _| !project.pipelines.contains_key(name));
    other.together.retain(|name, _| !project.together.contains_key(name));
    other.transforms.retain(|name, _| !project.transforms.contains_key(name));
    project.take(other);
    faulty.leave_nothing_of(project);
    errors
}

/// The parts of a project that mistakes stand in.
#[derive(Default)]
struct Faulty {
    pipelines: HashSet<String>,
    tables: HashSet<String>,
    connections: HashSet<String>,
    transforms: HashSet<String>,
}

impl Faulty {
    /// Adds the part that a mistake stands in; `false` where it is not in one part alone.
    fn add(&mut self, error: &FlowError) -> bool {
        if error.code == ErrorCode::InvalidToml {
            return false;
        }
        let section = error.location.as_ref().and_then(|location| location.section.as_deref());
        let Some((kind, name)) = section.and_then(kind_and_name) else { return false };
        self.insert(kind, name)
    }

    /// Adds a part by its kind; `false` where it is not a kind that pipelines use.
    fn insert(&mut self, kind: &str, name: String) -> bool {
        match kind {
            "pipelines" => self.pipelines.insert(name),
            "tables" | "features" => self.tables.insert(name),
            "connections" => self.connections.insert(name),
            "transforms" => self.transforms.insert(name),
            _ => return false,
        };
        true
    }

    /// Takes out the pipelines and transforms that use a faulty part.
    fn leave_nothing_of(&self, project: &mut ProjectSpec) {
        let sound: Vec<bool> = project
            .pipelines
            .iter()
            .map(|(name, pipeline)| !self.concerns(project, name, pipeline))
            .collect();
        let mut sound = sound.into_iter();
        project.pipelines.retain(|_, _| sound.next().unwrap_or_default());
        project.transforms.retain(|name, spec| {
            let connection = spec.connection.as_deref().unwrap_or("default");
            !self.transforms.contains(name) && !self.connections.contains(connection)
        });
        let left = &project.pipelines;
        project.together.retain(|name, _| left.contains_key(name));
    }

    fn concerns(&self, project: &ProjectSpec, name: &str, pipeline: &PipelineSpec) -> bool {
        let parts = project.together.get(name).into_iter().flatten();
        self.pipelines.contains(name)
            || self.is_used(project, pipeline)
            || parts
                .into_iter()
                .any(|(part, spec)| self.pipelines.contains(part) || self.is_used(project, spec))
    }

    fn is_used(&self, project: &ProjectSpec, pipeline: &PipelineSpec) -> bool {
        let sources = pipeline.source.connections();
        let target = pipeline
            .options
            .target_connection
            .as_deref()
            .or(pipeline.source.first_connection())
            .unwrap_or("default");
        sources.iter().any(|source| self.connections.contains(source.unwrap_or("default")))
            || self.connections.contains(target)
            || self.is_target(project, &pipeline.target)
            || pipeline.options.transforms_post().iter().any(|step| self.is_after(project, step))
    }

    /// Whether a step after the load is one of the faulty transforms, or runs on a faulty connection.
    fn is_after(&self, project: &ProjectSpec, step: &PostTransform) -> bool {
        let PostTransform::Full(FullPostTransform { transform_ref: Some(name), .. }) = step else {
            return false;
        };
        let connection = project.transforms.get(name).and_then(|named| named.connection.as_deref());
        self.transforms.contains(name) || connection.is_some_and(|name| self.connections.contains(name))
    }

    /// Whether a target is one of the faulty tables: by its key, else by its qualified name, as a pipeline finds it.
    fn is_target(&self, project: &ProjectSpec, target: &str) -> bool {
        if self.tables.contains(target) || project.tables.contains_key(target) {
            return self.tables.contains(target);
        }
        let Ok((Some(schema), name)) = QualifiedName::parse(target) else { return false };
        match project.tables.called(schema.as_str(), name.as_str()) {
            Some((key, _)) => self.tables.contains(key),
            // Of a table that could not be read nobody knows the schema.
            None => self.tables.contains(name.as_str()) && !project.tables.contains_key(name.as_str()),
        }
    }
}
