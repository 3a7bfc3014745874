//! The page as a whole: what others wrote stays text, and the size stays within what a wall needs.

use super::*;
use ematix_flow_core::report::{RunLog, RunPoint, RunRow, StatusRow, StepReport};

const NOW: &str = "2026-03-01T12:00:00Z";

fn point(id: usize, status: &str) -> RunPoint {
    RunPoint {
        run_id: format!("01a207ab-0000-7000-8000-{id:012}"),
        status: status.to_owned(),
        mode: Some("merge".to_owned()),
        started_at: format!("2026-03-01T{:02}:{:02}:12.345678Z", id % 12, id % 60),
        duration_ms: (status != "running").then_some(1000 + (id as i64 * 7919) % 60_000),
        rows_in: Some(123_456),
        rows_inserted: Some(id as i64 * 31 % 5000),
        rows_updated: Some(12),
        ..RunPoint::default()
    }
}

fn row(name: &str, runs: Vec<RunPoint>) -> StatusRow {
    StatusRow {
        name: name.to_owned(),
        mode: Some("merge".to_owned()),
        target: format!("analytics.{name}"),
        schedule: Some("0 * * * *".to_owned()),
        timezone: "UTC".to_owned(),
        enabled: true,
        lag_ms: Some(1_800_000),
        interval_ms: Some(3_600_000),
        next: Some("2026-03-01T13:00:00Z".to_owned()),
        runs,
        ..StatusRow::default()
    }
}

fn log(point: &RunPoint, pipeline: &str, error: Option<&str>) -> RunLog {
    let run = serde_json::json!({
        "pipeline": pipeline, "run_id": point.run_id, "status": point.status, "committed": error.is_none(),
        "target": format!("analytics.{pipeline}"), "mode": "merge", "path": "staging",
        "started_at": point.started_at, "duration_ms": point.duration_ms, "rows_in": 5, "error": error,
        "error_code": error.map(|_| "target_failed"), "started_by": "run-due", "host": "etl-1",
    });
    let run: RunRow = serde_json::from_value(run).expect("a run");
    let step = |n: usize| StepReport {
        n,
        kind: "update".to_owned(),
        purpose: "rows that differ in email, name, score".to_owned(),
        rows: Some(12),
        bytes: None,
        milliseconds: 12.5,
    };
    RunLog { run, steps: (1..=6).map(step).collect() }
}

fn drawn(overview: &Overview, edges: &[(String, String)]) -> String {
    page(&Page {
        project: "shop".to_owned(),
        overview,
        edges,
        errors: &[],
        now: NOW.parse().expect("an instant"),
        zone: TimeZone::UTC,
    })
}

#[test]
fn a_hundred_pipelines_with_twenty_runs_each_are_less_than_300_kilobytes() {
    let names: Vec<String> = (0..100).map(|n| format!("mirror_customer_orders_{n}")).collect();
    let rows = names.iter().enumerate().map(|(n, name)| {
        let runs = (0..20).map(|run| point(n * 20 + run, if run % 9 == 4 { "failed" } else { "success" }));
        row(name, runs.collect())
    });
    let pipelines: Vec<StatusRow> = rows.collect();
    let logs = pipelines.iter().take(40).map(|row| log(&row.runs[4], &row.name, Some("it\nfailed here")));
    let overview = Overview { logs: logs.collect(), pipelines };
    let edges: Vec<(String, String)> = (1..100).map(|n| (names[n / 3].clone(), names[n].clone())).collect();
    let page = drawn(&overview, &edges);
    assert!(page.len() < 300 * 1024, "{} bytes", page.len());
}

#[test]
fn what_others_wrote_is_text() {
    let hostile = "</script><script>alert(1)</script>\" onmouseover='x' <img src=x>\u{202e}evil\u{0}";
    let run = RunPoint { error_code: Some(hostile.to_owned()), ..point(1, hostile) };
    let mut named = row(hostile, vec![run.clone()]);
    named.schedule = Some(hostile.to_owned());
    named.timezone = hostile.to_owned();
    named.missed_slot = Some(hostile.to_owned());
    named.running_since = Some(hostile.to_owned());
    named.mode = Some(hostile.to_owned());
    let mut told = log(&run, hostile, Some(&hostile.repeat(1000)));
    told.steps[0].purpose = hostile.to_owned();
    told.steps[0].kind = hostile.to_owned();
    told.run.host = Some(hostile.to_owned());
    let overview = Overview { pipelines: vec![named], logs: vec![told] };
    let page = drawn(&overview, &[(hostile.to_owned(), format!("{hostile}2"))]);
    assert_eq!(page.matches("<script").count(), 1, "ours alone");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<img") && !page.contains("onmouseover='") && !page.contains('\u{0}'));
    assert!(page.len() < 60_000, "a long error is cut: {} bytes", page.len());
}

#[test]
fn every_element_that_is_opened_is_closed_in_its_place() {
    let runs = ["success", "failed", "refused", "cancelled", "skipped", "running"];
    let runs: Vec<RunPoint> = runs.iter().enumerate().map(|(n, status)| point(n, status)).collect();
    let logs = runs.iter().map(|run| log(run, "customers", None)).collect();
    let overview = Overview { pipelines: vec![row("customers", runs), row("orders", Vec::new())], logs };
    let page = drawn(&overview, &[("customers".to_owned(), "orders".to_owned())]);
    let body =
        page.split_once("</style>").and_then(|(_, rest)| rest.split_once("<script>")).expect("a body").0;
    let mut open: Vec<&str> = Vec::new();
    for piece in body.split('<').skip(1) {
        let tag = piece.split(['>', ' ']).next().unwrap_or_default();
        match tag.strip_prefix('/') {
            Some("head") => {}
            Some(closed) => assert_eq!(open.pop(), Some(closed), "before {}", &piece[..piece.len().min(80)]),
            None if piece.split('>').next().is_some_and(|tag| tag.ends_with('/')) => {}
            None => open.push(tag),
        }
    }
    assert_eq!(open, ["body"]);
}

#[test]
fn the_policy_names_the_digests_of_what_stands_inline() {
    // RFC 4648, 10, and the digest of the empty text.
    assert_eq!([base64(b"f"), base64(b"fo"), base64(b"foo")], ["Zg==", "Zm8=", "Zm9v"]);
    assert_eq!(digest(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}
