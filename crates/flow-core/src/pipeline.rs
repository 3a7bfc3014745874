//! A pipeline whose declaration has been checked: names are names, every option fits its load
//! strategy, and every violated rule was reported at once with its place.

use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::query::{ReadQuery, latest_first, table_query};
use crate::schedule::Schedule;
use crate::schema::{Column, ColumnDefault, Index, Table};
use crate::spec::options::*;
use crate::spec::{
    ColumnSpec, DefaultSpec, FullColumnSpec, IndexSpec, Names, PipelineSpec, ProjectSpec, ScalarSpec,
    TableSpec,
};
use crate::sql::{Ident, Literal, QualifiedName};
use crate::types::DataType;

/// The connection that stands where none is named.
pub const DEFAULT_CONNECTION: &str = "default";

/// A checked pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Where its rows come from.
    pub source: Source,
    /// The connection of the target.
    pub target_connection: String,
    /// Where they go.
    pub target: Target,
    /// How they get there.
    pub strategy: Strategy,
    /// The keys that the pipeline itself says.
    pub keys: Option<Vec<Ident>>,
    /// What several source rows of one key mean.
    pub on_duplicate: OnDuplicate,
    /// ORDER BY items for `latest`: the row that comes first is kept.
    pub order_by: Vec<String>,
    /// Whether a source without rows ends the run.
    pub refuse_empty_source: bool,
    /// What a live table unlike its declaration means.
    pub on_drift: OnDrift,
    /// Whether missing parts of an existing table are added.
    pub migrate: bool,
    /// How the source is read from a watermark on.
    pub incremental: Option<Incremental>,
    /// A forced path.
    pub force_path: Option<ForcePath>,
    /// Time limits.
    pub limits: Limits,
    /// When it is due.
    pub schedule: Option<Schedule>,
    /// Whether its schedule fires.
    pub enabled: bool,
    /// Words to select it by.
    pub tags: Vec<String>,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The connection's name.
    pub connection: String,
    /// The query, over a whole table where one was named.
    pub query: ReadQuery,
}

/// Where rows go.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A declared table.
    Declared(Table),
    /// A qualified name: columns are the live table's, else the source's.
    Inferred(QualifiedName),
}

impl Target {
    /// The target's name.
    pub fn name(&self) -> &QualifiedName {
        match self {
            Target::Declared(table) => &table.name,
            Target::Inferred(name) => name,
        }
    }
}

/// A load strategy with what only it knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// Insert every source row.
    Append(Append),
    /// Replace the whole table.
    Truncate(Truncate),
    /// Update or insert by key.
    Merge(Merge),
    /// Keep the history of every key.
    Scd2(Scd2),
}

impl Strategy {
    /// The strategy's name.
    pub fn mode(&self) -> Mode {
        match self {
            Strategy::Append(_) => Mode::Append,
            Strategy::Truncate(_) => Mode::Truncate,
            Strategy::Merge(_) => Mode::Merge,
            Strategy::Scd2(_) => Mode::Scd2,
        }
    }
}

/// What append knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Column of the time of loading.
    pub loaded_at: Option<Ident>,
    /// Column of the run's id.
    pub batch_id: Option<Ident>,
}

/// What truncate knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Truncate {
    /// How the table is emptied.
    pub method: ReplaceMethod,
}

/// What merge knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// Columns that are written; all but keys and managed columns when unsaid.
    pub update_columns: Option<Vec<Ident>>,
    /// What happens to keys that left the source.
    pub deletes: HandleDeletes,
    /// The largest share of keys that one run may delete.
    pub max_delete_fraction: f64,
    /// Column that marks a deleted row.
    pub deleted_flag: Ident,
}

/// What scd2 knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scd2 {
    /// Columns whose change opens a version.
    pub compare_columns: Option<Vec<Ident>>,
    /// Columns updated in the current version.
    pub overwrite_columns: Vec<Ident>,
    /// Whether keys that left the source are closed.
    pub close_deleted: bool,
    /// The largest share of keys that one run may close for it.
    pub max_delete_fraction: f64,
    /// Where a version begins.
    pub effective_from: Ident,
    /// Where a version ends.
    pub effective_to: Ident,
    /// Marks the current version.
    pub current_flag: Ident,
    /// The row hash.
    pub hash_column: Ident,
    /// Where the first version of a key begins.
    pub first_valid_from: FirstValidFrom,
    /// What stands in `effective_to` of the current version.
    pub open_end: OpenEnd,
}

