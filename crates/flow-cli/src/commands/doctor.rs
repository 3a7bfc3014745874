//! `flow doctor`: how connections and pipelines stand, and the least that roles need. Nothing is written.

use super::tell_errors;
use crate::args::{DoctorArgs, SelectionArgs};
use crate::console::Format;
use crate::project::{self, Outcome, Session};
use crate::render::doctor;
use crate::selection;
use crate::signals;
use ematix_flow_core::connections::check_user_file;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::error::{ExitCode, FlowError};
use ematix_flow_core::report::{Health, LeastGrants};
use ematix_flow_core::sql::Ident;
use ematix_flow_run::execute::Engine;
use serde_json::json;

/// Looks at what was asked for; at everything where nothing was.
pub fn doctor(session: &Session, args: &DoctorArgs) -> Outcome {
    if args.grants {
        return grants(session, args);
    }
    let said = selection::said(&args.selection);
    let (engine, errors) = session.sound_engine_without_file(&said)?;
    let known: Vec<String> = engine.connections().into_iter().map(|connection| connection.name).collect();
    let (connections, pipelines): (Vec<String>, Vec<String>) = said
        .iter()
        .cloned()
        .partition(|name| known.contains(name) && !engine.project().pipelines.contains_key(name));
    if said.is_empty() {
        check_user_file(&ProcessEnvironment)?;
    }
    let only_connections = !connections.is_empty() && pipelines.is_empty();
    let chosen = SelectionArgs { names: pipelines.clone(), select: Vec::new(), ..args.selection.clone() };
    let pipelines = match only_connections {
        true => Vec::new(),
        // A project without pipelines has connections.
        false => match selection::choose(engine.project(), &chosen) {
            Ok(selection) => selection.names,
            Err(error) => {
                // Where there is no file, or the user's own is faulty, that is the reason.
                check_user_file(&ProcessEnvironment)?;
                session.sound_engine(&said)?;
                return Err(error.into());
            }
        },
    };
    let connections = connections_of(&engine, said.is_empty(), connections, &pipelines);
    let report = signals::block_on(async |stop| {
        let request = project::request(PipelineOptions::default(), stop);
        engine.doctor(&connections, &pipelines, &request).await
    })?;
    let console = &session.console;
    let ok = errors.is_empty() && report.count(Health::Failed) == 0;
    match console.format() {
        Format::Human => console.out(&doctor::report(&report, errors.len())),
        Format::NdJson => {
            report.connections.iter().for_each(|each| {
                console.json(&json!({ "connection": each.name, "about": each.about, "checks": each.checks }));
            });
            report.pipelines.iter().for_each(|each| {
                console.json(&json!({ "pipeline": each.name, "about": each.about, "checks": each.checks }));
            });
        }
        _ => console.json(&json!({
            "schema": "ematix.doctor.v1",
            "ok": ok,
            "connections": report.connections,
            "pipelines": report.pipelines,
            "errors": errors,
        })),
    }
    if !errors.is_empty() {
        tell_errors(console, &errors);
    }
    Ok(match ok {
        true => ExitCode::Success,
        false => ExitCode::Failed,
    })
}

/// Those that were named and those of the pipelines; all where nothing was said.
fn connections_of(engine: &Engine, all: bool, named: Vec<String>, pipelines: &[String]) -> Vec<String> {
    let every = engine.connections().into_iter().map(|connection| connection.name).filter(|_| all);
    let mut found: Vec<String> = Vec::new();
    for name in every.chain(named).chain(engine.connections_of(pipelines)) {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn grants(session: &Session, args: &DoctorArgs) -> Outcome {
    let role = args.role.as_deref().map(Ident::new).transpose()?;
    let engine = match selection::is_nothing(&args.selection) {
        true => session.engine()?,
        false => session.connected_engine(&selection::said(&args.selection))?,
    };
    let selection = selection::choose_some(engine.project(), &args.selection, "doctor --grants")?;
    let found: Vec<LeastGrants> = signals::block_on(async |stop| {
        let request = project::request(PipelineOptions::default(), stop);
        let mut found = Vec::new();
        for name in &selection.names {
            found.extend(engine.least_grants(name, role.as_ref(), &request).await?);
        }
        Ok::<_, FlowError>(found)
    })??;
    let console = &session.console;
    if console.is_human() {
        console.out(&doctor::grants(&found));
    } else {
        super::print_items(console, "ematix.grants.v1", "grants", &found);
    }
    super::DONE
}
