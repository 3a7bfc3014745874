//! What is known of an option, and what follows from its line.

use super::{FOREIGN_MODES, FOREIGN_WORDS, Mode, OPTIONS, PipelineOptions};
use crate::declare::json_schema::{definition, dereference, toml_value};
use serde_json::{Value, json};

/// Whether this version has an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Here,
    /// It is known and refused by name.
    NotYet,
}

/// What an option is about, where it matters to whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// It names columns.
    Columns,
    /// It says when a pipeline is due.
    Schedule,
    /// Anything else.
    Load,
}

/// How an option is given on the command line, for this once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// What its value is called; empty for a switch.
    pub value_name: &'static str,
    /// Its help.
    pub help: &'static str,
    /// The option that stands before it in the help, where that is not the one before it here.
    pub after: Option<&'static str>,
}

/// What is known of an option's name.
#[derive(Clone, Copy, Debug)]
pub struct OptionInfo {
    /// The name.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// The load strategies that know it; empty means all.
    pub modes: &'static [Mode],
    /// Its value when unwritten, as TOML text; `None` where there is none.
    pub default: Option<&'static str>,
    /// Whether this version has it.
    pub support: Support,
    /// What it is about.
    pub of: Of,
    /// Its flag, where it has one.
    pub flag: Option<Flag>,
    /// Its flag of `copy`, which has those of others besides.
    pub copy_flag: Option<Flag>,
    /// Its field of [`PipelineOptions`], where it has one.
    pub(crate) field: Option<Access>,
}

/// What can be done with the field of an option whose name is not known before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) is_set: fn(&PipelineOptions) -> bool,
    pub(crate) json: fn(&PipelineOptions) -> Value,
    pub(crate) copy: fn(&mut PipelineOptions, &PipelineOptions),
    pub(crate) clear: fn(&mut PipelineOptions),
}

/// What an option's value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Truth,
    /// A number, perhaps between two others.
    Number {
        /// The least.
        least: Option<f64>,
        /// The largest.
        most: Option<f64>,
    },
    /// A whole number.
    Whole,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A list of expectations.
    Expectations,
    /// One of these words.
    Words(Vec<&'static str>),
    /// A length of time.
    Length,
    /// A length of time, or a whole number.
    NumberOrLength,
    /// A name, or a list of them.
    Names,
    /// A name, or `false` for none.
    NameOrOff,
    /// A list of helpers.
    Helpers,
    /// A list of what runs after the load.
    Transforms,
    /// A list of who is told how a run has ended.
    Notifications,
}

impl Kind {
    const fn name(&self) -> &'static str {
        match self {
            Kind::Truth => "truth",
            Kind::Number { .. } => "number",
            Kind::Whole => "whole",
            Kind::Text => "text",
            Kind::Texts => "texts",
            Kind::Expectations => "expectations",
            Kind::Words(_) => "word",
            Kind::Length => "length",
            Kind::NumberOrLength => "number_or_length",
            Kind::Names => "names",
            Kind::NameOrOff => "name_or_off",
            Kind::Helpers => "helpers",
            Kind::Transforms => "transforms",
            Kind::Notifications => "notifications",
        }
    }
}

impl OptionInfo {
    /// Whether a load strategy knows it.
    pub fn is_for(&self, mode: Mode) -> bool {
        self.modes.is_empty() || self.modes.contains(&mode)
    }

