//! The JSON Schema of `pipelines.toml`, made from the types that read it. Editors use it for
//! completion, the reader of the file for the shape of every value, so that the two never disagree.

mod examples;

use super::options::{MODES, Mode, OPTIONS, PipelineOptions, Support};
use super::{ConnectionSpec, FeatureSpec, Names, ScalarSpec, SourceSpec, TableSpec, TransformSpec};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// Pipelines of ematix-flow: sources, targets and how rows get from one to the other.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
struct ProjectFile {
    /// Further files, relative to this one; `*`, `?` and `**` are allowed.
    #[schemars(default)]
    include: Vec<String>,
    /// Python modules, or files, with further pipelines.
    #[schemars(default)]
    python: Vec<String>,
    /// Variables by name: `{name}` in names, in SQL an identifier; `:name` in SQL a value.
    #[schemars(default)]
    vars: IndexMap<String, ScalarSpec>,
    /// Connections by name.
    #[schemars(default)]
    connections: IndexMap<String, ConnectionSpec>,
    /// Options that reach every pipeline whose mode knows them.
    defaults: Option<PipelineOptions>,
    /// Tables by the name under which pipelines refer to them.
    #[schemars(default)]
    tables: IndexMap<String, TableSpec>,
    /// Feature views by the name under which pipelines refer to them: tables with a history by event time, for training
    /// and serving.
    #[schemars(default)]
    features: IndexMap<String, FeatureSection>,
    /// Pipelines by name.
    #[schemars(default)]
    pipelines: IndexMap<String, PipelineSection>,
    /// Transforms by name: SQL that runs after loads, or by itself.
    #[schemars(default)]
    transforms: IndexMap<String, TransformSpec>,
    /// What `--env NAME` lays over the files, by name.
    #[schemars(default)]
    environments: IndexMap<String, EnvironmentSection>,
}

/// What an environment lays over the files; nothing else can stand in it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
struct EnvironmentSection {
    /// Where connections lead in it: each comes whole from here.
    #[schemars(default)]
    connections: IndexMap<String, ConnectionSpec>,
    /// Variables that are others in it; `${env:NAME}` is allowed.
    #[schemars(default)]
    vars: IndexMap<String, ScalarSpec>,
    /// Options that reach every pipeline whose mode knows them, over `[defaults]`.
    defaults: Option<PipelineOptions>,
}

/// A pipeline: where rows come from, where they go, and how.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
struct PipelineSection {
    /// Where the rows come from.
    source: SourceSpec,
    /// A key of `[tables]`, or a qualified name: `schema.table`.
    target: String,
    /// Several targets that one reading of the source loads, each with its mode and options; instead of `target`.
    #[schemars(default)]
    targets: Vec<TargetSection>,
    /// One pipeline for each table of a connection, row of a query, or value of a list; each has its own name.
    for_each: Option<ForEachSection>,
    /// Options of single members of `for_each`, by name or glob.
    #[schemars(default)]
    overrides: IndexMap<String, PipelineOptions>,
}

/// What a pipeline is repeated for: tables, the rows of a query, or lists of values by the name of a variable.
#[derive(JsonSchema)]
#[allow(dead_code)] // only its schema is used
struct ForEachSection {
    /// The connection that is asked; the source's unless said.
    connection: Option<String>,
    /// Tables as globs: `["app.*", "!app.audit_*"]`; gives `{schema}` and `{table}`.
    tables: Option<Names>,
    /// A query; its columns are the variables.
    query: Option<String>,
    /// Values of a variable.
    #[serde(flatten)]
    lists: IndexMap<String, Vec<ScalarSpec>>,
}

/// A feature view: a table, the columns of whose primary key are the entity, and what its history is by.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
struct FeatureSection {
    #[schemars(flatten)]
    feature: FeatureSpec,
}

/// One of several targets; what the pipeline says besides holds for it too.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
struct TargetSection {
    /// A key of `[tables]`, or a qualified name: `schema.table`.
    target: String,
}

/// Where the schema can be had, which is its name.
const ID: &str = "https://json.schemastore.org/ematix-flow.json";

