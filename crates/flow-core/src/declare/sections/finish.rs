//! What is known of a project while it is read, and what can be said only when all of it is: `[defaults]` reach the
//! pipelines, and every option is held against the load strategy.

use super::check::{Mistake, Spot};
use super::environments::ReadEnvironment;
use super::targets;
use crate::declare::for_each::{Answers, Row};
use crate::declare::json_schema::toml_value;
use crate::declare::options::{Mode, OptionInfo, PipelineOptions};
use crate::declare::places::At;
use crate::declare::variables::Variables;
use crate::declare::{PipelineSpec, Places, ProjectSpec, SourceSpec};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError};
use crate::sql::QualifiedName;
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What is known of a project while it is read.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) project: ProjectSpec,
    pub(super) pipelines: IndexMap<String, Box<ReadPipeline>>,
    pub(super) defaults: PipelineOptions,
    /// What `{name}` and `:name` stand for.
    pub(super) variables: Variables,
    /// What `for_each` gives the pipeline whose names are being filled.
    pub(super) row: Row,
    /// The names that it will give, where nobody has been asked yet.
    pub(super) pending: Option<Option<Vec<String>>>,
    /// The same of every pipeline that stands for many.
    pub(super) unasked: HashMap<String, Option<Vec<String>>>,
    /// What databases have answered.
    pub(super) answers: Answers,
    pub(super) environments: IndexMap<String, ReadEnvironment>,
    /// The defaults of the environment that was chosen.
    pub(super) environment_defaults: PipelineOptions,
    /// The options that `[defaults]` name, right or wrong.
    pub(super) attempted_defaults: HashSet<String>,
    /// The pipelines of several targets, each with the pipelines that its targets are.
    pub(super) together: Vec<(String, Vec<String>)>,
    /// Whether a file is not TOML, so that what is missing may be there.
    pub(crate) broken: bool,
    pub(crate) mistakes: Vec<Mistake>,
}

/// The options that were written, right or wrong, each with its place among all values of a registry.
pub(super) type Attempted = HashMap<String, Option<usize>>;

/// A pipeline as it was written.
pub(super) struct ReadPipeline {
    /// Nothing where it is missing or wrong; that was reported.
    pub(super) source: Option<SourceSpec>,
    pub(super) target: Option<(String, Spot)>,
    /// The options that are right.
    pub(super) options: PipelineOptions,
    pub(super) attempted: Attempted,
    pub(super) spot: Spot,
}

/// How `mode` is written.
const FORM_OF_MODE: &str =
    "write mode = \"append\", \"truncate\", \"merge\" or \"scd2\", here or in [defaults]";

/// A pipeline that says one of these takes no default for the other.
pub(super) const ALTERNATIVES: &[(&str, &str)] = &[("schedule", "every"), ("every", "schedule")];

impl Reader {
    /// What was read, and every mistake in the order in which the values stand in files or in a registry.
    pub(crate) fn conclude(mut self, files: Vec<String>) -> (ProjectSpec, Vec<FlowError>) {
        self.lay_defaults();
        self.project.defaults = self.defaults.clone();
        self.finish_pipelines();
        self.project.variables = std::mem::take(&mut self.variables);
        targets::gather(&mut self.project, &self.together);
        self.forget_repetitions();
        let positions: HashMap<&str, usize> =
            files.iter().enumerate().rev().map(|(index, file)| (file.as_str(), index)).collect();
        self.mistakes.sort_by_key(|mistake| match mistake.order {
            Some(order) => Some((Some(0), order, 0)),
            None => mistake.error.location.as_ref().map(|location| {
                (positions.get(location.file.as_str()).copied(), location.line, location.column)
            }),
        });
        let errors = self.mistakes.into_iter().map(|mistake| mistake.error).collect();
        self.project.files = files;
        (self.project, errors)
    }

    /// What a pipeline of several targets says is read for each of them: what is wrong with it is told once.
    fn forget_repetitions(&mut self) {
        // What many pipelines say is read for each of them, too.
        if self.together.is_empty() && self.project.members.is_empty() {
            return;
        }
        let mut told = HashSet::new();
        self.mistakes.retain(|Mistake { error, order }| {
            let place = error.location.as_ref().map(|at| (at.file.clone(), at.line, at.column));
            (place.is_none() && order.is_none()) || told.insert((error.code, place, *order))
        });
    }

