//! Arguments of the commands that write history anew.

use super::history::instant;
use crate::completing;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use ematix_flow_core::facts::RunNamed;
use ematix_flow_run::execute::run_named;

pub(super) const REWIND_EXAMPLES: &str = "\
What the runs since have written is taken back in one transaction, as a run of
its own; the watermark goes back with it, so the next run reads again. Only
histories (scd2) can be put back, and only where nothing is guessed.

Examples:
  flow rewind customers --to 41         as it was after run 41 of the table
  flow rewind customers --to 5d21c0fe   after the run whose id ends so
  flow rewind customers --to 2026-03-01T10:00
  flow rewind customers --to 41 --dry-run
  flow rewind customers --to 41 --yes   off a terminal";

pub(super) const BACKFILL_EXAMPLES: &str = "\
The rows go through the pipeline's own load strategy: what is there already is
found unchanged, and an event that was missed finds its place in time. The
watermark is not moved back.

Examples:
  flow backfill customers               the whole source once more
  flow backfill states --from 2026-03-01 --to 2026-03-08
  flow backfill states --from 2026-03-01 --dry-run
  flow backfill states --from 2020-01-01 --batch-by 30d
  flow backfill customers --yes         off a terminal";

/// Arguments of `rewind`.
#[derive(Clone, Debug, Args)]
pub struct RewindArgs {
    /// The pipeline
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
    pub name: String,
    /// The run whose state is brought back: its number, its id or the end of it; or an instant, and it is the last that
    /// had committed by then
    #[arg(long, value_name = "RUN|WHEN", value_parser = run)]
    pub to: RunNamed,
    /// Do everything and roll it back
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `backfill`.
#[derive(Clone, Debug, Args)]
pub struct BackfillArgs {
    /// The pipeline
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completing::pipelines))]
    pub name: String,
    /// Only rows whose event time, or incremental column, is this or comes after: a date, a date and time, a length of
    /// time ago, or a number
    #[arg(long, value_name = "VALUE", value_parser = bound, allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Only rows before this value
    #[arg(long, value_name = "VALUE", value_parser = bound, allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Load it in slices of this length, each a run of its own: a length of time, or for a column of numbers a number
    #[arg(long, value_name = "LENGTH", requires = "from")]
    pub batch_by: Option<String>,
    /// Do everything and roll it back
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// How somebody names a run.
pub fn run(text: &str) -> Result<RunNamed, String> {
    run_named(text).map_err(|error| {
        error.hint.map_or(error.message.clone(), |hint| format!("{}: {hint}", error.message))
    })
}

/// A number as it is written, or an instant in UTC.
fn bound(text: &str) -> Result<String, String> {
    if text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    instant(text).map(|at| at.to_string())
}
