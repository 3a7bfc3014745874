//! `flow add --adopt`: a history that another tool kept becomes the target of a pipeline. What keeps it from being one
//! is told first, with the statements that settle it.

use super::wanted::{Load, Setting, Wanted, column_spec, query, told};
use super::{Looked, described};
use crate::args::AddArgs;
use crate::project::{Failure, Session};
use crate::signals;
use ematix_flow_core::adoption::{Asked, Finding};
use ematix_flow_core::declare::options::OpenEnd;
use ematix_flow_core::declare::{Names, PipelineOptions, ProjectSpec, TableSpec};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::strategy::Unique;
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::adopted::{Adopted, SourceColumns};
use ematix_flow_run::execute::described::DescribedTable;
use serde_json::{Value, json};

/// What is to be written of a history; `None` where only the statements were asked for.
pub fn look(
    session: &Session,
    engine: &Engine,
    args: &AddArgs,
    load: &Load,
    table: &str,
) -> Result<Option<Looked>, Failure> {
    let name = qualified(table)?;
    let source = only(described(engine, args, load)?, table)?;
    let columns = SourceColumns {
        columns: source.columns.iter().map(|column| column.name.clone()).collect(),
        keys: keys_of(&source),
    };
    let asked = Asked {
        effective_from: args.effective_from.clone(),
        effective_to: args.effective_to.clone(),
        current_flag: args.current_flag.clone(),
    };
    let keys: Vec<String> = args.keys.iter().map(|key| key.trim().to_owned()).collect();
    let mut found =
        signals::block_on(async |_| engine.look_at_history(&load.to, &name, &asked, &keys, &columns).await)??;
    if args.fix && !args.yes {
        print(session, &found);
        return Ok(None);
    }
    if args.fix
        && found.findings.iter().all(|finding| !finding.remedy.is_empty())
        && !found.findings.is_empty()
    {
        found = signals::block_on(async |_| engine.settle(&load.to, &found, &asked, &keys, &columns).await)??;
    }
    if !found.findings.is_empty() {
        return Err(broken(&found).into());
    }
    let mut looked = Looked::default();
    looked.take(engine.project(), wanted(source, &found, load, engine.project())?, load);
    Ok(Some(looked))
}

fn qualified(table: &str) -> Result<QualifiedName> {
    match QualifiedName::parse(table)? {
        (Some(schema), name) => Ok(QualifiedName { schema, name }),
        (None, _) => {
            let message = format!("`--adopt {table}` names no schema");
            Err(FlowError::new(ErrorCode::InvalidValue, message)
                .hint(format!("write --adopt public.{table}")))
        }
    }
}

/// A history is that of one table.
fn only(mut tables: Vec<DescribedTable>, history: &str) -> Result<DescribedTable> {
    match (tables.pop(), tables.is_empty()) {
        (Some(table), true) => Ok(table),
        _ => {
            let message = format!("{history} is the history of one table, and the patterns mean several");
            Err(FlowError::new(ErrorCode::ConflictingOptions, message)
                .hint("name the table that it is read from"))
        }
    }
}

fn keys_of(table: &DescribedTable) -> Option<(Vec<String>, &'static str)> {
    match (table.primary_key.is_empty(), table.unique.is_empty()) {
        (false, _) => Some((table.primary_key.clone(), "primary key")),
        (true, false) => Some((table.unique.clone(), "unique index")),
        (true, true) => None,
    }
}

/// What is found wrong, with how often and where.
fn in_words(finding: &Finding) -> String {
    let key = |key: &Vec<Option<String>>| {
        let parts: Vec<&str> = key.iter().map(|part| part.as_deref().unwrap_or("NULL")).collect();
        parts.join("/")
    };
    let Some(count) = finding.count else { return format!("{}: {}", finding.name, finding.detail) };
    let shown: Vec<String> = finding.sample.iter().map(key).collect();
    let more = if count > shown.len() as i64 { ", …" } else { "" };
    format!("{}: {} ({count}: {}{more})", finding.name, finding.detail, shown.join(", "))
}

fn broken(found: &Adopted) -> FlowError {
    let message = format!("{} is {}, and not one that can go on yet", found.name, found.form.maker.words());
    let error = found
        .findings
        .iter()
        .fold(FlowError::new(ErrorCode::Drift, message), |error, finding| error.detail(in_words(finding)));
    let hint = match found.findings.iter().find(|finding| finding.remedy.is_empty()) {
        None => "--fix prints the statements that settle it; --fix --yes runs them".to_owned(),
        Some(finding) => {
            format!(
                "no statement settles {} by itself: mend those rows; --fix prints what settles the rest",
                finding.name
            )
        }
    };
    let findings: Vec<Value> = found.findings.iter().map(as_json).collect();
    error.hint(hint).context("table", found.name.to_string()).context("findings", findings)
}

fn as_json(finding: &Finding) -> Value {
    json!({ "rule": finding.name, "detail": finding.detail, "count": finding.count, "sample": finding.sample })
}

