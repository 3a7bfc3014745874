//! A registry of pipelines that Python declared, as versioned JSON whose keys are those of `pipelines.toml`.
//!
//! It is written as the TOML that it stands for and read by the reader of TOML: one place judges names, values and
//! what fits what, and says it in the same words. Places lead to the line of Python that declared a thing.

use super::environment::Environment;
use super::{ConnectionSpec, Places, ProjectSpec, SourceSpec, toml_file};
use crate::dialect::postgres::Postgres;
use crate::error::{ErrorCode, FlowError, Location};
use crate::query;
use crate::sql::{Ident, Literal, QualifiedName, Quote};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The version of the shape.
pub const SCHEMA: &str = "ematix.registry.v1";
/// What stands for the file of a text that no file holds.
const NOWHERE: &str = "<registry>";
/// What stands for a query that a function answers when it is called.
const TO_BE_CALLED: &str = "SELECT NULL AS \"the pipeline's function is called first\"";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    schema: String,
    version: String,
    #[serde(default)]
    connections: IndexMap<String, Value>,
    #[serde(default)]
    tables: IndexMap<String, Value>,
    #[serde(default)]
    pipelines: IndexMap<String, Value>,
    #[serde(default)]
    transforms: IndexMap<String, Value>,
    #[serde(default)]
    places: IndexMap<String, Place>,
}

#[derive(Deserialize)]
struct Place {
    file: String,
    line: usize,
}

/// Reads a registry.
///
/// # Errors
/// `invalid_value` for another version's; else every mistake, each at the line of Python that declared it.
pub fn read_registry(json: &str, environment: &dyn Environment) -> Result<ProjectSpec, Vec<FlowError>> {
    let registry: Registry = serde_json::from_str(json).map_err(|error| {
        vec![FlowError::new(
            ErrorCode::ImportFailed,
            format!("the exported registry cannot be read: {error}"),
        )]
    })?;
    if registry.schema != SCHEMA || registry.version != env!("CARGO_PKG_VERSION") {
        return Err(vec![
            FlowError::new(
                ErrorCode::ImportFailed,
                format!(
                    "the Python package is ematix-flow {} ({}), and this binary is {}",
                    registry.version,
                    registry.schema,
                    env!("CARGO_PKG_VERSION")
                ),
            )
            .hint("install the same version of both: pip install ematix-flow"),
        ]);
    }
    let mut written = Written::of(&registry);
    if !written.errors.is_empty() {
        return Err(std::mem::take(&mut written.errors));
    }
    let read = toml_file::read_text(&written.text, NOWHERE, environment);
    let mut project =
        read.map_err(|errors| errors.into_iter().map(|error| written.in_python(error)).collect::<Vec<_>>())?;
    project.files.clear();
    project.places = Places::default();
    for (path, place) in &registry.places {
        project.places.insert(path.clone(), location(path, place));
    }
    for (name, parts) in written.together {
        let parts: IndexMap<_, _> = parts
            .into_iter()
            .filter_map(|part| project.pipelines.shift_remove(&part).map(|spec| (part, spec)))
            .collect();
        written.called.retain(|called| !parts.contains_key(called));
        project.together.insert(name, parts);
    }
    project.called = written.called;
    Ok(project)
}

/// A source as Python writes it, as TOML has it: what `params` fills, and the query that `columns` of a table make.
fn as_in_toml(source: &mut Map<String, Value>) -> Result<(), FlowError> {
    if let Some(params) = source.remove("params") {
        let query = source.get("query").and_then(Value::as_str).unwrap_or_default();
        let filled = query::filled(query, |name| literal_of(name, &params), |name| name_of(name, &params))?;
        source.insert("query".to_owned(), Value::from(filled));
    }
    if let Some(Value::Array(columns)) = source.remove("columns")
        && let Some(Value::String(table)) = source.remove("table")
    {
        let quote = |name: &str| Ident::new(name).map(|name| Postgres.quote(&name));
        let columns: Vec<String> =
            columns.iter().filter_map(Value::as_str).map(quote).collect::<Result<_, _>>()?;
        let (schema, name) = QualifiedName::parse(&table)?;
        let schema = schema.map_or_else(String::new, |schema| format!("{}.", Postgres.quote(&schema)));
        let query = format!("SELECT {} FROM {schema}{}", columns.join(", "), Postgres.quote(&name));
        source.insert("query".to_owned(), Value::from(query));
    }
    Ok(())
}

