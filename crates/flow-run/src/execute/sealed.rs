//! The keys of markers: found when a run begins, sent, and never printed.

use super::Engine;
use ematix_flow_core::declare::interpolation::{Missing, Template};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::secret::Secret;
use std::path::Path;

impl Engine {
    /// The key that a marker of the pipeline names: `${env:NAME}` or `${file:/path}`.
    ///
    /// # Errors
    /// `missing_variable`, also for an empty one: everybody has that key.
    pub(super) fn key(&self, pipeline: &str, written: &str) -> Result<Secret> {
        let fail = |message: String, hint: &str| {
            let error = FlowError::new(ErrorCode::MissingVariable, message).hint(hint);
            Err(self.locate(error, pipeline))
        };
        let template = Template::parse(written)
            .map_err(|malformed| FlowError::new(ErrorCode::InvalidValue, malformed.message))?;
        match template.resolve(self.environment.as_ref(), Path::new("/")) {
            Ok(key) if key.reveal().is_empty() => {
                fail(format!("the key {written} is empty"), "a key has at least 16 random characters")
            }
            Ok(key) => Ok(key),
            Err(missing) => fail(
                format!("{missing}; `hash` in pipeline `{pipeline}` takes its key from it"),
                match missing {
                    Missing::Variable(_) => "set the variable; preview and validate need no key",
                    Missing::File(..) => "make the file readable; preview and validate need no key",
                },
            ),
        }
    }
}
