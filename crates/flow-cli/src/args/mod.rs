//! The command line as types; the doc comments are the help that users read.

mod add;
mod copy;
mod daemon;
mod diff;
mod doctor;
mod features;
mod history;
mod mend;
mod overrides;
mod project;
mod run;
mod transform;
mod watermark;
mod wishes;

pub use add::{AddArgs, mode_called};
pub use copy::{CopyArgs, Ends};
pub use daemon::DaemonArgs;
pub use diff::DiffArgs;
pub use doctor::DoctorArgs;
pub use features::{FeaturesCommand, MaterializeArgs};
pub use history::{HistoryArgs, KeyPart, LogsArgs, RejectedArgs, StatusArgs, WatchArgs};
pub use mend::{BackfillArgs, RewindArgs};
pub use overrides::OverrideArgs;
pub use project::{
    CompletionsArgs, ConnectionsAddArgs, ConnectionsCommand, DemoArgs, DemoEngine, DevCommand, ExplainArgs,
    GraphArgs, GraphFormat, InitArgs, ListArgs, LspArgs, ManArgs, SchemaArgs, ShowArgs, ValidateArgs,
};
pub use run::{DryRunArgs, PlanArgs, RunArgs, RunDueArgs};
pub use transform::TransformCommand;
pub use watermark::WatermarkCommand;
pub use wishes::{PauseArgs, RetryArgs};

use crate::completing;
use crate::console::{Format, Manner};
use crate::workspace::DEFAULT_CONFIG;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use ematix_flow_core::declare::variables::{Chosen, is_variable_name};
use std::ffi::OsString;
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Declare a table and a load strategy; flow writes only what changed
#[derive(Debug, Parser)]
#[command(
    name = "flow",
    version,
    styles = STYLES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    subcommand_help_heading = "Commands",
    override_usage = "flow [OPTIONS] COMMAND",
    after_help = "\
Start here:
  flow demo              watch a history grow, without a database of your own
  flow init              write a pipelines.toml that runs as it is
  flow plan              see what a run would do, and why
  flow run --all         do it

Exit codes: 0 done · 1 failed · 2 usage or files · 3 plan --exit-code: changes
            4 refused, a person decides · 5 locked · 6 no connection
            130 interrupted · 143 terminated"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The form of answers on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people
    #[default]
    Human,
    /// One JSON document
    Json,
    /// One JSON document a line
    Ndjson,
    /// A comment on a pull request (validate, preview, plan, dry-run, diff)
    Markdown,
    /// Annotations in GitHub Actions (validate, preview, plan, dry-run)
    Github,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The project's file, instead of ./pipelines.toml
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "EMATIX_FLOW_CONFIG",
        hide_env = true,
        default_value = DEFAULT_CONFIG,
        hide_default_value = true
    )]
    pub config: PathBuf,

    /// Form of the answer on stdout: human, json or ndjson; validate, preview, plan and dry-run also have
    /// markdown and github, diff has markdown
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub output: Output,

    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Tell every step, with its rows and milliseconds
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// No colour (also: NO_COLOR=1)
    #[arg(long, global = true)]
    pub no_color: bool,

    /// No lines while the work goes, only the last
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Form of the messages on stderr: text or json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub log_format: LogFormat,

    /// A Python module with further pipelines
    #[arg(long, global = true, value_name = "PKG.MOD", env = "EMATIX_FLOW_MODULE", hide_env = true)]
    pub module: Option<String>,

    /// Lay an environment over the project's files: [environments.NAME]
    #[arg(long, global = true, value_name = "NAME", env = "EMATIX_FLOW_ENV", hide_env = true)]
    pub env: Option<String>,

    /// Give a variable of [vars] another value, for this once; may be given several times
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = variable)]
    pub var: Vec<(String, String)>,
}

/// `NAME=VALUE` of `--var`.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if is_variable_name(name) => Ok((name.to_owned(), value.to_owned())),
        Some((name, _)) => Err(format!("`{name}` cannot be the name of a variable")),
        None => Err("write NAME=VALUE".to_owned()),
    }
}

impl GlobalArgs {
    /// What is said of the project that is read.
    pub fn chosen(&self) -> Chosen {
        Chosen { environment: self.env.clone(), variables: self.var.clone(), ..Chosen::default() }
    }

