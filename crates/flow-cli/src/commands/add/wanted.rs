//! What is to be declared of a table of a source: its target, the pipeline that loads it, and its keys.

use super::near;
use crate::args::{AddArgs, mode_called};
use ematix_flow_core::declare::variables::is_variable_name;
use ematix_flow_core::declare::{
    ColumnSpec, FullColumnSpec, Mode, Names, PipelineOptions, PipelineSpec, ProjectSpec, SourceSpec,
    TableSpec,
};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::strategy::KeyNeed;
use ematix_flow_core::pipeline::{DEFAULT_CONNECTION, Pipeline};
use ematix_flow_core::sql::{Ident, QualifiedName, Quote};
use ematix_flow_run::execute::described::{DescribedColumn, DescribedTable};
use indexmap::IndexMap;
use toml_edit::Value;

/// The schema of targets whose source has no connection with a name.
const MIRROR: &str = "mirror";

/// How tables are loaded where nobody says it.
const UNSAID_MODE: &str = "merge";

/// What the command line says of every table.
pub struct Load {
    /// The source's connection.
    pub from: String,
    /// The targets' connection.
    pub to: String,
    /// Whether the pipelines have to name that connection.
    pub says_to: bool,
    /// The targets' schema.
    pub schema: String,
    /// What tables and pipelines are called.
    name: String,
    /// The load strategy.
    pub mode: Mode,
    /// Whether the pipelines have to name it.
    pub says_mode: bool,
    /// What keys are to it.
    need: KeyNeed,
    /// The keys of tables without any.
    keys: Vec<String>,
    /// The tags of every pipeline.
    pub tags: Vec<String>,
}

impl Load {
    /// What is said, with what the project's `[defaults]` say.
    ///
    /// # Errors
    /// `invalid_value` for a DSN, or a name with other variables.
    pub fn of(args: &AddArgs, project: &ProjectSpec) -> Result<Load> {
        for (flag, text) in [("--from", Some(&args.from)), ("--to", args.to.as_ref())] {
            if text.is_some_and(|text| text.contains("://") || text.contains('=')) {
                let message = format!("`{flag}` takes the name of a connection, for the file to name");
                return Err(FlowError::new(ErrorCode::InvalidValue, message)
                    .hint("declare [connections.NAME], or set EMATIX_FLOW_DSN_NAME"));
            }
        }
        refuse_other_variables(&args.name)?;
        let of_defaults = &project.defaults;
        let by_default = of_defaults.target_connection.clone().unwrap_or_else(|| args.from.clone());
        let to = args.to.clone().unwrap_or_else(|| by_default.clone());
        let mode = match &args.adopt {
            Some(table) => mode_of_histories(args, table)?,
            None => args.mode().or(of_defaults.mode).unwrap_or_else(|| mode_called(UNSAID_MODE)),
        };
        let schema = match args.from.as_str() {
            DEFAULT_CONNECTION => MIRROR,
            name => name,
        };
        Ok(Load {
            says_to: to != by_default,
            says_mode: of_defaults.mode != Some(mode),
            need: need_of(mode, of_defaults),
            from: args.from.clone(),
            to,
            schema: args.schema.clone().unwrap_or_else(|| schema.to_owned()),
            name: args.name.clone(),
            mode,
            keys: args
                .keys
                .iter()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            tags: args.tag.clone(),
        })
    }

