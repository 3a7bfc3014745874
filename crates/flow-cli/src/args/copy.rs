//! Arguments of `copy`: a pipeline on the command line.

use super::OverrideArgs;
use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};
use ematix_flow_core::declare::{MODES, Mode, PipelineOptions};
use serde_json::{Map, Value};

pub(super) const EXAMPLES: &str = "\
Needs no pipelines.toml; where there is one, its connections have their names.
Columns, types and NOT NULL are the live target's, else the source's; so are
the keys of a --source-table. A DSN's password is never printed, but `ps` shows
what is typed. Between single quotes flow fills in what the shell leaves alone:
'postgresql://me:${env:PW}@db/crm'.

Examples:
  flow copy --from crm --source-table app.a --to dw --table a.b --mode merge
  flow copy --from crm --query 'TABLE app.a' --to dw --table a.b --mode append";

/// Arguments of `copy`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["query", "source_table"])))]
pub struct CopyArgs {
    /// Where the rows come from
    #[arg(long, value_name = "CONNECTION|DSN")]
    pub from: String,
    /// The rows: one SELECT statement
    #[arg(long, value_name = "SQL")]
    pub query: Option<String>,
    /// The rows: a whole table or view, schema.table
    #[arg(long, value_name = "TABLE")]
    pub source_table: Option<String>,
    /// Where they go
    #[arg(long, value_name = "CONNECTION|DSN")]
    pub to: String,
    /// The target, schema.table; made if it is not there
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// How they are loaded: append, truncate, merge (scd1) or scd2
    #[arg(long, value_name = "MODE", hide_possible_values = true, value_parser = words(MODES))]
    pub mode: String,
    /// The columns that identify a row, with commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub keys: Vec<String>,
    /// What the run is called in history and messages; the target's name by default
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Run everything and roll it back
    #[arg(long)]
    pub dry_run: bool,

    /// scd2: columns whose change opens a version
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub compare_columns: Vec<String>,
    /// scd2: columns that are updated in the current version
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub overwrite_columns: Vec<String>,
    /// merge: columns that are written
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub update_columns: Vec<String>,
    /// What happens to keys that left the source: ignore, soft or hard
    #[arg(long, value_name = "WORD", hide_possible_values = true, value_parser = words(&["ignore", "soft", "hard"]))]
    pub handle_deletes: Option<String>,
    /// Which row of a key --on-duplicate latest keeps: updated_at DESC
    #[arg(long, value_name = "ITEMS")]
    pub order_by: Option<String>,
    /// scd2: where a key's first version begins: run, epoch or a column
    #[arg(long, value_name = "WORD")]
    pub first_valid_from: Option<String>,
    /// truncate: how the table is emptied: truncate or delete
    #[arg(long, value_name = "WORD", hide_possible_values = true, value_parser = words(&["truncate", "delete"]))]
    pub replace_method: Option<String>,

    /// Options as `run` has them.
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

impl CopyArgs {
    /// The load strategy.
    pub fn mode(&self) -> Mode {
        serde_json::from_value(Value::from(self.mode.clone()))
            .expect("the flag takes the names of modes only")
    }

    /// The other options that were given, by the names they have in files.
    pub fn options(&self) -> PipelineOptions {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let list = |values: &[String]| (!values.is_empty()).then(|| Value::from(values.to_vec()));
        let given = [
            ("keys", list(&self.keys)),
            ("compare_columns", list(&self.compare_columns)),
            ("overwrite_columns", list(&self.overwrite_columns)),
            ("update_columns", list(&self.update_columns)),
            ("handle_deletes", text(&self.handle_deletes)),
            ("order_by", text(&self.order_by)),
            ("first_valid_from", text(&self.first_valid_from)),
            ("replace_method", text(&self.replace_method)),
        ];
        let mut map: Map<String, Value> = self.overrides.map();
        map.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        serde_json::from_value(Value::Object(map)).expect("each flag is parsed like the option of its name")
    }
}

fn words(words: &'static [&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(words)
}
