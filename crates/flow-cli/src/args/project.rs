//! Arguments of the commands about files, connections and the program itself.

use super::SelectionArgs;
use crate::completing;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
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
database `ematix_demo`.

Examples:
  flow demo
  flow dev psql ematix_demo             look at the tables afterwards
  flow dev stop";

pub(super) const DEV_EXAMPLES: &str = "\
It listens on a socket in a private directory only. Postgres itself is taken
from EMATIX_FLOW_PG_BIN, a Python package with binaries, /usr/lib/postgresql,
pg_config or PATH. EMATIX_FLOW_DEV_DIR moves the directory.

Examples:
  flow dev start
  psql \"$(flow dev url)\"";

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  flow list
  flow list tag:crm --output json";

pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  flow show customers";

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
  flow connections check warehouse      log in";

pub(super) const SCHEMA_EXAMPLES: &str = "\
Examples:
  flow schema > pipelines.schema.json
  #:schema ./pipelines.schema.json      first line of pipelines.toml";

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
    /// A module with a class and a pipeline, my_pipelines.py, which the file names
    #[arg(long)]
    pub python: bool,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {}

/// What to do with the private server.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DevCommand {
    /// Start it, making it first where there is none
    Start,
    /// Stop it; its data stays
    Stop,
    /// Tell whether it runs
    Status,
    /// Print its DSN
    Url,
    /// Open psql on it
    #[command(after_help = "\
Examples:
  flow dev psql
  flow dev psql ematix_demo -- -c 'TABLE analytics.orders'")]
    Psql {
        /// The database
        #[arg(value_name = "DATABASE")]
        database: Option<String>,
        /// Arguments for psql itself
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Stop it and delete its data
    Reset,
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
    List,
    /// Log in to them
    Check {
        /// The connections; all unless said
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::connections))]
        names: Vec<String>,
    },
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
