//! One error for everything: a stable code, what happened, where, and what to do next.
//!
//! The same value becomes terminal text, a JSON object and a Python exception. It never carries a
//! secret, and no cell value but the sample keys of a data error.

use crate::secret::masked;
use serde::Serialize;
use std::fmt;

/// What a process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, skipped, or nothing was due.
    Success = 0,
    /// It failed; trying again may help.
    Failed = 1,
    /// Usage or files are wrong; found before anything ran.
    Usage = 2,
    /// `plan --exit-code` found a change.
    Changed = 3,
    /// A guard refused; nothing was written and a person decides.
    Refused = 4,
    /// Another run holds the target.
    Locked = 5,
    /// No connection, or no log-in.
    Unreachable = 6,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

macro_rules! error_codes {
    ($( $exit:ident { $( $variant:ident = $name:literal, $summary:literal; )+ } )+) => {
        /// The stable codes; `flow explain CODE` prints a page on each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $( $( #[doc = $summary] $variant, )+ )+ }

        impl ErrorCode {
            /// Every code, grouped by exit code.
            pub const ALL: &'static [ErrorCode] = &[ $( $( ErrorCode::$variant, )+ )+ ];

            /// The name in messages, JSON and documentation.
            pub const fn name(self) -> &'static str {
                match self { $( $( ErrorCode::$variant => $name, )+ )+ }
            }

            /// One sentence on what it means.
            pub const fn summary(self) -> &'static str {
                match self { $( $( ErrorCode::$variant => $summary, )+ )+ }
            }

            /// What a command that meets it ends with.
            pub const fn exit(self) -> ExitCode {
                match self { $( $( ErrorCode::$variant => ExitCode::$exit, )+ )+ }
            }
        }
    };
}

error_codes! {
    Success {
        Paused = "paused", "The pipeline is paused.";
        Overlap = "overlap", "A slot came while the pipeline was running still.";
        Missed = "missed", "A slot was found too late to be served.";
        UpstreamFailed = "upstream_failed", "A pipeline that `after` names did not succeed.";
    }
    Usage {
        InvalidToml = "invalid_toml", "The file is not valid TOML.";
        InvalidValue = "invalid_value", "An option has a value that it cannot have.";
        InvalidSchedule = "invalid_schedule", "A cron line, an interval or a time zone cannot be read.";
        MissingOption = "missing_option", "An option that is needed is not there.";
        MissingKeys = "missing_keys", "The load strategy needs keys and none are declared.";
        MissingVariable = "missing_variable", "An environment variable or a file of `${…}` is not there.";
        ConflictingOptions = "conflicting_options", "Two options exclude each other.";
        OptionNotForMode = "option_not_for_mode", "The option has no meaning in this load strategy.";
        DuplicateName = "duplicate_name", "The same name is declared twice.";
        DependencyCycle = "dependency_cycle", "Pipelines wait for each other in a circle.";
        NameTooLong = "name_too_long", "A name has more than the 63 bytes that Postgres keeps.";
        QueryWrites = "query_writes", "A source query is not one statement that only reads.";
        ReadOnlyTarget = "read_only_target", "The target's connection is declared read-only.";
        ImportFailed = "import_failed", "A Python module with pipelines could not be imported.";
        NotYetSupported = "not_yet_supported", "A known option or path that this version does not have yet.";
        PathImpossible = "path_impossible", "The path that was forced cannot be taken.";
        UnsupportedServer = "unsupported_server", "The server is older than Postgres 15.";
        UnsupportedByEngine = "unsupported_by_engine", "The engine of a connection cannot do what is asked.";
        MetadataNewer = "metadata_newer", "The metadata in the target was written by a newer version.";
        UnknownOption = "unknown_option", "There is no option of that name.";
        UnknownPipeline = "unknown_pipeline", "There is no pipeline of that name.";
        UnknownTable = "unknown_table", "The target table is neither declared nor a qualified name.";
        UnknownColumn = "unknown_column", "A column is named that the table or the source does not have.";
        UnknownConnection = "unknown_connection", "There is no connection of that name.";
        UnknownType = "unknown_type", "The column type does not exist.";
        UnknownVariable = "unknown_variable", "A `{name}` or `:name` refers to nothing.";
    }
    Refused {
        DuplicateSourceKey = "duplicate_source_key", "The source has several rows for one key.";
        NullKey = "null_key", "The source has rows whose key is NULL.";
        EmptySource = "empty_source", "The source has no rows.";
        MassDelete = "mass_delete", "More keys left the source than `max_delete_fraction` allows.";
        HiddenRows = "hidden_rows", "Row-level security would hide rows from the role.";
        NullWatermark = "null_watermark", "The incremental column is NULL in some rows.";
        Drift = "drift", "The live table differs from its declaration.";
        ExpectationFailed = "expectation_failed", "The rows do not meet an expectation.";
        FutureWatermark = "future_watermark", "The incremental column lies in the future.";
        FutureEvent = "future_event", "A row begins after this run.";
        NullEventTime = "null_event_time", "A row has no time at which it begins.";
        ConflictingEvents = "conflicting_events", "Two rows of a key at one time contradict each other.";
        WatermarkMismatch = "watermark_mismatch", "The stored watermark belongs to another column or source.";
        MissingIndex = "missing_index", "A table that is not ours lacks a unique index on the keys.";
        CannotRewind = "cannot_rewind", "What a target was after an earlier run cannot be brought back.";
    }
    Locked {
        Locked = "locked", "Another run, or another session, holds the target.";
    }
    Unreachable {
        ConnectFailed = "connect_failed", "The server cannot be reached.";
        ConnectTimeout = "connect_timeout", "The server did not answer in time.";
        AuthenticationFailed = "authentication_failed", "The server refused user, password or role.";
        UnknownDatabase = "unknown_database", "The server has no database of that name.";
        TlsFailed = "tls_failed", "The encrypted connection that was asked for could not be made.";
    }
    Failed {
        SourceFailed = "source_failed", "The source's query failed.";
        TargetFailed = "target_failed", "A statement on the target failed.";
        CastFailed = "cast_failed", "A value does not fit the declared type.";
        PermissionDenied = "permission_denied", "The role lacks a privilege.";
        Timeout = "timeout", "A time limit ran out.";
        ConnectionLost = "connection_lost", "The connection broke during the run.";
        LeaseLost = "lease_lost", "The run was taken for dead and replaced.";
        TransformFailed = "transform_failed", "A transform after the load failed.";
    }
    Interrupted {
        Cancelled = "cancelled", "The run was interrupted.";
    }
}