/// Where the first version of a key begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstValidFrom {
    /// At the run's instant.
    Run,
    /// At 1970-01-01 00:00:00 UTC.
    Epoch,
    /// At the value of a column.
    Column(Ident),
}

/// How the source is read from a watermark on.
#[derive(Clone, Debug, PartialEq)]
pub struct Incremental {
    /// The column that only grows.
    pub column: Ident,
    /// How far before the watermark a reading begins.
    pub lookback: Lookback,
    /// What NULL means.
    pub on_null: NullWatermark,
    /// How rows that commit late are found again.
    pub late_commits: LateCommits,
}

/// Time limits of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How long to wait for the target's lock.
    pub lock_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Option<Duration>,
    /// How long the whole run may take.
    pub run_timeout: Option<Duration>,
    /// How long a run that gives no sign of life is believed.
    pub lease: Duration,
}

impl Pipeline {
    /// Checks one pipeline of a project, with options laid over it for this once.
    ///
    /// # Errors
    /// Every violated rule, each at its place.
    pub fn build(
        project: &ProjectSpec,
        name: &str,
        overrides: &PipelineOptions,
    ) -> Result<Pipeline, Vec<FlowError>> {
        let Some(spec) = project.pipelines.get(name) else {
            return Err(vec![unknown_pipeline(project, name)]);
        };
        let mut check = Check { project, path: format!("pipelines.{name}"), errors: Vec::new() };
        let options = overlay(&spec.options, overrides);
        check.overrides_fit(name, &options, overrides);
        let pipeline = check.pipeline(name, spec, &options);
        match pipeline {
            Some(pipeline) if check.errors.is_empty() => Ok(pipeline),
            _ => Err(check.errors),
        }
    }

    /// The name under which this target is locked and remembered.
    pub fn target_key(&self) -> String {
        self.target.name().to_string()
    }
}

