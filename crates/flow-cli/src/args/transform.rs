//! Arguments of `transform`.

use crate::completing;
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

pub(super) const EXAMPLES: &str = "\
Examples:
  flow transform list
  flow transform run refresh_marts";

/// What to do with transforms.
#[derive(Clone, Debug, Subcommand)]
pub enum TransformCommand {
    /// List the transforms with their connections and schedules
    #[command(after_help = "\
Examples:
  flow transform list
  flow transform list --output json")]
    List,
    /// Run a transform now, by itself
    #[command(after_help = "\
It runs in a transaction of its own, on its own connection, where its run is
recorded. `flow run-due` does the same when its schedule says so.

Example:
  flow transform run refresh_marts")]
    Run {
        /// The transform: a key of [transforms], or a function of Python
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::transforms))]
        name: String,
    },
}
