//! Arguments of the commands about files, connections and the program itself.

use super::SelectionArgs;
use crate::completing;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use ematix_flow_core::libpq::SSL_MODES;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(super) const INIT_EXAMPLES: &str = "\
Writes the file that --config names, and never over one that is there. It loads
a table of the database that EMATIX_FLOW_DSN, else a running `flow dev`, leads
to, or a sample; on a terminal it asks which table.

Examples:
  flow init
  flow init --python
  flow --config etl/pipelines.toml init";

pub(super) const DEMO_EXAMPLES: &str = "\
Starts the private server of `flow dev`, and begins anew each time, in its
database `ematix_demo`; with --engine duckdb in a file `ematix_demo.duckdb`,
without any server.

Examples:
  flow demo
  flow dev psql ematix_demo             look at the tables afterwards
  flow dev stop
  flow demo --engine duckdb --directory shop";

pub(super) const DEV_EXAMPLES: &str = "\
It listens on a socket in a private directory only. Postgres itself is taken
from EMATIX_FLOW_PG_BIN, a Python package with binaries, /usr/lib/postgresql,
pg_config or PATH. EMATIX_FLOW_DEV_DIR moves the directory.

Examples:
  flow dev start
  export EMATIX_FLOW_DSN=\"$(flow dev url)\"      where pipelines load into
  flow dev psql
  flow dev stop";

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  flow list
  flow list tag:crm --output json
  flow list --next 5                    when each is due the next five times";

pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  flow show customers";

pub(super) const GRAPH_EXAMPLES: &str = "\
Examples:
  flow graph                            a tree: below each what comes after it
  flow graph +report                    one pipeline, and all that it needs
  flow graph --format mermaid           for a page of Markdown
  flow graph --format dot | dot -Tsvg > graph.svg";

pub(super) const VALIDATE_EXAMPLES: &str = "\
Without --connect nothing is opened, and no ${…} of a connection is resolved.
Reports everything that is wrong at once, and ends with 2.

Examples:
  flow validate
  flow validate --connect tag:crm
  flow validate --output github         mistakes beside their lines";

pub(super) const CONNECTIONS_EXAMPLES: &str = "\
Examples:
  flow connections list                 where each leads, by which file
  flow connections check warehouse      log in
  flow connections add warehouse --host dwh.internal --user loader --dbname dwh";

const CONNECTIONS_ADD_EXAMPLES: &str = "\
Nobody else can read the file. On a terminal it asks for the password and shows
none of it. No option takes one: the shell's history and `ps` would show it.

Examples:
  flow connections add crm --host crm-db.internal --dbname crm --user reader
  pass crm | flow connections add crm --host crm-db.internal --password-stdin
  flow connections add dwh --host dwh.internal --password-command pass show dwh";

pub(super) const SCHEMA_EXAMPLES: &str = "\
Examples:
  flow schema > pipelines.schema.json
  #:schema ./pipelines.schema.json      first line of pipelines.toml";

pub(super) const LSP_EXAMPLES: &str = "\
The Language Server Protocol over stdin and stdout; an editor starts it. What
`flow validate` finds is shown when a file is opened or saved. Options, words
and names are offered as you type; what is pointed at is explained, a pipeline
with its plan. Nothing is opened but files, and modules of Python.

Examples:
  flow lsp
  flow --config etl/pipelines.toml lsp";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  flow completions bash > ~/.local/share/bash-completion/completions/flow
  flow completions zsh > \"${fpath[1]}/_flow\"
  flow completions fish > ~/.config/fish/completions/flow.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  flow man | man -l -
  flow man /usr/local/share/man/man1";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  flow explain                          every code in one line
  flow explain drift";

pub(super) const VERSION_EXAMPLES: &str = "\
Examples:
  flow version
  flow version -v                       with platform and features";

/// Arguments of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Declare in Python: the file names my_pipelines.py, a module with a class and a pipeline
    #[arg(long)]
    pub python: bool,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Where the shop is: on a private Postgres, or in a file of DuckDB
    #[arg(long, value_enum, default_value_t = DemoEngine::Postgres)]
    pub engine: DemoEngine,

    /// Where to make the file of DuckDB; a new temporary directory if not said
    #[arg(long, value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
}

/// Where the shop of the demo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoEngine {
    /// On the private server of `flow dev`
    Postgres,
    /// In a file of its own
    Duckdb,
}

/// What to do with the private server.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DevCommand {
    /// Start it, making it first where there is none
    #[command(after_help = "\
