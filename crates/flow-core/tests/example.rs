//! `pipelines.example.toml` shows every option, each at a value that is not its default.

use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::json_schema::json_schema;
use ematix_flow_core::declare::options::{OPTIONS, Support};
use ematix_flow_core::declare::toml_file::read_project;
use ematix_flow_core::declare::variables::Chosen;
use ematix_flow_core::declare::{ColumnSpec, PipelineOptions, ProjectSpec};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::types::{DataType, TYPE_NAMES};
use serde_json::Value;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders down")
}

fn project() -> ProjectSpec {
    let path = root().join("pipelines.example.toml");
    read_project(&path, &Chosen::default(), &ProcessEnvironment)
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// The text of the example and of the file that it includes.
fn texts() -> [String; 2] {
    ["pipelines.example.toml", "pipelines.example/countries.toml"]
        .map(|file| std::fs::read_to_string(root().join(file)).unwrap())
}

/// Both files as one value.
fn parsed() -> Value {
    let [mut example, included] = texts().map(|text| text.parse::<toml::Table>().unwrap());
    let pipelines = included["pipelines"].as_table().unwrap().clone();
    example["pipelines"].as_table_mut().unwrap().extend(pipelines);
    serde_json::to_value(example).unwrap()
}

/// The properties of a type of the schema.
fn properties(schema: &Value, definition: &str) -> Vec<String> {
    schema["$defs"][definition]["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_example_is_read_without_a_mistake() {
    let project = project();
    assert_eq!(project.pipelines.len(), 12);
    for name in project.pipelines.keys() {
        let checked = Pipeline::build(&project, name, &PipelineOptions::default());
        assert!(checked.is_ok(), "{name}: {:#?}", checked.unwrap_err());
    }
    for (name, parts) in &project.together {
        for part in parts.keys() {
            let checked = Pipeline::build_part(&project, name, part, &PipelineOptions::default());
            assert!(checked.is_ok(), "{part}: {:#?}", checked.unwrap_err());
        }
    }
}

#[test]
fn every_option_occurs_and_none_at_its_default() {
    let example = parsed();
    let sections = example["pipelines"].as_object().unwrap();
    for info in OPTIONS.iter().filter(|info| info.support == Support::Here) {
        let values: Vec<&Value> = sections.values().filter_map(|pipeline| pipeline.get(info.name)).collect();
        assert!(!values.is_empty(), "`{}` is not in the example", info.name);
        if let Some(default) = info.default {
            let default: Value =
                serde_json::to_value(&format!("x = {default}").parse::<toml::Table>().unwrap()["x"]).unwrap();
            assert!(!values.contains(&&default), "`{}` stands at its default", info.name);
        }
    }
}

#[test]
fn every_option_of_connections_tables_columns_and_sources_occurs() {
    let (schema, example) = (json_schema(), parsed());
    let all = |path: &[&str]| -> Vec<Value> {
        let mut found = vec![example.clone()];
        for part in path {
            found = found
                .iter()
                .flat_map(|value| match (*part, value) {
                    ("*", Value::Object(entries)) => entries.values().cloned().collect(),
                    ("*", Value::Array(entries)) => entries.clone(),
                    (name, value) => value.get(name).cloned().into_iter().collect(),
                })
                .collect();
        }
        found
    };
    let cases: [(&str, &[&str]); 10] = [
        ("ConnectionSpec", &["connections", "*"]),
        ("TableSpec", &["tables", "*"]),
        ("FullColumnSpec", &["tables", "*", "columns", "*"]),
        ("FullIndexSpec", &["tables", "*", "indexes", "*"]),
        ("SourceSpec", &["pipelines", "*", "source"]),
        ("HttpSpec", &["pipelines", "*", "source", "http"]),
        ("PipelineSection", &["pipelines", "*"]),
        ("FullPostTransform", &["pipelines", "*", "transforms_post", "*"]),
        ("Notification", &["pipelines", "*", "notify", "*"]),
        ("TransformSpec", &["transforms", "*"]),
    ];
    for (definition, path) in cases {
        let found = all(path);
        for option in properties(&schema, definition) {
            assert!(
                found.iter().any(|value| value.get(&option).is_some()),
                "`{option}` of {definition} is not in the example"
            );
        }
    }
    // What a feature view has of a table is there already.
    let of_tables = properties(&schema, "TableSpec");
    let views = all(&["features", "*"]);
    for option in properties(&schema, "FeatureSection").iter().filter(|option| !of_tables.contains(option)) {
        assert!(views.iter().any(|view| view.get(option).is_some()), "`{option}` is not in the example");
    }
    for section in schema["properties"].as_object().unwrap().keys() {
        assert!(example.get(section).is_some(), "`{section}` is not in the example");
    }
}

#[test]
fn every_type_occurs() {
    let project = project();
    let used: Vec<String> = project
        .tables
        .values()
        .flat_map(|table| table.columns.values())
        .map(|column| match column {
            ColumnSpec::Type(text) => text.clone(),
            ColumnSpec::Full(column) => column.data_type.clone(),
        })
        .map(|text| text.trim_end_matches('?').to_owned())
        .collect();
    for name in TYPE_NAMES {
        assert!(
            used.iter().any(|used| used.split('(').next() == Some(name)),
            "`{name}` is not in the example"
        );
    }
    assert!(
        used.iter().any(|used| matches!(DataType::parse(used), Ok(DataType::Native(_)))),
        "a type of the server by its name"
    );
}

#[test]
fn every_default_of_the_list_stands_in_its_comment() {
    let example = texts().concat();
    for info in OPTIONS.iter().filter(|info| info.support == Support::Here) {
        let Some(default) = info.default else { continue };
        let written = format!("({default})");
        let found = example
            .lines()
            .any(|line| line.starts_with(&format!("{} = ", info.name)) && line.contains(&written));
        assert!(found, "a line of `{}` has {written} in its comment", info.name);
    }
}
