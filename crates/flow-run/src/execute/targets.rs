//! What one call loads: one target, or several from one reading.

use super::{About, Engine, Request};
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::{Pipeline, Transform};

/// What stands for the run's id in a plan that is only printed.
pub const PLANNED: &str = "<batch>";

/// One target, with its run.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is loaded.
    pub pipeline: Pipeline,
    /// Its run.
    pub run_id: String,
}

/// What one call loads.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The pipeline as it was called.
    pub whole: Pipeline,
    /// The run of all of them.
    pub run_id: String,
    /// The targets; several are loaded in one transaction from one reading.
    pub each: Vec<Target>,
}

impl Targets {
    /// Whether there are several.
    pub fn are_several(&self) -> bool {
        self.each.len() > 1
    }

    /// What runs after the commit: what a target says for itself, and what is said for all.
    pub fn after(&self) -> impl Iterator<Item = &Transform> {
        let of_parts = self.are_several().then_some(&self.each).into_iter().flatten();
        of_parts.flat_map(|target| &target.pipeline.after).chain(&self.whole.after)
    }

    /// Every run that has a row in the history: pipeline, run, and the run that it is a part of.
    pub fn runs(&self) -> Vec<(&Pipeline, &str, Option<&str>)> {
        let mut runs = Vec::new();
        let parent = self.are_several().then_some(self.run_id.as_str());
        if parent.is_some() {
            runs.push((&self.whole, self.run_id.as_str(), None));
        }
        runs.extend(self.each.iter().map(|target| (&target.pipeline, target.run_id.as_str(), parent)));
        runs
    }
}

impl Engine {
    /// What a pipeline loads.
    pub(super) fn targets(&self, name: &str, request: &Request, about: &About) -> Result<Targets> {
        let whole = self.build(name, request)?;
        let several = self.parts(name, request).map_err(|mut errors| errors.remove(0))?;
        let of_whole = |pipeline| Target { pipeline, run_id: about.run_id.clone() };
        let each = match several {
            Some(parts) if parts.len() > 1 => {
                let numbered = parts.into_iter().zip(1..);
                numbered.map(|(pipeline, n)| Target { pipeline, run_id: about.part_run_id(n) }).collect()
            }
            Some(parts) => parts.into_iter().map(of_whole).collect(),
            None => vec![of_whole(whole.clone())],
        };
        Ok(Targets { whole, run_id: about.run_id.clone(), each })
    }

    /// The targets of a pipeline that names several; `None` for one with a single target.
    ///
    /// # Errors
    /// Every violated rule of each.
    pub(super) fn parts(
        &self,
        name: &str,
        request: &Request,
    ) -> std::result::Result<Option<Vec<Pipeline>>, Vec<FlowError>> {
        let Some(specs) = self.project.together.get(name) else { return Ok(None) };
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        for part in specs.keys() {
            match Pipeline::build_part(&self.project, name, part, &request.overrides) {
                Ok(built) => {
                    errors.extend(super::refuses(&built, part, request));
                    parts.push(super::at_slot(built, request));
                }
                Err(found) => errors.extend(found.into_iter().map(|error| self.locate(error, name))),
            }
        }
        errors.extend(fit_together(name, &parts).map(|error| self.locate(error, name)));
        if errors.is_empty() { Ok(Some(parts)) } else { Err(errors) }
    }
}

/// Which of the targets an error is about.
pub fn of_target(error: FlowError, pipeline: &Pipeline) -> FlowError {
    error.context("target", pipeline.target.name().to_string())
}

/// Why parts cannot be loaded together.
fn fit_together(name: &str, parts: &[Pipeline]) -> Option<FlowError> {
    let conflict =
        |message: String, hint: &str| Some(FlowError::new(ErrorCode::ConflictingOptions, message).hint(hint));
    let first = parts.first()?;
    if let Some(part) = parts.iter().find(|part| part.target_connection != first.target_connection) {
        return conflict(
            format!(
                "`{name}` loads {} by the connection {} and {} by {}",
                first.target.name(),
                first.target_connection,
                part.target.name(),
                part.target_connection
            ),
            "several targets are loaded in one transaction: give all of them one target_connection",
        );
    }
    let named_before = |index: usize| parts[..index].iter().map(Pipeline::target_key);
    let twice =
        (0..parts.len()).find(|index| named_before(*index).any(|key| key == parts[*index].target_key()));
    if let Some(index) = twice {
        return conflict(
            format!("`{name}` loads {} twice", parts[index].target.name()),
            "name each target once",
        );
    }
    let forced = |part: &&Pipeline| part.force_path.is_some_and(|path| path != ForcePath::SameDb);
    if parts.iter().any(|part| forced(&part)) {
        let error = FlowError::new(
            ErrorCode::PathImpossible,
            format!("`{name}` reads once for several targets, so none of them has a path of its own"),
        );
        return Some(error.hint("remove force_path"));
    }
    None
}
