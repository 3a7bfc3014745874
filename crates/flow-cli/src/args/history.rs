//! Arguments of the commands that look back.

use super::SelectionArgs;
use crate::completing;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

pub(super) const STATUS_EXAMPLES: &str = "\
RUNS shows the last runs, oldest first; the taller, the worse:
  · running  ▁ skipped  ▂ success
  ▄ locked or cancelled  ▆ refused  █ failed or lost

Examples:
  flow status
  flow status tag:crm --output json";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  flow history                          the last runs of all pipelines
  flow history customers --limit 100
  flow history customers --key 17       a picture of the versions of one key
  flow history prices --key id=17 --key region=EU";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  flow logs 5d21c0fe                    the digits that a run prints last";

pub(super) const REJECTED_EXAMPLES: &str = "\
Rows that fail an expectation with policy = \"quarantine\" stand in the table
TARGET__rejected until their source brings them good.

Examples:
  flow rejected customers
  flow rejected customers --limit 1000 --output ndjson";

pub(super) const CHECK_EXAMPLES: &str = "\
Ends with 1 if anything is wrong, and names the keys.

Examples:
  flow check customers
  flow check --all --output json";

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Draw the versions of this key: a value, or COLUMN=VALUE for each column of a composite key
    #[arg(long, value_name = "KEY")]
    pub key: Vec<KeyPart>,
    /// Show so many runs
    #[arg(long, value_name = "RUNS", default_value_t = 20)]
    pub limit: usize,
}

/// A key's column and value; without a column where the key has only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The column, or nothing.
    pub column: String,
    /// The value as text.
    pub value: String,
}

impl std::str::FromStr for KeyPart {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<KeyPart, Self::Err> {
        let (column, value) = text.split_once('=').unwrap_or(("", text));
        Ok(KeyPart { column: column.to_owned(), value: value.to_owned() })
    }
}

/// Arguments of `rejected`.
#[derive(Clone, Debug, Args)]
pub struct RejectedArgs {
    /// The pipeline
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
    pub name: String,
    /// Show so many rows
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub limit: usize,
}

/// Arguments of `logs`.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// A run's id, or the last digits of it
    #[arg(value_name = "RUN")]
    pub run: String,
}
