//! What can be said only when every file is read: `[defaults]` reach the pipelines, and every option
//! is held against the load strategy.

use super::Reader;
use super::words::form_of_mode;
use crate::declare::json_schema::toml_value;
use crate::declare::options::{Mode, OptionInfo, PipelineOptions, option_info};
use crate::declare::{PipelineSpec, SourceSpec};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Location};
use crate::sql::QualifiedName;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// A pipeline as it stands in its file.
pub(super) struct ReadPipeline {
    /// Nothing where it is missing or wrong; that was reported.
    pub(super) source: Option<SourceSpec>,
    pub(super) target: Option<(String, Location)>,
    /// The options that are right.
    pub(super) options: PipelineOptions,
    /// The options that were written, right or wrong.
    pub(super) attempted: HashSet<String>,
    pub(super) place: Location,
}

/// Where each default, and each part of it, was written.
type DefaultPlaces = HashMap<String, Vec<(String, Location)>>;

/// A pipeline that says one of these takes no default for the other.
const ALTERNATIVES: &[(&str, &str)] = &[("schedule", "every"), ("every", "schedule")];

/// The options that were written, by name.
pub(super) fn written(options: &PipelineOptions) -> Map<String, Value> {
    match serde_json::to_value(options).expect("options have a JSON form") {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => unreachable!("options are an object"),
    }
}

impl Reader<'_> {
    pub(super) fn finish_pipelines(&mut self) {
        let places: DefaultPlaces = self
            .defaults
            .keys()
            .map(|name| (name.clone(), self.project.places.inside(&format!("defaults.{name}"))))
            .collect();
        for (name, read) in std::mem::take(&mut self.pipelines) {
            let mut options = written(&read.options);
            let mode = self.mode(&name, &read);
            if let Some(mode) = mode {
                self.refuse_other_modes(&name, mode, &mut options);
                self.apply_defaults(&name, mode, &read.attempted, &places, &mut options);
            }
            let options =
                serde_json::from_value(Value::Object(options)).expect("each option was read before");
            let Some((target, place)) = read.target else { continue };
            if !self.project.tables.contains_key(&target)
                && let Err(error) = QualifiedName::parse(&target)
            {
                self.errors.push(error.at(place));
            }
            if let Some(source) = read.source {
                self.project.pipelines.insert(name, PipelineSpec { source, target, options });
            }
        }
    }

    fn mode(&mut self, name: &str, read: &ReadPipeline) -> Option<Mode> {
        if read.options.mode.is_some() || read.attempted.contains("mode") {
            return read.options.mode;
        }
        if let Some(mode) = self.defaults.get("mode") {
            return serde_json::from_value(mode.clone()).ok();
        }
        if !self.broken && !self.attempted_defaults.contains("mode") {
            let error = FlowError::new(ErrorCode::MissingOption, format!("pipeline `{name}` has no `mode`"));
            self.errors.push(error.hint(form_of_mode()).at(read.place.clone()));
        }
        None
    }

    /// An option that the mode does not know is wrong, unless it says what happens anyway.
    fn refuse_other_modes(&mut self, pipeline: &str, mode: Mode, options: &mut Map<String, Value>) {
        let others: Vec<&'static OptionInfo> =
            options.keys().filter_map(|name| option_info(name)).filter(|info| !knows(info, mode)).collect();
        for info in others {
            let value = options.shift_remove(info.name).unwrap_or_default();
            if info.default.is_some_and(|default| is_same(&value, &toml_value(default))) {
                continue;
            }
            let modes: Vec<&str> = info.modes.iter().map(|mode| mode.name()).collect();
            let error = FlowError::new(
                ErrorCode::OptionNotForMode,
                format!("`{}` has no meaning in mode `{mode}` of pipeline `{pipeline}`", info.name),
            )
            .hint(format!("it belongs to {}", modes.join(", ")));
            let place = self.project.places.find(&format!("pipelines.{pipeline}.{}", info.name)).cloned();
            self.errors.push(match place {
                Some(mut place) => {
                    if let Some(excerpt) = &mut place.excerpt {
                        excerpt.length = excerpt.length.min(info.name.len());
                    }
                    error.at(place)
                }
                None => error,
            });
        }
    }

    fn apply_defaults(
        &mut self,
        pipeline: &str,
        mode: Mode,
        attempted: &HashSet<String>,
        places: &DefaultPlaces,
        options: &mut Map<String, Value>,
    ) {
        for (name, value) in &self.defaults {
            let alternative =
                ALTERNATIVES.iter().any(|(said, other)| other == name && attempted.contains(*said));
            let known = option_info(name).is_some_and(|info| knows(info, mode));
            if known && !alternative && !attempted.contains(name) {
                options.insert(name.clone(), value.clone());
                for (rest, place) in &places[name] {
                    self.project.places.insert(format!("pipelines.{pipeline}.{name}{rest}"), place.clone());
                }
            }
        }
        // `mode` was looked up above, where a default for it counts too.
        options.insert("mode".to_owned(), Value::from(mode.name()));
    }
}

fn knows(info: &OptionInfo, mode: Mode) -> bool {
    info.modes.is_empty() || info.modes.contains(&mode)
}

/// Whether two values of one option mean the same: `"id"` and `["id"]`, `"60s"` and `"1m"`.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(list), Value::String(_)) if list.len() == 1 => is_same(&list[0], other),
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::String(one), Value::String(other)) => {
            let length = |text: &str| Duration::parse(text).ok().map(|duration| duration.milliseconds());
            one == other || (length(one).is_some() && length(one) == length(other))
        }
        _ => one == other,
    }
}
