//! The JSON of errors, plans and reports: exactly these keys, in this order.

#[path = "support/planning.rs"]
#[allow(dead_code)] // each test file uses a part
mod planning;

use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::{ErrorCode, FlowError, Location};
use ematix_flow_core::report::{ExecutionPath, PlanReport, PlannedPipeline, RunReport, Status};
use planning::Scene;
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn an_error_says_code_message_hint_sqlstate_context_and_location() {
    let location = Location {
        file: "pipelines.toml".to_owned(),
        line: 31,
        column: 1,
        section: Some("[pipelines.customers]".to_owned()),
        excerpt: None,
    };
    let error = FlowError::new(ErrorCode::DuplicateSourceKey, "2 keys come more than once")
        .detail("customer_id: 17 (3 rows)")
        .hint("one row per key")
        .sqlstate("23505")
        .context("count", 2)
        .at(location);
    let text = serde_json::to_string(&error).expect("an error is JSON");
    let expected = r#"{"code":"duplicate_source_key","message":"2 keys come more than once\ncustomer_id: 17 (3 rows)","hint":"one row per key","sqlstate":"23505","context":{"count":2},"location":{"file":"pipelines.toml","line":31,"column":1}}"#;
    assert_eq!(text, expected);
    let bare = serde_json::to_string(&FlowError::new(ErrorCode::Locked, "held")).expect("an error is JSON");
    assert_eq!(
        bare,
        r#"{"code":"locked","message":"held","hint":null,"sqlstate":null,"context":{},"location":null}"#
    );
}

#[test]
fn a_plan_has_the_keys_of_the_manual_first() {
    let scene = Scene::new(&POSTGRES, "mode = 'scd2'");
    let plan = scene.plan().expect("a plan");
    let planned = PlannedPipeline {
        pipeline: "customers".to_owned(),
        declaration: None,
        plan: Some(plan),
        errors: Vec::new(),
    };
    let report = PlanReport { pipelines: vec![planned], create: 1, change: 0, drifted: 0 };
    let json = serde_json::to_value(&report).expect("a plan is JSON");
    assert_eq!(keys(&json), ["pipelines", "create", "change", "drifted"]);
    let pipeline = &json["pipelines"][0];
    let promised =
        ["pipeline", "mode", "keys", "keys_reason", "path", "path_reason", "marks", "steps", "errors"];
    let in_order: Vec<&str> = keys(pipeline).into_iter().filter(|key| promised.contains(key)).collect();
    assert_eq!(in_order, promised);
    assert_eq!(keys(&pipeline["marks"][0]), ["mark", "what"]);
    assert_eq!(pipeline["marks"][0]["mark"], "+");
    assert_eq!(keys(&pipeline["steps"][0]), ["n", "kind", "purpose", "sql"]);
    assert_eq!(pipeline["path"], "same_db");
    let numbers: Vec<u64> =
        pipeline["steps"].as_array().expect("steps").iter().filter_map(|step| step["n"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let words = "lock ddl stage guard diff update delete close truncate insert finish transform";
    for step in pipeline["steps"].as_array().expect("steps") {
        assert!(words.split(' ').any(|word| step["kind"] == word), "{}", step["kind"]);
    }
}

#[test]
fn a_report_has_exactly_the_keys_of_the_manual() {
    let report = RunReport {
        run_id: "01a207ab-0000-7000-8000-66b25d21c0fe".to_owned(),
        status: Status::Success,
        committed: true,
        mode: "scd2".to_owned(),
        path: Some(ExecutionPath::Staging),
        path_reason: Some("source crm is another server".to_owned()),
        source_connection: "crm".to_owned(),
        target_connection: "warehouse".to_owned(),
        target: "analytics.dim_customers".to_owned(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        ended_at: "2026-01-01T00:00:00.110Z".to_owned(),
        duration_ms: 110,
        rows_in: 5000,
        rows_inserted: 5000,
        ..RunReport::of("customers")
    };
    let text = serde_json::to_string(&report).expect("a report is JSON");
    let expected = r#"{"schema":"ematix.run.v1","pipeline":"customers","run_id":"01a207ab-0000-7000-8000-66b25d21c0fe","status":"success","committed":true,"mode":"scd2","path":"staging","path_reason":"source crm is another server","dry_run":false,"source_connection":"crm","target_connection":"warehouse","target":"analytics.dim_customers","started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:00.110Z","duration_ms":110,"rows_in":5000,"rows_inserted":5000,"rows_updated":0,"rows_unchanged":0,"rows_closed_out":0,"rows_deleted":0,"rows_deduplicated":0,"rows_skipped":0,"rows_rejected":0,"rows_rehashed":0,"watermark_before":null,"watermark_after":null,"parse_failures":{},"transforms":[],"warnings":[],"error":null}"#;
    assert_eq!(text, expected);
}
