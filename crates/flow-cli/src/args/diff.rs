//! Arguments of `diff`.

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Ends with 1 where a row differs, with 0 where none does; nothing is written. A
table or a query may have its connection before it, CONNECTION:…; else it is
that of --from or --to, which also take a DSN, else `default`.

Examples:
  flow diff customers                       what a load of it would change
  flow diff crm:app.customers warehouse:analytics.customers --sample 5
  flow diff app.customers --from crm --to warehouse      one name, two servers
  flow diff app.a 'SELECT id, x FROM app.b' --keys id --where 'id > 1000'";

/// Arguments of `diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// A pipeline; or, with B or --to, a table or query: [CONNECTION:]schema.table, [CONNECTION:]SELECT …
    #[arg(value_name = "NAME|A")]
    pub a: String,
    /// What A is compared with: a table or query; with --to alone, the same on another connection
    #[arg(value_name = "B")]
    pub b: Option<String>,
    /// The connection of A, where A does not say it
    #[arg(long, value_name = "CONNECTION|DSN")]
    pub from: Option<String>,
    /// The connection of B, where B does not say it; that of --from by default
    #[arg(long, value_name = "CONNECTION|DSN")]
    pub to: Option<String>,
    /// The columns by which rows are the same; the primary key of A by default, else of B
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub keys: Vec<String>,
    /// Compare these columns only
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Leave these columns out
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub exclude_columns: Vec<String>,
    /// Compare only rows that meet this condition, on both sides
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    /// Read a history, the target of an scd2 pipeline, as it was at this time
    #[arg(long, value_name = "TIMESTAMP")]
    pub as_of: Option<String>,
    /// Show so many rows that differ, A beside B
    #[arg(long, value_name = "ROWS", default_value_t = 0, hide_default_value = true)]
    pub sample: usize,
}