    fn finish_pipelines(&mut self) {
        self.project.pipelines.reserve(self.pipelines.len());
        for (name, mut read) in std::mem::take(&mut self.pipelines) {
            self.take_from_the_view(&name, &mut read);
            if let Some(mode) = self.mode(&name, &read) {
                self.refuse_other_modes(&name, mode, &mut read);
                self.apply_defaults(&name, mode, &mut read);
            }
            let ReadPipeline { source, target, options, .. } = *read;
            let Some((target, spot)) = target else { continue };
            if !self.project.tables.contains_key(&target)
                && let Err(error) = QualifiedName::parse(&target)
            {
                self.mistakes.push(spot.mistake(error));
            }
            if let Some(source) = source {
                self.project.pipelines.insert(name, PipelineSpec { source, target, options });
            }
        }
    }

    /// What a feature view says of the pipeline that fills it; [defaults] say nothing of that.
    fn take_from_the_view(&mut self, pipeline: &str, read: &mut ReadPipeline) {
        let Some((target, _)) = &read.target else { return };
        let Some((key, view)) = self.project.view_filled_by(target) else { return };
        if read.options.mode.is_none() && read.attempted.contains_key("mode") {
            return;
        }
        let mut options = read.options.clone();
        let attempted = |name: &str| read.attempted.contains_key(name);
        let laid: Vec<&str> = view.lay(&mut options).into_iter().filter(|name| !attempted(name)).collect();
        let (of_view, of_pipeline) = (Places::path("features", key), Places::path("pipelines", pipeline));
        let places: Vec<(String, At)> = laid
            .iter()
            .filter_map(|name| {
                let place = self.project.places.at(&format!("{of_view}.{name}"))?;
                Some((format!("{of_pipeline}.{name}"), place))
            })
            .collect();
        if options.mode == Some(Mode::OF_FEATURE_VIEWS) {
            read.options = options;
            for name in ["mode", "event_timestamp_column", "ttl"] {
                read.attempted.entry(name.to_owned()).or_insert(None);
            }
        }
        for (path, place) in places {
            self.project.places.put_at(path, place);
        }
    }

    fn mode(&mut self, name: &str, read: &ReadPipeline) -> Option<Mode> {
        if read.options.mode.is_some() || read.attempted.contains_key("mode") {
            return read.options.mode;
        }
        if let Some(mode) = self.defaults.mode {
            return Some(mode);
        }
        if !self.broken && !self.attempted_defaults.contains("mode") {
            let error = FlowError::new(ErrorCode::MissingOption, format!("pipeline `{name}` has no `mode`"));
            self.mistakes.push(read.spot.clone().mistake(error.hint(FORM_OF_MODE)));
        }
        None
    }

    /// An option that the mode does not know is wrong, unless it says what happens anyway.
    fn refuse_other_modes(&mut self, pipeline: &str, mode: Mode, read: &mut ReadPipeline) {
        let others: Vec<&OptionInfo> = read.options.written().filter(|option| !option.is_for(mode)).collect();
        for info in others {
            let Some(field) = info.field else { continue };
            let value = (field.json)(&read.options);
            (field.clear)(&mut read.options);
            if info.default.is_some_and(|default| is_same(&value, &toml_value(default))) {
                continue;
            }
            let error = FlowError::new(
                ErrorCode::OptionNotForMode,
                format!("`{}` has no meaning in mode `{mode}` of pipeline `{pipeline}`", info.name),
            )
            .hint(format!("it belongs to {}", info.mode_names().join(", ")));
            let mut location =
                self.project.places.find(&format!("{}.{}", Places::path("pipelines", pipeline), info.name));
            if let Some(excerpt) = location.as_mut().and_then(|location| location.excerpt.as_mut()) {
                excerpt.length = excerpt.length.min(info.name.len());
            }
            let order = read.attempted.get(info.name).copied().flatten();
            let at = location.map(|location| At::Told(location.into()));
            self.mistakes.push(Spot { at, order }.mistake(error));
        }
    }

    fn apply_defaults(&mut self, pipeline: &str, mode: Mode, read: &mut ReadPipeline) {
        let mut applied = Vec::new();
        for option in self.defaults.written() {
            let name = option.name;
            let alternative =
                ALTERNATIVES.iter().any(|(said, other)| *other == name && read.attempted.contains_key(*said));
            let Some(field) = option.field.filter(|_| option.is_for(mode)) else { continue };
            // What runs after the one commit of several targets runs once.
            let once = name == "transforms_post"
                && self.together.iter().any(|(_, parts)| parts.iter().any(|part| part == pipeline));
            // Without `after` there is nothing that it would be about.
            let idle = name == "freshness" && read.options.after().is_empty();
            if !alternative && !once && !idle && !read.attempted.contains_key(name) {
                (field.copy)(&mut read.options, &self.defaults);
                applied.push(name);
            }
        }
        if !applied.is_empty() {
            self.project.places.defaults(&Places::path("pipelines", pipeline), applied);
        }
        // `mode` was looked up above, where a default for it counts too.
        read.options.mode = Some(mode);
    }
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
