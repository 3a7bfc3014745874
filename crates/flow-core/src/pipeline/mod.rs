//! A pipeline whose declaration has been checked: names are names, every option fits its load
//! strategy, and every violated rule was reported at once with its place.

mod check;
mod columns;
mod options;
mod tables;

use crate::declare::ProjectSpec;
use crate::declare::options::*;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::query::ReadQuery;
use crate::schedule::Schedule;
use crate::schema::Table;
use crate::sql::{Ident, QualifiedName};
use check::Check;

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

/// The keys that a declaration gives where a pipeline says none: the natural key, else the primary key.
pub fn declared_keys(table: &Table) -> (Vec<Ident>, &'static str) {
    if table.natural_key.is_empty() {
        (table.primary_key.clone(), "primary_key")
    } else {
        (table.natural_key.clone(), "natural_key")
    }
}
