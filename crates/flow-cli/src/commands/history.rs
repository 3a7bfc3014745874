//! `flow history`: past runs, or with `--key` the versions of one key as a picture.

use super::{DONE, after_errors, print_items};
use crate::args::HistoryArgs;
use crate::console::{Console, Format};
use crate::project::{self, Outcome, Session};
use crate::render::timeline::Frame;
use crate::render::{history as render, lists, timeline::picture};
use crate::selection::{self, Selection};
use crate::signals;
use crate::watching::{Item, Look, Watch, meant_as_seconds};
use ematix_flow_core::declare::PipelineSpec;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::report::{KeyHistory, RunRow, RunsWanted};
use ematix_flow_run::execute::{AsOfRequest, Engine};
use jiff::tz::TimeZone;
use serde_json::json;

/// How many runs are shown where nobody says.
const RUNS_SHOWN: usize = 20;

/// Shows runs, a key's versions, or the rows that were valid at an instant.
pub fn history(session: &Session, args: &HistoryArgs) -> Outcome {
    let said = selection::said(&args.selection);
    let engine = session.connected_engine(&said)?;
    meant_as_seconds(args.watch.watch, &said, engine.project())?;
    let selection = selection::choose(engine.project(), &args.selection)?;
    let key: Vec<(String, String)> =
        args.key.iter().map(|part| (part.column.clone(), part.value.clone())).collect();
    if let Some(at) = args.as_of {
        let request = AsOfRequest { at, known: args.known_as_of.clone(), key, limit: args.limit };
        return as_of(session, &engine, &selection, &request);
    }
    if !key.is_empty() {
        return of_key(session, &engine, &selection, &key);
    }
    let wanted =
        RunsWanted { limit: args.limit.unwrap_or(RUNS_SHOWN), since: args.since, failed: args.failed };
    if let Some(every) = args.watch.watch {
        let watch = Watch { console: &session.console, command: "history", every };
        return watch.until_stopped(async || {
            let asked = project::answers_of_each_target(&engine, &selection.names, async |names| {
                engine.history(&names, &wanted).await
            });
            let (rows, errors) = asked.await;
            let rows = newest(rows, wanted.limit);
            // What is printed line by line comes in the order in which it happened.
            let items = rows.iter().rev().map(item).collect();
            let known = !rows.is_empty() || errors.is_empty();
            let text = if known { text(&rows, &selection) } else { String::new() };
            Ok(Look { text, items, errors, ended: None })
        });
    }
    let (rows, errors) = project::ask_each_target(&engine, &selection.names, async |names| {
        engine.history(&names, &wanted).await
    })?;
    let rows = newest(rows, wanted.limit);
    let console = &session.console;
    if console.is_human() {
        if !rows.is_empty() || errors.is_empty() {
            console.out(&text(&rows, &selection));
        }
    } else {
        print_items(console, "ematix.history.v1", "runs", &rows);
    }
    after_errors(console, &errors)
}

fn newest(mut rows: Vec<RunRow>, limit: usize) -> Vec<RunRow> {
    rows.sort_by(|a, b| b.started_at.cmp(&a.started_at));
    rows.truncate(limit);
    rows
}

fn text(rows: &[RunRow], selection: &Selection) -> String {
    render::runs(rows, selection.single, &TimeZone::system())
}

fn item(row: &RunRow) -> Item {
    Item { key: row.run_id.clone(), state: json!(row), whole: json!(row) }
}

fn of_key(session: &Session, engine: &Engine, selection: &Selection, key: &[(String, String)]) -> Outcome {
    let [name] = selection.names.as_slice() else {
        let error = FlowError::new(
            ErrorCode::MissingOption,
            "--key needs the one pipeline whose target holds the key",
        );
        return Err(error.hint("flow history NAME --key 17").into());
    };
    let history = signals::block_on(async |_| engine.key_history(name, key).await)??;
    let console = &session.console;
    match console.format() {
        Format::Human => console.out(&drawn(console, &history, &engine.project().pipelines[name])),
        Format::NdJson => history.versions.iter().for_each(|version| console.json(version)),
        _ => console.json(&json!({
            "schema": "ematix.history.v1",
            "key": history.key,
            "versions": history.versions,
        })),
    }
    DONE
}

fn as_of(session: &Session, engine: &Engine, selection: &Selection, request: &AsOfRequest) -> Outcome {
    let [name] = selection.names.as_slice() else {
        let error =
            FlowError::new(ErrorCode::MissingOption, "--as-of needs the one pipeline whose target it shows");
        return Err(error.hint("flow history NAME --as-of 2026-03-01").into());
    };
    let found = signals::block_on(async |_| engine.as_of(name, request).await)??;
    let console = &session.console;
    match console.format() {
        Format::Human => console.out(&lists::as_of(&found, &TimeZone::system())),
        Format::NdJson => found.rows.iter().for_each(|row| console.json(row)),
        _ => console.json(&json!({
            "schema": "ematix.history.v1",
            "table": found.table,
            "as_of": found.as_of,
            "known_as_of": found.known_as_of,
            "rows": found.rows,
        })),
    }
    DONE
}

/// The picture of a key, with the columns whose change the pipeline looks at.
pub fn drawn(console: &Console, history: &KeyHistory, spec: &PipelineSpec) -> String {
    let options = &spec.options;
    let named = [&options.compare_columns, &options.overwrite_columns];
    let columns = match &options.compare_columns {
        Some(_) => named.into_iter().flatten().flat_map(|names| names.to_vec()).collect(),
        None => {
            let aside = options.incremental_column.as_deref();
            let first = history.versions.first();
            first
                .iter()
                .flat_map(|version| version.values.keys())
                .filter(|name| Some(name.as_str()) != aside)
                .cloned()
                .collect()
        }
    };
    let frame =
        Frame { width: console.width(), now: jiff::Timestamp::now(), zone: TimeZone::system(), columns };
    picture(history, &frame)
}
