//! `flow diff`: in which rows two tables or queries differ, or a pipeline's source and target. Ends with 1 where one does.

use super::copy::{connection, is_dsn};
use crate::args::DiffArgs;
use crate::console::Format;
use crate::project::{Outcome, Session};
use crate::render::{diff as render, markdown};
use crate::workspace::DEFAULT_CONFIG;
use crate::{selection, signals};
use ematix_flow_core::declare::ProjectSpec;
use ematix_flow_core::difference::{DiffReport, Wanted};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result};
use ematix_flow_core::pipeline::DEFAULT_CONNECTION;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_run::execute::difference::{DiffRequest, DiffRows, DiffSide};
use ematix_flow_run::execute::{Engine, Stop};
use serde::Serialize;
use serde_json::json;
use std::path::Path;
use tokio::sync::watch;

/// Compares.
pub fn diff(session: &Session, args: &DiffArgs) -> Outcome {
    let reports = match (&args.b, &args.to) {
        (None, None) => of_pipeline(session, args)?,
        _ => vec![of_sides(session, args)?],
    };
    answer(session, &reports);
    let equal = reports.iter().all(|report| report.equal);
    Ok(if equal { ExitCode::Success } else { ExitCode::Failed })
}

fn of_pipeline(session: &Session, args: &DiffArgs) -> Result<Vec<DiffReport>, crate::project::Failure> {
    if args.from.is_some() {
        let message = "--from is the connection of A: with a pipeline's name there is nothing to say";
        return Err(FlowError::new(ErrorCode::ConflictingOptions, message)
            .hint("flow diff A B --from CONNECTION, or flow diff TABLE --from CONNECTION --to CONNECTION")
            .into());
    }
    let engine = session.connected_engine(std::slice::from_ref(&args.a))?;
    if !engine.project().pipelines.contains_key(&args.a) && is_side(&args.a) {
        let message = format!("there is no pipeline `{}`, and nothing to compare it with", args.a);
        return Err(FlowError::new(ErrorCode::UnknownPipeline, message)
            .hint("flow diff A B, or flow diff A --to CONNECTION where the other is called the same")
            .into());
    }
    selection::one(engine.project(), &args.a)?;
    Ok(signals::block_on(async |stop| engine.diff_pipeline(&args.a, &request(args, stop)).await)??)
}

fn of_sides(session: &Session, args: &DiffArgs) -> Result<DiffReport, crate::project::Failure> {
    let mut project = project_of(session, args)?;
    let (of_a, a) = parted(&args.a);
    let (of_b, b) = args.b.as_deref().map_or((None, a), parted);
    for (flag, said, before) in [("--from", &args.from, of_a), ("--to", &args.to, of_b)] {
        if let (Some(said), Some(before)) = (said, before) {
            let message = format!("the connection is said twice: `{before}:` and {flag} {said}");
            return Err(FlowError::new(ErrorCode::ConflictingOptions, message).hint("say it once").into());
        }
    }
    let from = args.from.as_deref().or(of_a).unwrap_or(DEFAULT_CONNECTION);
    // Without a word of its own B is where A is said to be by a flag.
    let to = args.to.as_deref().or(of_b).or(args.from.as_deref()).unwrap_or(DEFAULT_CONNECTION);
    let from = connection(&mut project, "--from", from)?;
    let to = connection(&mut project, "--to", to)?;
    let a = DiffSide { connection: from, rows: rows(a)? };
    let b = DiffSide { connection: to, rows: rows(b)? };
    let engine: Engine = session.engine_of(project);
    Ok(signals::block_on(async |stop| engine.diff(&a, &b, &request(args, stop)).await)??)
}

fn request(args: &DiffArgs, stop: watch::Receiver<Stop>) -> DiffRequest {
    let wanted = Wanted {
        keys: args.keys.clone(),
        columns: args.columns.clone(),
        except: args.exclude_columns.clone(),
        condition: args.condition.clone(),
    };
    DiffRequest { wanted, as_of: args.as_of.clone(), sample: args.sample, stop }
}

