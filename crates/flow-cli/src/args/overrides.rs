//! Flags of options: one for every option of the core's table that has one.

use clap::builder::{PossibleValuesParser, StringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::declare::options::{Flag, Kind, OptionInfo};
use ematix_flow_core::duration::Duration;
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// Which options there are flags for.
pub trait Flags: Clone {
    /// The heading of the flags in the help, where they have one of their own.
    const HEADING: Option<&'static str>;

    /// The options, in the order of the help.
    fn all() -> Vec<(&'static OptionInfo, Flag)>;
}

/// Guards, path and timeouts, laid over a pipeline's options for this once.
#[derive(Clone, Copy, Debug)]
pub struct ForThisOnce;

impl Flags for ForThisOnce {
    const HEADING: Option<&'static str> = Some("Options for this once");

    fn all() -> Vec<(&'static OptionInfo, Flag)> {
        PipelineOptions::flags()
    }
}

/// What a file would say of a pipeline, for `copy`.
#[derive(Clone, Copy, Debug)]
pub struct OfCopy;

impl Flags for OfCopy {
    const HEADING: Option<&'static str> = None;

    fn all() -> Vec<(&'static OptionInfo, Flag)> {
        PipelineOptions::flags_of_copy()
    }
}

/// The options that were given by flags.
#[derive(Clone, Debug)]
pub struct OptionArgs<F> {
    given: Map<String, Value>,
    flags: PhantomData<F>,
}

/// The options that were given for this once.
pub type OverrideArgs = OptionArgs<ForThisOnce>;

impl<F> OptionArgs<F> {
    /// The options that were given, by the names they have in files.
    pub fn options(&self) -> PipelineOptions {
        serde_json::from_value(Value::Object(self.given.clone()))
            .expect("each flag is parsed like the option of its name")
    }
}

impl<F: Flags> Args for OptionArgs<F> {
    fn augment_args(command: Command) -> Command {
        command.args(F::all().into_iter().map(|(option, flag)| argument::<F>(option, flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<F: Flags> FromArgMatches for OptionArgs<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = F::all().into_iter().filter_map(|(option, _)| {
            Some((option.name.to_owned(), value_of(matches, option.name, &option.kind()?)?))
        });
        Ok(OptionArgs { given: given.collect(), flags: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument<F: Flags>(option: &'static OptionInfo, flag: Flag) -> Arg {
    let argument =
        Arg::new(option.name).long(option.name.replace('_', "-")).help(flag.help).help_heading(F::HEADING);
    let kind = option.kind().expect("an option with a flag is one of this version");
    taking(argument, flag.value_name, kind)
}

/// The argument, with values of that kind.
fn taking(argument: Arg, value_name: &'static str, kind: Kind) -> Arg {
    let with_value = |argument: Arg| argument.value_name(value_name).hide_possible_values(true);
    match kind {
        Kind::Truth => argument.action(ArgAction::SetTrue),
        Kind::Names | Kind::Texts => {
            with_value(argument).action(ArgAction::Append).value_delimiter(',').value_parser(parser_of(kind))
        }
        _ => with_value(argument).value_parser(parser_of(kind)),
    }
}

/// What was given for an argument of that kind.
fn value_of(matches: &ArgMatches, name: &str, kind: &Kind) -> Option<Value> {
    match kind {
        Kind::Truth => matches.get_flag(name).then_some(Value::Bool(true)),
        Kind::Names | Kind::Texts => Some(matches.get_many::<Value>(name)?.cloned().collect()),
        _ => matches.get_one::<Value>(name).cloned(),
    }
}

fn parser_of(kind: Kind) -> ValueParser {
    let text = StringValueParser::new();
    match kind {
        Kind::Truth => unreachable!("a switch has no value"),
        Kind::Expectations => unreachable!("no flag gives expectations"),
        Kind::Notifications => unreachable!("who is told is not said for once"),
        Kind::Transforms => unreachable!("what runs after a load is not said for once"),
        Kind::Words(words) => PossibleValuesParser::new(words).map(Value::from).into(),
        Kind::Number { least, most } => text.try_map(move |text| number(&text, least, most)).into(),
        Kind::Whole => text
            .try_map(|text| text.parse::<i64>().map(Value::from).map_err(|_| "write a whole number"))
            .into(),
        Kind::Length => text.try_map(|text| length(&text)).into(),
        Kind::NumberOrLength => text.try_map(|text| number_or_length(&text)).into(),
        Kind::Helpers => unreachable!("helpers have no flag"),
        Kind::Text => text.map(Value::from).into(),
        Kind::Texts | Kind::Names => text.map(|text| Value::from(text.trim())).into(),
        Kind::NameOrOff => text
            .map(|text| match text.as_str() {
                "false" => Value::Bool(false),
                _ => Value::from(text),
            })
            .into(),
    }
}

fn number(text: &str, least: Option<f64>, most: Option<f64>) -> Result<Value, String> {
    let number: Option<f64> = text.parse().ok();
    let fits = |number: &f64| {
        number.is_finite()
            && least.is_none_or(|least| *number >= least)
            && most.is_none_or(|most| *number <= most)
    };
    number.filter(fits).map(Value::from).ok_or_else(|| match (least, most) {
        (Some(least), Some(most)) => format!("write a number from {least} to {most}"),
        _ => "write a number".to_owned(),
    })
}

fn length(text: &str) -> Result<Value, String> {
    match Duration::parse(text) {
        Ok(length) => Ok(Value::from(length.to_string())),
        Err(_) => Err("write a number and a unit: 90s, 10m, 2h, 30d".to_owned()),
    }
}

fn number_or_length(text: &str) -> Result<Value, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::from(number));
    }
    length(text).map_err(|error| format!("{error}, or a plain number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::declare::options::{
        ForcePath, Lookback, NullWatermark, OnDrift, OnDuplicate, OnEmptySource,
    };

    fn given(flags: &[&str]) -> Result<PipelineOptions, String> {
        let command = OverrideArgs::augment_args(Command::new("flow").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).map_err(|error| error.to_string())?;
        Ok(OverrideArgs::from_arg_matches(&matches).expect("what was parsed").options())
    }

    #[test]
    fn flags_become_the_options_of_the_same_name() {
        let length = |text| Duration::parse(text).unwrap();
        let flags = [
            "--max-delete-fraction=0.9",
            "--on-empty-source=ignore",
            "--on-duplicate=latest",
            "--on-drift=ignore",
            "--migrate",
            "--null-watermark=skip",
            "--lookback=2d",
            "--force-path=client_diff",
            "--lock-timeout=5s",
            "--statement-timeout=10m",
            "--run-timeout=1h",
        ];
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
        assert_eq!(given(&flags), Ok(options));
        assert_eq!(given(&[]), Ok(PipelineOptions::default()));
        let number = PipelineOptions { lookback: Some(Lookback::Number(-3)), ..PipelineOptions::default() };
        assert_eq!(given(&["--lookback=-3"]), Ok(number));
    }

    #[test]
    fn a_value_that_the_option_cannot_have_is_refused_with_its_form() {
        let cases = [
            ("--max-delete-fraction=1.5", "write a number from 0 to 1"),
            ("--max-delete-fraction=nan", "write a number from 0 to 1"),
            ("--run-timeout=90", "write a number and a unit: 90s, 10m, 2h, 30d"),
            ("--lookback=soon", "90s, 10m, 2h, 30d, or a plain number"),
            ("--on-drift=warn", "possible values: error, ignore"),
        ];
        for (flag, form) in cases {
            let said = given(&[flag]).expect_err(flag);
            assert!(said.contains(form), "{flag}: {said}");
        }
    }

    #[test]
    fn every_kind_of_option_can_have_a_flag() {
        let parse = |kind, text: &str| {
            let argument = taking(Arg::new("x").long("x"), "X", Kind::clone(&kind));
            let command = Command::new("flow").no_binary_name(true).arg(argument);
            let matches = command.try_get_matches_from([format!("--x={text}")]).expect("a value");
            value_of(&matches, "x", &kind).expect("it was given")
        };
        assert_eq!(parse(Kind::Names, "a, b"), serde_json::json!(["a", "b"]));
        assert_eq!(parse(Kind::Texts, "a"), serde_json::json!(["a"]));
        assert_eq!(parse(Kind::NameOrOff, "false"), Value::Bool(false));
        assert_eq!(parse(Kind::NameOrOff, "a"), Value::from("a"));
        assert_eq!(parse(Kind::Whole, "7"), Value::from(7));
        assert_eq!(parse(Kind::Text, "7"), Value::from("7"));
        assert_eq!(parse(Kind::Number { least: None, most: None }, "0.5"), Value::from(0.5));
    }
}
