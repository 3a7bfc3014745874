//! Holds what is declared against the rules: names are names, tables are whole, every option fits the others. Every
//! broken rule is kept with its place, and the reading goes on. The parts of a pipeline that come out are right.

mod columns;
mod ends;
mod expectations;
mod features;
mod foreign;
mod helpers;
mod http;
mod options;
mod tables;
mod transforms;

pub use features::{FeatureView, ONLINE};
pub use foreign::{ForeignRows, ForeignSource};
pub use http::interval;
pub use transforms::{NamedTransform, Transform, Work, named_transform, unknown_transform};

use crate::declare::files::FilesSpec;
use crate::declare::http::HttpSpec;
use crate::declare::options::{FutureWatermark, LateCommits, Lookback, NullWatermark, PipelineOptions};
use crate::declare::{FrameSpec, Names, ProjectSpec};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::query::{ReadQuery, SlotTimes};
use crate::schema::Table;
use crate::sql::{Ident, QualifiedName};
use std::fmt;

/// The connection that stands where none is named.
pub const DEFAULT_CONNECTION: &str = "default";

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The connection's name.
    pub connection: String,
    /// The query, over a whole table where one was named. Of a union: one that reads all that its members read, until
    /// their columns are known.
    pub query: ReadQuery,
    /// The members of a union, none of which is one itself.
    pub union: Vec<Source>,
    /// What brings the rows where no database sends them. The query is then one of no rows, until their columns are
    /// known, and the connection is the target's.
    pub brought: Option<Brought>,
}

/// What brings rows that no database sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Brought {
    /// Python hands them over.
    Frame(FrameSpec),
    /// Files.
    Files(FilesSpec),
    /// The answers of an API.
    Http(Box<HttpSpec>),
    /// A database of an engine that is only read.
    Foreign(Box<ForeignSource>),
}

impl Brought {
    /// What it is, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Brought::Frame(_) => "frame",
            Brought::Files(_) => "files",
            Brought::Http(_) => "http",
            Brought::Foreign(foreign) => foreign.engine.name(),
        }
    }

    /// Why its rows are staged.
    pub fn reason(&self) -> String {
        match self {
            Brought::Foreign(foreign) => {
                format!(
                    "source {} is a database of {}: {foreign}",
                    foreign.connection,
                    foreign.engine.shown()
                )
            }
            _ => format!("no database sends the rows: {self}"),
        }
    }

    /// Whether what was loaded is remembered, and not loaded again.
    pub fn is_loaded_once(&self) -> bool {
        matches!(self, Brought::Files(files) if files.once)
    }
}

impl fmt::Display for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Brought::Frame(frame) => write!(f, "{}", frame.words),
            Brought::Files(files) => write!(f, "the files {}", files.pattern),
            Brought::Http(http) => write!(f, "the answers of {}", http.shown_url()),
            Brought::Foreign(foreign) => write!(f, "{foreign}"),
        }
    }
}

impl Source {
    /// The source of one query.
    pub fn of(connection: String, query: ReadQuery) -> Source {
        Source { connection, query, union: Vec::new(), brought: None }
    }

    /// The source of rows that no database sends.
    pub fn of_brought(brought: Brought) -> Source {
        let query = ReadQuery::parse("SELECT WHERE false").expect("it reads");
        Source { brought: Some(brought), ..Source::of(String::new(), query) }
    }

    /// Where the rows come from, in a word: the connection, or what brings them.
    pub fn place(&self) -> &str {
        match &self.brought {
            Some(Brought::Foreign(foreign)) => &foreign.connection,
            Some(brought) => brought.kind(),
            None => &self.connection,
        }
    }

    /// Several sources as one.
    pub fn of_union(union: Vec<Source>) -> Source {
        let queries: Vec<&ReadQuery> = union.iter().map(|member| &member.query).collect();
        let connection = union.first().map(|member| member.connection.clone()).unwrap_or_default();
        let query = ReadQuery::over_all(&queries);
        Source { union, ..Source::of(connection, query) }
    }

    /// The source for a slot, whose times its queries may name.
    pub fn at_slot(&self, slot: &SlotTimes) -> Source {
        if self.union.is_empty() {
            return Source { query: self.query.at_slot(slot), ..self.clone() };
        }
        Source::of_union(self.union.iter().map(|member| member.at_slot(slot)).collect())
    }

    /// The sources that it consists of: itself, where it is no union.
    pub fn members(&self) -> &[Source] {
        if self.union.is_empty() { std::slice::from_ref(self) } else { &self.union }
    }

    /// What is read by one connection each, in the order of its members: one statement reads it.
    pub fn readings(&self) -> Vec<Source> {
        let mut found: Vec<Vec<Source>> = Vec::new();
        for member in self.members() {
            match found.iter_mut().find(|of| of[0].connection == member.connection) {
                Some(of) => of.push(member.clone()),
                None => found.push(vec![member.clone()]),
            }
        }
        let one = |mut of: Vec<Source>| if of.len() == 1 { of.remove(0) } else { Source::of_union(of) };
        found.into_iter().map(one).collect()
    }
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

/// Time limits of a run, and of what is remembered of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How long to wait for the target's lock.
    pub lock_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Option<Duration>,
    /// How long a source whose rows have begun to come may send none; zero: as long as it likes.
    pub read_timeout: Duration,
    /// How long the whole run may take.
    pub run_timeout: Option<Duration>,
    /// How long a run that gives no sign of life is believed.
    pub lease: Duration,
    /// How long runs are remembered that have ended; without it, for ever.
    pub history_keep: Option<Duration>,
}

/// The keys that a declaration gives where a pipeline says none: the natural key, else the primary key.
pub fn declared_keys(table: &Table) -> (Vec<Ident>, &'static str) {
    if table.natural_key.is_empty() {
        (table.primary_key.clone(), "primary_key")
    } else {
        (table.natural_key.clone(), "natural_key")
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

/// One declaration, and what is wrong with it.
pub struct Check<'a> {
    pub(crate) project: &'a ProjectSpec,
    pub(crate) path: String,
    pub(crate) errors: Vec<FlowError>,
}

impl Check<'_> {
    pub(crate) fn fail(&mut self, part: &str, error: FlowError) {
        let path = if part.is_empty() { self.path.clone() } else { format!("{}.{part}", self.path) };
        self.fail_at(&path, error);
    }

    pub(crate) fn fail_at(&mut self, path: &str, error: FlowError) {
        self.errors.push(match self.project.places.find(path) {
            Some(place) => error.at(place),
            None => error,
        });
    }

    /// Keeps a value, or reports and goes on.
    pub(crate) fn keep<T>(&mut self, part: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(part, error)).ok()
    }

    /// An option for this once that has no meaning in the mode is refused, as it is in a file.
    pub(crate) fn overrides_fit(
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

    pub(crate) fn names(&mut self, part: &str, names: &Option<Names>) -> Option<Vec<Ident>> {
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
    pub(crate) fn name(&mut self, part: &'static str, name: String) -> Ident {
        self.keep(part, Ident::new(name)).unwrap_or_else(|| Ident::fixed(part))
    }
}