/// The statements, for a person to read and to run.
fn print(session: &Session, found: &Adopted) {
    let console = &session.console;
    if !console.is_human() {
        return console.json(&json!({
            "schema": "ematix.adopt.v1",
            "table": found.name.to_string(),
            "made_by": found.form.maker.name(),
            "keys": found.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "findings": found.findings.iter().map(as_json).collect::<Vec<_>>(),
            "statements": found.plan,
        }));
    }
    let mut text = format!("-- {}: {}\n", found.name, found.form.maker.words());
    for finding in &found.findings {
        text.push_str(&format!("-- {}\n", in_words(finding)));
    }
    for statement in &found.plan {
        text.push_str(&format!("{statement};\n"));
    }
    console.out(&text);
    console.tell(match found.findings.is_empty() {
        true => "nothing keeps it from being taken over: leave --fix out\n",
        false => {
            "nothing was written; --fix --yes runs these statements in one transaction, and writes the file\n"
        }
    });
}

/// The table and the pipeline of a history.
fn wanted(source: DescribedTable, found: &Adopted, load: &Load, project: &ProjectSpec) -> Result<Wanted> {
    let is_filled = |name: &String| found.filled.contains(name);
    let columns = found.columns.iter().filter(|column| is_filled(&column.name));
    let table = TableSpec {
        schema: Some(found.name.schema.as_str().to_owned()),
        natural_key: Some(Names::Many(found.keys.iter().map(ToString::to_string).collect())),
        description: found.live.comment.clone(),
        columns: columns.map(|column| (column.name.clone(), column_spec(column))).collect(),
        ..TableSpec::default()
    };
    let mut notes: Vec<String> = source.columns.iter().filter_map(told).collect();
    notes.extend(notes_of(&source, found));
    let is_cast = source.columns.iter().any(|column| column.is_cast && is_filled(&column.name));
    Ok(Wanted {
        name: load.name_of(&source.name),
        key: found.name.name.as_str().to_owned(),
        query: is_cast.then(|| query(&source)),
        source: source.name,
        target: found.name.clone(),
        table,
        declared: None,
        keys_reason: Some(found.keys_reason),
        settings: settings(found, &project.defaults),
        notes,
    })
}

/// The columns that nothing fills from now on.
fn unfilled(found: &Adopted) -> Vec<&str> {
    let form = &found.form;
    let managed = [&form.begin, &form.end, &form.flag, &form.hash];
    let is_unfilled = |name: &&str| {
        !found.filled.iter().any(|filled| filled == name) && !managed.iter().any(|own| own.as_str() == *name)
    };
    let columns = found.live.columns.iter().filter(|column| !column.generated);
    columns.map(|column| column.name.as_str()).filter(is_unfilled).collect()
}

fn notes_of(source: &DescribedTable, found: &Adopted) -> Vec<String> {
    let form = &found.form;
    let mut notes = vec![format!(
        "{} is {}: {} to {}; let nothing else write it from now on",
        found.name,
        form.maker.words(),
        form.begin,
        form.end
    )];
    let unfilled = unfilled(found);
    if !unfilled.is_empty() {
        notes.push(format!("kept, and NULL or their default in new versions: {}", unfilled.join(", ")));
    }
    let lacking: Vec<&str> = source
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| !found.filled.iter().any(|filled| filled == name))
        .collect();
    if !lacking.is_empty() {
        notes.push(format!(
            "the source has columns that the history has not: {}; declare them in [tables] to have them added",
            lacking.join(", ")
        ));
    }
    if found.is_local() {
        notes.push(format!(
            "{} and {} have no time zone: theirs is that of the connection, as SHOW timezone has it",
            form.begin, form.end
        ));
    }
    if found.ended > 0 {
        let keys = if found.ended == 1 { "key has" } else { "keys have" };
        notes.push(format!(
            "{} {keys} no current version: keys that leave the source are closed",
            found.ended
        ));
    }
    notes
}

/// The options without which the history would be another one.
fn settings(found: &Adopted, defaults: &PipelineOptions) -> Vec<Setting> {
    let form = &found.form;
    let mut settings = Vec::new();
    let mut set = |name, value: toml_edit::Value, why| settings.push(Setting { name, value, why });
    for (name, column, unless) in [
        ("effective_from", &form.begin, defaults.effective_from()),
        ("effective_to", &form.end, defaults.effective_to()),
        ("current_flag", &form.flag, defaults.current_flag()),
        ("hash_column", &form.hash, defaults.hash_column()),
    ] {
        if column.as_str() != unless {
            set(name, super::document::escaped(column.as_str()).into(), None);
        }
    }
    if found.open_end != defaults.open_end() {
        set("open_end", if found.open_end == OpenEnd::Infinity { "infinity" } else { "null" }.into(), None);
    }
    if found.closes_deleted() {
        set("handle_deletes", "soft".into(), None);
    }
    if lacks(found) {
        set("migrate", true.into(), Some("the first run adds what the history lacks"));
    }
    if found.is_local() || !unfilled(found).is_empty() {
        set("on_drift", "ignore".into(), Some("columns stay as their tool made them"));
    }
    settings
}

/// Whether the history lacks a column, or an index that keeps its versions apart.
fn lacks(found: &Adopted) -> bool {
    let form = &found.form;
    let mut versions = found.keys.clone();
    versions.push(form.begin.clone());
    let all = [
        Unique { columns: versions, among: None, primary_key: true },
        Unique { columns: found.keys.clone(), among: Some(form.flag.clone()), primary_key: false },
    ];
    [&form.flag, &form.hash].iter().any(|column| found.live.column(column.as_str()).is_none())
        || all.iter().any(|unique| !found.live.has_unique_index(&unique.columns, unique.among.as_ref()))
}
