//! The same as a Python module: a class for each table, and a `Pipeline` that loads it. As ruff formats it.

use super::document;
use super::file::File;
use super::python_names::{KEYWORDS, is_identifier};
use super::wanted::{Load, Wanted};
use ematix_flow_core::declare::ColumnSpec;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::types::DataType;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Characters of a line, as ruff and black have it.
const LINE: usize = 88;

/// The module, and the project's file that names it, which holds `before` now.
///
/// # Errors
/// `duplicate_name` where there is another file of that name.
pub fn files(
    path: Option<&Path>,
    config: &Path,
    before: Option<String>,
    wanted: &[&Wanted],
    load: &Load,
) -> Result<Vec<File>> {
    let path =
        path.map_or_else(|| PathBuf::from(format!("{}_pipelines.py", snake(&load.from))), Path::to_owned);
    let module = written(wanted, load);
    let there = match std::fs::read_to_string(&path) {
        Ok(there) if there == module => Some(there),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => {
            let message =
                format!("`{}` is there already, with other content; it is left as it is", path.display());
            return Err(FlowError::new(ErrorCode::DuplicateName, message)
                .hint("--python=OTHER.py writes another, --print shows what would be in it"));
        }
    };
    let name = import_name(&path);
    let text = before.as_deref().unwrap_or_default();
    let project = document::with_module(text, &name)?;
    let mut files = vec![File { path, text: module, before: there, is_private: false }];
    if project != text {
        files.push(File { path: config.to_owned(), text: project, before, is_private: false });
    }
    Ok(files)
}

/// How a project names the module: by its name where Python finds it, else by its path.
fn import_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_beside = path.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    match is_beside && is_identifier(&stem) && path.extension().is_some_and(|ending| ending == "py") {
        true => stem.into_owned(),
        false => path.display().to_string(),
    }
}

/// The text of a module.
pub fn written(wanted: &[&Wanted], load: &Load) -> String {
    let mut imports: BTreeSet<&str> = BTreeSet::from(["ManagedTable", "Pipeline", "Source"]);
    let (mut classes, mut pipelines) = (String::new(), String::new());
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for one in wanted {
        let class = unused(camel(&one.name), &mut taken);
        let variable = unused(snake(&one.name), &mut taken);
        classes += &class_text(one, &class, &mut imports);
        pipelines += &pipeline_text(one, &class, &variable, load);
    }
    let annotated = if classes.contains("Annotated[") { "from typing import Annotated\n\n" } else { "" };
    let names: String = sorted(&imports).iter().map(|name| format!("    {name},\n")).collect();
    let title = string(&format!("The tables of {}, and how they are loaded.", load.from));
    let title = title.trim_matches('"');
    format!("\"\"\"{title}\"\"\"\n\n{annotated}from ematix_flow import (\n{names})\n\n{classes}{pipelines}")
}

/// As ruff sorts imported names: constants, classes, functions.
fn sorted<'n>(names: &BTreeSet<&'n str>) -> Vec<&'n str> {
    let mut names: Vec<&str> = names.iter().copied().collect();
    let kind = |name: &str| match name {
        _ if name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase()) => 0,
        _ if name.starts_with(|c: char| c.is_ascii_uppercase()) => 1,
        _ => 2,
    };
    names.sort_by_key(|name| (kind(name), name.to_lowercase()));
    names
}

