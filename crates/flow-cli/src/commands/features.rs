//! `flow features`: what is declared of feature views, the runs that fill them, and how old what is served is.

use super::{DONE, after_errors, print_items, run};
use crate::args::{FeaturesCommand, MaterializeArgs};
use crate::project::{Outcome, Session};
use crate::render::features::{self as render, ListedFeature};
use crate::selection::Selection;
use crate::signals;
use ematix_flow_core::declare::{FeatureSpec, Names, OnlineKind, PipelineOptions, ProjectSpec, TableSpec};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result, did_you_mean};
use ematix_flow_core::pipeline::ONLINE;
use ematix_flow_core::report::FeatureFreshness;
use serde_json::{Value, json};

/// Does what was asked with feature views.
pub fn features(session: &Session, command: &FeaturesCommand) -> Outcome {
    match command {
        FeaturesCommand::List => list(session),
        FeaturesCommand::Show { name } => show(session, name),
        FeaturesCommand::Materialize(args) => materialize(session, args),
        FeaturesCommand::Freshness { names } => freshness(session, names),
    }
}

fn list(session: &Session) -> Outcome {
    let project = session.project()?;
    let listed: Vec<ListedFeature> =
        project.features().map(|(key, table, view)| listed(&project, key, table, view)).collect();
    let console = &session.console;
    if console.is_human() {
        console.out(&render::listed(&listed));
    } else {
        print_items(console, "ematix.features-list.v1", "features", &listed);
    }
    DONE
}

fn show(session: &Session, name: &str) -> Outcome {
    let project = session.project()?;
    let keys = chosen(&project, std::slice::from_ref(&name.to_owned()))?;
    let of = |key: &String| project.features().find(|(known, ..)| known == key);
    let mut found: Vec<ListedFeature> =
        keys.iter().filter_map(of).map(|(key, table, view)| listed(&project, key, table, view)).collect();
    // Of several versions the one that the view shows is meant.
    let shown = found.iter().position(|feature| feature.shown).unwrap_or(found.len() - 1);
    let feature = found.swap_remove(shown);
    let console = &session.console;
    if console.is_human() {
        console.out(&render::shown(&feature));
    } else {
        let mut document = json!({ "schema": "ematix.features-show.v1" });
        if let (Some(document), Value::Object(fields)) = (document.as_object_mut(), json!(feature)) {
            document.extend(fields);
        }
        console.json(&document);
    }
    DONE
}

fn listed(project: &ProjectSpec, key: &str, table: &TableSpec, view: &FeatureSpec) -> ListedFeature {
    let schema = table.schema.as_deref().unwrap_or("public");
    let versions = project.features().filter(|(_, other, feature)| {
        other.schema.as_deref().unwrap_or("public") == schema && feature.view == view.view
    });
    let qualified = |name: &str| format!("{schema}.{name}");
    let online = view.online.kind();
    let place = project.places.get(&ematix_flow_core::declare::Places::path("features", key));
    ListedFeature {
        name: key.to_owned(),
        view: qualified(&view.view),
        version: view.feature_version.clone(),
        shown: versions.last().is_some_and(|(last, ..)| last == key),
        table: qualified(&view.table()),
        entity_keys: entity_keys(table),
        event_timestamp_column: view.event_timestamp_column.clone(),
        features: feature_columns(table, view),
        ttl: view.ttl.as_ref().map(ToString::to_string),
        online: online.map(OnlineKind::name),
        served_from: online.map(|_| qualified(&format!("{}{ONLINE}", view.table()))),
        freshness: view.freshness.as_ref().map(ToString::to_string),
        description: table.description.clone(),
        owner: view.owner.clone(),
        tags: view.tags.clone(),
        pipelines: project.fillers_of(key).into_iter().map(|(name, _)| name.to_owned()).collect(),
        declared_at: place.map(|place| format!("{}:{}", place.file, place.line)),
    }
}

