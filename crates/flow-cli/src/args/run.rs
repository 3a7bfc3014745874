//! Arguments of `run` and of what looks ahead of it.

use super::SelectionArgs;
use clap::Args;
use clap::builder::PossibleValuesParser;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::duration::Duration;
use serde_json::{Map, Value};

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  flow run customers                    one pipeline
  flow run 'mirror_*' --exclude tag:slow
  flow run tag:crm,target:analytics.*   a comma narrows
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
their files are reported and do not stop the others.

Examples:
  * * * * *  cd /srv/etl && flow run-due -q      a crontab line
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
    /// Options for this once.
    #[command(flatten)]
    pub overrides: OverrideArgs,
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

/// Guards, path and timeouts, laid over a pipeline's options for this once.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options for this once")]
pub struct OverrideArgs {
    /// Largest share of the current keys that may be deleted, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub max_delete_fraction: Option<f64>,
    /// What a source without rows means: error or ignore
    #[arg(long, value_name = "WORD", hide_possible_values = true, value_parser = words(&["error", "ignore"]))]
    pub on_empty_source: Option<String>,
    /// What several rows of one key mean: error or latest
    #[arg(long, value_name = "WORD", hide_possible_values = true, value_parser = words(&["error", "latest"]))]
    pub on_duplicate: Option<String>,
    /// What a table unlike its declaration means: error or ignore
    #[arg(long, value_name = "WORD", hide_possible_values = true, value_parser = words(&["error", "ignore"]))]
    pub on_drift: Option<String>,
    /// Add what an existing table lacks; never drops or narrows
    #[arg(long)]
    pub migrate: bool,
    /// What NULL in the incremental column means: error, include or skip
    #[arg(long, value_name = "WORD", hide_possible_values = true, value_parser = words(&["error", "include", "skip"]))]
    pub null_watermark: Option<String>,
    /// How far before the watermark to read: 2h, 30d, or a number
    #[arg(long, value_name = "LENGTH", value_parser = lookback)]
    pub lookback: Option<Value>,
    /// Take this path: same_db, staging or client_diff
    #[arg(long, value_name = "PATH", hide_possible_values = true, value_parser = words(&["same_db", "staging", "client_diff"]))]
    pub force_path: Option<String>,
    /// How long to wait for the target's lock: 90s, 10m
    #[arg(long, value_name = "LENGTH", value_parser = duration)]
    pub lock_timeout: Option<Duration>,
    /// How long one statement may take
    #[arg(long, value_name = "LENGTH", value_parser = duration)]
    pub statement_timeout: Option<Duration>,
    /// How long the whole run may take
    #[arg(long, value_name = "LENGTH", value_parser = duration)]
    pub run_timeout: Option<Duration>,
}

impl OverrideArgs {
    /// The options that were given, by the names they have in files.
    pub fn options(&self) -> PipelineOptions {
        serde_json::from_value(Value::Object(self.map()))
            .expect("each flag is parsed like the option of its name")
    }

    /// The same as names and values.
    pub(super) fn map(&self) -> Map<String, Value> {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let length = |value: &Option<Duration>| value.as_ref().map(|length| Value::from(length.to_string()));
        let given = [
            ("max_delete_fraction", self.max_delete_fraction.map(Value::from)),
            ("on_empty_source", text(&self.on_empty_source)),
            ("on_duplicate", text(&self.on_duplicate)),
            ("on_drift", text(&self.on_drift)),
            ("migrate", self.migrate.then_some(Value::Bool(true))),
            ("null_watermark", text(&self.null_watermark)),
            ("lookback", self.lookback.clone()),
            ("force_path", text(&self.force_path)),
            ("lock_timeout", length(&self.lock_timeout)),
            ("statement_timeout", length(&self.statement_timeout)),
            ("run_timeout", length(&self.run_timeout)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

pub(super) fn words(words: &'static [&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(words)
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).map_err(|_| "write a number and a unit: 90s, 10m, 2h, 30d".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "write a number from 0 to 1".to_owned())
}

fn lookback(text: &str) -> Result<Value, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::from(number));
    }
    duration(text)
        .map(|length| Value::from(length.to_string()))
        .map_err(|error| format!("{error}, or a plain number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::declare::options::{
        ForcePath, Lookback, NullWatermark, OnDrift, OnDuplicate, OnEmptySource,
    };

    #[test]
    fn flags_become_the_options_of_the_same_name() {
        let length = |text| Duration::parse(text).unwrap();
        let flags = OverrideArgs {
            max_delete_fraction: Some(0.9),
            on_empty_source: Some("ignore".into()),
            on_duplicate: Some("latest".into()),
            on_drift: Some("ignore".into()),
            migrate: true,
            null_watermark: Some("skip".into()),
            lookback: Some(lookback("2d").unwrap()),
            force_path: Some("client_diff".into()),
            lock_timeout: Some(length("5s")),
            statement_timeout: Some(length("10m")),
            run_timeout: Some(length("1h")),
        };
        let options = PipelineOptions {
            max_delete_fraction: Some(0.9),
            on_empty_source: Some(OnEmptySource::Ignore),
            on_duplicate: Some(OnDuplicate::Latest),
            on_drift: Some(OnDrift::Ignore),
            migrate: Some(true),
            null_watermark: Some(NullWatermark::Skip),
            lookback: Some(Lookback::Duration(length("2d"))),
            force_path: Some(ForcePath::ClientDiff),
            lock_timeout: Some(length("5s")),
            statement_timeout: Some(length("10m")),
            run_timeout: Some(length("1h")),
            ..PipelineOptions::default()
        };
        assert_eq!(flags.options(), options);
        assert_eq!(OverrideArgs::default().options(), PipelineOptions::default());
    }
}