    /// The names of the load strategies that know it, where not all do.
    pub fn mode_names(&self) -> Vec<&'static str> {
        self.modes.iter().map(|mode| mode.name()).collect()
    }

    /// What its value is, by the JSON Schema; `None` for what this version does not have.
    pub fn kind(&self) -> Option<Kind> {
        let property = definition("PipelineOptions").get("properties")?.get(self.name)?;
        let (reference, schema) = dereference(property);
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        Some(match (reference, schema.get("type").and_then(Value::as_str)) {
            (Some("Duration"), _) => Kind::Length,
            (Some("Lookback"), _) => Kind::NumberOrLength,
            (Some("Names"), _) => Kind::Names,
            (Some("NameOrOff"), _) => Kind::NameOrOff,
            (_, Some("boolean")) => Kind::Truth,
            (_, Some("number")) => Kind::Number { least: bound("minimum"), most: bound("maximum") },
            (_, Some("integer")) => Kind::Whole,
            (Some("Helpers"), _) => Kind::Helpers,
            (_, Some("array")) => match item_type(schema) {
                Some("Expectation") => Kind::Expectations,
                Some("PostTransform") => Kind::Transforms,
                Some("Notification") => Kind::Notifications,
                _ => Kind::Texts,
            },
            (_, Some("string")) => Kind::Text,
            _ => {
                let words = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
                Kind::Words(words.filter_map(|word| word.get("const")?.as_str()).collect())
            }
        })
    }
}

/// The type of a list's items, where it has a name.
fn item_type(list: &'static Value) -> Option<&'static str> {
    list.get("items").and_then(|items| dereference(items).0)
}

impl PipelineOptions {
    /// The options that were written.
    pub fn written(&self) -> impl Iterator<Item = &'static OptionInfo> {
        OPTIONS.iter().filter(|option| option.field.is_some_and(|field| (field.is_set)(self)))
    }

    /// Whether versions begin and end by a time that the source tells.
    pub fn is_by_event(&self) -> bool {
        self.event_timestamp_column.is_some()
    }

    /// Forgets an option.
    pub(crate) fn clear(&mut self, name: &str) {
        if let Some(field) = OPTIONS.iter().find(|option| option.name == name).and_then(|option| option.field)
        {
            (field.clear)(self);
        }
    }

    /// The options that can be given on the command line for this once, in the order of the help.
    pub fn flags() -> Vec<(&'static OptionInfo, Flag)> {
        let mut flags: Vec<(&OptionInfo, Flag)> = Vec::new();
        for (option, flag) in OPTIONS.iter().filter_map(|option| Some((option, option.flag?))) {
            flags.push((option, flag));
        }
        for at in 0..flags.len() {
            let after =
                flags[at].1.after.and_then(|name| flags.iter().position(|(other, _)| other.name == name));
            if let Some(after) = after.filter(|after| *after > at) {
                flags[at..=after].rotate_left(1);
            }
        }
        flags
    }

    /// The options that only `copy` has flags for: it has no file that says them.
    pub fn flags_of_copy() -> Vec<(&'static OptionInfo, Flag)> {
        OPTIONS.iter().filter_map(|option| Some((option, option.copy_flag?))).collect()
    }
}

/// The table as JSON: what editors, the Python package and its stubs are made from.
pub fn described() -> Value {
    let options: Vec<Value> = OPTIONS
        .iter()
        .map(|option| {
            let kind = option.kind();
            let mut out = json!({
                "name": option.name,
                "modes": option.mode_names(),
                "default": option.default.map(toml_value),
                "supported": option.support == Support::Here,
                "description": (!option.about.is_empty()).then_some(option.about),
                "kind": kind.as_ref().map(Kind::name),
                "of": match option.of {
                    Of::Columns => "columns",
                    Of::Schedule => "schedule",
                    Of::Load => "load",
                },
                "flag": option.flag.map(|flag| flag.help),
            });
            match kind {
                Some(Kind::Words(words)) => out["values"] = json!(words),
                Some(Kind::Number { least: Some(least), most: Some(most) }) => {
                    out["between"] = json!([least, most]);
                }
                _ => {}
            }
            out
        })
        .collect();
    let words = |words: &[(&str, &str)]| -> Value {
        words.iter().map(|(theirs, ours)| ((*theirs).to_owned(), Value::from(*ours))).collect()
    };
    json!({
        "schema": "ematix.options.v1",
        "options": options,
        "foreign_words": words(FOREIGN_WORDS),
        "foreign_modes": words(FOREIGN_MODES),
    })
}

