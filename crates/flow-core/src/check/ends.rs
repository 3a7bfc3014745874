//! Checks where a pipeline reads and where it writes.

use super::{Check, DEFAULT_CONNECTION, Source, Target};
use crate::declare::PipelineSpec;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::query::ReadQuery;
use crate::sql::{Ident, QualifiedName};

impl Check<'_> {
    pub(crate) fn source(&mut self, spec: &PipelineSpec) -> Option<Source> {
        let connection = spec.source.connection.clone().unwrap_or_else(|| DEFAULT_CONNECTION.to_owned());
        let query = match (&spec.source.query, &spec.source.table) {
            (Some(text), _) => self.keep(
                if spec.source.query_file.is_some() { "source.query_file" } else { "source.query" },
                ReadQuery::parse(text),
            )?,
            (None, Some(table)) => {
                let (schema, name) = self.keep("source.table", QualifiedName::parse(table))?;
                let Some(schema) = schema else {
                    let error = FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("the source table `{table}` has no schema"),
                    );
                    self.fail(
                        "source.table",
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
                self.fail("source", error.hint("set query, query_file or table"));
                return None;
            }
        };
        Some(Source { connection, query })
    }

    pub(crate) fn target(&mut self, target: &str) -> Option<Target> {
        if let Some(spec) = self.project.tables.get(target) {
            return self.table(target, spec).map(Target::Declared);
        }
        match self.keep("target", QualifiedName::parse(target))? {
            (Some(schema), name) => {
                let declared = self.project.tables.called(schema.as_str(), name.as_str());
                match declared {
                    Some((key, table)) => self.table(key, table).map(Target::Declared),
                    None => Some(Target::Inferred(QualifiedName { schema, name })),
                }
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