    /// Within one connection; every pipeline names the mode.
    pub fn within(connection: &str, schema: &str, mode: Mode) -> Load {
        Load {
            from: connection.to_owned(),
            to: connection.to_owned(),
            says_to: false,
            schema: schema.to_owned(),
            name: "{table}".to_owned(),
            mode,
            says_mode: true,
            need: need_of(mode, &PipelineOptions::default()),
            keys: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// What a table is called.
    pub fn name_of(&self, table: &QualifiedName) -> String {
        let (mut out, mut rest) = (String::new(), self.name.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').expect("it was checked");
            out.push_str(before);
            out.push_str(if name == "schema" { table.schema.as_str() } else { table.name.as_str() });
            rest = behind;
        }
        out + rest
    }
}

/// How a history is loaded that is taken over.
fn mode_of_histories(args: &AddArgs, table: &str) -> Result<Mode> {
    let mode = mode_called("scd2");
    match args.mode() {
        Some(other) if other != mode => {
            let message = format!("{table} is to be taken over as a history, and {other} keeps none");
            Err(FlowError::new(ErrorCode::ConflictingOptions, message).hint("leave --mode out"))
        }
        _ => Ok(mode),
    }
}

fn refuse_other_variables(name: &str) -> Result<()> {
    let mut rest = name;
    while let Some(at) = rest.find(['{', '}']) {
        let inside = rest[at..].strip_prefix('{').and_then(|inside| inside.split_once('}'));
        match inside {
            Some((variable @ ("schema" | "table"), behind)) if is_variable_name(variable) => rest = behind,
            _ => {
                let message = format!("`--name {name}` has other braces than {{schema}} and {{table}}");
                return Err(
                    FlowError::new(ErrorCode::InvalidValue, message).hint("write --name '{schema}_{table}'")
                );
            }
        }
    }
    Ok(())
}

/// What keys are to the strategy of a mode, with the options that `[defaults]` give it.
fn need_of(mode: Mode, defaults: &PipelineOptions) -> KeyNeed {
    let mut project = ProjectSpec::default();
    let table = TableSpec {
        columns: IndexMap::from([("id".to_owned(), ColumnSpec::Type("bigint".to_owned()))]),
        primary_key: Some(Names::One("id".to_owned())),
        ..TableSpec::default()
    };
    project.tables.insert("any".to_owned(), table);
    let source = SourceSpec { query: Some("SELECT 1 AS id".to_owned()), ..SourceSpec::default() };
    let options = PipelineOptions {
        mode: Some(mode),
        replace_method: defaults.replace_method,
        ..PipelineOptions::default()
    };
    project.pipelines.insert("any".to_owned(), PipelineSpec { source, target: "any".to_owned(), options });
    let built = Pipeline::build(&project, "any", &PipelineOptions::default());
    // What the mode does not know is none of its defaults.
    built.map_or(KeyNeed::OfRows, |pipeline| pipeline.strategy.keys())
}

/// An option of a pipeline.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
    /// A comment behind it.
    pub why: Option<&'static str>,
}

/// A table and a pipeline that are to be declared.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What the pipeline is called.
    pub name: String,
    /// What the table is called in the file.
    pub key: String,
    /// Where the rows come from.
    pub source: QualifiedName,
    /// The query, where the table itself will not do.
    pub query: Option<String>,
    /// The target.
    pub target: QualifiedName,
    /// The target's declaration.
    pub table: TableSpec,
    /// The key of a declaration that is there already.
    pub declared: Option<String>,
    /// Where the keys are from.
    pub keys_reason: Option<&'static str>,
    /// Options of the pipeline besides.
    pub settings: Vec<Setting>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Wanted {
    /// What is to be declared of a table.
    ///
    /// # Errors
    /// What keeps it from being declared, with the remedy.
    pub fn of(table: DescribedTable, load: &Load) -> Result<Wanted> {
        let name = load.name_of(&table.name);
        let target = QualifiedName { schema: Ident::new(&load.schema)?, name: Ident::new(&name)? };
        if load.from == load.to && target == table.name {
            let message = format!("{} would be loaded into itself", table.name);
            return Err(FlowError::new(ErrorCode::ConflictingOptions, message)
                .hint("--schema gives the targets another schema, --to another connection"));
        }
        if table.columns.is_empty() {
            let message = format!("{} has no columns", table.name);
            return Err(FlowError::new(ErrorCode::MissingOption, message)
                .hint(format!("leave it out: '!{}'", table.name)));
        }
        let (spec, keys_reason) = spec(&table, &name, load)?;
        let notes = table.columns.iter().filter_map(told).collect();
        let query = table.columns.iter().any(|column| column.is_cast).then(|| query(&table));
        Ok(Wanted {
            key: name.clone(),
            name,
            source: table.name,
            query,
            target,
            table: spec,
            declared: None,
            keys_reason,
            settings: Vec::new(),
            notes,
        })
    }

    /// The columns by which rows are known.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.table.primary_key.as_ref().or(self.table.natural_key.as_ref());
        keys.map(Names::to_vec).unwrap_or_default()
    }

