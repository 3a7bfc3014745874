//! What becomes of registries, right and wrong.

use super::*;
use crate::declare::environment::ProcessEnvironment;
use crate::declare::{ColumnSpec, FullColumnSpec, Mode, PipelineOptions, TableSpec};
use serde_json::{Value, json};
use std::collections::HashSet;

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
        "places": {"flows.py": {"pipelines": {"a \"b\"\u{7f}": 7}}},
    })
}

#[test]
fn a_registry_is_read_as_the_toml_that_it_stands_for() {
    let project = read(one(json!({"keys": ["id"], "lookback": null, "enabled": false}))).expect("a project");
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
    assert_eq!((error.code, error.hint.as_deref()), (ErrorCode::UnknownOption, Some("did you mean `keys`?")));
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
fn none_is_an_option_that_is_not_set() {
    let source = json!({"query": "SELECT 1 AS id", "table": null, "params": null, "callable": null});
    let mut registry = one(json!({
        "source": source, "target": "t", "keys": null, "handle_deletes": null, "parallel": null, "ttl": null,
    }));
    let column =
        json!({"type": "text", "default": null, "description": null, "unique": null, "normalize": null});
    registry["tables"] = json!({"t": {"schema": null, "name": null, "columns": {"id": column}}});
    registry["connections"] = json!({"c": {"dsn": "host=h", "host": null, "session": null}});
    let project = read(registry).expect("nothing is set that is wrong");
    let pipeline = &project.pipelines[0];
    let options = PipelineOptions { mode: Some(Mode::Merge), ..PipelineOptions::default() };
    let source = SourceSpec { query: Some("SELECT 1 AS id".to_owned()), ..SourceSpec::default() };
    assert_eq!((&pipeline.options, &pipeline.source), (&options, &source));
    let column = FullColumnSpec { data_type: "text".to_owned(), ..FullColumnSpec::default() };
    let columns = IndexMap::from([("id".to_owned(), ColumnSpec::Full(Box::new(column)))]);
    assert_eq!(project.tables["t"], TableSpec { columns, ..TableSpec::default() });
    let connection = ConnectionSpec { dsn: Some("host=h".into()), ..ConnectionSpec::default() };
    assert_eq!(project.connections["c"], connection);
}

#[test]
fn none_is_a_mistake_where_something_must_stand() {
    let mistakes = |registry: Value| -> Vec<String> {
        let errors = read(registry).expect_err("mistakes");
        errors.iter().map(|error| format!("{} {}", error.code, error.message)).collect()
    };
    let mut registry = one(json!({"keys": ["id", null], "kyes": null, "target": null, "source": null}));
    registry["tables"] = json!({"t": {"columns": {"id": null}, "primary_key": [null]}, "u": null});
    registry["connections"] = json!({"c": {"session": {"timezone": null}}, "d": {"dsn": 5}});
    assert_eq!(
        mistakes(registry),
        [
            "invalid_value `timezone` of `session` of connection `c` must be a string, not None",
            "invalid_value `dsn` of connection `d` must be a string, not a whole number",
            "invalid_value column `id` of table `t` must be a string or a table, not None",
            "invalid_value an entry of `primary_key` of table `t` must be a string, not None",
            "invalid_value table `u` must be a table, not None",
            "missing_option pipeline `a \"b\"\u{7f}` has no `source`",
            "missing_option pipeline `a \"b\"\u{7f}` has no `target`",
            "invalid_value an entry of `keys` of pipeline `a \"b\"\u{7f}` must be a string, not None",
            "unknown_option unknown option `kyes` in pipeline `a \"b\"\u{7f}`",
        ]
    );
    let mode = mistakes(one(json!({"mode": null})));
    assert_eq!(mode, ["missing_option pipeline `a \"b\"\u{7f}` has no `mode`"]);
    let source = mistakes(one(json!({"source": {"query": null, "connection": "c"}})));
    assert_eq!(source, ["missing_option `source` of pipeline `a \"b\"\u{7f}` names no rows"]);
}

#[test]
fn numbers_that_toml_cannot_say_are_judged_as_its_own() {
    let errors = read(one(json!({"mode": "append", "on_drift": 1, "parallel": 1.0}))).expect_err("a word");
    assert_eq!(
        errors[0].message,
        "`on_drift` of pipeline `a \"b\"\u{7f}` must be a word in quotes, not a whole number"
    );
    let text = r#"{"max_delete_fraction": 1e400, "lookback": 123456789012345678901234567890}"#;
    let errors = read(one(serde_json::from_str(text).expect("JSON"))).expect_err("too large");
    let said: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "`max_delete_fraction` of pipeline `a \"b\"\u{7f}` must lie between 0 and 1",
            "`lookback` of pipeline `a \"b\"\u{7f}` must fit into 64 bits",
        ]
    );
}

