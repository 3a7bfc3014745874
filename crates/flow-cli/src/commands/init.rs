//! `flow init`: a commented `pipelines.toml` to begin with. Never writes over a file.

use super::DONE;
use crate::args::InitArgs;
use crate::project::{Outcome, Session};
use ematix_flow_core::error::{ErrorCode, FlowError};
use std::io::Write;

/// What a project begins with.
pub const STARTER: &str = include_str!("starter.toml");

/// Writes the starter to the file that `--config` names.
pub fn init(session: &Session, _args: &InitArgs) -> Outcome {
    let path = &session.global.config;
    let shown = path.display();
    let written = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), std::fs::create_dir_all)
        // Creates or fails: no look before, so nothing can come between.
        .and_then(|()| std::fs::File::create_new(path))
        .and_then(|mut file| file.write_all(STARTER.as_bytes()));
    match written {
        Ok(()) => {
            session
                .console
                .tell(&format!("written: {shown}\n\nnext:  edit it, then  flow validate  and  flow plan\n"));
            DONE
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let error = FlowError::new(
                ErrorCode::DuplicateName,
                format!("`{shown}` is there already; it is left as it is"),
            );
            Err(error.hint("--config FILE writes another").into())
        }
        Err(error) => {
            Err(FlowError::new(ErrorCode::InvalidValue, format!("`{shown}` cannot be written: {error}"))
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::declare::environment::ProcessEnvironment;
    use ematix_flow_core::declare::toml_file::read_text;
    use ematix_flow_run::execute::Engine;

    #[test]
    fn the_starter_is_valid() {
        let project = read_text(STARTER, "pipelines.toml", &ProcessEnvironment).unwrap();
        let engine = Engine::new(project);
        assert_eq!(engine.project().pipelines.keys().collect::<Vec<_>>(), ["customers"]);
        assert_eq!(engine.validate("customers"), []);
    }
}