    /// Whether both would have one name, or one target.
    pub fn clashes(&self, other: &Wanted) -> bool {
        self.name == other.name || self.target == other.target
    }

    /// Another table has the name.
    pub fn taken_by(&self, other: &Wanted) -> FlowError {
        let message = format!("{} and {} would both be called `{}`", other.source, self.source, self.name);
        FlowError::new(ErrorCode::DuplicateName, message).hint("tell them apart: --name '{schema}_{table}'")
    }

    /// The same for a target that is declared already.
    pub fn into_declared(self, key: String, notes: Vec<String>) -> Wanted {
        Wanted { declared: Some(key), notes: self.notes.into_iter().chain(notes).collect(), ..self }
    }

    /// What a rule says of it, with what a command line can do.
    pub fn refused(&self, error: FlowError, load: &Load) -> FlowError {
        let mut told = match error.code {
            ErrorCode::MissingKeys => FlowError::new(
                ErrorCode::MissingKeys,
                format!("{} has no key, by which {} could know its rows", self.source, load.mode),
            )
            .hint(format!(
                "name one: flow add {} --from {} --keys COLUMNS; or load it with --mode truncate",
                self.source, load.from
            )),
            _ => FlowError { message: format!("{}: {}", self.source, error.message), ..error },
        };
        // What it points into was not written.
        told.location = None;
        told.context("table", self.source.to_string())
    }
}

fn spec(table: &DescribedTable, name: &str, load: &Load) -> Result<(TableSpec, Option<&'static str>)> {
    let columns = table.columns.iter().map(|column| (column.name.clone(), column_spec(column)));
    let mut spec = TableSpec {
        schema: Some(load.schema.clone()),
        description: table.comment.clone(),
        columns: columns.collect(),
        ..TableSpec::default()
    };
    if spec.columns.len() < table.columns.len() {
        return Err(FlowError::new(ErrorCode::DuplicateName, format!("{name} has two columns of one name")));
    }
    if load.need == KeyNeed::None {
        // What is appended may come again: the source's key is none of the target's.
        return Ok((spec, None));
    }
    let reason = if !table.primary_key.is_empty() {
        spec.primary_key = Some(Names::Many(table.primary_key.clone()));
        Some("primary key")
    } else if !load.keys.is_empty() {
        let columns: Vec<String> = spec.columns.keys().cloned().collect();
        if let Some(unknown) = load.keys.iter().find(|key| !columns.contains(key)) {
            let message = format!("{} has no column `{unknown}`, which --keys names", table.name);
            return Err(FlowError::new(ErrorCode::UnknownColumn, message).hint(near(unknown, &columns)));
        }
        spec.natural_key = Some(Names::Many(load.keys.clone()));
        Some("--keys")
    } else if !table.unique.is_empty() {
        spec.natural_key = Some(Names::Many(table.unique.clone()));
        Some("unique index")
    } else {
        None
    };
    Ok((spec, reason))
}

pub(super) fn column_spec(column: &DescribedColumn) -> ColumnSpec {
    let data_type = format!("{}{}", column.data_type, if column.nullable { "?" } else { "" });
    match &column.comment {
        None => ColumnSpec::Type(data_type),
        Some(comment) => ColumnSpec::Full(Box::new(FullColumnSpec {
            data_type,
            description: Some(comment.clone()),
            ..FullColumnSpec::default()
        })),
    }
}

pub(super) fn told(column: &DescribedColumn) -> Option<String> {
    let own = column.instead_of.as_ref()?;
    let (name, data_type) = (&column.name, &column.data_type);
    Some(format!("{name} becomes {data_type}: the target's database has no type {own}"))
}

/// Every column by its name, those that need it cast.
pub(super) fn query(table: &DescribedTable) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = table.columns.iter().map(|column| {
        let name = quoted(&column.name);
        match column.is_cast {
            true => format!("{name}::{} AS {name}", column.data_type),
            false => name,
        }
    });
    let from = [&table.name.schema, &table.name.name].map(|name| Postgres.quote(name)).join(".");
    format!("SELECT {} FROM {from}", columns.collect::<Vec<_>>().join(", "))
}
