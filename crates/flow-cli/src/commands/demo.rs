//! `flow demo`: a shop's history, from nothing.

use crate::args::DemoArgs;
use crate::project::{Outcome, Session};
use ematix_flow_core::error::{ErrorCode, FlowError};

/// Shows the demonstration.
pub fn demo(_session: &Session, _args: &DemoArgs) -> Outcome {
    Err(FlowError::new(ErrorCode::NotYetSupported, "`flow demo` is not in this version yet").into())
}
