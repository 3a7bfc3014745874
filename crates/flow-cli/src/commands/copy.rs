//! `flow copy`: one load without a file. What is typed becomes a pipeline in memory, and runs like any.

mod to_file;

use super::run::{self, Wish};
use crate::args::{CopyArgs, Ends};
use crate::project::{Failure, Outcome, Session};
use crate::selection::Selection;
use crate::workspace::DEFAULT_CONFIG;
use ematix_flow_core::connections;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::{ConnectionSpec, PipelineOptions, PipelineSpec, ProjectSpec, SourceSpec};
use ematix_flow_core::engine::Foreign;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::sql::QualifiedName;
use std::path::Path;

/// Copies once.
pub fn copy(session: &Session, args: &CopyArgs) -> Outcome {
    let Some(ends) = args.ends() else { return to_file::write(session, args) };
    let name = args.name.clone().unwrap_or_else(|| ends.table.to_owned());
    let project = project_of(session, args, ends, &name)?;
    let wish = Wish {
        // All of them were typed for this run: a flag that the mode does not know is refused as one.
        overrides: args.options(),
        full_scan: false,
        dry_run: args.dry_run,
        sample: 0,
        started_by: "copy",
        jobs: std::num::NonZeroUsize::MIN,
        metrics_file: None,
    };
    let selection = Selection { names: vec![name], single: true };
    run::perform(session, &session.engine_of(project), &selection, "copy", wish)
}

/// A project of this one pipeline.
fn project_of(
    session: &Session,
    args: &CopyArgs,
    ends: Ends<'_>,
    name: &str,
) -> Result<ProjectSpec, Failure> {
    refuse_bare_table("--table", ends.table)?;
    let (mut project, pipelines) = connections_of(session, &[ends.from, ends.to])?;
    if pipelines.iter().any(|known| known == name) {
        let message = format!("there is a pipeline `{name}` already, whose history this run would join");
        let mut error = FlowError::new(ErrorCode::DuplicateName, message)
            .hint(format!("give this run another --name, or use `flow run {name}`"));
        if let Some(place) = project.places.pipeline(name) {
            error = error.at(place);
        }
        return Err(error.into());
    }
    let from = connection(&mut project, "--from", ends.from)?;
    let to = connection(&mut project, "--to", ends.to)?;
    if let Some(table) = &args.source_table
        && foreign_of(&project, &from).is_none()
    {
        refuse_bare_table("--source-table", table)?;
    }
    let source = SourceSpec {
        connection: Some(from),
        query: args.query.clone(),
        table: args.source_table.clone(),
        ..SourceSpec::default()
    };
    let options =
        PipelineOptions { mode: Some(ends.mode), target_connection: Some(to), ..PipelineOptions::default() };
    project
        .pipelines
        .insert(name.to_owned(), PipelineSpec { source, target: ends.table.to_owned(), options });
    Ok(project)
}

/// The project's connections, where one may be meant and there is a file, and the names of its pipelines. Its tables stay
/// out: the target is what is typed.
fn connections_of(session: &Session, ends: &[&str]) -> Result<(ProjectSpec, Vec<String>), Failure> {
    let file = &session.global.config;
    let unnamed = file == Path::new(DEFAULT_CONFIG);
    if unnamed && (ends.iter().all(|end| is_dsn(end)) || !file.exists()) {
        session.refuse_environment()?;
        return Ok(Default::default());
    }
    let declared = session.project()?;
    let pipelines = declared.pipelines.keys().cloned().collect();
    let project = ProjectSpec {
        connections: declared.connections,
        files: declared.files,
        places: declared.places,
        environment: declared.environment,
        ..ProjectSpec::default()
    };
    Ok((project, pipelines))
}

/// The engine that is only read, where a connection leads to one; a bare name is the name of a table there.
pub(super) fn foreign_of(project: &ProjectSpec, name: &str) -> Option<Foreign> {
    connections::resolve(name, project, &ProcessEnvironment).ok()?.foreign()
}

/// A qualified name needs no declaration; another has none here.
fn refuse_bare_table(flag: &str, table: &str) -> Result<()> {
    match QualifiedName::parse(table)? {
        (Some(_), _) => Ok(()),
        (None, _) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("`{flag} {table}` does not say in which schema"),
        )
        .hint(format!("{flag} public.{table}, or the schema it lives in"))),
    }
}

/// Whether a text says where to connect, and is not the name of what does.
pub(super) fn is_dsn(text: &str) -> bool {
    text.contains("://") || text.contains('=') || Foreign::of_dsn(text).is_some()
}

/// The name of a connection; of a DSN its address, which has no password.
pub(super) fn connection(project: &mut ProjectSpec, flag: &str, text: &str) -> Result<String> {
    if !is_dsn(text) {
        return Ok(text.to_owned());
    }
    let spec = ConnectionSpec { dsn: Some(text.into()), ..ConnectionSpec::default() };
    let address = address(flag, &spec)?;
    let mut name = address.clone();
    // Two DSNs may differ in what an address does not show: each keeps its own.
    let mut number = 2;
    while project.connections.get(&name).is_some_and(|other| *other != spec) {
        name = format!("{address} ({number})");
        number += 1;
    }
    project.connections.insert(name.clone(), spec);
    Ok(name)
}

fn address(flag: &str, spec: &ConnectionSpec) -> Result<String> {
    let mut project = ProjectSpec::default();
    project.connections.insert(flag.to_owned(), spec.clone());
    match connections::resolve(flag, &project, &ProcessEnvironment) {
        Ok(target) => Ok(target.to_string()),
        Err(mut error) => {
            if error.code == ErrorCode::MissingVariable {
                error.hint = Some("set it, or name a connection".to_owned());
            }
            Err(error)
        }
    }
}
