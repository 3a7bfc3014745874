//! From what the library says to an error with a code and a remedy. Its words begin with their class.

use super::library::{Fault, Settings};
use super::version::{Unreadable, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;

/// The fact of an error that names the class of the library's words.
const CLASS: &str = "class";

/// The class of the words of `python/ematix_flow/ground/duckdb.py` about a file that is open as another database, too.
const SECOND_DATABASE: &str = "Second Database Error";

/// The error of a statement.
pub(super) fn statement_error(fault: Fault, blame: Blame, doing: &str) -> FlowError {
    let words = match words_of(fault) {
        Ok(words) => words,
        Err(no_library) => return no_library,
    };
    let (class, message) = split(&words);
    if blame == Blame::Transform {
        let code = if class == "INTERRUPT Error" { ErrorCode::Cancelled } else { ErrorCode::TransformFailed };
        return FlowError::new(code, message).context(CLASS, class);
    }
    if blame == Blame::Option {
        let code = if class == "Conversion Error" { ErrorCode::CastFailed } else { ErrorCode::InvalidValue };
        return FlowError::new(code, message).context(CLASS, class);
    }
    let of_source = match blame {
        Blame::Source => true,
        Blame::SourceUnlessWritten => class != "Constraint Error",
        Blame::Target | Blame::Transform | Blame::Option => false,
    };
    let code = match class {
        "INTERRUPT Error" => ErrorCode::Cancelled,
        "Conversion Error" | "Out of Range Error" => ErrorCode::CastFailed,
        _ if is_conflict(&words) => ErrorCode::Locked,
        _ if message.contains("read-only mode") => ErrorCode::QueryWrites,
        _ if of_source => ErrorCode::SourceFailed,
        _ => ErrorCode::TargetFailed,
    };
    let what = match of_source {
        true => "the source's query failed".to_owned(),
        false => format!("the target refused to {doing}"),
    };
    let said = match code {
        ErrorCode::Cancelled => "the statement was cancelled".to_owned(),
        ErrorCode::CastFailed => "a value of the source does not fit the declared type".to_owned(),
        ErrorCode::Locked => "another writer of this process has changed what the run writes".to_owned(),
        ErrorCode::QueryWrites => "the source's query writes".to_owned(),
        _ => format!("{what}: {message}"),
    };
    let mut error = FlowError::new(code, said).context(CLASS, class);
    if matches!(code, ErrorCode::CastFailed | ErrorCode::QueryWrites) {
        error = error.detail(message);
    }
    match hint(code, class) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The error of a file that cannot be opened.
pub(super) fn open_error(fault: Fault, file: &str) -> FlowError {
    let words = match words_of(fault) {
        Ok(words) => words,
        Err(no_library) => return no_library,
    };
    let (class, message) = split(&words);
    if class == SECOND_DATABASE {
        return FlowError::new(ErrorCode::ConnectFailed, format!("the file {file} cannot be opened safely"))
            .detail(message)
            .hint("close the other one first; start processes by spawn, not by fork")
            .context(CLASS, class);
    }
    if let Some(version) = Unreadable::said(message) {
        return unreadable(version, file).context(CLASS, class);
    }
    if message.contains("different configuration") {
        let words = format!("{file} is open in this process already, in another way");
        return FlowError::new(ErrorCode::ConflictingOptions, words)
            .detail(message)
            .hint(ALIKE)
            .context(CLASS, class);
    }
    let error = match message.contains("Could not set lock on file") {
        true => FlowError::new(ErrorCode::Locked, format!("another process has the file {file} open"))
            .hint("a file of DuckDB is one process's at a time: run again when the other is done"),
        false => FlowError::new(ErrorCode::ConnectFailed, format!("the file {file} cannot be opened"))
            .hint("check the path, and which version of DuckDB has written the file"),
    };
    error.detail(message).context(CLASS, class)
}

/// The words of the library, or the error of one that is not there.
fn words_of(fault: Fault) -> Result<String> {
    match fault {
        Fault::Said(words) => Ok(words),
        Fault::NoLibrary(why) => {
            Err(FlowError::new(ErrorCode::ImportFailed, why).hint("pip install \"ematix-flow[duckdb]\""))
        }
        Fault::NoDriver { why, remedy, searched } => {
            let error = FlowError::new(ErrorCode::ImportFailed, why).hint(remedy);
            Err(searched.into_iter().fold(error, FlowError::detail))
        }
    }
}

/// The error of a file that this process has open in another way.
pub(super) fn differs(here: &Settings, there: &Settings, file: &str) -> Option<FlowError> {
    let (name, here, there) = here.differs(there)?;
    let said =
        |value: Option<&str>| value.map_or_else(|| "not said".to_owned(), |value| format!("{value:?}"));
    Some(
        FlowError::new(
            ErrorCode::ConflictingOptions,
            format!("{file} is open in this process already, and `{name}` of that connection is another"),
        )
        .detail(format!("`{name}` is {} there, and {} here", said(there), said(here)))
        .hint(ALIKE),
    )
}

/// What helps where two connections want one file opened in two ways.
const ALIKE: &str = "a process has a file of DuckDB open once: give all connections to it the same options";

/// Whether a schema, a table or a column is not there.
pub(super) fn says_missing(error: &FlowError) -> bool {
    let class = error.context.get(CLASS).and_then(|class| class.as_str());
    matches!(class, Some("Catalog Error" | "Binder Error"))
}

/// Whether the error is that of a conflict.
pub(super) fn says_conflict(error: &FlowError) -> bool {
    let class = error.context.get(CLASS).and_then(|class| class.as_str());
    error.code == ErrorCode::Locked && class == Some("TransactionContext Error")
}

/// Whether somebody else has written the same rows meanwhile.
pub(super) fn is_conflict(words: &str) -> bool {
    let (class, message) = split(words);
    // Two that insert one key meet when the second of them commits.
    class == "TransactionContext Error"
        && (message.to_lowercase().contains("conflict") || message.starts_with("Failed to commit"))
}

/// The class, and the first line of what follows it.
fn split(words: &str) -> (&str, &str) {
    let line = words.lines().next().unwrap_or_default();
    match line.split_once(": ") {
        Some((class, message)) if class.ends_with("Error") => (class, message),
        _ => ("Error", line),
    }
}

fn hint(code: ErrorCode, class: &str) -> Option<&'static str> {
    match (code, class) {
        (ErrorCode::CastFailed, _) => Some("change the declared type, or cast the column in the query"),
        (ErrorCode::QueryWrites, _) => Some("a source query is one statement that only reads"),
        (ErrorCode::Locked, _) => Some("nothing was written: run it again"),
        (ErrorCode::TargetFailed, "Constraint Error") => {
            Some("the source has a row that a constraint of the target does not allow")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &str, blame: Blame) -> FlowError {
        statement_error(Fault::Said(words.to_owned()), blame, "insert the rows")
    }

    #[test]
    fn words_become_codes_by_their_class_and_by_whom_they_concern() {
        let missing = "Catalog Error: Table with name nope does not exist!\nDid you mean \"x\"?\n\nLINE 1: …";
        for (words, blame, code, message) in [
            (
                missing,
                Blame::Source,
                ErrorCode::SourceFailed,
                "the source's query failed: Table with name nope does not exist!",
            ),
            (
                "Constraint Error: NOT NULL constraint failed: t.a",
                Blame::SourceUnlessWritten,
                ErrorCode::TargetFailed,
                "the target refused to insert the rows: NOT NULL constraint failed: t.a",
            ),
            (
                "Conversion Error: Could not convert string 'a' to INT32",
                Blame::SourceUnlessWritten,
                ErrorCode::CastFailed,
                "a value of the source does not fit the declared type",
            ),
            (
                "TransactionContext Error: Conflict on update!",
                Blame::Target,
                ErrorCode::Locked,
                "another writer of this process has changed what the run writes",
            ),
            (
                "INTERRUPT Error: Interrupted!",
                Blame::Target,
                ErrorCode::Cancelled,
                "the statement was cancelled",
            ),
            (
                "what is this",
                Blame::Target,
                ErrorCode::TargetFailed,
                "the target refused to insert the rows: what is this",
            ),
        ] {
            let error = said(words, blame);
            assert_eq!((error.code, error.message.as_str()), (code, message), "{words}");
        }
        assert!(says_missing(&said(missing, Blame::Target)));
        assert!(!says_missing(&said("Constraint Error: x", Blame::Target)));
    }

    #[test]
    fn a_conflict_is_told_from_other_locks() {
        assert!(says_conflict(&said("TransactionContext Error: Conflict on update!", Blame::Target)));
        assert!(!says_conflict(&said(
            "TransactionContext Error: Current transaction is aborted",
            Blame::Target
        )));
        let words = "IO Error: Could not set lock on file \"a\": Conflicting lock is held in python (PID 7)";
        assert!(!says_conflict(&open_error(Fault::Said(words.to_owned()), "a")));
    }

    #[test]
    fn a_file_that_another_process_has_is_locked() {
        let words = "IO Error: Could not set lock on file \"/data/a.duckdb\": Conflicting lock is held in python (PID 7)";
        let error = open_error(Fault::Said(words.to_owned()), "a.duckdb");
        assert_eq!(error.code, ErrorCode::Locked);
        assert!(error.details[0].contains("PID 7"), "{error:?}");
        let error = open_error(Fault::Said("IO Error: Cannot open file".to_owned()), "a.duckdb");
        assert_eq!(error.code, ErrorCode::ConnectFailed);
    }
}
