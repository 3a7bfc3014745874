//! From what the driver and the server say to an error with a code and a remedy.

use super::row_security;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::plan::Blame;
use tokio_postgres::error::SqlState;

/// The error of a statement.
pub fn statement_error(error: &tokio_postgres::Error, blame: Blame, doing: &str) -> FlowError {
    let Some(db) = error.as_db_error() else {
        return FlowError::new(
            ErrorCode::ConnectionLost,
            format!("the connection broke while the run was to {doing}"),
        )
        .detail(root_cause(error))
        .hint("nothing was written unless the run's row in history says so; run it again");
    };
    let state = db.code();
    if row_security::refuses(db) {
        return row_security::of_statement(db);
    }
    if blame == Blame::Transform {
        return of_transform(db);
    }
    if blame == Blame::Option {
        return of_option(db);
    }
    let of_source = match blame {
        Blame::Source => true,
        Blame::SourceUnlessWritten => !is_of_writing(state.code()),
        Blame::Target | Blame::Transform | Blame::Option => false,
    };
    let code = match state.code() {
        "42501" => ErrorCode::PermissionDenied,
        "55P03" => ErrorCode::Locked,
        "57014" if db.message().contains("statement timeout") => ErrorCode::Timeout,
        "57014" => ErrorCode::Cancelled,
        "25P03" => ErrorCode::LeaseLost,
        "57P01" | "57P02" | "57P03" | "08006" | "08003" => ErrorCode::ConnectionLost,
        "0A000" if db.message().contains("data-modifying") => ErrorCode::QueryWrites,
        "25006" => ErrorCode::QueryWrites,
        "22001" | "22003" | "22007" | "22008" | "22026" | "22P02" | "22P03" | "42804" | "22023" | "22P05" => {
            ErrorCode::CastFailed
        }
        // The rule of a domain, not one of a table.
        "23502" | "23514" if db.datatype().is_some() && db.table().is_none() => ErrorCode::CastFailed,
        _ if of_source => ErrorCode::SourceFailed,
        _ => ErrorCode::TargetFailed,
    };
    let what = match of_source {
        true => "the source's query failed".to_owned(),
        false => format!("the target refused to {doing}"),
    };
    let message = match code {
        ErrorCode::Locked => {
            let on = if of_source { "what the query reads" } else { "the target" };
            format!("another session holds a lock on {on}, and lock_timeout ran out")
        }
        ErrorCode::Timeout => format!("statement_timeout ran out while the run was to {doing}"),
        ErrorCode::QueryWrites => "the source's query writes".to_owned(),
        ErrorCode::CastFailed => "a value of the source does not fit the declared type".to_owned(),
        ErrorCode::PermissionDenied => db.message().to_owned(),
        ErrorCode::Cancelled => "the statement was cancelled on the server".to_owned(),
        ErrorCode::LeaseLost => {
            "the server ended the run's transaction: the process was paused for longer than its lease"
                .to_owned()
        }
        _ => format!("{what}: {}", db.message()),
    };
    let mut out = FlowError::new(code, message).sqlstate(state.code());
    if matches!(code, ErrorCode::CastFailed | ErrorCode::QueryWrites | ErrorCode::Cancelled) {
        out = out.detail(db.message());
    }
    // DETAIL of a data error quotes whole rows: only what names objects is passed on, and the key of a partition.
    let quotes_rows = state.code().starts_with("23") || state.code().starts_with("22");
    if let Some(detail) = db.detail().filter(|_| !quotes_rows || lacks_partition(db)) {
        out = out.detail(detail);
    }
    if let Some(constraint) = db.constraint() {
        out = out.context("constraint", constraint);
    }
    if let Some(column) = db.column() {
        out = out.context("column", column);
    }
    match hint(code, db) {
        Some(hint) => out.hint(hint),
        None => out,
    }
}

/// The error of a transaction that did not begin, where it is a setting that the connection pins; `None` of any other.
pub fn setting_error(error: &tokio_postgres::Error) -> Option<FlowError> {
    let db = error.as_db_error().filter(|db| is_of_setting(db.code().code()))?;
    let message = format!("the server does not take a setting of the connection: {}", db.message());
    let error = FlowError::new(ErrorCode::InvalidValue, message).sqlstate(db.code().code()).hint(
        "mend it in `session` of the connection, or in the variable that says it: PGTZ, PGDATESTYLE, PGGEQO",
    );
    Some(match db.hint() {
        Some(hint) => error.detail(hint),
        None => error,
    })
}

/// Whether a server that was only told settings names one that is not there, or that has another value.
pub(super) fn is_of_setting(state: &str) -> bool {
    state.starts_with("22") || matches!(state, "42704" | "42602" | "55P02")
}