    /// How the console is to speak.
    pub fn manner(&self) -> Manner {
        Manner {
            format: match self.output {
                Output::Json => Format::Json,
                Output::Ndjson => Format::NdJson,
                Output::Markdown => Format::Markdown,
                Output::Github => Format::Github,
                Output::Human => Format::Human,
            },
            quiet: self.quiet,
            verbose: self.verbose,
            no_color: self.no_color,
            no_progress: self.no_progress,
            log_json: self.log_format == LogFormat::Json,
        }
    }
}

/// How a command line asks to be answered, as far as it can be read.
pub fn manner_of(arguments: &[OsString]) -> Manner {
    let last = |flag: &str| {
        let joined = format!("{flag}=");
        let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
        let next = words.iter().zip(words.iter().skip(1)).filter(|(word, _)| **word == flag);
        let apart = next.map(|(_, value)| (*value).to_owned());
        apart.chain(words.iter().filter_map(|word| word.strip_prefix(&joined)).map(str::to_owned)).last()
    };
    let output = last("--output").and_then(|word| Output::from_str(&word, false).ok()).unwrap_or_default();
    let log = last("--log-format").and_then(|word| LogFormat::from_str(&word, false).ok());
    Manner {
        format: match output {
            Output::Json => Format::Json,
            Output::Ndjson => Format::NdJson,
            // Which command it is may be what is wrong: pages of a review begin with its name.
            Output::Human | Output::Markdown | Output::Github => Format::Human,
        },
        no_color: arguments.iter().any(|word| word == "--no-color"),
        log_json: log == Some(LogFormat::Json),
        ..Manner::default()
    }
}

