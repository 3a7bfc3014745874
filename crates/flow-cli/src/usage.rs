//! Command lines that are wrong: the parser's words for people, the document of errors for programs.

use crate::args::Cli;
use crate::console::{Console, Format};
use crate::secrets;
use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use ematix_flow_core::declare::options::{FOREIGN_WORDS, option_info};
use ematix_flow_core::error::{ErrorCode, FlowError};
use std::ffi::OsString;

/// Flags of other tools that are no options of a pipeline there, and ours.
const FOREIGN_FLAGS: &[(&str, &str)] = &[
    ("full_refresh", "full-scan"),
    ("full", "full-scan"),
    ("models", "select"),
    ("model", "select"),
    ("project_dir", "config"),
    ("profiles_dir", "config"),
    ("target", "env"),
    ("vars", "var"),
    ("dry", "dry-run"),
];

/// Puts our word beside one of another tool, as files have it.
pub fn advised(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some(tip) = meant(flag, arguments) else { return error };
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

/// What an unknown flag stands for.
fn meant(flag: &str, arguments: &[OsString]) -> Option<String> {
    let word = flag.strip_prefix("--")?.replace('-', "_");
    let command = Cli::command();
    let named = arguments.iter().skip(1).find_map(|word| command.find_subcommand(word)).unwrap_or(&command);
    let has = |flag: &str| {
        let mut all = named.get_arguments().chain(command.get_arguments().filter(|own| own.is_global_set()));
        all.any(|argument| argument.get_long() == Some(flag) && !argument.is_hide_set())
    };
    let of = |words: &[(&str, &'static str)]| {
        words.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours)
    };
    if let Some(ours) = of(FOREIGN_FLAGS).filter(|ours| has(ours)) {
        return Some(format!("did you mean '--{ours}'?"));
    }
    let (ours, theirs) = match of(FOREIGN_WORDS) {
        Some(ours) => (ours, true),
        None => (option_info(&word)?.name, false),
    };
    let own_flag = ours.replace('_', "-");
    if has(&own_flag) {
        return Some(format!("did you mean '--{own_flag}'?"));
    }
    let where_it_stands = format!("`{ours}` is an option of a pipeline, in pipelines.toml");
    Some(match theirs {
        true => format!("did you mean `{ours}`? {where_it_stands}"),
        false => where_it_stands,
    })
}

/// Tells of a command line that is wrong.
pub fn tell(console: &Console, error: &clap::Error, arguments: &[OsString]) {
    let told = flow_error(error, arguments);
    if matches!(console.format(), Format::Json | Format::NdJson) {
        console.json(&crate::commands::errors_document(std::slice::from_ref(&told)));
    }
    if console.logs_json() {
        return crate::commands::tell_errors(console, std::slice::from_ref(&told));
    }
    let shown = error.render().ansi().to_string();
    console.err(&secrets::hidden(&shown, arguments).unwrap_or(shown));
}

/// The parser's words as an error of ours: what is wrong in one line, its tips as the hint.
fn flow_error(error: &clap::Error, arguments: &[OsString]) -> FlowError {
    let code = match error.kind() {
        ErrorKind::UnknownArgument => ErrorCode::UnknownOption,
        ErrorKind::ArgumentConflict => ErrorCode::ConflictingOptions,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ErrorCode::MissingOption,
        _ => ErrorCode::InvalidValue,
    };
    let rendered = error.render().to_string();
    let text = secrets::hidden(&rendered, arguments).unwrap_or(rendered);
    if matches!(
        error.kind(),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let hint = match error.get(ContextKind::ValidSubcommand) {
            Some(ContextValue::Strings(commands)) => format!("there are {}", commands.join(", ")),
            _ => "`--help` lists them".to_owned(),
        };
        return FlowError::new(code, "a command is missing").hint(hint);
    }
    let mut tips: Vec<&str> = Vec::new();
    let mut message: Vec<&str> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("Usage:")) {
        match line.trim().strip_prefix("tip: ") {
            Some(tip) => tips.push(tip),
            None if line.starts_with("For more information") => {}
            None if !line.trim().is_empty() => message.push(line.trim()),
            None => {}
        }
    }
    let message = message.join(" ");
    let told = FlowError::new(code, message.strip_prefix("error: ").unwrap_or(&message));
    told.hint(if tips.is_empty() {
        "`--help` behind a command shows what it takes".to_owned()
    } else {
        tips.join("; ")
    })
}
