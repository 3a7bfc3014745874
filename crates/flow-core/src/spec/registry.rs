//! A registry of pipelines that Python declared, as versioned JSON whose keys are those of `pipelines.toml`.
//!
//! It is written as the TOML that it stands for and read by the reader of TOML: one place judges names, values and
//! what fits what, and says it in the same words. Places lead to the line of Python that declared a thing.

use super::environment::Environment;
use super::{Places, ProjectSpec, toml_file};
use crate::error::{ErrorCode, FlowError, Location};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
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
    let written = Written::of(&registry);
    let read = toml_file::read_text(&written.text, NOWHERE, environment);
    let mut project =
        read.map_err(|errors| errors.into_iter().map(|error| written.in_python(error)).collect::<Vec<_>>())?;
    project.files.clear();
    project.places = Places::default();
    for (path, place) in &registry.places {
        project.places.insert(path.clone(), location(path, place));
    }
    project.called = written.called;
    Ok(project)
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
}

impl Written {
    fn of(registry: &Registry) -> Written {
        let mut written = Written { text: String::new(), parts: vec![None], called: Vec::new() };
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
                written.section(kind, name, value, place);
            }
        }
        written
    }

    fn section(&mut self, kind: &str, name: &str, value: &Value, place: Option<(String, Location)>) {
        self.line(&format!("[{kind}.{}]", key(name)), &place);
        let Value::Object(fields) = value else { return };
        for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let mut value = value.clone();
            if field == "source"
                && let Value::Object(source) = &mut value
                && source.remove("callable") == Some(Value::Bool(true))
            {
                source.insert("query".to_owned(), Value::from(TO_BE_CALLED));
                self.called.push(name.to_owned());
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
    use crate::spec::Mode;
    use crate::spec::environment::ProcessEnvironment;
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
