//! Arguments of `pause`, `resume`, `retry`, `cancel` and `unlock`.

use super::SelectionArgs;
use clap::Args;
use std::num::NonZeroUsize;

pub(super) const PAUSE_EXAMPLES: &str = "\
A paused pipeline does not run, however it is started, until it is resumed;
what its schedule missed is then caught up as `catchup` says.

Examples:
  flow pause orders --reason 'the source is moving'
  flow pause tag:crm";

pub(super) const RESUME_EXAMPLES: &str = "\
Examples:
  flow resume orders
  flow resume --all";

pub(super) const RETRY_EXAMPLES: &str = "\
The last slot of each pipeline, where it failed, waits for its next attempt or
was skipped, is served now, with all its attempts.

Examples:
  flow retry orders
  flow retry --all --jobs 4";

pub(super) const CANCEL_EXAMPLES: &str = "\
The statement is cancelled on the server, and everything is rolled back. A slot
whose run was cancelled is not tried again: `flow retry` does.

Examples:
  flow cancel orders
  flow cancel 5d21c0fe                  one run, by the end of its id";

pub(super) const UNLOCK_EXAMPLES: &str = "\
For runs whose process is gone for good, before their leases have run out: they
become `lost`, their sessions are ended on the server, their slots are due.
A run that is alive rolls back: its last statement finds that it was replaced.

Example:
  flow unlock orders";

/// Arguments of `pause`.
#[derive(Clone, Debug, Args)]
pub struct PauseArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Arguments of `retry`.
#[derive(Clone, Debug, Args)]
pub struct RetryArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How many pipelines run at once
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    pub jobs: NonZeroUsize,
}
