//! What `flow add` says it has done, a line a table.

use super::Refused;
use super::file::File;
use super::wanted::{Load, Wanted};
use crate::project::Session;
use crate::render::number::counted;
use crate::render::style::{ERROR, FAINT, GOOD, STRONG, paint};
use crate::render::table::Table;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::sql::QualifiedName;
use serde::Serialize;
use serde_json::json;

/// What becomes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is declared now.
    Added,
    /// It was declared already.
    Kept,
    /// It cannot be declared; an error says why.
    Refused,
}

/// A table and what becomes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    state: State,
    source: String,
    pipeline: Option<String>,
    target: Option<String>,
    mode: Option<&'static str>,
    keys: Vec<String>,
    keys_reason: Option<&'static str>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Row {
    /// Of a table that is, or was, declared.
    pub fn of(wanted: &Wanted, load: &Load, state: State) -> Row {
        let kept = state == State::Kept;
        Row {
            state,
            source: wanted.source.to_string(),
            pipeline: Some(wanted.name.clone()),
            target: Some(wanted.target.to_string()),
            // What stands there may say otherwise.
            mode: (!kept).then(|| load.mode.name()),
            keys: if kept { Vec::new() } else { wanted.keys() },
            keys_reason: wanted.keys_reason.filter(|_| !kept),
            notes: wanted.notes.clone(),
        }
    }

    /// Of a table that cannot be declared.
    pub fn refused(source: &QualifiedName) -> Row {
        Row {
            state: State::Refused,
            source: source.to_string(),
            pipeline: None,
            target: None,
            mode: None,
            keys: Vec::new(),
            keys_reason: None,
            notes: Vec::new(),
        }
    }
}

/// The rows, those refused whose pipelines broke a rule.
pub fn without(rows: Vec<Row>, refused: &[Refused]) -> Vec<Row> {
    let broke = |row: &Row| {
        row.state == State::Added
            && refused.iter().any(|refused| row.pipeline.as_ref() == Some(&refused.name))
    };
    let refuse = |row: Row| match broke(&row) {
        true => Row { state: State::Refused, mode: None, notes: Vec::new(), ..row },
        false => row,
    };
    rows.into_iter().map(refuse).collect()
}

/// Prints what was done; `shown` is what would be written, where nothing is.
pub fn print(
    session: &Session,
    rows: &[Row],
    files: &[File],
    is_written: bool,
    shown: Option<&str>,
    errors: &[FlowError],
) {
    let console = &session.console;
    if !console.is_human() {
        let files: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
        return console.json(&json!({
            "schema": "ematix.add.v1",
            "files": files,
            "written": is_written,
            "tables": rows,
            "text": shown,
            "errors": errors,
        }));
    }
    match shown {
        // The text alone, so that it can go into a file.
        Some(text) => {
            console.out(text);
            console.tell(&table(rows));
        }
        None => console.out(&table(rows)),
    }
    console.tell(&last_line(rows, files, is_written));
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["STATE", "SOURCE", "PIPELINE", "TARGET", "MODE", "KEYS"]);
    let dash = || "-".to_owned();
    for row in rows {
        let state = match row.state {
            State::Added => paint(GOOD, "added"),
            State::Kept => paint(FAINT, "kept"),
            State::Refused => paint(ERROR, "refused"),
        };
        let keys = match row.keys_reason {
            Some(reason) => format!("{} ({reason})", row.keys.join(", ")),
            None => dash(),
        };
        table.row([
            state,
            row.source.clone(),
            paint(STRONG, row.pipeline.as_deref().unwrap_or("-")),
            row.target.clone().unwrap_or_else(dash),
            row.mode.map_or_else(dash, str::to_owned),
            keys,
        ]);
    }
    let notes = rows.iter().flat_map(|row| row.notes.iter().map(move |note| (&row.source, note)));
    let notes: String = notes.map(|(source, note)| format!("  note: {source}: {note}\n")).collect();
    table.render() + &notes
}

fn last_line(rows: &[Row], files: &[File], is_written: bool) -> String {
    let count = |state: State| rows.iter().filter(|row| row.state == state).count() as i64;
    let added = counted(count(State::Added), "table", "tables");
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    match (files.is_empty(), is_written) {
        (true, _) => "nothing to add\n".to_owned(),
        (false, true) => {
            format!("written: {} ({added})\n\nnext:  flow plan  and  flow run --all\n", names.join(", "))
        }
        (false, false) => format!("would be written: {} ({added})\n", names.join(", ")),
    }
}