/// The error for a name that no pipeline has.
pub fn unknown_pipeline(project: &ProjectSpec, name: &str) -> FlowError {
    let error = FlowError::new(ErrorCode::UnknownPipeline, format!("there is no pipeline `{name}`"));
    match did_you_mean(name, project.pipelines.keys().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`? `flow list` shows all")),
        None => error.hint("`flow list` shows all"),
    }
}

/// Options for this once, laid over those that were written.
fn overlay(written: &PipelineOptions, once: &PipelineOptions) -> PipelineOptions {
    macro_rules! lay {
        ($($field:ident),+ $(,)?) => { PipelineOptions { $($field: once.$field.clone().or_else(|| written.$field.clone())),+ } };
    }
    lay!(
        mode,
        target_connection,
        description,
        owner,
        tags,
        enabled,
        keys,
        compare_columns,
        update_columns,
        overwrite_columns,
        handle_deletes,
        max_delete_fraction,
        on_empty_source,
        on_duplicate,
        order_by,
        on_drift,
        migrate,
        incremental_column,
        lookback,
        null_watermark,
        late_commits,
        first_valid_from,
        open_end,
        effective_from,
        effective_to,
        current_flag,
        hash_column,
        deleted_flag,
        loaded_at_column,
        batch_id_column,
        replace_method,
        force_path,
        parallel,
        lock_timeout,
        statement_timeout,
        run_timeout,
        lease,
        schedule,
        every,
        timezone,
        first_run,
    )
}

struct Check<'a> {
    project: &'a ProjectSpec,
    path: String,
    errors: Vec<FlowError>,
}

impl Check<'_> {
    fn fail(&mut self, part: &str, error: FlowError) {
        let path = if part.is_empty() { self.path.clone() } else { format!("{}.{part}", self.path) };
        self.fail_at(&path, error);
    }

    fn fail_at(&mut self, path: &str, error: FlowError) {
        self.errors.push(match self.project.places.find(path) {
            Some(place) => error.at(place.clone()),
            None => error,
        });
    }

    /// Keeps a value, or reports and goes on.
    fn keep<T>(&mut self, part: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(part, error)).ok()
    }

    /// An option for this once that has no meaning in the mode is refused, as it is in a file.
    fn overrides_fit(&mut self, name: &str, options: &PipelineOptions, overrides: &PipelineOptions) {
        let (Some(mode), Ok(serde_json::Value::Object(said))) =
            (options.mode, serde_json::to_value(overrides))
        else {
            return;
        };
        for info in
            said.iter().filter(|(_, value)| !value.is_null()).filter_map(|(name, _)| option_info(name))
        {
            if !info.modes.is_empty() && !info.modes.contains(&mode) {
                let flag = info.name.replace('_', "-");
                let modes: Vec<&str> = info.modes.iter().map(|mode| mode.name()).collect();
                let error = FlowError::new(
                    ErrorCode::OptionNotForMode,
                    format!("--{flag} has no meaning for `{name}`, which is {mode}"),
                );
                self.fail("", error.hint(format!("it belongs to {}", modes.join(" and "))));
            }
        }
    }

    fn names(&mut self, part: &str, names: &Option<Names>) -> Option<Vec<Ident>> {
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

    fn name_or(&mut self, part: &str, name: &Option<String>, default: &'static str) -> Ident {
        match name {
            Some(name) => self.keep(part, Ident::new(name)).unwrap_or_else(|| Ident::fixed(default)),
            None => Ident::fixed(default),
        }
    }

    fn pipeline(&mut self, name: &str, spec: &PipelineSpec, options: &PipelineOptions) -> Option<Pipeline> {
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
        self.exclusions(mode, options);
        let keys = self.names("keys", &options.keys);
        let strategy = self.strategy(mode, options);
        let incremental = self.incremental(options);
        let schedule = self.schedule(options);
        let limits = self.limits(options);
        let order_by = match &options.order_by {
            Some(list) => self.keep("order_by", latest_first(list)).unwrap_or_default(),
            None => Vec::new(),
        };
        if let (Some(Target::Declared(table)), true) = (&target, self.errors.is_empty()) {
            self.columns(table, keys.as_deref(), &strategy);
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
        let deletes = match &strategy {
            Strategy::Merge(merge) => merge.deletes != HandleDeletes::Ignore,
            Strategy::Scd2(scd2) => scd2.close_deleted,
            _ => false,
        };
        Some(Pipeline {
            name: name.to_owned(),
            source: source?,
            target_connection,
            target: target?,
            keys,
            on_duplicate: options.on_duplicate.unwrap_or_default(),
            order_by,
            refuse_empty_source: match options.on_empty_source {
                Some(word) => word == OnEmptySource::Error,
                None => deletes,
            },
            on_drift: options.on_drift.unwrap_or_default(),
            migrate: options.migrate.unwrap_or(false),
            incremental,
            force_path: options.force_path,
            limits,
            schedule,
            enabled: options.enabled.unwrap_or(true),
            tags: options.tags.clone().unwrap_or_default(),
            strategy,
        })
    }

    fn source(&mut self, spec: &PipelineSpec) -> Option<Source> {
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
                table_query(&QualifiedName { schema, name }, &text)
            }
            (None, None) => {
                let error = FlowError::new(ErrorCode::MissingOption, "the source has no query");
                self.fail("source", error.hint("set query, query_file or table"));
                return None;
            }
        };
        Some(Source { connection, query })
    }

    fn target(&mut self, target: &str) -> Option<Target> {
        if let Some(spec) = self.project.tables.get(target) {
            return self.table(target, spec).map(Target::Declared);
        }
        match self.keep("target", QualifiedName::parse(target))? {
            (Some(schema), name) => {
                // [tables.dim_customers] of schema analytics may also be called analytics.dim_customers.
                let declared = self.project.tables.iter().find(|(key, table)| {
                    table.schema.as_deref().unwrap_or("public") == schema.as_str()
                        && table.name.as_deref().unwrap_or(key) == name.as_str()
                });
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

    fn table(&mut self, key: &str, spec: &TableSpec) -> Option<Table> {
        let outer = std::mem::replace(&mut self.path, format!("tables.{key}"));
        let table = self.table_inner(key, spec);
        self.path = outer;
        table
    }

    fn table_inner(&mut self, key: &str, spec: &TableSpec) -> Option<Table> {
        let errors = self.errors.len();
        let schema = self.keep("schema", Ident::new(spec.schema.as_deref().unwrap_or("public")));
        let name = self.keep("name", Ident::new(spec.name.as_deref().unwrap_or(key)));
        let mut columns = Vec::new();
        let (mut primary_key, mut natural_key, mut unique) = (Vec::new(), Vec::new(), Vec::new());
        for (column_name, column) in &spec.columns {
            let part = format!("columns.{column_name}");
            let Some(ident) = self.keep(&part, Ident::new(column_name)) else { continue };
            let full = match column {
                ColumnSpec::Type(data_type) => {
                    FullColumnSpec { data_type: data_type.clone(), ..FullColumnSpec::default() }
                }
                ColumnSpec::Full(full) => (**full).clone(),
            };
            let written = full.data_type.trim();
            let (type_text, nullable) = match written.strip_suffix('?') {
                Some(text) => (text, true),
                None => (written, false),
            };
            let Some(data_type) = self.keep(&part, DataType::parse(type_text)) else { continue };
            if full.primary_key {
                primary_key.push(ident.clone());
            }
            if full.natural_key {
                natural_key.push(ident.clone());
            }
            if full.unique {
                unique.push(vec![ident.clone()]);
            }
            let default = full.default.as_ref().map(|default| match default {
                DefaultSpec::Sql { sql } => ColumnDefault::Expression(sql.clone()),
                DefaultSpec::Value(value) => ColumnDefault::Value(literal(value)),
            });
            columns.push(Column {
                name: ident,
                data_type,
                nullable,
                default,
                description: full.description.clone(),
            });
        }
        if spec.columns.is_empty() {
            let error =
                FlowError::new(ErrorCode::MissingOption, format!("table `{key}` declares no columns"));
            self.fail(
                "",
                error.hint(format!(
                    "add [tables.{key}.columns], or name the target with its schema to take the live table's"
                )),
            );
        }
        for (part, list, from_columns) in [
            ("primary_key", &spec.primary_key, &mut primary_key),
            ("natural_key", &spec.natural_key, &mut natural_key),
        ] {
            if let Some(names) = self.names(part, list) {
                if !from_columns.is_empty() && *from_columns != names {
                    let error = FlowError::new(
                        ErrorCode::ConflictingOptions,
                        format!("table `{key}` declares its {part} twice, and differently"),
                    );
                    self.fail(part, error.hint("declare it on the columns or on the table, not both"));
                }
                *from_columns = names;
            }
        }
        for names in &spec.unique {
            unique.extend(self.names("unique", &Some(names.clone())));
        }
        let mut indexes = Vec::new();
        for index in &spec.indexes {
            let built = match index {
                IndexSpec::Columns(names) => self.names("indexes", &Some(names.clone())).map(|columns| {
                    Index { name: None, columns, unique: false, method: None, condition: None }
                }),
                IndexSpec::Full(full) => {
                    let name = full.name.as_ref().and_then(|name| self.keep("indexes", Ident::new(name)));
                    let method = full.using.as_ref().and_then(|name| self.keep("indexes", Ident::new(name)));
                    self.names("indexes", &Some(full.columns.clone())).map(|columns| Index {
                        name,
                        columns,
                        unique: full.unique,
                        method,
                        condition: full.condition.clone(),
                    })
                }
            };
            indexes.extend(built);
        }
        let options = spec
            .options
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    ScalarSpec::Boolean(value) => value.to_string(),
                    ScalarSpec::Integer(value) => value.to_string(),
                    ScalarSpec::Float(value) => value.to_string(),
                    ScalarSpec::Text(value) => value.clone(),
                };
                (name.clone(), value)
            })
            .collect();
        let table = Table {
            name: QualifiedName { schema: schema?, name: name? },
            columns,
            primary_key,
            natural_key,
            unique,
            indexes,
            options,
            description: spec.description.clone(),
        };
        let lists = [("primary_key", &table.primary_key), ("natural_key", &table.natural_key)];
        for (part, names) in lists
            .into_iter()
            .chain(table.unique.iter().map(|names| ("unique", names)))
            .chain(table.indexes.iter().map(|index| ("indexes", &index.columns)))
        {
            self.known_columns(part, names, &table);
        }
        (self.errors.len() == errors).then_some(table)
    }

    fn known_columns(&mut self, part: &str, names: &[Ident], table: &Table) {
        for name in names {
            if table.column(name).is_none()
                && self.errors.iter().all(|error| error.code != ErrorCode::UnknownType)
            {
                let error = FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!(
                        "`{part}` names the column `{name}`, which table `{}` does not have",
                        table.name.name
                    ),
                );
                let near =
                    did_you_mean(name.as_str(), table.columns.iter().map(|column| column.name.as_str()));
                self.fail(
                    part,
                    match near {
                        Some(near) => error.hint(format!("did you mean `{near}`?")),
                        None => error,
                    },
                );
            }
        }
    }

    /// Columns that options name must be declared, and ours must not be.
    fn columns(&mut self, table: &Table, keys: Option<&[Ident]>, strategy: &Strategy) {
        let table_name = table.name.name.to_string();
        if let Some(keys) = keys {
            self.known_columns("keys", keys, table);
        }
        let effective = keys.map(<[Ident]>::to_vec).unwrap_or_else(|| declared_keys(table).0);
        let needs_keys = matches!(strategy, Strategy::Merge(_) | Strategy::Scd2(_)) || self.wants_latest();
        if needs_keys && effective.is_empty() {
            let error = FlowError::new(
                ErrorCode::MissingKeys,
                format!(
                    "pipeline has no keys: neither `keys` nor a natural or primary key of table `{table_name}`"
                ),
            );
            self.fail("", error.hint("set keys = [\"…\"] to the columns that identify a row in the source"));
        }
        match strategy {
            Strategy::Merge(merge) => {
                if let Some(names) = &merge.update_columns {
                    self.known_columns("update_columns", names, table);
                    self.not_keys("update_columns", names, &effective);
                }
                self.not_declared(
                    "deleted_flag",
                    &merge.deleted_flag,
                    table,
                    merge.deletes == HandleDeletes::Soft,
                );
            }
            Strategy::Scd2(scd2) => {
                if let Some(names) = &scd2.compare_columns {
                    self.known_columns("compare_columns", names, table);
                    self.not_keys("compare_columns", names, &effective);
                    for name in names.iter().filter(|name| scd2.overwrite_columns.contains(name)) {
                        let error = FlowError::new(
                            ErrorCode::ConflictingOptions,
                            format!(
                                "the column `{name}` stands in both compare_columns and overwrite_columns"
                            ),
                        );
                        self.fail(
                            "overwrite_columns",
                            error.hint("a change either opens a version or is written in place"),
                        );
                    }
                }
                self.known_columns("overwrite_columns", &scd2.overwrite_columns, table);
                self.not_keys("overwrite_columns", &scd2.overwrite_columns, &effective);
                if let FirstValidFrom::Column(name) = &scd2.first_valid_from {
                    self.known_columns("first_valid_from", std::slice::from_ref(name), table);
                }
                let managed = [
                    ("effective_from", &scd2.effective_from),
                    ("effective_to", &scd2.effective_to),
                    ("current_flag", &scd2.current_flag),
                    ("hash_column", &scd2.hash_column),
                ];
                for (index, (part, name)) in managed.iter().enumerate() {
                    self.not_declared(part, name, table, true);
                    if let Some((other, _)) = managed[..index].iter().find(|(_, other)| other == name) {
                        let error = FlowError::new(
                            ErrorCode::DuplicateName,
                            format!("`{part}` and `{other}` are both called `{name}`"),
                        );
                        self.fail(part, error);
                    }
                }
            }
            _ => {}
        }
    }

    fn wants_latest(&self) -> bool {
        let name = self.path.trim_start_matches("pipelines.");
        self.project
            .pipelines
            .get(name)
            .is_some_and(|spec| spec.options.on_duplicate == Some(OnDuplicate::Latest))
    }

    fn not_keys(&mut self, part: &str, names: &[Ident], keys: &[Ident]) {
        for name in names.iter().filter(|name| keys.contains(name)) {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`{part}` names the key column `{name}`"),
            );
            self.fail(part, error.hint("a key identifies a row and never changes: leave it out"));
        }
    }

    fn not_declared(&mut self, part: &str, name: &Ident, table: &Table, used: bool) {
        if used && table.column(name).is_some() {
            let error = FlowError::new(
                ErrorCode::DuplicateName,
                format!("the column `{name}` of table `{}` is managed by the load strategy", table.name.name),
            );
            self.fail(
                part,
                error.hint(format!("remove it from [tables], or rename ours with {part} = \"…\"")),
            );
        }
    }

    fn exclusions(&mut self, mode: Mode, options: &PipelineOptions) {
        let deletes = options.handle_deletes.unwrap_or_default();
        let conflict = |message: &str| FlowError::new(ErrorCode::ConflictingOptions, message);
        if options.incremental_column.is_some()
            && deletes != HandleDeletes::Ignore
            && matches!(mode, Mode::Merge | Mode::Scd2)
        {
            let error = conflict("`handle_deletes` and `incremental_column` exclude each other")
                .hint("deletes are seen only in a full reading: remove one of the two");
            self.fail("handle_deletes", error);
        }
        if options.incremental_column.is_some() && mode == Mode::Truncate {
            let error =
                conflict("`truncate` replaces the whole table, so it cannot read from a watermark on")
                    .hint("remove incremental_column, or choose merge or append");
            self.fail("incremental_column", error);
        }
        if mode == Mode::Scd2 && deletes == HandleDeletes::Hard {
            let error =
                conflict("`handle_deletes = \"hard\"` would delete history, which scd2 exists to keep")
                    .hint("use \"soft\": it closes the current version of a key that left the source");
            self.fail("handle_deletes", error);
        }
        if options.incremental_column.is_none() {
            for (part, written) in [
                ("lookback", options.lookback.as_ref().is_some_and(|lookback| !lookback.is_zero())),
                ("null_watermark", options.null_watermark.is_some_and(|word| word != NullWatermark::Error)),
                ("late_commits", options.late_commits.is_some_and(|word| word != LateCommits::Auto)),
            ] {
                if written {
                    let error = FlowError::new(
                        ErrorCode::MissingOption,
                        format!("`{part}` needs `incremental_column`"),
                    );
                    self.fail(part, error.hint("name the column that only grows, or remove the option"));
                }
            }
        }
        match (options.on_duplicate.unwrap_or_default(), &options.order_by) {
            (OnDuplicate::Latest, None) => {
                let error =
                    FlowError::new(ErrorCode::MissingOption, "`on_duplicate = \"latest\"` needs `order_by`");
                self.fail(
                    "on_duplicate",
                    error.hint("say which row of a key is kept: order_by = \"updated_at DESC\""),
                );
            }
            (OnDuplicate::Error, Some(_)) => {
                let error =
                    FlowError::new(ErrorCode::MissingOption, "`order_by` needs `on_duplicate = \"latest\"`");
                self.fail("order_by", error.hint("add on_duplicate = \"latest\", or remove order_by"));
            }
            _ => {}
        }
        if let Some(fraction) = options.max_delete_fraction
            && !(0.0..=1.0).contains(&fraction)
        {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("max_delete_fraction = {fraction} is not between 0 and 1"),
            );
            self.fail("max_delete_fraction", error.hint("it is a share: 0.1 allows one key in ten"));
        }
        if options.parallel.is_some_and(|parallel| parallel != 1) {
            let error = FlowError::new(ErrorCode::NotYetSupported, "`parallel` is not supported yet");
            self.fail("parallel", error.hint("remove it, or set it to 1"));
        }
        if let Some(path @ (ForcePath::Staging | ForcePath::ClientDiff)) = options.force_path {
            let word = if path == ForcePath::Staging { "staging" } else { "client_diff" };
            let error = FlowError::new(
                ErrorCode::NotYetSupported,
                format!("`force_path = \"{word}\"` is not supported yet"),
            );
            self.fail(
                "force_path",
                error.hint("remove it: source and target in one database take the path same_db"),
            );
        }
    }

    fn strategy(&mut self, mode: Mode, options: &PipelineOptions) -> Strategy {
        match mode {
            Mode::Append => Strategy::Append(Append {
                loaded_at: self.optional_name("loaded_at_column", &options.loaded_at_column, "_loaded_at"),
                batch_id: self.optional_name("batch_id_column", &options.batch_id_column, "_batch_id"),
            }),
            Mode::Truncate => {
                Strategy::Truncate(Truncate { method: options.replace_method.unwrap_or_default() })
            }
            Mode::Merge => Strategy::Merge(Merge {
                update_columns: self.names("update_columns", &options.update_columns),
                deletes: options.handle_deletes.unwrap_or_default(),
                max_delete_fraction: options.max_delete_fraction.unwrap_or(0.5),
                deleted_flag: self.name_or("deleted_flag", &options.deleted_flag, "is_deleted"),
            }),
            Mode::Scd2 => Strategy::Scd2(Scd2 {
                compare_columns: self.names("compare_columns", &options.compare_columns),
                overwrite_columns: self
                    .names("overwrite_columns", &options.overwrite_columns)
                    .unwrap_or_default(),
                close_deleted: options.handle_deletes == Some(HandleDeletes::Soft),
                max_delete_fraction: options.max_delete_fraction.unwrap_or(0.5),
                effective_from: self.name_or("effective_from", &options.effective_from, "valid_from"),
                effective_to: self.name_or("effective_to", &options.effective_to, "valid_to"),
                current_flag: self.name_or("current_flag", &options.current_flag, "is_current"),
                hash_column: self.name_or("hash_column", &options.hash_column, "row_hash"),
                first_valid_from: match options.first_valid_from.as_deref() {
                    None | Some("run") => FirstValidFrom::Run,
                    Some("epoch") => FirstValidFrom::Epoch,
                    Some(column) => self
                        .keep("first_valid_from", Ident::new(column))
                        .map_or(FirstValidFrom::Run, FirstValidFrom::Column),
                },
                open_end: options.open_end.unwrap_or_default(),
            }),
        }
    }

    fn optional_name(
        &mut self,
        part: &str,
        value: &Option<NameOrOff>,
        default: &'static str,
    ) -> Option<Ident> {
        match value {
            None => Some(Ident::fixed(default)),
            Some(NameOrOff::Off(false)) => None,
            Some(NameOrOff::Off(true)) => Some(Ident::fixed(default)),
            Some(NameOrOff::Name(name)) => self.keep(part, Ident::new(name)),
        }
    }

    fn incremental(&mut self, options: &PipelineOptions) -> Option<Incremental> {
        let column = self.keep("incremental_column", Ident::new(options.incremental_column.as_ref()?))?;
        Some(Incremental {
            column,
            lookback: options.lookback.clone().unwrap_or(Lookback::Number(0)),
            on_null: options.null_watermark.unwrap_or_default(),
            late_commits: options.late_commits.unwrap_or_default(),
        })
    }

    fn schedule(&mut self, options: &PipelineOptions) -> Option<Schedule> {
        let timezone = options.timezone.as_deref().unwrap_or("UTC");
        let first_run = options.first_run.unwrap_or_default();
        match (&options.schedule, &options.every) {
            (Some(_), Some(_)) => {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    "`schedule` and `every` exclude each other",
                );
                self.fail("every", error.hint("keep the cron line or the interval"));
                None
            }
            (Some(line), None) => self.keep("schedule", Schedule::cron(line, timezone, first_run)),
            (None, Some(every)) => self.keep("every", Schedule::every(every, timezone, first_run)),
            (None, None) => {
                if options.timezone.is_some() {
                    self.keep("timezone", Schedule::cron("* * * * *", timezone, first_run));
                }
                None
            }
        }
    }

    fn limits(&mut self, options: &PipelineOptions) -> Limits {
        let lease =
            options.lease.clone().unwrap_or_else(|| Duration::parse("60s").expect("a duration of ours"));
        if lease.milliseconds() < 1_000 {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("lease = \"{lease}\" is shorter than a second"),
            );
            self.fail(
                "lease",
                error.hint("it is renewed four times in its length: give the network time to answer"),
            );
        }
        Limits {
            lock_timeout: options
                .lock_timeout
                .clone()
                .unwrap_or_else(|| Duration::parse("60s").expect("a duration of ours")),
            statement_timeout: options.statement_timeout.clone(),
            run_timeout: options.run_timeout.clone(),
            lease,
        }
    }
}

fn literal(value: &ScalarSpec) -> Literal {
    match value {
        ScalarSpec::Boolean(value) => Literal::Boolean(*value),
        ScalarSpec::Integer(value) => Literal::Integer(*value),
        ScalarSpec::Float(value) => Literal::Float(*value),
        ScalarSpec::Text(value) => Literal::Text(value.clone()),
    }
}

/// The keys that a declaration gives where a pipeline says none: the natural key, else the primary key.
pub fn declared_keys(table: &Table) -> (Vec<Ident>, &'static str) {
    if table.natural_key.is_empty() {
        (table.primary_key.clone(), "primary_key")
    } else {
        (table.natural_key.clone(), "natural_key")
    }
}
