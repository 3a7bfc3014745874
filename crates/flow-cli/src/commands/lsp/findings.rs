//! What `flow validate` finds, as an editor is told it: by file, each with its range. And the plan of a pipeline.
//!
//! The commands are asked in a process of their own, with the options of this one: so an editor shows what a terminal
//! does, modules of Python are imported anew each time, and what they print is nobody's message.

use ematix_flow_core::error::{ErrorCode, FlowError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The findings of a directory's project, by the file that they are in.
///
/// # Errors
/// When the command cannot be started, or ends without an answer.
pub fn findings(directory: &Path, config: &Path) -> Result<BTreeMap<PathBuf, Vec<Value>>, FlowError> {
    let done = asked(directory, &["--output", "json"], &["validate"])?;
    let answer: Value =
        serde_json::from_slice(&done.stdout).map_err(|_| refused(&done.status.to_string()))?;
    let mut found: BTreeMap<PathBuf, Vec<Value>> = BTreeMap::new();
    for (kind, severity) in [("errors", 1), ("warnings", 2)] {
        for finding in answer[kind].as_array().into_iter().flatten() {
            let file = directory.join(finding["location"]["file"].as_str().map_or(config, Path::new));
            let told = told(finding, severity, &std::fs::read_to_string(&file).unwrap_or_default());
            found.entry(file).or_default().push(told);
        }
    }
    Ok(found)
}

/// The plan of a pipeline from the files alone, as `flow preview` prints it; none where it has mistakes.
pub fn preview(directory: &Path, pipeline: &str) -> Option<String> {
    // It would be an option.
    if pipeline.starts_with('-') {
        return None;
    }
    let done = asked(directory, &[], &["preview", pipeline]).ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    (done.status.success() && !text.is_empty()).then_some(text)
}

/// What a command says about the files alone: nothing is opened.
fn asked(directory: &Path, options: &[&str], command: &[&str]) -> Result<Output, FlowError> {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| OsString::from("flow"));
    Command::new(program)
        .args(words)
        .args(options)
        .arg("--answer")
        .args(command)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| refused(&error.to_string()))
}

fn refused(why: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("`flow` gives no answer about the files: {why}"))
}

/// A finding as a diagnostic of the protocol.
fn told(finding: &Value, severity: u8, text: &str) -> Value {
    let count = |name: &str| finding["location"][name].as_u64().and_then(|count| usize::try_from(count).ok());
    let (line, column) = (count("line").unwrap_or(1).max(1) - 1, count("column").unwrap_or(1).max(1) - 1);
    let content = text.lines().nth(line).unwrap_or_default();
    let mut message = finding["message"].as_str().unwrap_or_default().to_owned();
    if let Some(hint) = finding["hint"].as_str() {
        message = format!("{message}\nhint: {hint}");
    }
    json!({
        "range": {
            "start": { "line": line, "character": units(content, column) },
            "end": { "line": line, "character": units(content, end(content, column)) },
        },
        "severity": severity,
        "code": finding["code"],
        "source": "flow",
        "message": message,
    })
}

/// The end of what begins at a column: a word, or what stands between quotation marks or brackets.
fn end(line: &str, column: usize) -> usize {
    let characters: Vec<char> = line.chars().collect();
    let Some(first) = characters.get(column) else { return column };
    let behind = &characters[column + 1..];
    let closing = match first {
        '"' | '\'' => *first,
        '[' => ']',
        '{' => '}',
        _ => {
            let word = |sign: &&char| sign.is_alphanumeric() || "_-.".contains(**sign);
            return column + 1 + behind.iter().take_while(word).count();
        }
    };
    column + 1 + behind.iter().position(|sign| *sign == closing).map_or(behind.len(), |place| place + 1)
}

/// Columns in characters as the protocol counts them: in units of UTF-16.
pub fn units(line: &str, characters: usize) -> usize {
    line.chars().take(characters).map(char::len_utf16).sum()
}

/// The other way: characters before so many units.
pub fn characters(line: &str, units: usize) -> usize {
    let mut before = 0;
    line.chars().take_while(|sign| (before < units).then(|| before += sign.len_utf16()).is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_the_range_of_what_it_is_about() {
        let finding = json!({
            "code": "invalid_value", "message": "unknown mode `upsert`", "hint": "mode is one of append",
            "location": { "file": "pipelines.toml", "line": 2, "column": 8 },
        });
        assert_eq!(
            told(&finding, 1, "[pipelines.é]\nmode = \"upsert\"  # x\n"),
            json!({
                "range": { "start": { "line": 1, "character": 7 }, "end": { "line": 1, "character": 15 } },
                "severity": 1, "code": "invalid_value", "source": "flow",
                "message": "unknown mode `upsert`\nhint: mode is one of append",
            })
        );
        assert_eq!(end("[pipelines.a] # x", 0), 13);
        assert_eq!(end("compare_colums = 1", 0), 14);
        assert_eq!(end("", 4), 4);
    }

    #[test]
    fn columns_are_counted_as_the_protocol_does() {
        assert_eq!(units("a😀b", 2), 3);
        assert_eq!(characters("a😀b", 3), 2);
        assert_eq!(characters("a😀b", 99), 3);
        assert_eq!(characters("", 1), 0);
    }
}
