//! Checks the helpers of a pipeline: each is one, and fits the other options.

use super::Check;
use crate::declare::options::{HandleDeletes, PipelineOptions};
use crate::error::{ErrorCode, FlowError};
use crate::helpers::{self, Helper, Step};

impl Check<'_> {
    /// The helpers, each with its place.
    pub(crate) fn helpers(&mut self, options: &PipelineOptions) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, written) in options.transforms_pre().0.iter().enumerate() {
            let part = format!("transforms_pre.{index}");
            let Some(helper) = self.keep(&part, helpers::read(written)) else { continue };
            for error in misfits(helper.as_ref(), options) {
                self.fail(&part, error);
            }
            let place = self.project.places.find(&format!("{}.{part}", self.path));
            steps.push(Step { helper, place });
        }
        steps
    }
}

/// Which other options a helper excludes.
fn misfits(helper: &dyn Helper, options: &PipelineOptions) -> Vec<FlowError> {
    let name = helper.name();
    let conflict = |with: &str, why: &str| {
        FlowError::new(
            ErrorCode::ConflictingOptions,
            format!("`{name}` and `{with}` exclude each other: {why}"),
        )
        .hint("remove one of the two")
    };
    let deletes = helper
        .hides()
        .filter(|_| options.handle_deletes() != HandleDeletes::Ignore)
        .map(|why| conflict("handle_deletes", why));
    let watermark = (helper.leaves_out_any() && options.incremental_column.is_some()).then(|| {
        conflict(
            "incremental_column",
            "the next run would begin behind rows that the limit left out, and they would never be loaded",
        )
    });
    let returning = options.incremental_column.as_deref().filter(|column| helper.drops_later(column)).map(|column| {
        FlowError::new(
            ErrorCode::ConflictingOptions,
            format!("`{name}` may keep a row of a key that is older by `{column}` than one that it drops: the next run reads from the latest on, and would load what was dropped"),
        )
        .hint(format!("let order_by begin with \"{column} DESC\", or remove incremental_column"))
    });
    deletes.into_iter().chain(watermark).chain(returning).collect()
}
