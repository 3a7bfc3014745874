//! Keeps what is sound of a project, for a scheduler that goes on without the pipelines that are faulty.

use super::{Files, unreadable};
use crate::declare::environment::Environment;
use crate::declare::{PipelineSpec, ProjectSpec};
use crate::error::{ErrorCode, FlowError};
use std::collections::HashSet;
use std::path::Path;

/// Reads a project and keeps what is sound of it: a mistake in a pipeline, or in a table or connection
/// that it uses, takes this pipeline out and leaves the others.
///
/// # Errors
/// Mistakes that concern every pipeline: files that are not TOML, `[defaults]`, `include`.
pub fn read_sound(
    path: &Path,
    files: &dyn Environment,
) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
    let text = files.read_file(path).map_err(|error| vec![unreadable(path, &error)])?;
    let mut reader = Files::new(files, false);
    reader.text(&text, path);
    let (mut project, errors) = reader.conclude();
    let mut faulty = Faulty::default();
    if !errors.iter().all(|error| faulty.add(error)) {
        return Err(errors);
    }
    project.pipelines.retain(|name, pipeline| !faulty.concerns(name, pipeline));
    Ok((project, errors))
}

/// The parts of a project that mistakes stand in.
#[derive(Default)]
struct Faulty {
    pipelines: HashSet<String>,
    tables: HashSet<String>,
    connections: HashSet<String>,
}

impl Faulty {
    /// Adds the part that a mistake stands in; `false` where it is not in one part alone.
    fn add(&mut self, error: &FlowError) -> bool {
        if error.code == ErrorCode::InvalidToml {
            return false;
        }
        let section = error.location.as_ref().and_then(|location| location.section.as_ref());
        let Some((kind, rest)) = section.and_then(|section| section.trim_matches(['[', ']']).split_once('.'))
        else {
            return false;
        };
        let name = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => rest.split('.').next().unwrap_or_default(),
        };
        match kind {
            "pipelines" => self.pipelines.insert(name.to_owned()),
            "tables" => self.tables.insert(name.to_owned()),
            "connections" => self.connections.insert(name.to_owned()),
            _ => return false,
        };
        true
    }

    fn concerns(&self, name: &str, pipeline: &PipelineSpec) -> bool {
        let source = pipeline.source.connection.as_deref().unwrap_or("default");
        let target = pipeline.options.target_connection.as_deref().unwrap_or(source);
        self.pipelines.contains(name)
            || self.connections.contains(source)
            || self.connections.contains(target)
            || self.tables.contains(&pipeline.target)
            // A qualified target may mean the table too.
            || pipeline.target.match_indices('.').any(|(dot, _)| self.tables.contains(&pipeline.target[dot + 1..]))
    }
}
