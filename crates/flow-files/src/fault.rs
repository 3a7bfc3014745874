//! What is wrong with a file or a value in it, said with its place.

use ematix_flow_core::error::{ErrorCode, FlowError};

/// How much of a value is shown.
const SHOWN: usize = 60;

/// A value as messages show it: its beginning, where it is long.
pub fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// A file that cannot be read as what it is said to be.
#[cold]
pub fn unreadable(path: &str, why: impl AsRef<str>) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("{path}: {}", why.as_ref())).context("file", path)
}

/// A row that cannot be read.
#[cold]
pub fn bad_row(path: &str, row: u64, why: impl AsRef<str>) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("{path}, row {row}: {}", why.as_ref()))
        .context("file", path)
        .context("row", row)
}

/// A value that is none of its column's type.
#[cold]
pub fn bad_value(path: &str, row: Option<u64>, column: &str, why: &str) -> FlowError {
    let place = match row {
        Some(row) => format!("{path}, row {row}, column `{column}`"),
        None => format!("{path}, column `{column}` of its path"),
    };
    let error = FlowError::new(ErrorCode::CastFailed, format!("{place}: {why}"))
        .context("file", path)
        .context("column", column);
    match row {
        Some(row) => error.context("row", row),
        None => error,
    }
}

/// A file that is another than when it was listed.
#[cold]
pub fn changed(path: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("{path} was changed while it was read"))
        .context("file", path)
        .hint("run again; whoever writes files there should write under another name, or one that begins with _, and rename")
}

/// What reading bytes ended with: our own error where it is one, else what the system says.
#[cold]
pub fn failed(path: &str, error: std::io::Error) -> FlowError {
    match error.downcast::<FlowError>() {
        Ok(ours) => ours,
        Err(error) => {
            let found = match error.kind() {
                std::io::ErrorKind::NotFound => unreadable(path, "there is no such file"),
                std::io::ErrorKind::PermissionDenied => {
                    FlowError::new(ErrorCode::PermissionDenied, format!("{path}: this user may not read it"))
                        .context("file", path)
                }
                std::io::ErrorKind::UnexpectedEof => unreadable(path, "the file is cut off"),
                _ => unreadable(path, error.to_string()),
            };
            match error.kind() {
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => found
                    .hint("was it written to its end, and is its compression the one that its ending says?"),
                _ => found,
            }
        }
    }
}