/// The columns of the natural key, else of the primary key, as they are declared.
fn entity_keys(table: &TableSpec) -> Vec<String> {
    let marked = |is_marked: fn(&ematix_flow_core::declare::FullColumnSpec) -> bool| -> Vec<String> {
        let full = table.columns.iter().filter_map(|(name, column)| match column {
            ematix_flow_core::declare::ColumnSpec::Full(full) => Some((name, full)),
            ematix_flow_core::declare::ColumnSpec::Type(_) => None,
        });
        full.filter(|(_, full)| is_marked(full)).map(|(name, _)| name.clone()).collect()
    };
    let said = |names: &Option<Names>, marked: Vec<String>| names.as_ref().map_or(marked, Names::to_vec);
    let natural = said(&table.natural_key, marked(|full| full.natural_key));
    if natural.is_empty() { said(&table.primary_key, marked(|full| full.primary_key)) } else { natural }
}

/// What is neither the entity's key nor the time.
fn feature_columns(table: &TableSpec, view: &FeatureSpec) -> Vec<String> {
    let keys = entity_keys(table);
    let names = table.columns.keys();
    names.filter(|name| !keys.contains(name) && **name != view.event_timestamp_column).cloned().collect()
}

fn materialize(session: &Session, args: &MaterializeArgs) -> Outcome {
    let engine = session.connected_engine(&[])?;
    let project = engine.project();
    let keys = chosen(project, &args.names)?;
    let mut names: Vec<String> = Vec::new();
    for key in &keys {
        let fillers = project.fillers_of(key);
        if fillers.is_empty() && !args.names.is_empty() {
            let error = FlowError::new(
                ErrorCode::UnknownPipeline,
                format!("no pipeline fills the feature view `{key}`"),
            );
            return Err(error.hint(format!("declare one with target = \"{key}\"")).into());
        }
        names.extend(fillers.into_iter().map(|(name, _)| name.to_owned()));
    }
    names = project.pipelines.keys().filter(|name| names.contains(name)).cloned().collect();
    let selection = Selection { single: names.len() == 1 && args.names.len() == 1, names };
    let wish = run::Wish {
        overrides: PipelineOptions::default(),
        full_scan: false,
        dry_run: false,
        sample: 0,
        started_by: "cli",
        jobs: args.jobs,
        metrics_file: None,
    };
    run::perform(session, &engine, &selection, "run", wish)
}

fn freshness(session: &Session, names: &[String]) -> Outcome {
    let engine = session.connected_engine(&[])?;
    let keys = chosen(engine.project(), names)?;
    let (found, errors) = signals::block_on(async |_| {
        let (mut found, mut errors): (Vec<FeatureFreshness>, Vec<FlowError>) = (Vec::new(), Vec::new());
        for key in &keys {
            match engine.feature_freshness(key).await {
                Ok(one) => found.extend(one),
                Err(error) => errors.push(error),
            }
        }
        (found, errors)
    })?;
    let console = &session.console;
    if console.is_human() {
        if !found.is_empty() || errors.is_empty() {
            console.out(&render::freshness(&found));
        }
    } else {
        print_items(console, "ematix.features-freshness.v1", "features", &found);
    }
    if !errors.is_empty() {
        return after_errors(console, &errors);
    }
    Ok(if found.iter().any(|one| one.stale) { ExitCode::Failed } else { ExitCode::Success })
}

/// The keys of the feature views that were asked for, in the order of their declaration; all where nothing was said.
///
/// # Errors
/// `unknown_table` for a name that no feature view has.
fn chosen(project: &ProjectSpec, names: &[String]) -> Result<Vec<String>> {
    let called = |name: &str, (key, table, view): &(&str, &TableSpec, &FeatureSpec)| {
        let schema = table.schema.as_deref().unwrap_or("public");
        *key == name
            || view.view == name
            || format!("{schema}.{}", view.view) == name
            || format!("{schema}.{}", view.table()) == name
    };
    for name in names {
        // A key means that one, though a view has the same name.
        if !project.features().any(|one| called(name, &one)) {
            let error = FlowError::new(ErrorCode::UnknownTable, format!("there is no feature view `{name}`"));
            let near = did_you_mean(name, project.features().map(|(key, ..)| key));
            return Err(error.hint(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`flow features list` shows all".to_owned(),
            }));
        }
    }
    let exact = |name: &str| project.features().any(|(key, ..)| key == name);
    let wanted = |one: &(&str, &TableSpec, &FeatureSpec)| {
        names.is_empty()
            || names.iter().any(|name| if exact(name) { one.0 == name } else { called(name, one) })
    };
    Ok(project.features().filter(wanted).map(|(key, ..)| key.to_owned()).collect())
}
