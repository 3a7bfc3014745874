//! `flow history`: past runs, or with `--key` the versions of one key as a picture.

use super::{DONE, after_errors, print_items};
use crate::args::HistoryArgs;
use crate::console::{Console, Format};
use crate::project::{self, Outcome, Session};
use crate::render::timeline::Frame;
use crate::render::{history as render, timeline::picture};
use crate::selection::{self, Selection};
use crate::signals;
use ematix_flow_core::declare::PipelineSpec;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::report::KeyHistory;
use ematix_flow_run::execute::Engine;
use jiff::tz::TimeZone;
use serde_json::json;

/// Shows runs, or a key's versions.
pub fn history(session: &Session, args: &HistoryArgs) -> Outcome {
    let engine = session.connected_engine(&selection::said(&args.selection))?;
    let selection = selection::choose(engine.project(), &args.selection)?;
    if !args.key.is_empty() {
        let key: Vec<(String, String)> =
            args.key.iter().map(|part| (part.column.clone(), part.value.clone())).collect();
        return of_key(session, &engine, &selection, &key);
    }
    let limit = args.limit;
    let (mut rows, errors) = project::ask_each_target(&engine, &selection.names, async |names| {
        engine.history(&names, limit).await
    })?;
    rows.sort_by(|a, b| b.started_at.cmp(&a.started_at));
    rows.truncate(limit);
    let console = &session.console;
    if console.is_human() {
        if !rows.is_empty() || errors.is_empty() {
            console.out(&render::runs(&rows, selection.single, &TimeZone::system()));
        }
    } else {
        print_items(console, "ematix.history.v1", "runs", &rows);
    }
    after_errors(console, &errors)
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
