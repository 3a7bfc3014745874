//! The JSON Schema in `schema/` is the one that the types make, and it says what the reader does.

#[path = "support/memory.rs"]
mod memory;

use ematix_flow_core::declare::json_schema::json_schema;
use ematix_flow_core::declare::options::{MODES, OPTIONS, PipelineOptions, Support};
use ematix_flow_core::declare::toml_file::read_text;
use memory::Memory;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Set to write the file anew instead of comparing it.
const REWRITE: &str = "EMATIX_FLOW_REWRITE";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders down")
}

#[test]
fn the_file_is_what_the_types_make() {
    let path = root().join("schema/pipelines.schema.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap());
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == made, "{} is old: run the test with {REWRITE}=1", path.display());
}

#[test]
fn every_example_is_one_of_a_property() {
    fn described(schema: &Value) -> bool {
        let listed = schema.get("properties").and_then(Value::as_object);
        listed
            .is_none_or(|properties| properties.values().all(|property| property["description"].is_string()))
    }
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let bare: Vec<&String> =
        definitions.iter().filter(|(_, one)| !described(one)).map(|(name, _)| name).collect();
    assert_eq!(bare, Vec::<&String>::new(), "an example makes no property");
    assert_eq!(
        schema["$defs"]["TargetSection"]["properties"]["order_by"]["examples"][0],
        "updated_at DESC, visits DESC"
    );
}

#[test]
fn every_option_is_a_property_with_its_default() {
    let schema = json_schema();
    for definition in ["PipelineOptions", "PipelineSection"] {
        let properties = schema["$defs"][definition]["properties"].as_object().unwrap();
        for info in OPTIONS {
            let property = properties.get(info.name);
            assert_eq!(property.is_some(), info.support == Support::Here, "{}", info.name);
            let default = property.and_then(|property| property.get("default"));
            assert_eq!(
                default.is_some(),
                info.support == Support::Here && info.default.is_some(),
                "{}",
                info.name
            );
        }
    }
    // A field may come before its time: it is in the list as one that is not there yet.
    let fields = serde_json::to_value(PipelineOptions::default()).unwrap();
    let fields: BTreeSet<&str> = fields.as_object().unwrap().keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = OPTIONS.iter().map(|info| info.name).collect();
    let here: BTreeSet<&str> =
        OPTIONS.iter().filter(|info| info.support == Support::Here).map(|info| info.name).collect();
    assert!(fields.is_subset(&listed) && here.is_subset(&fields), "{fields:?} and {listed:?}");
}

#[test]
fn every_default_of_the_list_can_be_written() {
    for info in OPTIONS {
        let Some(default) = info.default else { continue };
        let mode = info.modes.first().map_or("scd2", |mode| mode.name());
        let text = format!(
            "[pipelines.p]\nsource = {{ table = 'a.b' }}\ntarget = 'c.d'\nmode = '{mode}'\n{} = {default}\n",
            info.name
        );
        if let Err(errors) = read_text(&text, "p.toml", &Memory::new()) {
            panic!("{} = {default}: {errors:?}", info.name);
        }
    }
}

#[test]
fn the_schema_knows_the_modes_and_no_null() {
    let schema = json_schema();
    let modes: BTreeSet<&str> = schema["$defs"]["Mode"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|mode| mode["const"].as_str())
        .collect();
    assert_eq!(modes, MODES.iter().copied().collect());
    fn walk(value: &Value, path: &str) {
        match value {
            Value::Null => panic!("{path} is null"),
            Value::Array(items) => items.iter().for_each(|item| walk(item, path)),
            Value::Object(parts) => {
                assert_ne!(parts.get("type"), Some(&Value::from("null")), "{path}");
                let is_list = parts.get("properties").is_none() && path.ends_with("/properties");
                assert!(
                    !is_list || parts.values().all(|part| part.get("description").is_some()),
                    "{path} lacks a description"
                );
                for (name, part) in parts {
                    walk(part, &format!("{path}/{name}"));
                }
            }
            _ => {}
        }
    }
    walk(&schema, "");
}
