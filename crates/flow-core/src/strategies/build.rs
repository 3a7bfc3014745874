//! From a declaration to a checked pipeline. It stands here because the strategy is made of the options on the way.

use crate::check::Check;
use crate::declare::options::{Mode, OnDuplicate, OnEmptySource, PipelineOptions};
use crate::declare::{PipelineSpec, Places, ProjectSpec};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::strategy::LoadStrategy;
use crate::pipeline::{DEFAULT_CONNECTION, Pipeline, Source, Target, declared_keys, unknown_pipeline};
use crate::query::latest_first;
use crate::schedule::slots::Policy as SlotPolicy;
use crate::schema::Table;
use crate::sql::Ident;

impl Pipeline {
    /// Checks one pipeline of a project, with options laid over it for this once.
    ///
    /// # Errors
    /// Every violated rule, each at its place.
    pub fn build(
        project: &ProjectSpec,
        name: &str,
        overrides: &PipelineOptions,
    ) -> Result<Pipeline, Vec<FlowError>> {
        let Some(spec) = project.pipelines.get(name) else {
            return Err(vec![unknown_pipeline(project, name)]);
        };
        Pipeline::checked(project, name, name, spec, overrides)
    }

    /// Checks one of the targets that a pipeline loads from one reading; the places are the pipeline's.
    ///
    /// # Errors
    /// Every violated rule, each at its place.
    pub fn build_part(
        project: &ProjectSpec,
        whole: &str,
        part: &str,
        overrides: &PipelineOptions,
    ) -> Result<Pipeline, Vec<FlowError>> {
        match project.together.get(whole).and_then(|parts| parts.get(part)) {
            Some(spec) => Pipeline::checked(project, whole, part, spec, overrides),
            None => Err(vec![unknown_pipeline(project, part)]),
        }
    }

    fn checked(
        project: &ProjectSpec,
        declared_as: &str,
        name: &str,
        spec: &PipelineSpec,
        overrides: &PipelineOptions,
    ) -> Result<Pipeline, Vec<FlowError>> {
        let mut check = Check { project, path: Places::path("pipelines", declared_as), errors: Vec::new() };
        let mut options = spec.options.overlaid(overrides);
        if let Some((_, view)) = project.view_filled_by(&spec.target) {
            view.lay(&mut options);
        }
        check.overrides_fit(name, &options, overrides);
        let pipeline = check.pipeline(name, spec, &options);
        match pipeline {
            Some(pipeline) if check.errors.is_empty() => Ok(pipeline),
            _ => Err(check.errors),
        }
    }
}

/// What options say of slots.
fn slot_policy(options: &PipelineOptions) -> SlotPolicy {
    SlotPolicy {
        catchup: options.catchup(),
        grace: options.misfire_grace.as_ref().map_or(SlotPolicy::GRACE, Duration::as_std),
        overlap: options.overlap(),
        retries: options.retries(),
        jitter: options.jitter().as_std(),
    }
}

impl Check<'_> {
    fn pipeline(&mut self, name: &str, spec: &PipelineSpec, options: &PipelineOptions) -> Option<Pipeline> {
        let source = self.source(spec, options);
        let target = self.target(&spec.target);
        let Some(mode) = options.mode else {
            let error = FlowError::new(ErrorCode::MissingOption, format!("pipeline `{name}` has no `mode`"));
            let quoted: Vec<String> = Mode::ALL.iter().map(|mode| format!("\"{mode}\"")).collect();
            let (last, others) = quoted.split_last().expect("there are modes");
            self.fail("", error.hint(format!("set mode = {} or {last}", others.join(", "))));
            return None;
        };
        self.rules(mode, options);
        let keys = self.names("keys", &options.keys);
        let strategy = super::declared(mode, self, options);
        let incremental = self.incremental(options);
        let helpers = self.helpers(options);
        let schedule = self.schedule(options);
        if let (Some(source), None) = (&source, &schedule)
            && source.query.names_slot()
            && self.errors.is_empty()
        {
            let words = format!("the query of `{name}` names the times of a slot, and no schedule has slots");
            let error = FlowError::new(ErrorCode::MissingOption, words);
            self.fail("source", error.hint("add schedule = \"0 * * * *\", or every = \"1h\""));
        }
        let feature = match &target {
            Some(Target::Declared(table)) => self.feature(&spec.target, table, options),
            _ => None,
        };
        let limits = self.limits(options);
        let order_by = match &options.order_by {
            Some(list) => self.keep("order_by", latest_first(list)).unwrap_or_default(),
            None => Vec::new(),
        };
        let expectations = self.expectations(options, target.as_ref());
        if let (Some(Target::Declared(table)), true) = (&target, self.errors.is_empty()) {
            self.columns(table, keys.as_deref(), strategy.as_ref(), options);
            self.keys_of_the_entity(keys.as_deref(), feature.as_ref());
        }
        let target_connection = options
            .target_connection
            .clone()
            .or_else(|| spec.source.first_connection().map(str::to_owned))
            .unwrap_or_else(|| DEFAULT_CONNECTION.to_owned());
        if self.project.is_read_only(&target_connection) {
            let error = FlowError::new(
                ErrorCode::ReadOnlyTarget,
                format!("the target's connection `{target_connection}` is declared read_only"),
            );
            self.fail(
                "target_connection",
                error.hint("set target_connection to a connection that may write"),
            );
        }
        self.is_no_target(&target_connection);
        let source = source.map(|source| match source.brought {
            Some(_) => Source { connection: target_connection.clone(), ..source },
            None => source,
        });
        self.notifications(options);
        let after = self.after(options, &target_connection);
        Some(Pipeline {
            name: name.to_owned(),
            source: source?,
            target_connection,
            target: target?,
            helpers,
            keys,
            on_duplicate: options.on_duplicate(),
            order_by,
            refuse_empty_source: match options.on_empty_source {
                Some(word) => word == OnEmptySource::Error,
                None => strategy.handles_deletes(),
            },
            on_drift: options.on_drift(),
            on_type_loss: options.on_type_loss(),
            migrate: options.migrate(),
            incremental,
            expectations,
            force_path: options.force_path,
            parallel: options.parallel(),
            limits,
            schedule,
            policy: slot_policy(options),
            enabled: options.enabled(),
            tags: options.tags(),
            after,
            feature,
            strategy,
        })
    }

    /// Columns that options name must be declared, and ours must not be.
    fn columns(
        &mut self,
        table: &Table,
        keys: Option<&[Ident]>,
        strategy: &dyn LoadStrategy,
        options: &PipelineOptions,
    ) {
        if let Some(keys) = keys {
            self.known_columns("keys", keys, table);
        }
        let effective = keys.map(<[Ident]>::to_vec).unwrap_or_else(|| declared_keys(table).0);
        let needs_keys = strategy.keys().is_required() || options.on_duplicate() == OnDuplicate::Latest;
        if needs_keys && effective.is_empty() {
            let error = FlowError::new(
                ErrorCode::MissingKeys,
                format!(
                    "pipeline has no keys: neither `keys` nor a natural or primary key of table `{}`",
                    table.name.name
                ),
            );
            self.fail("", error.hint("set keys = [\"…\"] to the columns that identify a row in the source"));
        }
        strategy.check_columns(self, table, &effective);
    }
}
