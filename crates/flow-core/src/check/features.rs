//! Checks a feature view: what it says of the pipeline that fills it, and that the pipeline says nothing else.

use super::{Check, declared_keys};
use crate::declare::options::{Mode, PipelineOptions, Repeats};
use crate::declare::{FeatureSpec, OnlineKind, Places};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError};
use crate::schema::Table;
use crate::sql::{Ident, QualifiedName};

/// A feature view: a table with a history by event time, and what else is made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureView {
    /// The key of its declaration.
    pub key: String,
    /// The view: it shows the version that is declared last.
    pub name: QualifiedName,
    /// The version, whose table is the pipeline's target.
    pub version: String,
    /// Whether it is the version that the view shows.
    pub is_last: bool,
    /// The name of the relation with the newest event of each entity.
    online_name: Ident,
    /// The columns of the entity's key.
    pub keys: Vec<Ident>,
    /// When an event happened.
    pub event_column: Ident,
    /// How long an event holds.
    pub ttl: Option<Duration>,
    /// In what the newest event of each entity is kept.
    pub online: Option<OnlineKind>,
    /// What it holds.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How old what is served may be.
    pub freshness: Option<Duration>,
}

impl FeatureView {
    /// The relation with the newest event of each entity, beside a table.
    pub fn online_relation(&self, table: &QualifiedName) -> QualifiedName {
        QualifiedName { schema: table.schema.clone(), name: self.online_name.clone() }
    }
}

/// The end of the name of what is served.
pub const ONLINE: &str = "__online";

/// The options of a pipeline that a view says.
const SAID: [&str; 2] = ["event_timestamp_column", "ttl"];

impl Check<'_> {
    /// The view that a pipeline fills, held against what the pipeline says.
    pub(crate) fn feature(
        &mut self,
        target: &str,
        table: &Table,
        options: &PipelineOptions,
    ) -> Option<FeatureView> {
        let project = self.project;
        let (key, spec) = project.view_filled_by(target)?;
        self.says_nothing_else(key, spec, options);
        let outer = std::mem::replace(&mut self.path, Places::path("features", key));
        let view = self.view(key, spec, table);
        self.path = outer;
        view
    }

    /// Refuses what a pipeline says otherwise than the view that it fills.
    fn says_nothing_else(&mut self, key: &str, spec: &FeatureSpec, options: &PipelineOptions) {
        let differ = |option: &str, said: String, view: String| {
            FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`{option}` is {said} here, and the feature view `{key}` that it fills says {view}"),
            )
            .hint(format!(
                "remove `{option}` from the pipeline: the view says it for whoever fills or reads it"
            ))
        };
        if let Some(mode) = options.mode.filter(|mode| *mode != Mode::OF_FEATURE_VIEWS) {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!(
                    "`mode = \"{mode}\"` keeps no history by event time, which the feature view `{key}` is"
                ),
            );
            let right = Mode::OF_FEATURE_VIEWS.name();
            return self.fail("mode", error.hint(format!("remove `mode`, or set it to \"{right}\"")));
        }
        if options.repeats() == Repeats::Collapse {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`repeats = \"collapse\"` forgets events, and the feature view `{key}` keeps each"),
            );
            self.fail("repeats", error.hint("remove it: what was known when is asked of every event"));
        }
        let column = options.event_timestamp_column.as_deref().unwrap_or_default();
        if column != spec.event_timestamp_column {
            let (said, view) = (format!("`{column}`"), format!("`{}`", spec.event_timestamp_column));
            self.fail(SAID[0], differ(SAID[0], said, view));
        }
        let length = |ttl: &Option<Duration>| ttl.as_ref().map(Duration::milliseconds);
        if length(&options.ttl) != length(&spec.ttl) {
            let words = |ttl: &Option<Duration>| {
                ttl.as_ref().map_or_else(|| "nothing".to_owned(), |ttl| format!("\"{ttl}\""))
            };
            self.fail(SAID[1], differ(SAID[1], words(&options.ttl), words(&spec.ttl)));
        }
    }

    fn view(&mut self, key: &str, spec: &FeatureSpec, table: &Table) -> Option<FeatureView> {
        let event_column = self.keep(SAID[0], Ident::new(&spec.event_timestamp_column))?;
        self.known_columns(SAID[0], std::slice::from_ref(&event_column), table);
        let (keys, _) = declared_keys(table);
        if keys.is_empty() {
            let error = FlowError::new(
                ErrorCode::MissingKeys,
                format!("the feature view `{key}` has no entity: neither a primary nor a natural key"),
            );
            self.fail("", error.hint("set primary_key = [\"…\"] to the columns that identify an entity"));
        }
        if keys.contains(&event_column) {
            let error = FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("the key of the feature view `{key}` names its event column `{event_column}`"),
            );
            let hint = "the key is the entity's: an entity has many events, each at its time";
            self.fail("primary_key", error.hint(hint));
        }
        let name = self.keep("name", Ident::new(&spec.view))?;
        let online_name = self.keep("online", Ident::new(format!("{}{ONLINE}", table.name.name)))?;
        let same = |other: &FeatureSpec, schema: Option<&str>| {
            other.view == spec.view && schema.unwrap_or("public") == table.name.schema.as_str()
        };
        let versions = self.project.features();
        let last = versions.filter(|(_, table, other)| same(other, table.schema.as_deref())).last();
        Some(FeatureView {
            key: key.to_owned(),
            online_name,
            name: QualifiedName { schema: table.name.schema.clone(), name },
            version: spec.feature_version.clone(),
            is_last: last.is_some_and(|(last, ..)| last == key),
            keys,
            event_column,
            ttl: spec.ttl.clone(),
            online: spec.online.kind(),
            description: table.description.clone(),
            owner: spec.owner.clone(),
            tags: spec.tags.clone(),
            freshness: spec.freshness.clone(),
        })
    }

    /// Refuses keys of a pipeline that are not those of the entity, which readers of the view ask for.
    pub(crate) fn keys_of_the_entity(&mut self, keys: Option<&[Ident]>, view: Option<&FeatureView>) {
        let (Some(keys), Some(view)) = (keys, view) else { return };
        if keys.len() == view.keys.len() && keys.iter().all(|key| view.keys.contains(key)) {
            return;
        }
        let names = |keys: &[Ident]| keys.iter().map(Ident::as_str).collect::<Vec<_>>().join(", ");
        let error = FlowError::new(
            ErrorCode::ConflictingOptions,
            format!("`keys` are {}, and the entity of `{}` is {}", names(keys), view.name, names(&view.keys)),
        );
        self.fail("keys", error.hint("remove `keys`: the view says what an entity is"));
    }

    /// Refuses the view of a feature as a target, which shows one of its tables.
    pub(crate) fn is_no_view(&mut self, name: &QualifiedName) -> bool {
        let shown: Vec<String> = self
            .project
            .features()
            .filter(|(_, table, feature)| {
                feature.view == name.name.as_str()
                    && table.schema.as_deref().unwrap_or("public") == name.schema.as_str()
            })
            .map(|(key, ..)| format!("`{key}`"))
            .collect();
        if shown.is_empty() {
            return true;
        }
        let error = FlowError::new(
            ErrorCode::InvalidValue,
            format!("the target `{name}` is a feature view, which shows the version that is declared last"),
        );
        self.fail(
            "target",
            error.hint(format!("name the version that is to be filled: {}", shown.join(", "))),
        );
        false
    }
}
