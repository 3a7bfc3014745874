//! Arguments of `watermark`.

use super::SelectionArgs;
use crate::completing;
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

pub(super) const EXAMPLES: &str = "\
Examples:
  flow watermark show
  flow watermark set orders '2026-03-01 00:00:00+00'
  flow watermark reset orders           the next run reads everything";

/// What to do with watermarks.
#[derive(Clone, Debug, Subcommand)]
pub enum WatermarkCommand {
    /// Show the stored watermarks
    #[command(after_help = "\
Examples:
  flow watermark show
  flow watermark show orders --output json")]
    Show(SelectionArgs),
    /// Store a watermark; what lies after it is read again
    #[command(after_help = "\
An append pipeline loads those rows a second time where its ledger no longer
knows them; merge and scd2 find them unchanged.

Example:
  flow watermark set orders '2026-03-01 00:00:00+00'")]
    Set {
        /// The pipeline
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
        name: String,
        /// The value, as Postgres reads the column's type
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
    /// Forget a watermark; the next run reads everything
    #[command(after_help = "\
An append pipeline may load rows a second time; merge and scd2 find them
unchanged. For one run, `flow run --full-scan` reads everything as well.

Examples:
  flow watermark reset orders
  flow watermark reset orders --yes     off a terminal")]
    Reset {
        /// The pipeline
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
