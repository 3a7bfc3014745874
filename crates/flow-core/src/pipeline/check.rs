//! Checks a declaration as a whole, and where it reads and writes. Every violated rule is kept with its place.

use super::{DEFAULT_CONNECTION, Pipeline, Source, Strategy, Target};
use crate::declare::options::*;
use crate::declare::{Names, PipelineSpec, ProjectSpec};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::query::{ReadQuery, latest_first};
use crate::sql::{Ident, QualifiedName};

pub(super) struct Check<'a> {
    pub(super) project: &'a ProjectSpec,
    pub(super) path: String,
    pub(super) errors: Vec<FlowError>,
}

impl Check<'_> {
    pub(super) fn fail(&mut self, part: &str, error: FlowError) {
        let path = if part.is_empty() { self.path.clone() } else { format!("{}.{part}", self.path) };
        self.fail_at(&path, error);
    }

    pub(super) fn fail_at(&mut self, path: &str, error: FlowError) {
        self.errors.push(match self.project.places.find(path) {
            Some(place) => error.at(place.clone()),
            None => error,
        });
    }

    /// Keeps a value, or reports and goes on.
    pub(super) fn keep<T>(&mut self, part: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(part, error)).ok()
    }

    /// An option for this once that has no meaning in the mode is refused, as it is in a file.
    pub(super) fn overrides_fit(
        &mut self,
        name: &str,
        options: &PipelineOptions,
        overrides: &PipelineOptions,
    ) {
        let Some(mode) = options.mode else { return };
        for info in overrides.written().filter(|info| !info.is_for(mode)) {
            let flag = info.name.replace('_', "-");
            let error = FlowError::new(
                ErrorCode::OptionNotForMode,
                format!("--{flag} has no meaning for `{name}`, which is {mode}"),
            );
            self.fail("", error.hint(format!("it belongs to {}", info.mode_names().join(" and "))));
        }
    }

    pub(super) fn names(&mut self, part: &str, names: &Option<Names>) -> Option<Vec<Ident>> {
        let names = names.as_ref()?.to_vec();
        let mut out: Vec<Ident> = Vec::new();
        for name in &names {
            if let Some(ident) = self.keep(part, Ident::new(name)) {
                if out.contains(&ident) {
                    let error = FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("`{part}` names the column `{name}` twice"),
                    );
                    self.fail(part, error);
                } else {
                    out.push(ident);
                }
            }
        }
        if names.is_empty()
            && part != "overwrite_columns"
            && part != "compare_columns"
            && part != "update_columns"
        {
            self.fail(part, FlowError::new(ErrorCode::InvalidValue, format!("`{part}` names no column")));
        }
        Some(out)
    }

    /// The name of a column of ours. One that is none was reported, and stands for nothing more.
    pub(super) fn name(&mut self, part: &'static str, name: String) -> Ident {
        self.keep(part, Ident::new(name)).unwrap_or_else(|| Ident::fixed(part))
    }

    pub(super) fn pipeline(
        &mut self,
        name: &str,
        spec: &PipelineSpec,
        options: &PipelineOptions,
    ) -> Option<Pipeline> {
        let source = self.source(spec);
        let target = self.target(&spec.target);
        let mode = match options.mode {
            Some(mode) => mode,
            None => {
                let error =
                    FlowError::new(ErrorCode::MissingOption, format!("pipeline `{name}` has no `mode`"));
                self.fail("", error.hint("set mode = \"append\", \"truncate\", \"merge\" or \"scd2\""));
                return None;
            }
        };
        self.rules(mode, options);
        let keys = self.names("keys", &options.keys);
        let strategy = Strategy::of(mode, self, options);
        let incremental = self.incremental(options);
        let schedule = self.schedule(options);
        let limits = self.limits(options);
        let order_by = match &options.order_by {
            Some(list) => self.keep("order_by", latest_first(list)).unwrap_or_default(),
            None => Vec::new(),
        };
        if let (Some(Target::Declared(table)), true) = (&target, self.errors.is_empty()) {
            self.columns(table, keys.as_deref(), &strategy, options);
        }
        let target_connection = options
            .target_connection
            .clone()
            .or_else(|| spec.source.connection.clone())
            .unwrap_or_else(|| DEFAULT_CONNECTION.to_owned());
        if self.project.connections.get(&target_connection).is_some_and(|connection| connection.read_only) {
            let error = FlowError::new(
                ErrorCode::ReadOnlyTarget,
                format!("the target's connection `{target_connection}` is declared read_only"),
            );
            self.fail(
                "target_connection",
                error.hint("set target_connection to a connection that may write"),
            );
        }
        Some(Pipeline {
            name: name.to_owned(),
            source: source?,
            target_connection,
            target: target?,
            keys,
            on_duplicate: options.on_duplicate(),
            order_by,
            refuse_empty_source: match options.on_empty_source {
                Some(word) => word == OnEmptySource::Error,
                None => strategy.handles_deletes(),
            },
            on_drift: options.on_drift(),
            migrate: options.migrate(),
            incremental,
            force_path: options.force_path,
            limits,
            schedule,
            enabled: options.enabled(),
            tags: options.tags(),
            strategy,
        })
    }

    pub(super) fn source(&mut self, spec: &PipelineSpec) -> Option<Source> {
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

    pub(super) fn target(&mut self, target: &str) -> Option<Target> {
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
