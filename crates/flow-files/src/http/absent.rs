//! What a build without an HTTP client says of APIs.

use crate::api::Api;
use crate::records::Pages;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};

/// An error that says what to do.
pub fn begin(api: &Api) -> Result<Box<dyn Pages>> {
    let message = format!("this build does not read {}: it has no HTTP client", api.shown);
    Err(FlowError::new(ErrorCode::NotYetSupported, message)
        .hint("take a released build, or build with the cargo feature `clouds`"))
}
