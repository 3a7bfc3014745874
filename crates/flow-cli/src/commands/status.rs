//! `flow status`: each pipeline's last runs, its lag and its next slot; as a page for a browser, too.

use super::{after_errors, print_items};
use crate::args::StatusArgs;
use crate::console::Format;
use crate::project::{self, Outcome, Session};
use crate::render::state;
use crate::render::status_page::{self, Page};
use crate::selection::{self, Selection};
use crate::signals;
use crate::watching::{Item, Look, Watch, meant_as_seconds};
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::graph::Graph;
use ematix_flow_core::report::StatusRow;
use ematix_flow_run::execute::Engine;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use std::path::Path;

/// How many runs a page tells in full.
const TOLD_RUNS: usize = 30;

/// Shows the pipelines that were asked for.
pub fn status(session: &Session, args: &StatusArgs) -> Outcome {
    let said = selection::said(&args.selection);
    let engine = session.connected_engine(&said)?;
    meant_as_seconds(args.watch.watch, &said, engine.project())?;
    let selection = selection::choose(engine.project(), &args.selection)?;
    if let Some(file) = &args.html {
        return page(session, &engine, &selection, file);
    }
    if let Some(every) = args.watch.watch {
        let watch = Watch { console: &session.console, command: "status", every };
        return watch.until_stopped(async || {
            let (rows, errors) = project::answers_of_each_target(&engine, &selection.names, async |names| {
                engine.status(&names).await
            })
            .await;
            let rows = in_order(rows, &selection);
            let items = rows.iter().map(item).collect();
            let text = if rows.is_empty() && !errors.is_empty() { String::new() } else { text(&rows) };
            Ok(Look { text, items, errors, ended: None })
        });
    }
    let (rows, errors) =
        project::ask_each_target(&engine, &selection.names, async |names| engine.status(&names).await)?;
    let rows = in_order(rows, &selection);
    let console = &session.console;
    if console.is_human() {
        if !rows.is_empty() || errors.is_empty() {
            console.out(&text(&rows));
        }
    } else {
        print_items(console, "ematix.status.v1", "pipelines", &rows);
    }
    after_errors(console, &errors)
}

fn in_order(mut rows: Vec<StatusRow>, selection: &Selection) -> Vec<StatusRow> {
    rows.sort_by_key(|row| selection.names.iter().position(|name| *name == row.name));
    rows
}

fn text(rows: &[StatusRow]) -> String {
    state::states(rows, Timestamp::now(), &TimeZone::system())
}

/// A pipeline is new where anything but the time that has passed is.
fn item(row: &StatusRow) -> Item {
    let whole = json!(row);
    let mut state = whole.clone();
    if let Some(state) = state.as_object_mut() {
        state.remove("lag_ms");
        state.remove("interval_ms");
    }
    Item { key: row.name.clone(), state, whole }
}

/// The page as it is now.
pub async fn page_of(engine: &Engine, names: &[String]) -> (String, Vec<FlowError>) {
    let (overview, errors) = engine.overview(names, TOLD_RUNS).await;
    let page = Page {
        project: project_name(),
        overview: &overview,
        edges: &edges(engine.project()),
        errors: &errors,
        now: Timestamp::now(),
        zone: TimeZone::system(),
    };
    let page = status_page::page(&page);
    (page, errors)
}

/// What the project is called: its directory.
fn project_name() -> String {
    let here = std::env::current_dir().ok();
    let name = here.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "pipelines".to_owned())
}

/// Which pipeline comes after which, upstream first.
fn edges(project: &ProjectSpec) -> Vec<(String, String)> {
    let graph = Graph::of(project);
    graph.edges().map(|(before, after)| (before.to_owned(), after.to_owned())).collect()
}

fn page(session: &Session, engine: &Engine, selection: &Selection, file: &Path) -> Outcome {
    let console = &session.console;
    if console.format() != Format::Human {
        let message = "`--html` writes a page, and `--output` asks for another form";
        return Err(FlowError::new(ErrorCode::ConflictingOptions, message)
            .hint("one of the two: a program reads --output json")
            .into());
    }
    let (page, errors) = signals::block_on(async |_| page_of(engine, &selection.names).await)?;
    if file == Path::new("-") {
        console.draw(&page);
    } else {
        write(file, &page)?;
        console.tell(&format!("written to {}\n", file.display()));
    }
    after_errors(console, &errors)
}

/// Whoever reads the file meanwhile sees the page of before or this one.
fn write(file: &Path, page: &str) -> Result<(), FlowError> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let written = std::fs::write(&beside, page).and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|error| {
        drop(std::fs::remove_file(&beside));
        FlowError::new(ErrorCode::InvalidValue, format!("{} cannot be written: {error}", file.display()))
            .hint("name a file in a directory that is there, or - for stdout")
    })
}
