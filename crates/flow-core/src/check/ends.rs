//! Checks where a pipeline reads and where it writes.

use super::{Check, DEFAULT_CONNECTION, Source, Target};
use crate::declare::options::{ForcePath, PipelineOptions};
use crate::declare::{PipelineSpec, SourceSpec};
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::query::ReadQuery;
use crate::sql::{Ident, QualifiedName};

impl Check<'_> {
    pub(crate) fn source(&mut self, spec: &PipelineSpec, options: &PipelineOptions) -> Option<Source> {
        let source = &spec.source;
        if source.union.is_empty() {
            return self.one_source(source, None, "source");
        }
        let mut members = Vec::new();
        for (index, member) in source.union.iter().enumerate() {
            members.push(self.one_source(
                member,
                source.connection.as_ref(),
                &format!("source.union.{index}"),
            ));
        }
        let union = Source::of_union(members.into_iter().collect::<Option<Vec<_>>>()?);
        if union.readings().len() > 1 {
            self.reads_several(options);
        }
        Some(union)
    }

    /// What cannot be done with the rows of several connections.
    fn reads_several(&mut self, options: &PipelineOptions) {
        if options.incremental_column.is_some() {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                "`incremental_column` and a `union` of several connections exclude each other: there is one watermark, and rows of the source that lags behind the others would never be read",
            );
            self.fail(
                "incremental_column",
                error.hint(
                    "remove it, or write a pipeline for each connection: several may append to one target",
                ),
            );
        }
        if let Some(forced) = options.force_path.filter(|forced| *forced != ForcePath::Staging) {
            let word = if forced == ForcePath::SameDb { "same_db" } else { "client_diff" };
            let error = FlowError::new(
                ErrorCode::PathImpossible,
                format!(
                    "`force_path = \"{word}\"` cannot be taken by a `union` of several connections: their rows are staged"
                ),
            );
            self.fail("force_path", error.hint("remove it"));
        }
    }

    fn one_source(&mut self, spec: &SourceSpec, outer: Option<&String>, part: &str) -> Option<Source> {
        let connection =
            spec.connection.as_ref().or(outer).cloned().unwrap_or_else(|| DEFAULT_CONNECTION.to_owned());
        let query = match (&spec.query, &spec.table) {
            (Some(text), _) => {
                let name = if spec.query_file.is_some() { "query_file" } else { "query" };
                self.keep(&format!("{part}.{name}"), ReadQuery::parse(text))?
            }
            (None, Some(table)) => {
                let part = format!("{part}.table");
                let (schema, name) = self.keep(&part, QualifiedName::parse(table))?;
                let Some(schema) = schema else {
                    let error = FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("the source table `{table}` has no schema"),
                    );
                    self.fail(
                        &part,
                        error.hint(format!("write \"public.{table}\", or the schema it lives in")),
                    );
                    return None;
                };
                let quoted = |ident: &Ident| format!("\"{}\"", ident.as_str().replace('"', "\"\""));
                let text = format!("{}.{}", quoted(&schema), quoted(&name));
                ReadQuery::of_table(&text)
            }
            (None, None) => {
                let error = FlowError::new(ErrorCode::MissingOption, "the source has no query");
                self.fail(part, error.hint("set query, query_file or table"));
                return None;
            }
        };
        Some(Source::of(connection, query))
    }

    pub(crate) fn target(&mut self, target: &str) -> Option<Target> {
        let project = self.project;
        if let Some((key, table)) = project.declared_target(target) {
            return self.table(key, table).map(Target::Declared);
        }
        match self.keep("target", QualifiedName::parse(target))? {
            (Some(schema), name) => {
                let name = QualifiedName { schema, name };
                self.is_no_view(&name).then_some(Target::Inferred(name))
            }
            (None, _) => {
                let error = FlowError::new(ErrorCode::UnknownTable, format!("there is no table `{target}`"));
                let near = did_you_mean(target, self.project.tables.keys().map(String::as_str));
                self.fail(
                    "target",
                    error.hint(match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("declare [tables.{target}], or name a table with its schema"),
                    }),
                );
                None
            }
        }
    }
}
