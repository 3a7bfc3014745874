//! Arguments of `add`: which tables of a source are declared, and how they are loaded.

use clap::Args;
use clap::builder::PossibleValuesParser;
use ematix_flow_core::declare::{MODES, Mode};
use serde_json::Value;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
PATTERN is schema.table, with * and ?; one with ! leaves out what others took.
A glob takes tables, a partitioned one once; a view is taken where it is named.
What the file holds stays, to the byte: what is new comes at its end, and what
is declared already is left as it is. Running it twice changes nothing.

Examples:
  flow add 'app.*' '!app.audit_*' --from crm --mode scd2
  flow add app.orders --from crm --to warehouse --schema staging --print
  flow add app.log_view --from crm --keys id,day --tag nightly
  flow add 'app.*' --from crm --python=crm_pipelines.py
  flow add app.customers --from crm --adopt analytics.dim_customers
  flow add app.customers --from crm --adopt snapshots.customers --fix

--adopt takes over the history that dbt, dlt, SQLMesh, an earlier ematix-flow
or a person kept of the one table; its columns are recognised or named.
It writes nothing while the history breaks a rule: --fix prints the statements
that would settle it, --fix --yes runs them.";

/// Arguments of `add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// The tables: schema.table, 'schema.*', '!schema.not_this'
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// The connection that has them
    #[arg(long, value_name = "CONNECTION")]
    pub from: String,
    /// The targets' connection; else that of [defaults], else the source's
    #[arg(long, value_name = "CONNECTION")]
    pub to: Option<String>,
    /// The targets' schema; else the source connection's name, or `mirror` for `default`
    #[arg(long, value_name = "SCHEMA")]
    pub schema: Option<String>,
    /// What tables and pipelines are called; {schema} and {table} are the source's
    #[arg(long, value_name = "NAME", default_value = "{table}", hide_default_value = true)]
    pub name: String,
    /// How they are loaded: merge (scd1), scd2, truncate or append; else as [defaults] say, else merge
    #[arg(long, value_name = "MODE", hide_possible_values = true, value_parser = PossibleValuesParser::new(MODES))]
    pub mode: Option<String>,
    /// The keys of those tables that have none of their own
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub keys: Vec<String>,
    /// A tag of every pipeline; may be given several times
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Take over this history of the one table, instead of a new target
    #[arg(long, value_name = "SCHEMA.TABLE", conflicts_with_all = ["schema", "python"])]
    pub adopt: Option<String>,
    /// The history's column in which a version begins, where it is not recognised
    #[arg(long, value_name = "COLUMN", requires = "adopt")]
    pub effective_from: Option<String>,
    /// The history's column in which a version ends, where it is not recognised
    #[arg(long, value_name = "COLUMN", requires = "adopt")]
    pub effective_to: Option<String>,
    /// The history's column that marks the current version, where it is not recognised
    #[arg(long, value_name = "COLUMN", requires = "adopt")]
    pub current_flag: Option<String>,
    /// Print the statements that settle what keeps a history from being taken over
    #[arg(long, requires = "adopt", conflicts_with = "dry_run")]
    pub fix: bool,
    /// Run them, and write the file
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Write a Python module instead, with a class for each table; the project's file names it
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub python: Option<Option<PathBuf>>,
    /// Print what would be written, and write nothing
    #[arg(long, visible_alias = "print")]
    pub dry_run: bool,
}

impl AddArgs {
    /// The load strategy, where one is said.
    pub fn mode(&self) -> Option<Mode> {
        self.mode.as_deref().map(mode_called)
    }
}

/// The load strategy of that name.
///
/// # Panics
/// For a name that no mode has.
pub fn mode_called(name: &str) -> Mode {
    serde_json::from_value(Value::from(name)).expect("a mode has the name")
}