fn param<'p>(name: &str, params: &'p Value) -> Result<&'p Value, FlowError> {
    params.get(name).ok_or_else(|| {
        FlowError::new(ErrorCode::UnknownVariable, format!("`{name}` of the query has no value"))
            .hint(format!("give one: params={{\"{name}\": …}}"))
    })
}

fn literal_of(name: &str, params: &Value) -> Result<String, FlowError> {
    let literal = match param(name, params)? {
        Value::Null => Literal::Null,
        Value::Bool(truth) => Literal::Boolean(*truth),
        // To the last digit, as it was written.
        Value::Number(number) => return Ok(number.to_string()),
        Value::String(text) => Literal::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => {
            return Err(FlowError::new(ErrorCode::InvalidValue, format!("`:{name}` is no single value"))
                .hint("give text, a number, a truth value or None"));
        }
    };
    Ok(Postgres.literal(&literal))
}

fn name_of(name: &str, params: &Value) -> Result<String, FlowError> {
    match param(name, params)? {
        Value::String(text) => Ok(Postgres.quote(&Ident::new(text.clone())?)),
        _ => Err(FlowError::new(ErrorCode::InvalidValue, format!("`{{{name}}}` stands for a name"))
            .hint("give it as text")),
    }
}

/// What a pipeline's function answered: its source, and connections of its own.
///
/// # Errors
/// `import_failed` for what is none; what is wrong with `params`.
pub fn read_answer(pipeline: &str, answer: &str) -> Result<Answer, FlowError> {
    let no_source = |error: serde_json::Error| {
        FlowError::new(
            ErrorCode::ImportFailed,
            format!("the function of `{pipeline}` answered no source: {error}"),
        )
        .hint("it returns SQL text, or a Source")
    };
    let mut source: Map<String, Value> = serde_json::from_str(answer).map_err(no_source)?;
    let connections = match source.remove("connections") {
        Some(connections) => serde_json::from_value(connections).map_err(no_source)?,
        None => IndexMap::new(),
    };
    as_in_toml(&mut source)?;
    Ok(Answer { source: serde_json::from_value(Value::Object(source)).map_err(no_source)?, connections })
}

/// What a pipeline's function answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where the rows come from.
    pub source: SourceSpec,
    /// Connections that only the function knows.
    pub connections: IndexMap<String, ConnectionSpec>,
}

impl ProjectSpec {
    /// Adds what another project declares.
    ///
    /// # Errors
    /// `duplicate_name` for every name that both declare.
    pub fn add(&mut self, other: ProjectSpec) -> Result<(), Vec<FlowError>> {
        let mut errors = Vec::new();
        let mut clash = |kind: &str, name: &str, mine: &Places| {
            let path = format!("{kind}s.{name}");
            let first = mine.find(&path);
            let mut error =
                FlowError::new(ErrorCode::DuplicateName, format!("the {kind} `{name}` is declared twice"));
            if let Some(first) = first {
                error = error.detail(format!("first at {}:{}", first.file, first.line));
            }
            errors.push(match other.places.find(&path) {
                Some(place) => error.at(place.clone()),
                None => error,
            });
        };
        for name in other.connections.keys().filter(|name| self.connections.contains_key(*name)) {
            clash("connection", name, &self.places);
        }
        for name in other.tables.keys().filter(|name| self.tables.contains_key(*name)) {
            clash("table", name, &self.places);
        }
        for name in other.pipelines.keys().filter(|name| self.pipelines.contains_key(*name)) {
            clash("pipeline", name, &self.places);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.connections.extend(other.connections);
        self.tables.extend(other.tables);
        self.pipelines.extend(other.pipelines);
        self.python.extend(other.python);
        self.files.extend(other.files);
        self.together.extend(other.together);
        self.called.extend(other.called);
        self.places.extend(other.places);
        Ok(())
    }
}

/// A registry as TOML, and which of its lines stands for which part.
struct Written {
    text: String,
    /// For each line, from 1: the part that it belongs to, with its place.
    parts: Vec<Option<(String, Location)>>,
    called: Vec<String>,
    together: Vec<(String, Vec<String>)>,
    errors: Vec<FlowError>,
}

impl Written {
    fn of(registry: &Registry) -> Written {
        let mut written = Written {
            text: String::new(),
            parts: vec![None],
            called: Vec::new(),
            together: Vec::new(),
            errors: Vec::new(),
        };
        let sections = [
            ("connections", &registry.connections),
            ("tables", &registry.tables),
            ("pipelines", &registry.pipelines),
            ("transforms", &registry.transforms),
        ];
        for (kind, parts) in sections {
            for (name, value) in parts {
                let path = format!("{kind}.{name}");
                let place = registry.places.get(&path).map(|place| (path.clone(), location(&path, place)));
                match kind {
                    "pipelines" => written.pipeline(name, value, place),
                    kind => written.section(kind, name, value, place),
                }
            }
        }
        written
    }

