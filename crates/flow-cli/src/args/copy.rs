//! Arguments of `copy`: a pipeline on the command line.

use super::add::mode_called;
use super::history::instant;
use super::overrides::{OfCopy, OptionArgs, OverrideArgs};
use crate::completing;
use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};
use clap_complete::engine::ArgValueCompleter;
use ematix_flow_core::declare::{MODES, Mode, PipelineOptions};
use ematix_flow_core::facts::RunNamed;
use jiff::Timestamp;

pub(super) const EXAMPLES: &str = "\
Needs no pipelines.toml; where there is one, its connections have their names.
Columns, types and NOT NULL are the live target's, else the source's; so are
the keys of a --source-table. A DSN's password is never printed, but `ps` shows
what is typed. Between single quotes flow fills in what the shell leaves alone:
'postgresql://me:${env:PW}@db/crm'.

Examples:
  flow copy --from crm --source-table app.a --to dw --table a.b --mode merge
  flow copy --from crm --query 'TABLE app.a' --to dw --table a.b --mode append
  flow copy --from crm --source-table app.a --to-file a.parquet
  flow copy --from crm --query 'TABLE app.a' --to-file a.csv.gz
  flow copy customers --to-file then.parquet --as-of 2026-03-01
  flow copy orders --to-file changes.jsonl.zst --run 5d21c0fe";

/// What stands in the place of a name may be a DSN, which has a password.
fn pipeline_name(text: &str) -> Result<String, String> {
    match text.contains("://") || text.contains("password=") {
        true => Err("that is a DSN, and this is the place of a pipeline: write --from before it".to_owned()),
        false => Ok(text.to_owned()),
    }
}

const USAGE: &str = "\
flow copy [OPTIONS] --from <CONNECTION|DSN> <--query <SQL>|--source-table <TABLE>>
                 --to <CONNECTION|DSN> --table <TABLE> --mode <MODE>
       flow copy [OPTIONS] --from <CONNECTION|DSN> <--query <SQL>|--source-table <TABLE>>
                 --to-file <FILE>
       flow copy [OPTIONS] <PIPELINE> --to-file <FILE>";

/// The formats of files.
const FORMATS: [&str; 3] = ["parquet", "csv", "json"];

/// Arguments of `copy`.
#[derive(Clone, Debug, Args)]
#[command(override_usage = USAGE)]
#[command(group(ArgGroup::new("source").required(true).args(["query", "source_table", "pipeline"])))]
pub struct CopyArgs {
    /// With --to-file: the pipeline whose table goes into the file
    #[arg(
        value_name = "PIPELINE",
        requires = "to_file",
        conflicts_with = "from",
        value_parser = pipeline_name,
        add = ArgValueCompleter::new(completing::pipelines)
    )]
    pub pipeline: Option<String>,
    /// Where the rows come from
    #[arg(long, value_name = "CONNECTION|DSN", required_unless_present = "pipeline")]
    pub from: Option<String>,
    /// The rows: one SELECT statement
    #[arg(long, value_name = "SQL")]
    pub query: Option<String>,
    /// The rows: a whole table or view, schema.table
    #[arg(long, value_name = "TABLE")]
    pub source_table: Option<String>,
    /// Where they go
    #[arg(long, value_name = "CONNECTION|DSN", required_unless_present = "to_file")]
    pub to: Option<String>,
    /// The target, schema.table; made if it is not there
    #[arg(long, value_name = "TABLE", required_unless_present = "to_file")]
    pub table: Option<String>,
    /// How they are loaded: append, truncate, merge (scd1) or scd2
    #[arg(
        long,
        value_name = "MODE",
        required_unless_present = "to_file",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(MODES)
    )]
    pub mode: Option<String>,
    /// Write them into a file instead; it has its name when all are in it
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["to", "table", "mode", "name", "dry_run"],
        value_hint = clap::ValueHint::FilePath
    )]
    pub to_file: Option<String>,
    /// Of which format it is, else its name's: parquet, csv or json (a row a line)
    #[arg(
        long,
        value_name = "FORMAT",
        requires = "to_file",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(FORMATS)
    )]
    pub format: Option<String>,
    /// The rows of a history that were valid then: a time, or how long ago
    #[arg(long, value_name = "WHEN", value_parser = instant, requires = "pipeline")]
    pub as_of: Option<Timestamp>,
    /// As they were known after this run, or by this time: histories by event time
    #[arg(long, value_name = "RUN|WHEN", value_parser = super::mend::run, requires = "as_of")]
    pub known_as_of: Option<RunNamed>,
    /// The rows that a run wrote, or closed: its number, or the end of its id
    #[arg(
        long,
        value_name = "RUN",
        value_parser = super::mend::run,
        requires = "pipeline",
        conflicts_with = "as_of"
    )]
    pub run: Option<RunNamed>,
    /// Options as a file has them.
    #[command(flatten)]
    pub options: OptionArgs<OfCopy>,

    /// What the run is called in history and messages; the target's name by default
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Run everything and roll it back
    #[arg(long)]
    pub dry_run: bool,

    /// Options as `run` has them.
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

