//! A pipeline whose declaration has been checked: names are names, every option fits its load
//! strategy, and every violated rule was reported at once with its place.

mod check;
mod columns;
mod options;
mod strategy;
mod tables;

pub use strategy::{Append, FirstValidFrom, Merge, Scd2, Strategy, Truncate};

use crate::declare::options::*;
use crate::declare::{PipelineSpec, ProjectSpec};
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

/// How the source is read from a watermark on.
#[derive(Clone, Debug, PartialEq)]
pub struct Incremental {
    /// The column that only grows.
    pub column: Ident,
    /// How far before the watermark a reading begins.
    pub lookback: Lookback,
    /// What NULL means.
    pub on_null: NullWatermark,
    /// What a value in the future means.
    pub on_future: FutureWatermark,
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
        Pipeline::checked(project, name, name, spec, overrides)
    }

    /// Checks one of the targets that a pipeline loads from one reading; the places are the pipeline's.
    ///
    /// # Errors
    /// Every violated rule, each at its place.
    pub fn build_part(
        project: &ProjectSpec,
        whole: &str,
        part: &str,
        overrides: &PipelineOptions,
    ) -> Result<Pipeline, Vec<FlowError>> {
        match project.together.get(whole).and_then(|parts| parts.get(part)) {
            Some(spec) => Pipeline::checked(project, whole, part, spec, overrides),
            None => Err(vec![unknown_pipeline(project, part)]),
        }
    }

    fn checked(
        project: &ProjectSpec,
        declared_as: &str,
        name: &str,
        spec: &PipelineSpec,
        overrides: &PipelineOptions,
    ) -> Result<Pipeline, Vec<FlowError>> {
        let mut check = Check { project, path: format!("pipelines.{declared_as}"), errors: Vec::new() };
        let options = spec.options.overlaid(overrides);
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

/// The keys that a declaration gives where a pipeline says none: the natural key, else the primary key.
pub fn declared_keys(table: &Table) -> (Vec<Ident>, &'static str) {
    if table.natural_key.is_empty() {
        (table.primary_key.clone(), "primary_key")
    } else {
        (table.natural_key.clone(), "natural_key")
    }
}