/// The JSON Schema of `pipelines.toml`.
pub fn json_schema() -> Value {
    let mut document = document().clone();
    // Which dialect it is written in and what it is called come first, as people look for them there.
    let object = document.as_object_mut().expect("a schema is an object");
    for (place, name) in ["$schema", "$id", "title", "description"].into_iter().enumerate() {
        let value = object.shift_remove(name).unwrap_or_else(|| json!(ID));
        object.shift_insert(place, name.to_owned(), value);
    }
    for (definition, property, example) in examples::EXAMPLES {
        for section in sections_of(definition) {
            document["$defs"][section]["properties"][property]["examples"] = json!([toml_value(example)]);
        }
    }
    // The reader has put several targets apart before it holds a pipeline against its type.
    let pipeline = &mut document["$defs"]["PipelineSection"];
    pipeline["required"] = json!(["source"]);
    pipeline["anyOf"] = json!([{ "required": ["target"] }, { "required": ["targets"] }]);
    // One of Python's is a function, and has none.
    document["$defs"]["TransformSpec"]["required"] = json!(["sql"]);
    document
}

/// Where the properties of a definition stand: some are repeated in others.
fn sections_of(definition: &'static str) -> Vec<&'static str> {
    match definition {
        "PipelineOptions" => vec!["PipelineOptions", "PipelineSection", "TargetSection"],
        "TableSpec" => vec!["TableSpec", "FeatureSection"],
        _ => vec![definition],
    }
}

/// The same, made once.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(build)
}

/// The part of the document that a `$ref` leads to, with its name; a schema without one is itself.
pub(crate) fn dereference(schema: &'static Value) -> (Option<&'static str>, &'static Value) {
    match schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix("#/$defs/"))
    {
        Some(name) => (Some(name), definition(name)),
        None => (None, schema),
    }
}

/// A type of the document by its name.
pub(crate) fn definition(name: &str) -> &'static Value {
    document()
        .get("$defs")
        .and_then(|definitions| definitions.get(name))
        .expect("the schema defines every type that it names")
}

fn build() -> Value {
    let mut document = schemars::schema_for!(ProjectFile).to_value();
    without_null(&mut document);
    let definitions = document["$defs"].as_object_mut().expect("there are types");
    options_with_defaults(definitions);
    feature_views_as_tables(definitions);
    let modes = definitions["Mode"]["oneOf"].as_array_mut().expect("a mode is one of several");
    for (alias, mode) in Mode::ALIASES {
        let about = format!("Another name for `{mode}`.");
        modes.push(json!({"description": about, "type": "string", "const": alias}));
    }
    debug_assert_eq!(modes.len(), MODES.len());
    document["title"] = json!("pipelines.toml");
    document
}

/// Writes the defaults and the modes of every option, and gives a pipeline the options.
fn options_with_defaults(definitions: &mut Map<String, Value>) {
    let options =
        definitions["PipelineOptions"]["properties"].as_object_mut().expect("options are properties");
    for info in OPTIONS {
        if info.support == Support::NotYet {
            options.shift_remove(info.name);
            continue;
        }
        let option = options
            .get_mut(info.name)
            .and_then(Value::as_object_mut)
            .expect("every option of the list is a property");
        if !info.modes.is_empty() {
            let text = option.get("description").and_then(Value::as_str).unwrap_or_default();
            let modes = info.mode_names().join(", ");
            option.insert("description".to_owned(), json!(format!("{text} For {modes}.")));
        }
        if let Some(default) = info.default {
            option.insert("default".to_owned(), toml_value(default));
        }
    }
    let options = options.clone();
    for section in ["PipelineSection", "TargetSection"] {
        let properties =
            definitions[section]["properties"].as_object_mut().expect("a section has properties");
        properties.extend(options.clone());
    }
}

/// A feature view is declared as a table is, and has its own part beside.
fn feature_views_as_tables(definitions: &mut Map<String, Value>) {
    let mut parts =
        definitions["TableSpec"]["properties"].as_object().expect("a table has properties").clone();
    let section = definitions["FeatureSection"].as_object_mut().expect("a section is an object");
    let own = section["properties"].as_object().expect("a feature view has properties").clone();
    parts.extend(own);
    section.insert("properties".to_owned(), Value::Object(parts));
}

/// A value of the list of options as JSON.
pub(crate) fn toml_value(text: &str) -> Value {
    let parsed = toml::de::ValueDeserializer::parse(text).expect("the defaults of the list are TOML");
    serde::Deserialize::deserialize(parsed).expect("the defaults of the list have a JSON form")
}

/// TOML has no null: what is optional may be absent, and that is all.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(object) => {
            // Of a number; a property may be called so, too.
            if object.get("format").is_some_and(Value::is_string) {
                object.shift_remove("format");
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice != &json!({"type": "null"}));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.shift_remove("anyOf");
                    for (name, part) in only {
                        object.entry(name).or_insert(part);
                    }
                }
            }
            object.values_mut().for_each(without_null);
        }
        _ => {}
    }
}
