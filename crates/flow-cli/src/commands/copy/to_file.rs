//! `flow copy --to-file`: rows into a file. Nothing is written in a database, and no run is recorded.

use super::{connection, connections_of, foreign_of, refuse_bare_table};
use crate::args::CopyArgs;
use crate::commands::DONE;
use crate::project::{Failure, Outcome, Session};
use crate::render::number::{counted, duration, size};
use crate::signals;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_files::{Destination, Format};
use ematix_flow_run::execute::{AsOfRequest, Engine, Exported, OfTarget};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Writes the file.
pub fn write(session: &Session, args: &CopyArgs) -> Outcome {
    refuse_options(&args.options())?;
    let path = args.to_file.as_deref().unwrap_or_default();
    let format = args.format.as_deref().map(|name| match name {
        "parquet" => Format::Parquet,
        "csv" => Format::Csv,
        _ => Format::Json,
    });
    let to = Destination::new(Path::new(""), path, format)?;
    let (engine, what) = asked(session, args)?;
    let began = Instant::now();
    let written = signals::block_on(async |stop| engine.export(&what, &to, &stop).await)??;
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let console = &session.console;
    if console.is_human() {
        let rows = counted(i64::try_from(written.rows).unwrap_or(i64::MAX), "row", "rows");
        console.out(&format!(
            "{}  {rows}  {}  {}\n",
            to.shown(),
            size(written.bytes),
            duration(milliseconds)
        ));
    } else {
        console.json(&json!({
            "schema": "ematix.file.v1",
            "file": to.shown(),
            "format": to.format.name(),
            "rows": written.rows,
            "bytes": written.bytes,
            "duration_ms": milliseconds,
        }));
    }
    DONE
}

/// Which rows are asked for, and an engine that knows them.
fn asked(session: &Session, args: &CopyArgs) -> Result<(Engine, Exported), Failure> {
    if let Some(name) = &args.pipeline {
        let engine = session.connected_engine(std::slice::from_ref(name))?;
        let rows = match (args.as_of, &args.run) {
            (Some(at), _) => OfTarget::AsOf(AsOfRequest {
                at,
                known: args.known_as_of.clone(),
                key: Vec::new(),
                limit: None,
            }),
            (None, Some(run)) => OfTarget::Run(run.clone()),
            (None, None) => OfTarget::All,
        };
        return Ok((engine, Exported::Target(name.clone(), rows)));
    }
    let from = args.from.as_deref().unwrap_or_default();
    let (mut project, _) = connections_of(session, &[from])?;
    let connection = connection(&mut project, "--from", from)?;
    if let Some(engine) = foreign_of(&project, &connection) {
        let error = engine.cannot(format!("{connection} is written into no file"));
        return Err(error.hint("load it into a table, and write that: --to, then --to-file").into());
    }
    if let Some(table) = &args.source_table {
        refuse_bare_table("--source-table", table)?;
    }
    let text = args.query.as_ref().or(args.source_table.as_ref()).cloned().unwrap_or_default();
    Ok((session.engine_of(project), Exported::Read { connection, text }))
}

/// What says how a table is loaded means nothing for a file.
fn refuse_options(given: &PipelineOptions) -> Result<()> {
    let Value::Object(options) = json!(given) else { return Ok(()) };
    let Some((name, _)) = options.into_iter().find(|(_, value)| !value.is_null()) else { return Ok(()) };
    let flag = name.replace('_', "-");
    let message = format!("--{flag} says how a table is loaded, and --to-file writes a file");
    Err(FlowError::new(ErrorCode::ConflictingOptions, message).hint(format!("leave --{flag} out")))
}
