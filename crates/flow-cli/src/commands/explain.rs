//! `flow explain CODE`: a page on each error code.

use super::DONE;
use crate::args::ExplainArgs;
use crate::project::{Outcome, Session};
use crate::render::style::{STRONG, paint};
use ematix_flow_core::error::{ErrorCode, FlowError, did_you_mean};
use serde_json::json;

/// Prints the page of a code, or every code in a line.
pub fn explain(session: &Session, args: &ExplainArgs) -> Outcome {
    let console = &session.console;
    let Some(word) = &args.code else {
        if console.is_human() {
            console.out(&every_code());
        } else {
            let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| described(*code)).collect();
            super::print_items(console, "ematix.explain.v1", "codes", &codes);
        }
        return DONE;
    };
    // As it is copied from a message: error[drift].
    let name = word.trim().trim_start_matches("error").trim_matches(['[', ']', ':']).to_lowercase();
    let code = ErrorCode::from_name(&name).ok_or_else(|| unknown(&name))?;
    if console.is_human() {
        console.out(&every_code());
    } else {
        console.json(&described(code));
    }
    DONE
}

fn described(code: ErrorCode) -> serde_json::Value {
    json!({ "code": code, "summary": code.summary(), "exit": code.exit() as u8 })
}

fn every_code() -> String {
    let width = ErrorCode::ALL.iter().map(|code| code.name().len()).max().unwrap_or(0);
    let line = |code: &ErrorCode| {
        format!("{}  {}\n", paint(STRONG, format_args!("{:width$}", code.name())), code.summary())
    };
    ErrorCode::ALL.iter().map(line).collect()
}

fn unknown(name: &str) -> FlowError {
    let error = FlowError::new(ErrorCode::InvalidValue, format!("there is no error code `{name}`"));
    match did_you_mean(name, ErrorCode::ALL.iter().map(|code| code.name())) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`flow explain` lists them"),
    }
}