Examples:
  flow dev start
  EMATIX_FLOW_DEV_DIR=.postgres flow dev start      beside the project")]
    Start,
    /// Stop it; its data stays
    #[command(after_help = "\
Example:
  flow dev stop                         `flow dev start` goes on with its data")]
    Stop,
    /// Tell whether it runs
    #[command(after_help = "\
Examples:
  flow dev status
  flow dev status --output json")]
    Status,
    /// Print its DSN
    #[command(after_help = "\
Examples:
  flow dev url
  export EMATIX_FLOW_DSN=\"$(flow dev url)\"")]
    Url,
    /// Open psql on it
    #[command(after_help = "\
Examples:
  flow dev psql
  flow dev psql ematix_demo -- -c 'TABLE analytics.orders'")]
    Psql {
        /// The database; `postgres` unless said
        #[arg(value_name = "DATABASE")]
        database: Option<String>,
        /// Arguments for psql itself
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Stop it and delete its data
    #[command(after_help = "\
It does not ask, and everything in it is gone.

Example:
  flow dev reset")]
    Reset,
}

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Show the next so many slots of each, in its time zone
    #[arg(long, value_name = "N")]
    pub next: Option<NonZeroUsize>,
}

/// Arguments of `graph`.
#[derive(Clone, Debug, Args)]
pub struct GraphArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How it is drawn: text, mermaid or dot
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub format: GraphFormat,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A tree, for people
    #[default]
    Text,
    /// A flowchart of Mermaid
    Mermaid,
    /// Graphviz
    Dot,
}

/// Arguments of `show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The pipeline
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
    pub name: String,
}

/// Arguments of `validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Also log in: whether the query prepares, its columns and types, drift, privileges
    #[arg(long)]
    pub connect: bool,
}

/// What to do with connections.
#[derive(Clone, Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// List them without opening one; passwords are never shown
    #[command(after_help = "\
Examples:
  flow connections list
  flow connections list --env ci        where an environment leads them")]
    List,
    /// Log in to them
    #[command(after_help = "\
Ends with 6 where one cannot be reached or refuses the login.

Examples:
  flow connections check                all of them
  flow connections check warehouse --output json")]
    Check {
        /// The connections; all unless said
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::connections))]
        names: Vec<String>,
    },
    /// Write one to ~/.ematix-flow/connections.toml
    #[command(after_help = CONNECTIONS_ADD_EXAMPLES)]
    Add(Box<ConnectionsAddArgs>),
}

/// Arguments of `connections add`.
#[derive(Clone, Debug, Args)]
pub struct ConnectionsAddArgs {
    /// What pipelines call it
    pub name: String,
    /// Where it leads, as psql takes it, without the password
    #[arg(long, value_name = "DSN", conflicts_with_all = ["host", "port", "dbname", "user", "sslmode", "sslrootcert"])]
    pub dsn: Option<String>,
    /// Host name, address or socket directory
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port; 5432 unless said
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Database
    #[arg(long, value_name = "NAME")]
    pub dbname: Option<String>,
    /// Role
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Whether it is encrypted and what is checked
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(SSL_MODES), hide_possible_values = true)]
    pub sslmode: Option<String>,
    /// File with the certificates to trust, or `system`
    #[arg(long, value_name = "FILE")]
    pub sslrootcert: Option<String>,
    /// Refuse it as a target
    #[arg(long)]
    pub read_only: bool,
    /// Read the password from the first line of the input, rather than ask for it
    #[arg(long, conflicts_with = "password_command")]
    pub password_stdin: bool,
    /// Program and words that print the password for each session: the rest of the line
    #[arg(long, value_name = "WORD", num_args = 1.., allow_hyphen_values = true)]
    pub password_command: Vec<String>,
    /// Replace the one of that name
    #[arg(long)]
    pub replace: bool,
    /// Write it without logging in first
    #[arg(long)]
    pub no_check: bool,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `schema`.
#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    /// Print the table of options instead, from which the Python package is made
    #[arg(long, hide = true)]
    pub options: bool,
}

/// Arguments of `lsp`.
#[derive(Clone, Debug, Args)]
pub struct LspArgs {
    /// Answer this command instead: how the server asks about the files
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true, value_name = "WORDS")]
    pub answer: Vec<String>,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Write flow.1, flow-run.1 … into this directory
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The code, as in error[drift]
    #[arg(value_name = "CODE", add = ArgValueCompleter::new(completing::codes))]
    pub code: Option<String>,
}
