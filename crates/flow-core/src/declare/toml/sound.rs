//! Keeps what is sound of a project, for a scheduler that goes on without the pipelines that are faulty.

use super::{Files, unreadable};
use crate::declare::environment::Environment;
use crate::declare::variables::Chosen;
use crate::declare::{ProjectSpec, keep_sound};
use crate::error::FlowError;
use std::path::Path;

/// Reads a project and keeps what is sound of it: a mistake in a pipeline, or in a table or connection
/// that it uses, takes this pipeline out and leaves the others.
///
/// # Errors
/// Mistakes that concern every pipeline: files that are not TOML, `[defaults]`, `include`.
pub fn read_sound(
    path: &Path,
    chosen: &Chosen,
    files: &dyn Environment,
) -> Result<(ProjectSpec, Vec<FlowError>), Vec<FlowError>> {
    let text = files.read_file(path).map_err(|error| vec![unreadable(path, &error)])?;
    let mut reader = Files::new(files, false);
    reader.text(text, path);
    reader.read(chosen);
    let (mut project, errors) = reader.conclude();
    if keep_sound(&mut project, &errors) { Ok((project, errors)) } else { Err(errors) }
}
