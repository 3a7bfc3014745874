//! `flow show NAME`: every option of a pipeline, its value, and where it comes from.

use super::DONE;
use crate::args::ShowArgs;
use crate::project::{self, Outcome, Session};
use crate::render::show::{Setting, settings};
use crate::selection;
use ematix_flow_core::declare::for_each::may_mean;
use ematix_flow_core::declare::options::{OPTIONS, Support};
use ematix_flow_core::declare::variables::{Origin, text_of};
use ematix_flow_core::declare::{OptionInfo, PipelineSpec, Places, ProjectSpec, SourceSpec};
use ematix_flow_core::error::Location;
use ematix_flow_core::sql::Literal;
use serde_json::{Map, Value, json};

/// Shows one pipeline.
pub fn show(session: &Session, args: &ShowArgs) -> Outcome {
    let mut project = session.project()?;
    if !project.pipelines.contains_key(&args.name)
        && project.each.keys().any(|many| may_mean(std::slice::from_ref(&args.name), many))
    {
        // Which members there are only the database knows.
        project = session.connected_engine(std::slice::from_ref(&args.name))?.project().clone();
    }
    let spec = selection::one(&project, &args.name)?;
    let all = all_settings(&project, &args.name, spec);
    let variables = variables(&project, &args.name);
    let console = &session.console;
    if console.is_human() {
        let place = project.places.pipeline(&args.name).as_ref().map(line_of);
        let head = match &place {
            Some(place) => format!("{}  {place}", args.name),
            None => args.name.clone(),
        };
        console.out(&settings(&head, &all));
        if !variables.is_empty() {
            console.out(&settings("variables", &variables));
        }
    } else {
        let environment = project.environment.as_ref().map(|environment| &environment.name);
        console.json(&json!({
            "schema": "ematix.show.v1",
            "name": args.name,
            "environment": environment,
            "options": all,
            "variables": variables,
        }));
    }
    DONE
}

/// The variables that a pipeline names.
fn variables(project: &ProjectSpec, name: &str) -> Vec<Setting> {
    let value = |value: &Literal| match value {
        Literal::Text(text) => toml_text(&json!(text)),
        other => text_of(other),
    };
    let member = project.members.get(name);
    let used = project.used_variables.get(name).into_iter().flatten();
    let setting = |name: &String| {
        if let Some(own) = member.and_then(|member| member.row.get(name)) {
            return Some(Setting {
                name: name.clone(),
                value: Some(value(own)),
                from: "for_each".to_owned(),
            });
        }
        let variable = project.variables.get(name)?;
        let from = match &variable.from {
            Origin::File(place) => place.as_ref().map_or_else(|| "given".to_owned(), origin),
            Origin::Flag => "--var".to_owned(),
        };
        Some(Setting { name: name.clone(), value: Some(value(&variable.value)), from })
    };
    used.filter_map(setting).collect()
}

fn all_settings(project: &ProjectSpec, name: &str, spec: &PipelineSpec) -> Vec<Setting> {
    let from = |option: &str| {
        project
            .places
            .find(&format!("{}.{option}", Places::path("pipelines", name)))
            .map_or_else(|| "given".to_owned(), |place| origin(&place))
    };
    let mut all = vec![
        Setting { name: "source".to_owned(), value: Some(source(project, name, spec)), from: from("source") },
        Setting { name: "target".to_owned(), value: Some(target(project, name, spec)), from: from("target") },
    ];
    if let Some(parts) = project.together.get(name) {
        all.extend(parts.values().flat_map(|part| of_part(project, part, &from("targets"))));
        return all;
    }
    let written = match serde_json::to_value(&spec.options) {
        Ok(Value::Object(written)) => written,
        _ => Map::new(),
    };
    let mode = spec.options.mode;
    let applies = |option: &&OptionInfo| {
        option.support == Support::Here
            && (option.modes.is_empty() || mode.is_none_or(|mode| option.modes.contains(&mode)))
    };
    for option in OPTIONS.iter().filter(applies) {
        let value = written.get(option.name).filter(|value| !value.is_null());
        all.push(match value {
            Some(value) => Setting {
                name: option.name.to_owned(),
                value: Some(toml_text(value)),
                from: from(option.name),
            },
            None => Setting {
                name: option.name.to_owned(),
                value: option.default.map(str::to_owned),
                from: "default".to_owned(),
            },
        });
    }
    all
}

/// What is written for one of several targets.
fn of_part(project: &ProjectSpec, part: &PipelineSpec, from: &str) -> Vec<Setting> {
    let target = project.target_name(part);
    let written = serde_json::to_value(&part.options).unwrap_or_default();
    let written = written.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    written
        .map(|(name, value)| Setting {
            name: format!("{target} {name}"),
            value: Some(toml_text(value)),
            from: from.to_owned(),
        })
        .collect()
}

fn source(project: &ProjectSpec, name: &str, spec: &PipelineSpec) -> String {
    let connection = project::source_connection(spec);
    if project.called.contains(name) {
        return format!("{connection}: what its function answers");
    }
    let own = |source: &SourceSpec| {
        rows_of(
            source,
            source.connection.as_deref().or(spec.source.connection.as_deref()).unwrap_or("default"),
        )
    };
    match spec.source.union.is_empty() {
        true => rows_of(&spec.source, connection),
        false => spec.source.union.iter().map(own).collect::<Vec<_>>().join(", and "),
    }
}

fn rows_of(source: &SourceSpec, connection: &str) -> String {
    match (&source.table, &source.query_file, &source.query) {
        _ if source.is_brought() => {
            let frame = source.frame.as_ref().map(|frame| frame.words.clone());
            let api = source.http.as_ref().map(|http| http.shown_url().to_owned());
            format!("{connection}: {}", source.files.clone().or(api).or(frame).unwrap_or_default())
        }
        (Some(table), ..) => format!("{connection} {table}"),
        (_, Some(file), _) => format!("{connection} {file}"),
        (.., Some(query)) => format!("{connection}: {}", query.trim()),
        _ => connection.to_owned(),
    }
}

fn target(project: &ProjectSpec, name: &str, spec: &PipelineSpec) -> String {
    format!("{} {}", project::target_connection(spec), project.target_names(name, spec).join(", "))
}

fn origin(location: &Location) -> String {
    match location.section.as_deref() {
        Some("[defaults]") => format!("[defaults] {}", line_of(location)),
        // `[environments.ci.defaults]` of what holds in one environment alone.
        Some(section) if section.starts_with("[environments.") => format!("{section} {}", line_of(location)),
        _ => line_of(location),
    }
}

fn line_of(location: &Location) -> String {
    format!("{}:{}", location.file, location.line)
}

/// A value as it would stand in the file.
fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(name, value)| format!("{name} = {}", toml_text(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        plain => plain.to_string(),
    }
}