impl ErrorCode {
    /// The code of that name.
    pub fn from_name(name: &str) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Classes of SQLSTATE that say nothing against the statement: connection, rollback, resources, objects in use,
/// intervention, the system.
const PASSING_STATES: [&str; 6] = ["08", "40", "53", "55", "57", "58"];

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The section or object that holds the place: `[pipelines.customers]`.
    #[serde(skip)]
    pub section: Option<String>,
    /// The text of that line and how many characters of it are meant, for the terminal.
    #[serde(skip)]
    pub excerpt: Option<Excerpt>,
}

/// The line of a file that an error points into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The whole line, without its end.
    pub line: String,
    /// How many characters from the column on are meant.
    pub length: usize,
    /// Words beside the mark: ``did you mean `compare_columns`?``
    pub label: Option<String>,
}

/// An error with all that a person needs to go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct FlowError {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened, in lower case, one line.
    pub message: String,
    /// Further lines: sample keys, differing columns, the server's words.
    pub details: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// The server's SQLSTATE, where a server spoke.
    pub sqlstate: Option<String>,
    /// Machine-readable facts: counts, keys, names.
    pub context: serde_json::Map<String, serde_json::Value>,
    /// Where in the user's files.
    pub location: Option<Box<Location>>,
}

impl FlowError {
    /// An error with a code and a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> FlowError {
        FlowError {
            code,
            message: masked(message),
            details: Vec::new(),
            hint: None,
            sqlstate: None,
            context: serde_json::Map::new(),
            location: None,
        }
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> FlowError {
        self.hint = Some(masked(hint));
        self
    }

    /// Adds a further line.
    pub fn detail(mut self, line: impl Into<String>) -> FlowError {
        self.details.push(masked(line));
        self
    }

    /// Adds a machine-readable fact.
    pub fn context(mut self, name: &str, value: impl Into<serde_json::Value>) -> FlowError {
        let value = match value.into() {
            serde_json::Value::String(text) => masked(text).into(),
            value => value,
        };
        self.context.insert(name.to_owned(), value);
        self
    }

    /// Adds the server's SQLSTATE.
    pub fn sqlstate(mut self, state: impl Into<String>) -> FlowError {
        self.sqlstate = Some(state.into());
        self
    }

    /// Says where, unless a more exact place is known already.
    pub fn at(mut self, mut location: Location) -> FlowError {
        if let Some(excerpt) = &mut location.excerpt {
            excerpt.line = masked(std::mem::take(&mut excerpt.line));
        }
        self.location.get_or_insert_with(|| Box::new(location));
        self
    }
}

impl FlowError {
    /// The error of a source whose rows had begun to come.
    pub fn fell_silent(read_timeout: impl fmt::Display) -> FlowError {
        FlowError::new(
            ErrorCode::Timeout,
            format!("the source has sent rows, and then nothing for read_timeout = \"{read_timeout}\""),
        )
        .hint("see what its server does, and what lies between; a query that is slow between its rows wants a higher read_timeout")
    }

    /// Whether the same may go well some time later, with nobody doing anything: servers that are away, locks, time
    /// limits, conflicts. What the server refuses as wrong will be wrong again.
    pub fn may_pass(&self) -> bool {
        match self.code {
            ErrorCode::Locked
            | ErrorCode::ConnectFailed
            | ErrorCode::ConnectTimeout
            | ErrorCode::UnknownDatabase
            | ErrorCode::Timeout
            | ErrorCode::ConnectionLost
            | ErrorCode::LeaseLost => true,
            ErrorCode::SourceFailed | ErrorCode::TargetFailed => match self.sqlstate.as_deref() {
                None => true,
                Some(state) => PASSING_STATES.iter().any(|class| state.starts_with(class)),
            },
            _ => false,
        }
    }

    /// What to do next in one text: where a terminal shows words beside a mark, they belong to it.
    pub fn whole_hint(&self) -> Option<String> {
        let label = self.location.as_ref().and_then(|place| place.excerpt.as_ref()?.label.as_deref());
        let parts: Vec<&str> = label.into_iter().chain(self.hint.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

impl Serialize for FlowError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("FlowError", 6)?;
        out.serialize_field("code", &self.code)?;
        let mut message = self.message.clone();
        for line in &self.details {
            message.push('\n');
            message.push_str(line);
        }
        out.serialize_field("message", &message)?;
        out.serialize_field("hint", &self.whole_hint())?;
        out.serialize_field("sqlstate", &self.sqlstate)?;
        out.serialize_field("context", &self.context)?;
        out.serialize_field("location", &self.location)?;
        out.end()
    }
}

/// The result of everything that can fail.
pub type Result<T, E = FlowError> = std::result::Result<T, E>;

/// The nearest of some names, for "did you mean".
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
