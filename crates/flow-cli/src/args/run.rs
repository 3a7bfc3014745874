//! Arguments of `run` and of what looks ahead of it.

use super::{OverrideArgs, SelectionArgs};
use clap::{Args, ValueHint};
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  flow run customers                    one pipeline
  flow run 'mirror_*' --exclude tag:slow
  flow run tag:crm,target:analytics.*   a comma narrows
  flow run --all --jobs 4               four at once
  flow run --all --output ndjson        a report a line
  flow run orders --full-scan           read everything, once
  flow run customers --max-delete-fraction 0.9";

pub(super) const DRY_RUN_EXAMPLES: &str = "\
Examples:
  flow dry-run customers
  flow dry-run customers --sample 5     rows that would change, old beside new";

pub(super) const PLAN_EXAMPLES: &str = "\
Marks: + created  ~ declared otherwise since the last run  ! live table differs

Examples:
  flow plan                             of several, only the marked in full
  flow plan customers --sql             each step's SQL under its purpose
  flow plan --exit-code                 ends with 3 if there is a mark, for CI
  flow plan --output github             annotations beside the changed lines
  flow plan --output markdown           a comment on a pull request";

pub(super) const PREVIEW_EXAMPLES: &str = "\
Examples:
  flow preview customers
  flow preview --all --sql";

pub(super) const RUN_DUE_EXAMPLES: &str = "\
A slot is run once, however often this is called. Pipelines with faults in
their files are reported and do not stop the others. Transforms with a schedule
are served after the pipelines, unless pipelines are named.

Examples:
  * * * * *  cd /srv/etl && flow run-due -q      a crontab line
  flow run-due --jobs 4                         four at once
  flow run-due tag:crm --output json";

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Run everything and roll it back
    #[arg(long)]
    pub dry_run: bool,
    /// Ignore the watermark once
    #[arg(long)]
    pub full_scan: bool,
    /// How many pipelines run at once
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    pub jobs: NonZeroUsize,
    /// Enter the runs into a file that Prometheus reads
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dry_run")]
    pub metrics_file: Option<PathBuf>,
    /// Options for this once.
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

/// Arguments of `run-due`.
#[derive(Clone, Debug, Args)]
pub struct RunDueArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How many pipelines run at once
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    pub jobs: NonZeroUsize,
    /// Enter the runs into a file that Prometheus reads
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub metrics_file: Option<PathBuf>,
}

/// Arguments of `dry-run`.
#[derive(Clone, Debug, Args)]
pub struct DryRunArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Show so many rows that would change, old beside new
    #[arg(long, value_name = "ROWS", default_value_t = 0, hide_default_value = true)]
    pub sample: usize,
    /// Ignore the watermark once
    #[arg(long)]
    pub full_scan: bool,
    /// Options for this once.
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

/// Arguments of `plan` and `preview`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The pipelines.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Print each step's SQL under its purpose
    #[arg(long)]
    pub sql: bool,
    /// End with 3 if there is a mark
    #[arg(long)]
    pub exit_code: bool,
    /// Ignore the watermark
    #[arg(long)]
    pub full_scan: bool,
    /// Options for this once.
    #[command(flatten)]
    pub overrides: OverrideArgs,
}