#[test]
fn every_mistake_is_told_in_the_order_of_the_declarations() {
    let registry = json!({
        "pipelines": {
            "b": {"source": {"query": ":x", "params": {}}, "target": "s.t", "mode": "append"},
            "a": {"source": {"query": "q"}, "target": "s.t", "mode": "append", "open_end": "infinity", "kyes": "id"},
            "c": {"source": {"query": "q"}, "target": "s.t"},
        },
        "transforms": {"t": {"conection": "dwh"}},
        "places": {"f.py": {"pipelines": {"a": 9, "b": 1, "c": 5}, "transforms": {"t": 2}}},
    });
    let errors = read(registry).expect_err("mistakes");
    let said: Vec<(ErrorCode, usize)> =
        errors.iter().map(|error| (error.code, error.location.as_ref().expect("a place").line)).collect();
    assert_eq!(
        said,
        [
            (ErrorCode::UnknownVariable, 1),
            (ErrorCode::OptionNotForMode, 9),
            (ErrorCode::UnknownOption, 9),
            (ErrorCode::MissingOption, 5),
            (ErrorCode::MissingOption, 2),
            (ErrorCode::UnknownOption, 2),
        ]
    );
}

#[test]
fn several_targets_are_pipelines_of_their_own_under_one() {
    let several = json!({"targets": [{"target": "s.a", "mode": "merge"}, {"target": "s.b", "mode": "append"}],
        "source": {"query": "SELECT 1 AS id"}, "tags": ["x"]});
    let mut registry = json!({"pipelines": {"first": several, "last": one(json!({}))["pipelines"][0]}});
    registry["pipelines"]["last"] = json!({"source": {"table": "s.t"}, "target": "s.c", "mode": "append"});
    let project = read(registry.clone()).expect("a project");
    assert_eq!(project.pipelines.keys().collect::<Vec<_>>(), ["first", "last"]);
    assert_eq!(project.together["first"].keys().collect::<Vec<_>>(), ["first/s.a", "first/s.b"]);
    registry["pipelines"]["first/s.b"] = registry["pipelines"]["last"].clone();
    let errors = read(registry).expect_err("one name for two");
    assert_eq!(
        errors[0].message,
        "the pipeline `first/s.b` is declared twice, once as one of several targets"
    );
}

#[test]
fn a_function_is_called_later() {
    let project = read(one(json!({"source": {"callable": true, "connection": "crm"}}))).expect("a project");
    assert_eq!(project.called, HashSet::from(["a \"b\"\u{7f}".to_owned()]));
}

#[test]
fn what_comes_in_parts_is_one_registry() {
    let pipeline = |mode: &str| json!({"source": {"query": "q"}, "target": "t", "mode": mode});
    let part = |mut part: Value| {
        part["schema"] = SCHEMA.into();
        part["version"] = env!("CARGO_PKG_VERSION").into();
        part.to_string()
    };
    let parts = [
        json!({
            "tables": {"t": {"columns": {"id": "bigint"}}, "u": {"columns": {"id": "bigant"}}},
            "pipelines": {"a": pipeline("upsart")},
            "transforms": {"r": {"conection": "c"}},
            "places": {"f.py": {"tables": {"t": 1, "u": 2}, "pipelines": {"a": 3}, "transforms": {"r": 4}}},
        }),
        json!({"tables": {"v": {"columns": {"id": null}}}, "places": {"g.py": {"tables": {"v": 5}}}}),
        json!({"pipelines": {"b": pipeline("append")}, "places": {"f.py": {"pipelines": {"b": 6}}}}),
    ];
    let lines = |errors: Vec<FlowError>| -> Vec<usize> {
        errors.iter().map(|error| error.location.as_ref().expect("a place").line).collect()
    };
    let mut declared = Declarations::default();
    for each in &parts {
        declared.add(&part(each.clone())).expect("a part");
    }
    // As those of one registry: by the sections, whatever part they came in.
    let errors = declared.project(&ProcessEnvironment).expect_err("mistakes");
    assert_eq!(lines(errors), [2, 5, 3, 4, 4]);
    let texts: Vec<String> = parts.iter().map(|each| part(each.clone())).collect();
    let errors = read_registry(&texts.join("\n"), &ProcessEnvironment).expect_err("mistakes");
    assert_eq!(lines(errors), [2, 5, 3, 4, 4]);
    let mut declared = Declarations::default();
    declared.add(&texts[0]).expect("a part");
    declared.add(&texts[2]).expect("a part");
    let (project, _) = declared.sound_project(&ProcessEnvironment).expect("what is sound");
    assert_eq!(project.pipelines.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(project.places.find("pipelines.b").map(|at| (at.file, at.line)), Some(("f.py".to_owned(), 6)));
}

#[test]
fn what_is_empty_is_no_registry() {
    let errors = read_registry("", &ProcessEnvironment).expect_err("nothing");
    assert_eq!(errors[0].code, ErrorCode::ImportFailed);
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