/// The error of a statement that somebody else wrote: what the server says is said as it is.
fn of_transform(db: &tokio_postgres::error::DbError) -> FlowError {
    let (code, message) = match db.code().code() {
        "57014" if db.message().contains("statement timeout") => {
            (ErrorCode::Timeout, "statement_timeout ran out")
        }
        "57014" => (ErrorCode::Cancelled, db.message()),
        "57P01" | "57P02" | "57P03" | "08006" | "08003" => (ErrorCode::ConnectionLost, db.message()),
        "55P03" => {
            (ErrorCode::Locked, "another session holds a lock that it needs, and lock_timeout ran out")
        }
        _ => (ErrorCode::TransformFailed, db.message()),
    };
    let mut error = FlowError::new(code, message).sqlstate(db.code().code());
    let quotes_rows = db.code().code().starts_with("23") || db.code().code().starts_with("22");
    if let Some(detail) = db.detail().filter(|_| !quotes_rows) {
        error = error.detail(detail);
    }
    match db.hint() {
        Some(hint) => error.detail(hint),
        None => error,
    }
}

/// The error of SQL in an option, of which whoever asks knows the name.
fn of_option(db: &tokio_postgres::error::DbError) -> FlowError {
    let code = match db.code().code() {
        "57014" if db.message().contains("statement timeout") => ErrorCode::Timeout,
        "57014" => ErrorCode::Cancelled,
        "57P01" | "57P02" | "57P03" | "08006" | "08003" => ErrorCode::ConnectionLost,
        "55P03" => ErrorCode::Locked,
        "42501" => ErrorCode::PermissionDenied,
        "42703" => ErrorCode::UnknownColumn,
        "22001" | "22003" | "22007" | "22008" | "22026" | "22P02" | "22P03" | "22P05" => {
            ErrorCode::CastFailed
        }
        "2201B" => ErrorCode::InvalidValue,
        // It is asked well, and not of this value.
        state if state.starts_with("22") || state.starts_with("21") => ErrorCode::SourceFailed,
        _ => ErrorCode::InvalidValue,
    };
    let error = FlowError::new(code, db.message()).sqlstate(db.code().code());
    match db.hint() {
        Some(hint) => error.hint(hint.to_lowercase()),
        None => error,
    }
}

/// Whether a server that read and wrote in one statement names a rule or a privilege of what is written.
fn is_of_writing(state: &str) -> bool {
    state.starts_with("23") || state.starts_with("P0") || state == "42501"
}

/// Whether no partition takes a row; the server's code says as much of any CHECK.
fn lacks_partition(db: &tokio_postgres::error::DbError) -> bool {
    *db.code() == SqlState::CHECK_VIOLATION && db.constraint().is_none()
}

fn hint(code: ErrorCode, db: &tokio_postgres::error::DbError) -> Option<String> {
    let of_code = match code {
        ErrorCode::CastFailed => Some("cast the column in the query, or change its type: the declared one, or that of the table".to_owned()),
        ErrorCode::SourceFailed if db.message().contains("no binary output function") => {
            Some("cast the column to text in the query, and declare it as text".to_owned())
        }
        ErrorCode::QueryWrites => Some("a source query is one statement that only reads".to_owned()),
        ErrorCode::Locked => Some("try again when the other session is done, or raise lock_timeout".to_owned()),
        ErrorCode::Timeout => Some("raise statement_timeout, or make the query cheaper".to_owned()),
        ErrorCode::TargetFailed if *db.code() == SqlState::UNIQUE_VIOLATION => {
            Some("the source has two rows that a unique constraint of the target does not allow together".to_owned())
        }
        ErrorCode::TargetFailed if *db.code() == SqlState::FOREIGN_KEY_VIOLATION => {
            Some("a row refers to one that goes, or that is not there: load the tables in the order of their references".to_owned())
        }
        ErrorCode::TargetFailed if *db.code() == SqlState::NOT_NULL_VIOLATION => {
            Some("the source has NULL where the target does not allow it: declare the column with ?, or mend the query".to_owned())
        }
        ErrorCode::TargetFailed if lacks_partition(db) => Some(match (db.schema(), db.table()) {
            (Some(schema), Some(table)) => {
                let name = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                format!(
                    "make the partition that this key belongs to, or one for all others: CREATE TABLE {schema}.{rest} PARTITION OF {schema}.{table} DEFAULT;",
                    schema = name(schema),
                    rest = name(&format!("{table}_default")),
                    table = name(table),
                )
            }
            _ => "make the partition that this key belongs to, or a DEFAULT partition".to_owned(),
        }),
        _ if *db.code() == SqlState::CHARACTER_NOT_IN_REPERTOIRE => Some(
            "a database in SQL_ASCII does not say what its bytes mean: say it in the query, convert_from(column::bytea, 'LATIN1') AS column".to_owned(),
        ),
        _ => None,
    };
    of_code.or_else(|| db.hint().map(|hint| hint.to_lowercase()))
}

/// The words at the root of an error's chain.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
