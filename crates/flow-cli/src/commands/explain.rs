//! `flow explain CODE`: a page on each error code.

mod pages;

use super::DONE;
use crate::args::ExplainArgs;
use crate::project::{Outcome, Session};
use crate::render::style::{STRONG, paint};
use crate::render::table::width;
use ematix_flow_core::error::{ErrorCode, FlowError, did_you_mean};
use serde_json::json;

/// Columns beyond which lines are hard to follow.
const READABLE: usize = 96;

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
    let page = pages::page(code.name()).unwrap_or(code.summary());
    if console.is_human() {
        console.out(&on_terminal(page, console.width().min(READABLE)));
    } else {
        let mut document = json!({ "schema": "ematix.explain.v1" });
        if let (Some(document), serde_json::Value::Object(facts)) =
            (document.as_object_mut(), described(code))
        {
            document.extend(facts);
            document.insert("page".to_owned(), json!(page));
        }
        console.json(&document);
    }
    DONE
}

/// A page of the manual as terminals show it: examples indented, paragraphs as wide as they read well.
fn on_terminal(page: &str, width: usize) -> String {
    let mut text = String::new();
    let mut paragraph: Vec<&str> = Vec::new();
    let mut in_example = false;
    for line in page.lines().chain([""]) {
        if line.starts_with("```") {
            in_example = !in_example;
        } else if in_example {
            text.push_str(&format!("    {line}\n"));
        } else if let Some(head) = line.strip_prefix("# ") {
            text.push_str(&format!("{}\n", paint(STRONG, head)));
        } else if !line.is_empty() {
            paragraph.extend(line.split_whitespace());
        } else {
            text.push_str(&filled(&paragraph, width));
            paragraph.clear();
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Words in lines of at most so many columns.
fn filled(words: &[&str], columns: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for word in words {
        let needed = width(word);
        if used > 0 && used + 1 + needed > columns {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += needed;
    }
    if used > 0 {
        text.push('\n');
    }
    text
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