/// What a load needs, where no file is written.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Where the rows come from.
    pub from: &'a str,
    /// Where they go.
    pub to: &'a str,
    /// The target.
    pub table: &'a str,
    /// The load strategy.
    pub mode: Mode,
}

impl CopyArgs {
    /// The ends of a load; `None` where a file is written.
    pub fn ends(&self) -> Option<Ends<'_>> {
        Some(Ends {
            from: self.from.as_deref()?,
            to: self.to.as_deref()?,
            table: self.table.as_deref()?,
            mode: mode_called(self.mode.as_deref()?),
        })
    }

    /// The other options that were given.
    pub fn options(&self) -> PipelineOptions {
        self.options.options().overlaid(&self.overrides.options())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use ematix_flow_core::declare::Names;
    use ematix_flow_core::declare::options::{
        HandleDeletes, OPTIONS, Of, OnDuplicate, OptionInfo, ReplaceMethod, Support,
    };

    #[derive(Parser)]
    struct Copy {
        #[command(flatten)]
        args: CopyArgs,
    }

    fn given(flags: &[&str]) -> PipelineOptions {
        let needed = ["copy", "--from=a", "--to=b", "--query=TABLE a", "--table=a.b", "--mode=scd1"];
        let copy = Copy::try_parse_from(needed.iter().chain(flags)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(copy.args.ends().map(|ends| ends.mode), Some(Mode::Merge));
        copy.args.options()
    }

    #[test]
    fn flags_become_the_options_of_the_same_name() {
        let names = |names: &[&str]| Some(Names::Many(names.iter().map(ToString::to_string).collect()));
        let flags = [
            "--keys=a,b",
            "--keys=c",
            "--compare-columns=d",
            "--overwrite-columns=e, f",
            "--update-columns=g",
            "--handle-deletes=soft",
            "--order-by=h DESC, i",
            "--first-valid-from=epoch",
            "--replace-method=delete",
            "--on-duplicate=latest",
        ];
        let options = PipelineOptions {
            keys: names(&["a", "b", "c"]),
            compare_columns: names(&["d"]),
            overwrite_columns: names(&["e", "f"]),
            update_columns: names(&["g"]),
            handle_deletes: Some(HandleDeletes::Soft),
            order_by: Some("h DESC, i".to_owned()),
            first_valid_from: Some("epoch".to_owned()),
            replace_method: Some(ReplaceMethod::Delete),
            on_duplicate: Some(OnDuplicate::Latest),
            ..PipelineOptions::default()
        };
        assert_eq!(given(&flags), options);
        assert_eq!(given(&[]), PipelineOptions::default());
    }

    /// Options without a flag, and why one load on the spot does without.
    const WITHOUT_A_FLAG: &[(&str, &[&str])] = &[
        ("a flag of another name says it: --mode, --to", &["mode", "target_connection"]),
        ("tells pipelines of a project apart", &["description", "owner", "tags"]),
        ("what a pipeline that comes again reads", &["incremental", "incremental_column", "late_commits"]),
        ("the executor's own", &["lease", "history_keep"]),
        ("tables of their own, which a line has no form for", &["expect"]),
        ("steps with arguments: --query does the same", &["transforms_pre"]),
        ("what follows a load that comes again", &["transforms_post"]),
        (
            "how a table looks that many pipelines and people share",
            &[
                "open_end",
                "effective_from",
                "effective_to",
                "current_flag",
                "hash_column",
                "row_hash",
                "deleted_flag",
                "loaded_at_column",
                "batch_id_column",
            ],
        ),
    ];

    fn without_a_flag(options: &[OptionInfo]) -> Vec<&'static str> {
        let one_load = |option: &&OptionInfo| option.support == Support::Here && option.of != Of::Schedule;
        let lacks = |option: &&OptionInfo| option.flag.is_none() && option.copy_flag.is_none();
        options.iter().filter(one_load).filter(lacks).map(|option| option.name).collect()
    }

    #[test]
    fn every_option_of_a_load_has_a_flag_or_a_reason() {
        let mut excused: Vec<&str> = WITHOUT_A_FLAG.iter().flat_map(|(_, names)| *names).copied().collect();
        let mut lacking = without_a_flag(OPTIONS);
        excused.sort_unstable();
        lacking.sort_unstable();
        assert_eq!(lacking, excused);
        // One without a flag is seen.
        let mut keys = *OPTIONS.iter().find(|option| option.name == "keys").expect("an option");
        assert_eq!(without_a_flag(&[keys]), [""; 0]);
        keys.copy_flag = None;
        assert_eq!(without_a_flag(&[keys]), ["keys"]);
    }
}