    /// Several targets from one reading are written as a pipeline each, `NAME/target`, beside one that stands for all.
    fn pipeline(&mut self, name: &str, value: &Value, place: Option<(String, Location)>) {
        let Some(Value::Array(targets)) = value.get("targets") else {
            return self.section("pipelines", name, value, place);
        };
        let shared = |target: &Value| {
            let mut fields = target.as_object().cloned().unwrap_or_default();
            fields.insert("source".to_owned(), value["source"].clone());
            fields
        };
        let mut parts = Vec::new();
        for target in targets {
            let mut part = format!("{name}/{}", target["target"].as_str().unwrap_or_default());
            if parts.contains(&part) {
                // Refused where they are put together, by the target that both load.
                part = format!("{part} ({})", parts.len() + 1);
            }
            self.section("pipelines", &part, &Value::Object(shared(target)), place.clone());
            parts.push(part);
        }
        let mut whole = targets.first().map(shared).unwrap_or_default();
        let own = value.as_object().into_iter().flatten();
        whole.extend(
            own.filter(|(field, _)| *field != "targets").map(|(field, value)| (field.clone(), value.clone())),
        );
        self.section("pipelines", name, &Value::Object(whole), place);
        self.together.push((name.to_owned(), parts));
    }

    fn section(&mut self, kind: &str, name: &str, value: &Value, place: Option<(String, Location)>) {
        self.line(&format!("[{kind}.{}]", key(name)), &place);
        let Value::Object(fields) = value else { return };
        for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let mut value = value.clone();
            if field == "source"
                && let Value::Object(source) = &mut value
            {
                if source.remove("callable") == Some(Value::Bool(true)) {
                    source.insert("query".to_owned(), Value::from(TO_BE_CALLED));
                    self.called.push(name.to_owned());
                }
                if let Err(error) = as_in_toml(source) {
                    self.errors.push(match &place {
                        Some((_, place)) => error.at(place.clone()),
                        None => error,
                    });
                }
            }
            let mut line = format!("{} = ", key(field));
            write_value(&value, &mut line);
            self.line(&line, &place);
        }
    }

    fn line(&mut self, line: &str, place: &Option<(String, Location)>) {
        self.text.push_str(line);
        self.text.push('\n');
        self.parts.push(place.clone());
    }

    /// An error at a line of the text, as one at the line of Python that declared the part.
    fn in_python(&self, mut error: FlowError) -> FlowError {
        let written = error.location.take();
        let line = written.as_ref().map_or(0, |location| location.line);
        // The mark under the line goes, its words stay.
        let label = written.and_then(|location| location.excerpt).and_then(|excerpt| excerpt.label);
        if let (None, Some(label)) = (&error.hint, label) {
            error = error.hint(label);
        }
        match self.parts.get(line).and_then(Option::as_ref) {
            Some((_, place)) => error.at(place.clone()),
            None => error,
        }
    }
}

fn location(path: &str, place: &Place) -> Location {
    Location {
        file: place.file.clone(),
        line: place.line,
        column: 1,
        section: Some(format!("[{path}]")),
        excerpt: None,
    }
}

/// A key as TOML: JSON's escapes are TOML's.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { name.to_owned() } else { string(name) }
}