/// Writes the options down: see [`super`].
macro_rules! options {
    (@info $name:ident, $about:expr, $support:ident, $field:expr $(, of $of:ident)? $(, for [$($mode:ident),+])?
        $(, default $default:tt)? $(, flag $value:literal $help:literal $(after $after:ident)?)?
        $(, copy $copy_value:literal $copy_help:literal)?) => {
        OptionInfo {
            name: stringify!($name),
            about: $about,
            modes: &[$($(Mode::$mode),+)?],
            default: [$(Some(stringify!($default)),)? None][0],
            support: Support::$support,
            of: [$(Of::$of,)? Of::Load][0],
            flag: [
                $(Some(Flag {
                    value_name: $value,
                    help: $help,
                    after: [$(Some(stringify!($after)),)? None][0],
                }),)?
                None,
            ][0],
            copy_flag: [
                $(Some(Flag { value_name: $copy_value, help: $copy_help, after: None }),)?
                None,
            ][0],
            field: $field,
        }
    };
    (@access $name:ident) => {
        Some(table::Access {
            is_set: |options| options.$name.is_some(),
            json: |options| serde_json::to_value(&options.$name).expect("options have a JSON form"),
            copy: |options, other| options.$name.clone_from(&other.$name),
            clear: |options| options.$name = None,
        })
    };
    (
        $(
            $(#[doc = $about:literal])+
            $(#[schemars($($schema:tt)*)])?
            $name:ident: $kind:ty $(, of $of:ident)? $(, for [$($mode:ident),+])? $(, default $default:tt)?
            $(, flag $value:literal $help:literal $(after $after:ident)?)?
            $(, copy $copy_value:literal $copy_help:literal)?;
        )+
        named { $($named:ident $(default $named_default:tt)?;)* }
    ) => {
        /// The options of a pipeline as written; `None` where nothing was.
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[schemars(deny_unknown_fields)]
        pub struct PipelineOptions {
            $($(#[doc = $about])+ $(#[schemars($($schema)*)])? pub $name: Option<$kind>,)+
        }

        /// Every option of a pipeline beside `source` and `target`.
        pub const OPTIONS: &[OptionInfo] = &[
            $(options!(@info $name, concat!($($about),+).trim_ascii_start(), Here, options!(@access $name)
                $(, of $of)? $(, for [$($mode),+])? $(, default $default)?
                $(, flag $value $help $(after $after)?)? $(, copy $copy_value $copy_help)?),)+
            $(options!(@info $named, "", NotYet, None $(, default $named_default)?),)*
        ];

        impl PipelineOptions {
            /// These options with others laid over them: what those say holds.
            pub fn overlaid(&self, over: &PipelineOptions) -> PipelineOptions {
                PipelineOptions {
                    $($name: over.$name.clone().or_else(|| self.$name.clone()),)+
                }
            }

            /// What unwritten options are, where that does not depend on others.
            pub fn defaults() -> &'static PipelineOptions {
                static DEFAULTS: std::sync::OnceLock<PipelineOptions> = std::sync::OnceLock::new();
                DEFAULTS.get_or_init(|| PipelineOptions {
                    $($name: [$(Some(stringify!($default)),)? None][0].map(table::value_of),)+
                })
            }

            $($(
                #[doc = concat!("`", stringify!($name), "`, or `", stringify!($default), "` where it was not written.")]
                pub fn $name(&self) -> $kind {
                    let default = || PipelineOptions::defaults().$name.clone();
                    self.$name.clone().or_else(default).expect(concat!("the default is ", stringify!($default)))
                }
            )?)+
        }

        /// What is known of that name.
        pub fn option_info(name: &str) -> Option<&'static OptionInfo> {
            OPTIONS.iter().find(|option| option.name == name)
        }
    };
}

/// A default of the table.
pub(super) fn value_of<T: serde::de::DeserializeOwned>(text: &str) -> T {
    let parsed = toml::de::ValueDeserializer::parse(text).expect("the defaults of the table are TOML");
    T::deserialize(parsed).expect("the defaults of the table are values of their options")
}