/// The project, where there is one: its connections have their names, its pipelines know histories.
fn project_of(session: &Session, args: &DiffArgs) -> Result<ProjectSpec, crate::project::Failure> {
    let file = &session.global.config;
    let unnamed = file == Path::new(DEFAULT_CONFIG);
    let said = |text: &Option<String>| text.as_deref().is_some_and(is_dsn);
    let elsewhere = said(&args.from) && (said(&args.to) || args.to.is_none());
    if unnamed && session.global.module.is_none() && (elsewhere || !file.exists()) {
        session.refuse_environment()?;
        return Ok(ProjectSpec::default());
    }
    match &args.as_of {
        // Which pipelines keep histories: members of a `for_each` too.
        Some(_) => Ok(session.connected_engine(&[])?.project().clone()),
        None => session.project(),
    }
}

/// The connection before a table or query, and the rest.
fn parted(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((name, rest))
            if !name.is_empty()
                && !rest.starts_with(':')
                && !name.contains(|c: char| c.is_whitespace() || "\"'().,=$".contains(c)) =>
        {
            (Some(name), rest.trim_start())
        }
        _ => (None, text),
    }
}

/// Whether a text can be a table or a query.
fn is_side(text: &str) -> bool {
    let (connection, rest) = parted(text);
    connection.is_some() || is_query(rest) || matches!(QualifiedName::parse(rest), Ok((Some(_), _)))
}

fn is_query(text: &str) -> bool {
    let text = text.trim_start();
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let more = text[word.len()..].starts_with(|c: char| c.is_whitespace() || "(*-/'\"".contains(c));
    text.starts_with(['(', '-'])
        || text.starts_with("/*")
        || (more && ["select", "with", "values", "table"].contains(&word.to_ascii_lowercase().as_str()))
}

fn rows(text: &str) -> Result<DiffRows> {
    if is_query(text) {
        return Ok(DiffRows::Query(ReadQuery::parse(text)?));
    }
    if text.starts_with("//") {
        let message = "a DSN cannot stand before a table";
        return Err(FlowError::new(ErrorCode::InvalidValue, message)
            .hint("flow diff app.a app.b --from DSN --to DSN"));
    }
    match QualifiedName::parse(text)? {
        (Some(schema), name) => Ok(DiffRows::Table(QualifiedName { schema, name })),
        (None, _) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("`{text}` is no query, and does not say in which schema the table is"),
        )
        .hint(format!(
            "public.{text}, or the schema it lives in; a query begins with SELECT, WITH, VALUES or TABLE"
        ))),
    }
}

/// A report as a document of its own.
#[derive(Serialize)]
struct Document<'r> {
    schema: &'static str,
    #[serde(flatten)]
    report: &'r DiffReport,
}

const SCHEMA: &str = "ematix.diff.v1";

fn answer(session: &Session, reports: &[DiffReport]) {
    let console = &session.console;
    let document = |report| Document { schema: SCHEMA, report };
    match (console.format(), reports) {
        (Format::Human, _) => reports.iter().for_each(|report| console.out(&render::text(report))),
        (Format::Markdown, _) => session.page("diff", |about| markdown::diff(about, reports)),
        (Format::Json, [only]) => console.json(&document(only)),
        (Format::NdJson, _) => reports.iter().for_each(|report| console.json(&document(report))),
        (Format::Json | Format::Github, _) => console.json(&json!({ "schema": SCHEMA, "diffs": reports })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stands_before_a_colon() {
        for (text, connection, rest) in [
            ("crm:app.customers", Some("crm"), "app.customers"),
            ("crm:SELECT a::int FROM b", Some("crm"), "SELECT a::int FROM b"),
            ("crm: TABLE a.b", Some("crm"), "TABLE a.b"),
            ("app.customers", None, "app.customers"),
            ("SELECT a::int FROM b", None, "SELECT a::int FROM b"),
            ("app.\"a:b\"", None, "app.\"a:b\""),
            ("VALUES('a:b')", None, "VALUES('a:b')"),
            ("(SELECT 1):", None, "(SELECT 1):"),
            ("a::b", None, "a::b"),
        ] {
            assert_eq!(parted(text), (connection, rest), "{text}");
        }
    }

    #[test]
    fn a_query_begins_with_one_of_its_words() {
        for text in [
            "SELECT 1",
            "select*from a",
            " with x AS (SELECT 1) TABLE x",
            "VALUES(1)",
            "TABLE a.b",
            "(SELECT 1)",
            "-- a\nSELECT 1",
        ] {
            assert!(is_query(text), "{text}");
        }
        for text in ["selected.rows", "table.a", "with.b", "app.select", "values", "app.\"a b\""] {
            assert!(!is_query(text), "{text}");
        }
    }
}