fn string(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("{}"),
        Value::Bool(truth) => write!(out, "{truth}").expect("a string takes text"),
        Value::Number(number) => write!(out, "{number}").expect("a string takes text"),
        Value::String(text) => out.push_str(&string(text)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push_str("{ ");
            for (index, (name, item)) in fields.iter().filter(|(_, item)| !item.is_null()).enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write!(out, "{} = ", key(name)).expect("a string takes text");
                write_value(item, out);
            }
            out.push_str(" }");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Mode;
    use crate::declare::environment::ProcessEnvironment;
    use serde_json::json;

    fn read(mut registry: Value) -> Result<ProjectSpec, Vec<FlowError>> {
        registry["schema"] = SCHEMA.into();
        registry["version"] = env!("CARGO_PKG_VERSION").into();
        read_registry(&registry.to_string(), &ProcessEnvironment)
    }

    fn one(options: Value) -> Value {
        let mut pipeline =
            json!({"source": {"query": "SELECT 1 AS id -- \"a\"\n"}, "target": "s.t", "mode": "scd1"});
        pipeline.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        json!({
            "pipelines": {"a \"b\"\u{7f}": pipeline},
            "places": {"pipelines.a \"b\"\u{7f}": {"file": "flows.py", "line": 7}},
        })
    }

    #[test]
    fn a_registry_is_read_as_the_toml_that_it_stands_for() {
        let project =
            read(one(json!({"keys": ["id"], "lookback": null, "enabled": false}))).expect("a project");
        let pipeline = &project.pipelines["a \"b\"\u{7f}"];
        assert_eq!(pipeline.options.mode, Some(Mode::Merge));
        assert_eq!(pipeline.source.query.as_deref(), Some("SELECT 1 AS id -- \"a\"\n"));
        assert_eq!(project.places.find("pipelines.a \"b\"\u{7f}.keys").expect("a place").line, 7);
        assert!(project.called.is_empty());
    }

    #[test]
    fn a_mistake_leads_to_the_line_of_python() {
        let errors = read(one(json!({"kyes": "id"}))).expect_err("no such option");
        let error = &errors[0];
        assert_eq!(
            (error.code, error.hint.as_deref()),
            (ErrorCode::UnknownOption, Some("did you mean `keys`?"))
        );
        let place = error.location.as_ref().expect("a place");
        assert_eq!((place.file.as_str(), place.line, &place.excerpt), ("flows.py", 7, &None));
    }

    #[test]
    fn params_fill_names_and_values_and_nothing_in_literals() {
        let query = "SELECT ':a {t}', a::text FROM {t} WHERE a = :a AND b > :b -- :c";
        let source = json!({"query": query, "params": {"a": "it's", "b": 1.50, "t": "odd \"name\""}});
        let project = read(one(json!({ "source": source }))).expect("a project");
        assert_eq!(
            project.pipelines[0].source.query.as_deref(),
            Some("SELECT ':a {t}', a::text FROM \"odd \"\"name\"\"\" WHERE a = 'it''s' AND b > 1.5 -- :c")
        );
        let source = json!({"query": "SELECT :gone", "params": {"a": 1}});
        let errors = read(one(json!({ "source": source }))).expect_err("no value");
        assert_eq!(
            (errors[0].code, errors[0].location.as_ref().expect("a place").line),
            (ErrorCode::UnknownVariable, 7)
        );
    }

    #[test]
    fn columns_of_a_table_are_a_query() {
        let source = json!({"table": "raw.\"A.b\"", "columns": ["id", "b c"]});
        let project = read(one(json!({ "source": source }))).expect("a project");
        let query = project.pipelines[0].source.query.as_deref();
        assert_eq!(query, Some("SELECT \"id\", \"b c\" FROM \"raw\".\"A.b\""));
    }

    #[test]
    fn a_function_is_called_later() {
        let project =
            read(one(json!({"source": {"callable": true, "connection": "crm"}}))).expect("a project");
        assert_eq!(project.called, ["a \"b\"\u{7f}"]);
    }

    #[test]
    fn another_version_is_refused() {
        let json = json!({"schema": SCHEMA, "version": "0.0.0"}).to_string();
        let errors = read_registry(&json, &ProcessEnvironment).expect_err("another version");
        assert_eq!(errors[0].code, ErrorCode::ImportFailed);
    }

    #[test]
    fn a_name_of_both_is_declared_twice() {
        let mut project = read(one(json!({}))).expect("a project");
        let errors = project.add(read(one(json!({}))).expect("a project")).expect_err("twice");
        assert_eq!(errors[0].details, ["first at flows.py:7"]);
    }
}