fn class_text(one: &Wanted, class: &str, imports: &mut BTreeSet<&'static str>) -> String {
    let mut text = format!("\nclass {class}(ManagedTable):\n");
    if let Some(description) = &one.table.description {
        text += &docstring(description);
    }
    let schema = one.table.schema.as_deref().unwrap_or("public");
    text += &format!("    __schema__ = {}\n", string(schema));
    text += &format!("    __tablename__ = {}\n\n", string(one.target.name.as_str()));
    let keys = one.keys();
    let key = if one.table.primary_key.is_some() { "pk" } else { "natural_key" };
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (name, column) in &one.table.columns {
        let (written, comment) = match column {
            ColumnSpec::Type(text) => (text, None),
            ColumnSpec::Full(full) => (&full.data_type, full.description.as_deref()),
        };
        let attribute = unused(attribute(name), &mut taken);
        let mut parts = vec![type_of(written, imports)];
        if attribute != *name {
            imports.insert("column");
            parts.push(format!("column(name={})", string(name)));
        }
        if keys.contains(name) {
            imports.insert(key);
            parts.push(format!("{key}()"));
        }
        for line in comment.into_iter().flat_map(str::lines) {
            text += format!("    # {}", printable(line)).trim_end();
            text += "\n";
        }
        text += &match parts.len() {
            1 => format!("    {attribute}: {}\n", parts[0]),
            _ => bracketed(&format!("    {attribute}: Annotated["), &parts, "]", 4),
        };
    }
    text + "\n"
}

fn pipeline_text(one: &Wanted, class: &str, variable: &str, load: &Load) -> String {
    let source = match &one.query {
        Some(query) => ("postgres_query", vec![string(&load.from), string(query)]),
        None => {
            let name = [one.source.schema.as_str(), one.source.name.as_str()].map(string);
            ("postgres_table", [vec![string(&load.from)], name.into()].concat())
        }
    };
    let mut lines = vec![
        format!("    name={},\n", string(&one.name)),
        bracketed(&format!("    source=Source.{}(", source.0), &source.1, "),", 4),
        format!("    target={class},\n"),
    ];
    if load.to != load.from {
        lines.push(format!("    target_connection={},\n", string(&load.to)));
    }
    lines.push(format!("    mode={},\n", string(load.mode.name())));
    if !load.tags.is_empty() {
        let tags: Vec<String> = load.tags.iter().map(|tag| string(tag)).collect();
        lines.push(bracketed("    tags=[", &tags, "],", 4));
    }
    format!("\n{variable} = Pipeline(\n{})\n", lines.concat())
}

/// Parts in brackets: on one line where they fit, else a line each.
fn bracketed(open: &str, parts: &[String], close: &str, indent: usize) -> String {
    let line = format!("{open}{}{close}", parts.join(", "));
    if line.chars().count() <= LINE {
        return line + "\n";
    }
    let inner: String = parts.iter().map(|part| format!("{}{part},\n", " ".repeat(indent + 4))).collect();
    format!("{open}\n{inner}{}{close}\n", " ".repeat(indent))
}

/// A type as Python has it.
fn type_of(written: &str, imports: &mut BTreeSet<&'static str>) -> String {
    let (text, nullable) = match written.strip_suffix('?') {
        Some(text) => (text, " | None"),
        None => (written, ""),
    };
    let (class, arguments) = match DataType::parse(text) {
        Ok(DataType::SmallInt) => ("SmallInt", String::new()),
        Ok(DataType::Integer) => ("Integer", String::new()),
        Ok(DataType::BigInt) => ("BigInt", String::new()),
        Ok(DataType::Float) => ("Float", String::new()),
        Ok(DataType::Double) => ("Double", String::new()),
        Ok(DataType::Numeric(None)) => ("Numeric", String::new()),
        Ok(DataType::Numeric(Some((precision, scale)))) => ("Numeric", format!("[{precision}, {scale}]")),
        Ok(DataType::String(None)) => ("String", String::new()),
        Ok(DataType::String(Some(length))) => ("String", format!("[{length}]")),
        Ok(DataType::Text) => ("Text", String::new()),
        Ok(DataType::Boolean) => ("Boolean", String::new()),
        Ok(DataType::Date) => ("Date", String::new()),
        Ok(DataType::Timestamp) => ("Timestamp", String::new()),
        Ok(DataType::TimestampTz) => ("TimestampTZ", String::new()),
        Ok(DataType::Json) => ("JSON", String::new()),
        Ok(DataType::Jsonb) => ("JSONB", String::new()),
        Ok(DataType::Uuid) => ("UUID", String::new()),
        Ok(DataType::Bytes) => ("Bytes", String::new()),
        // In brackets a text would be an annotation that is to be evaluated.
        Ok(DataType::Native(_)) | Err(_) => ("PgType", format!("({})", string(text))),
    };
    imports.insert(class);
    format!("{class}{arguments}{nullable}")
}

