//! Checks a source on a connection of an engine that is only read: its rows come as those of files do.

use super::{Check, DEFAULT_CONNECTION};
use crate::declare::SourceSpec;
use crate::declare::options::PipelineOptions;
use crate::engine::Foreign;
use crate::error::{ErrorCode, FlowError};
use crate::query::{ForeignQuery, WATERMARK};
use crate::sql::QualifiedName;
use std::fmt;

/// A source on such a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignSource {
    /// Its engine.
    pub engine: Foreign,
    /// The connection's name.
    pub connection: String,
    /// What of it is read.
    pub rows: ForeignRows,
}

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub enum ForeignRows {
    /// A table or a view, with its database or schema where that is said.
    Table(Option<String>, String),
    /// A query in the engine's own SQL.
    Query(ForeignQuery),
}

impl ForeignSource {
    /// Whether its query says itself from where on it reads.
    pub fn names_watermark(&self) -> bool {
        matches!(&self.rows, ForeignRows::Query(query) if query.names_watermark())
    }
}

impl fmt::Display for ForeignSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rows {
            ForeignRows::Table(Some(schema), name) => write!(f, "the table {schema}.{name}")?,
            ForeignRows::Table(None, name) => write!(f, "the table {name}")?,
            ForeignRows::Query(_) => write!(f, "the query")?,
        }
        write!(f, " of {} ({})", self.connection, self.engine.shown())
    }
}

impl Check<'_> {
    /// The source, where its connection leads to such an engine; `None` where that is none, or wrong.
    pub(super) fn foreign(
        &mut self,
        spec: &SourceSpec,
        connection: &str,
        part: &str,
    ) -> Option<Result<ForeignSource, Reported>> {
        let engine = *self.project.foreign.get(connection)?;
        Some(self.foreign_rows(spec, engine, connection, part).ok_or(Reported))
    }

    fn foreign_rows(
        &mut self,
        spec: &SourceSpec,
        engine: Foreign,
        connection: &str,
        part: &str,
    ) -> Option<ForeignSource> {
        let shown = engine.shown();
        if part != "source" {
            let message = format!("a source of {shown} cannot be a member of a `union` yet");
            let error = FlowError::new(ErrorCode::NotYetSupported, message);
            self.fail(part, error.hint("write a pipeline for each: several may append to one target"));
            return None;
        }
        let rows = match (&spec.query, &spec.table) {
            (Some(text), _) => {
                let name = if spec.query_file.is_some() { "query_file" } else { "query" };
                let part = format!("{part}.{name}");
                let own = self.path.strip_prefix("pipelines.").unwrap_or(&self.path).trim_matches('"');
                if self.project.identified.iter().any(|name| name == own) {
                    let message = format!("{{name}} in a query of {shown} is not in this version yet");
                    let error = FlowError::new(ErrorCode::NotYetSupported, message);
                    self.fail(&part, error.hint("write the name itself; `:name` stands for a value"));
                    return None;
                }
                ForeignRows::Query(self.keep(&part, ForeignQuery::parse(engine, text))?)
            }
            (None, Some(table)) => {
                let (schema, name) = self.keep(&format!("{part}.table"), QualifiedName::parse(table))?;
                ForeignRows::Table(schema.map(|schema| schema.to_string()), name.to_string())
            }
            (None, None) => {
                let error = FlowError::new(ErrorCode::MissingOption, "the source has no query");
                self.fail(part, error.hint("set query, query_file or table"));
                return None;
            }
        };
        Some(ForeignSource { engine, connection: connection.to_owned(), rows })
    }

    /// What does not go with such a source.
    pub(super) fn fits_foreign(&mut self, source: &ForeignSource, options: &PipelineOptions) {
        self.is_staged(options, &format!(" by rows of {}: they", source.engine.shown()));
        if source.names_watermark() && options.incremental_column.is_none() {
            let error = FlowError::new(
                ErrorCode::MissingOption,
                "`:watermark` needs `incremental_column`: without it no run remembers how far it came",
            );
            let hint = "write incremental_column = \"updated_at\", the column of the query that only grows";
            self.fail("source.query", error.hint(hint));
        }
    }

    /// An engine that is only read is no target.
    pub(crate) fn is_no_target(&mut self, connection: &str) {
        if let Some(engine) = self.project.foreign.get(connection) {
            let error = engine.cannot(format!("the target's connection `{connection}`"));
            self.fail(
                "target_connection",
                error.hint("set target_connection to a connection of Postgres or DuckDB"),
            );
        }
    }

    /// A query of Postgres has no watermark of its own: the load adds it.
    pub(super) fn has_no_watermark(&mut self, part: &str, text: &str) {
        let named = text.contains(WATERMARK)
            && crate::query::numbered(text)
                .is_ok_and(|(_, names)| names.iter().any(|name| name == WATERMARK));
        if text.contains(':') && named {
            let error = FlowError::new(ErrorCode::UnknownVariable, "`:watermark` refers to nothing");
            self.fail(
                part,
                error.hint("with incremental_column, a run reads from the watermark on by itself"),
            );
        }
    }
}

/// What is wrong was reported.
#[derive(Debug)]
pub(super) struct Reported;

/// The connection of a source.
pub(super) fn connection_of(spec: &SourceSpec, outer: Option<&String>) -> String {
    spec.connection.as_ref().or(outer).cloned().unwrap_or_else(|| DEFAULT_CONNECTION.to_owned())
}