/// The form of lines on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The pipelines that a command is about.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectionArgs {
    /// Names, globs, tag:x, source:x, target:x.*, state:changed; +x with all upstream, x+ with all downstream; a space
    /// adds, a comma narrows
    #[arg(value_name = "SELECTION", add = ArgValueCompleter::new(completing::selections))]
    pub names: Vec<String>,

    /// The same as SELECTION
    #[arg(long, value_name = "SELECTION", add = ArgValueCompleter::new(completing::selections))]
    pub select: Vec<String>,

    /// Leave these out
    #[arg(long, value_name = "SELECTION", add = ArgValueCompleter::new(completing::selections))]
    pub exclude: Vec<String>,

    /// Every pipeline
    #[arg(long, conflicts_with_all = ["names", "select"])]
    pub all: bool,

    /// For state:changed: an earlier answer of `flow list --output json`
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub against: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented pipelines.toml to begin with, which runs
    #[command(after_help = project::INIT_EXAMPLES)]
    Init(InitArgs),
    /// Write [tables] and [pipelines] for tables that there are
    #[command(after_help = add::EXAMPLES)]
    Add(AddArgs),
    /// Watch a history grow, on a Postgres of its own or in a DuckDB file
    #[command(after_help = project::DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// A private Postgres for trying things out
    #[command(subcommand, arg_required_else_help = true, after_help = project::DEV_EXAMPLES)]
    Dev(DevCommand),
    /// List the pipelines with their schedules
    #[command(after_help = project::LIST_EXAMPLES)]
    List(ListArgs),
    /// Print a pipeline's options, and where each comes from
    #[command(after_help = project::SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Print which pipelines come after which
    #[command(after_help = project::GRAPH_EXAMPLES)]
    Graph(GraphArgs),
    /// Check the files; with --connect also the databases
    #[command(after_help = project::VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    /// Print the plan from the files alone
    #[command(after_help = run::PREVIEW_EXAMPLES)]
    Preview(PlanArgs),
    /// Print what a run would do, step by step; writes nothing
    #[command(after_help = run::PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// Run, roll back, and print what would have happened
    #[command(after_help = run::DRY_RUN_EXAMPLES)]
    DryRun(DryRunArgs),
    /// Run pipelines once
    #[command(after_help = run::RUN_EXAMPLES)]
    Run(RunArgs),
    /// Load a query or a table once, or write it into a file
    #[command(after_help = copy::EXAMPLES)]
    Copy(Box<CopyArgs>),
    /// Run what is due; made to be called every minute
    #[command(after_help = run::RUN_DUE_EXAMPLES)]
    RunDue(RunDueArgs),
    /// Serve the schedules as their slots come, until it is told to stop
    #[command(after_help = daemon::EXAMPLES)]
    Daemon(DaemonArgs),
    /// Serve the last slots once more that did not succeed
    #[command(after_help = wishes::RETRY_EXAMPLES)]
    Retry(RetryArgs),
    /// End runs that are under way, and roll them back
    #[command(after_help = wishes::CANCEL_EXAMPLES)]
    Cancel(SelectionArgs),
    /// Keep pipelines from running until they are resumed
    #[command(after_help = wishes::PAUSE_EXAMPLES)]
    Pause(PauseArgs),
    /// Let paused pipelines run again
    #[command(after_help = wishes::RESUME_EXAMPLES)]
    Resume(SelectionArgs),
    /// Take runs for dead whose process is gone, and free what they hold
    #[command(after_help = wishes::UNLOCK_EXAMPLES)]
    Unlock(SelectionArgs),
    /// Show each pipeline's last runs, lag and next slot
    #[command(after_help = history::STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Show past runs; with --key, one key's versions as a picture
    #[command(after_help = history::HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Show the steps of one run, with rows and milliseconds
    #[command(after_help = history::LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// List the rows that a pipeline has put aside, and why
    #[command(after_help = history::REJECTED_EXAMPLES)]
    Rejected(RejectedArgs),
    /// Verify a table's history: one current version a key, no overlaps
    #[command(after_help = history::CHECK_EXAMPLES)]
    Check(SelectionArgs),
    /// Compare two tables or queries, or a pipeline's source and target
    #[command(after_help = diff::EXAMPLES)]
    Diff(Box<DiffArgs>),
    /// Show, set or forget where incremental pipelines go on
    #[command(subcommand, arg_required_else_help = true, after_help = watermark::EXAMPLES)]
    Watermark(WatermarkCommand),
    /// Put a history back to what it was after an earlier run
    #[command(after_help = mend::REWIND_EXAMPLES)]
    Rewind(RewindArgs),
    /// Load the source of a pipeline once more, or a part of it
    #[command(after_help = mend::BACKFILL_EXAMPLES)]
    Backfill(BackfillArgs),
    /// List transforms, or run one by itself
    #[command(subcommand, arg_required_else_help = true, after_help = transform::EXAMPLES)]
    Transform(TransformCommand),
    /// List feature views, fill them, tell how old they are
    #[command(subcommand, arg_required_else_help = true, after_help = features::EXAMPLES)]
    Features(FeaturesCommand),
    /// List the connections, log in to them, or add one
    #[command(subcommand, arg_required_else_help = true, after_help = project::CONNECTIONS_EXAMPLES)]
    Connections(ConnectionsCommand),
    /// Look whether servers, metadata and pipelines are well
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(DoctorArgs),
    /// Print the JSON Schema of pipelines.toml, for editors
    #[command(after_help = project::SCHEMA_EXAMPLES)]
    Schema(SchemaArgs),
    /// Serve an editor: mistakes, names and help while you write
    #[command(after_help = project::LSP_EXAMPLES)]
    Lsp(LspArgs),
    /// Print a completion script for a shell
    #[command(after_help = project::COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the manual page, or write all into a directory
    #[command(after_help = project::MAN_EXAMPLES)]
    Man(ManArgs),
    /// Explain an error code
    #[command(after_help = project::EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Print the version
    #[command(after_help = project::VERSION_EXAMPLES)]
    Version,
    /// Any other word; judged by `commands::unknown`
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn visit(command: &clap::Command, path: &str, check: &mut dyn FnMut(&clap::Command, &str)) {
        let path = format!("{path} {}", command.get_name());
        check(command, path.trim());
        command.get_subcommands().for_each(|inner| visit(inner, &path, check));
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_says_what_it_is_in_lines_that_fit() {
        visit(&Cli::command(), "", &mut |command, path| {
            let about = command.get_about().unwrap_or_else(|| panic!("{path} says what it does")).to_string();
            assert!(about.chars().count() <= 66, "{path}: {about}");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines() {
                assert!(line.chars().count() <= 79, "{path}: {line}");
            }
        });
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        visit(&Cli::command(), "", &mut |command, path| {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // `flow` itself says where to start.
            let shows = after.lines().any(|line| line.starts_with("Example") || line == "Start here:");
            assert!(shows, "{path} has examples");
            for line in after.lines().filter(|line| line.starts_with("  flow ")) {
                // What stands behind two spaces is a remark, behind > or | another program.
                let typed = line.trim_start().split("  ").next().unwrap_or_default();
                let typed = typed.split(['>', '|']).next().unwrap_or_default();
                let words = shell_words(typed);
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{path}: {line}: {error}");
                }
            }
        });
    }

    /// Words as a shell splits them, single quotes only.
    fn shell_words(text: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for character in text.trim().chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().expect("there is one").push(other),
            }
        }
        words
    }
}
