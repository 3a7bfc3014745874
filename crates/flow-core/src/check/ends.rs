//! Checks where a pipeline reads and where it writes.

use super::foreign::connection_of;
use super::{Brought, Check, Source, Target};
use crate::declare::files::FilesSpec;
use crate::declare::http::HttpSpec;
use crate::declare::options::{ForcePath, PipelineOptions};
use crate::declare::{PipelineSpec, SourceSpec};
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::query::ReadQuery;
use crate::sql::{Ident, QualifiedName};

impl Check<'_> {
    pub(crate) fn source(&mut self, spec: &PipelineSpec, options: &PipelineOptions) -> Option<Source> {
        let source = &spec.source;
        if source.is_brought() {
            self.is_staged(options, ": rows that no database sends");
        }
        if let Some(http) = &source.http {
            self.http(http, options);
        }
        if options.incremental.is_some() && source.files.is_none() {
            let error =
                FlowError::new(ErrorCode::MissingOption, "`incremental = \"files\"` needs a source of files");
            self.fail(
                "incremental",
                error.hint("write source = { files = \"landing/*.csv\" }, or incremental_column"),
            );
        }
        if source.union.is_empty() {
            let mut found = self.one_source(source, None, "source")?;
            match &mut found.brought {
                Some(Brought::Files(files)) => files.once = options.incremental.is_some(),
                Some(Brought::Foreign(foreign)) => self.fits_foreign(foreign, options),
                _ => {}
            }
            self.reads_one_table(&found, options);
            return Some(found);
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
        match union.readings().len() {
            1 => self.reads_one_table(&union, options),
            _ => self.reads_several(options),
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
        self.is_staged(options, " by a `union` of several connections: their rows");
    }

    fn one_source(&mut self, spec: &SourceSpec, outer: Option<&String>, part: &str) -> Option<Source> {
        if let Some(brought) = self.brought(spec, part)? {
            return Some(Source::of_brought(brought));
        }
        let connection = connection_of(spec, outer);
        if let Some(foreign) = self.foreign(spec, &connection, part) {
            return foreign.ok().map(|foreign| Source::of_brought(Brought::Foreign(Box::new(foreign))));
        }
        let query = match (&spec.query, &spec.table) {
            (Some(text), _) => {
                let name = if spec.query_file.is_some() { "query_file" } else { "query" };
                let part = format!("{part}.{name}");
                self.has_no_watermark(&part, text);
                self.keep(&part, ReadQuery::parse(text))?
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

    /// What brings the rows, where that is no database.
    fn brought(&mut self, spec: &SourceSpec, part: &str) -> Option<Option<Brought>> {
        if part != "source" && spec.is_brought() {
            let (kind, hint) = match spec.http {
                Some(_) => ("http", "write a pipeline for each: several may append to one target"),
                None => ("files", "one glob may name files of several places: \"{eu,us}/*.csv\""),
            };
            let message = format!("{kind} cannot be a member of a `union` yet");
            let error = FlowError::new(ErrorCode::NotYetSupported, message);
            self.fail(&format!("{part}.{kind}"), error.hint(hint));
            return None;
        }
        if let Some(frame) = &spec.frame {
            return Some(Some(Brought::Frame(frame.clone())));
        }
        if let Some(http) = &spec.http {
            let http = HttpSpec { directory: spec.directory.clone(), ..http.as_ref().clone() };
            return Some(Some(Brought::Http(Box::new(http))));
        }
        Some(spec.files.as_ref().map(|pattern| {
            Brought::Files(FilesSpec {
                pattern: pattern.clone(),
                directory: spec.directory.clone(),
                format: spec.format,
                compression: spec.compression,
                csv: spec.csv.clone().unwrap_or_default(),
                json: spec.json.clone().unwrap_or_default(),
                hive: spec.hive.unwrap_or(true),
                storage: spec.storage.clone(),
                once: false,
            })
        }))
    }

    /// Refuses every path but staging; ` by … : their rows` says whose are staged.
    pub(super) fn is_staged(&mut self, options: &PipelineOptions, whose: &str) {
        if let Some(forced) = options.force_path.filter(|forced| *forced != ForcePath::Staging) {
            let word = if forced == ForcePath::SameDb { "same_db" } else { "client_diff" };
            let error = FlowError::new(
                ErrorCode::PathImpossible,
                format!("`force_path = \"{word}\"` cannot be taken{whose} are staged"),
            );
            self.fail("force_path", error.hint("remove it"));
        }
        if options.parallel() > 1 {
            let error = FlowError::new(
                ErrorCode::PathImpossible,
                format!(
                    "`parallel` reads one table by several sessions, and cannot be taken{whose} come in one stream"
                ),
            );
            self.fail("parallel", error.hint("parallel = 1"));
        }
    }

    /// Whether several sessions can read it, each a part of a table's pages: every other query would be done by each.
    fn reads_one_table(&mut self, source: &Source, options: &PipelineOptions) {
        if options.parallel() == 1 || source.brought.is_some() {
            return;
        }
        let why = if source.query.simple().is_none() {
            Some("the query does more than name columns of one table")
        } else if !options.transforms_pre().0.is_empty() {
            Some("`transforms_pre` looks at all rows of the query")
        } else {
            None
        };
        if let Some(why) = why {
            let message = format!("`parallel` reads the parts of one table by several sessions, and {why}");
            let error = FlowError::new(ErrorCode::ConflictingOptions, message);
            self.fail(
                "parallel",
                error.hint("read the table itself, source = { table = \"…\" }; or parallel = 1"),
            );
        }
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
