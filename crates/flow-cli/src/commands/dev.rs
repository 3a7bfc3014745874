//! `flow dev`: a private Postgres for trying things out.

use crate::args::DevCommand;
use crate::project::{Outcome, Session};
use ematix_flow_core::error::{ErrorCode, FlowError};

/// Does what was asked with the private server.
pub fn dev(_session: &Session, _command: &DevCommand) -> Outcome {
    Err(FlowError::new(ErrorCode::NotYetSupported, "`flow dev` is not in this version yet").into())
}