/// A text as a literal of Python, as ruff writes it.
fn string(text: &str) -> String {
    let quote = if text.contains('"') && !text.contains('\'') { '\'' } else { '"' };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other == quote => {
                out.push('\\');
                out.push(other);
            }
            other if is_hidden(other) => out.push_str(&format!("\\U{:08x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

/// Characters that no reader sees, or that turn a line around.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn printable(text: &str) -> String {
    text.chars().map(|character| if is_hidden(character) { ' ' } else { character }).collect()
}

fn docstring(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
    let lines: Vec<String> =
        text.trim().lines().map(|line| printable(line.trim()).trim_end().to_owned()).collect();
    let mut body = lines.join("\n    ");
    if body.ends_with('"') {
        body.insert(body.len() - 1, '\\');
    }
    let body: Vec<&str> = body.lines().map(str::trim_end).collect();
    match body.as_slice() {
        [] | [""] => String::new(),
        [one] => format!("    \"\"\"{one}\"\"\"\n\n"),
        many => format!("    \"\"\"{}\n    \"\"\"\n\n", many.join("\n")),
    }
}

/// What a column is called in its class: its own name where it can be, and no name of Python's.
fn attribute(name: &str) -> String {
    match is_identifier(name) && !name.starts_with("__") && name != "mro" {
        true => name.to_owned(),
        false => snake(name),
    }
}

/// A name as a variable of Python.
fn snake(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let plain = plain.trim_matches('_').to_owned();
    match plain.chars().next() {
        None => "unnamed".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("n{plain}"),
        _ if KEYWORDS.contains(&plain.as_str()) || plain == "mro" => format!("{plain}_"),
        _ => plain,
    }
}

/// A name as a class of Python.
fn camel(name: &str) -> String {
    let words = snake(name);
    let words = words.split('_').filter(|word| !word.is_empty()).map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

/// The name, or the first with a number that nothing has; those that the module imports are taken.
fn unused(name: String, taken: &mut BTreeSet<String>) -> String {
    let is_free = |name: &String, taken: &BTreeSet<String>| {
        !taken.contains(name) && !IMPORTED.contains(&name.as_str()) && !KEYWORDS.contains(&name.as_str())
    };
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    let found = names.find(|name| is_free(name, taken)).expect("there is always another number");
    taken.insert(found.clone());
    found
}

/// What a module may import.
const IMPORTED: &[&str] = &[
    "Annotated",
    "BigInt",
    "Boolean",
    "Bytes",
    "Date",
    "Double",
    "Float",
    "Integer",
    "JSON",
    "JSONB",
    "ManagedTable",
    "Numeric",
    "PgType",
    "Pipeline",
    "SmallInt",
    "Source",
    "String",
    "Text",
    "Timestamp",
    "TimestampTZ",
    "UUID",
    "column",
    "natural_key",
    "pk",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_names_of_python() {
        let all = ["orders", "Odd \"name", "2024", "class", "__x__", "größe", "…"];
        assert_eq!(all.map(snake), ["orders", "odd__name", "n2024", "class_", "x", "gr__e", "unnamed"]);
        assert_eq!(camel("order_items"), "OrderItems");
        assert_eq!(attribute("Id"), "Id");
        let mut taken = BTreeSet::new();
        assert_eq!([0, 1].map(|_| unused("column".to_owned(), &mut taken)), ["column_2", "column_3"]);
    }

    #[test]
    fn texts_become_literals_of_python() {
        assert_eq!(string("a\"b"), "'a\"b'");
        assert_eq!(string("a\"b'\\\n\u{202e}"), "\"a\\\"b'\\\\\\n\\U0000202e\"");
        assert_eq!(docstring("say \"hi\""), "    \"\"\"say \"hi\\\"\"\"\"\n\n");
    }
}
