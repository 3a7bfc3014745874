//! Past runs: a line each, or one with all its steps.

use super::number::{duration, instant, step_duration, thousands};
use super::report::Counts;
use super::style::{self, STRONG, paint};
use super::table::Table;
use ematix_flow_core::history::short_id;
use ematix_flow_core::planner::rewind;
use ematix_flow_core::report::{RunLog, RunRow};
use jiff::tz::TimeZone;

/// A count of a run under its heading.
type CountColumn = (&'static str, fn(&RunRow) -> Option<i64>);

/// The counts of one pipeline's runs; all but the first only where any run has them.
const COUNTS: &[CountColumn] = &[
    (">IN", |row| row.rows_in),
    (">INSERTED", |row| row.rows_inserted),
    (">UPDATED", |row| row.rows_updated),
    (">CLOSED", |row| row.rows_closed_out),
    (">DELETED", |row| row.rows_deleted),
    (">SKIPPED", |row| row.rows_skipped),
];

/// The counts where pipelines of several modes stand below each other.
const SUMMED: &[CountColumn] = &[(">IN", |row| row.rows_in), (">WRITTEN", |row| Some(row.rows_written()))];

/// Who started a run, and what it did where it loaded nothing.
fn started_by(row: &RunRow) -> String {
    let by = row.started_by.clone().unwrap_or_default();
    match row.mode.as_deref() {
        Some(rewind::MODE) => format!("{by}, {}", rewind::MODE),
        _ => by,
    }
}

/// A line a run, newest first. What no line needs has no column.
pub fn runs(rows: &[RunRow], one_pipeline: bool, zone: &TimeZone) -> String {
    if rows.is_empty() {
        return "no runs yet\n".to_owned();
    }
    let counts: Vec<&CountColumn> = if one_pipeline {
        let any = |value: fn(&RunRow) -> Option<i64>| rows.iter().any(|row| value(row).unwrap_or(0) != 0);
        COUNTS
            .iter()
            .enumerate()
            .filter(|(index, (_, value))| *index == 0 || any(*value))
            .map(|(_, count)| count)
            .collect()
    } else {
        SUMMED.iter().collect()
    };
    let failed = |row: &RunRow| row.transforms.iter().any(|transform| transform.error_code.is_some());
    let errors = rows.iter().any(|row| row.error_code.is_some() || failed(row));
    let mut head = vec!["STATUS"];
    head.extend((!one_pipeline).then_some("PIPELINE"));
    head.extend(["STARTED", ">TOOK"]);
    head.extend(counts.iter().map(|(head, _)| *head));
    head.extend(["BY", "RUN"]);
    head.extend(errors.then_some("ERROR"));
    let started: Vec<String> = rows.iter().map(|row| instant(&row.started_at, zone)).collect();
    // Runs of one year need not repeat it.
    let year = if started.iter().all(|text| text.get(..5) == started[0].get(..5)) { 5 } else { 0 };
    let mut table = Table::new(&head);
    for (row, started) in rows.iter().zip(&started) {
        let mut cells = vec![paint(style::of_status(&row.status), &row.status)];
        cells.extend((!one_pipeline).then(|| row.pipeline.clone()));
        cells.push(started.get(year..).unwrap_or(started).to_owned());
        cells.push(row.duration_ms.map(|ms| duration(ms.unsigned_abs())).unwrap_or_default());
        let counted = row.status == "success" || row.committed;
        cells.extend(
            counts.iter().map(|(_, value)| value(row).filter(|_| counted).map(thousands).unwrap_or_default()),
        );
        cells.push(started_by(row));
        cells.push(short_id(&row.run_id).to_owned());
        cells.extend(errors.then(|| row.error_code.clone().unwrap_or_default()));
        table.row(cells);
        for transform in &row.transforms {
            let status = paint(style::of_status(&transform.status), format_args!("  {}", transform.status));
            let mut cells = vec![status];
            cells.extend((!one_pipeline).then(|| row.pipeline.clone()));
            let started = instant(&transform.started_at, zone);
            cells.push(started.get(year..).unwrap_or(&started).to_owned());
            cells.push(transform.duration_ms.map(|ms| duration(ms.unsigned_abs())).unwrap_or_default());
            cells.extend(counts.iter().map(|_| String::new()));
            cells.push(transform.name.clone());
            cells.push(short_id(&transform.run_id).to_owned());
            cells.extend(errors.then(|| transform.error_code.clone().unwrap_or_default()));
            table.row(cells);
        }
    }
    table.render()
}

/// One run: its line in words, its error, its steps.
pub fn log(log: &RunLog, zone: &TimeZone) -> String {
    let run = &log.run;
    let status = paint(style::of_status(&run.status), &run.status);
    let name = match &run.step_name {
        Some(step) if *step != run.pipeline => format!("{}: {step}", run.pipeline),
        _ => run.pipeline.clone(),
    };
    let mut text = format!("{}  {status}  {}\n", paint(STRONG, &name), run.run_id);
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&format!("  {name:<10} {value}\n"));
        }
    };
    fact("target", Some(run.target.clone()));
    fact("mode", run.mode.clone());
    fact("path", run.path.clone());
    fact("started", Some(instant(&run.started_at, zone)));
    fact("took", run.duration_ms.map(|ms| duration(ms.unsigned_abs())));
    fact("rows", Some(outcome(run)).filter(|_| run.error.is_none() && run.step_name.is_none()));
    fact("watermark", watermark(run));
    fact("slot", run.slot.as_deref().map(|slot| served(slot, run.attempt, zone)));
    fact("by", by(run));
    fact("version", run.version.clone());
    if let Some(error) = &run.error {
        fact(
            "error",
            Some(format!(
                "[{}] {}",
                run.error_code.as_deref().unwrap_or("?"),
                error.replace('\n', "\n             ")
            )),
        );
    }
    // A transform by itself has neither steps nor transforms after it.
    if let Some(own) = run.transforms.iter().find(|transform| transform.run_id == run.run_id) {
        if let Some(metrics) = &own.metrics {
            text.push_str(&format!("  {:<10} {metrics}\n", "metrics"));
        }
        return text;
    }
    let after = after(run);
    if log.steps.is_empty() {
        return text + "  no steps were recorded\n" + &after;
    }
    text.push('\n');
    let mut table = Table::new(&[">N", "KIND", ">ROWS", ">TOOK", "PURPOSE"]);
    for step in &log.steps {
        table.row([
            step.n.to_string(),
            step.kind.clone(),
            step.rows.map(thousands).unwrap_or_default(),
            step_duration(step.milliseconds),
            step.purpose.clone(),
        ]);
    }
    text + &table.render() + &after
}

/// A line a transform that ran after a load.
fn after(run: &RunRow) -> String {
    if run.transforms.is_empty() {
        return String::new();
    }
    let errors = run.transforms.iter().any(|transform| transform.error.is_some());
    let mut head = vec!["AFTER THE COMMIT", "STATUS", ">TOOK", "RUN"];
    head.extend(errors.then_some("ERROR"));
    let mut table = Table::new(&head);
    for transform in &run.transforms {
        let mut cells = vec![
            transform.name.clone(),
            paint(style::of_status(&transform.status), &transform.status),
            transform.duration_ms.map(|ms| duration(ms.unsigned_abs())).unwrap_or_default(),
            short_id(&transform.run_id).to_owned(),
        ];
        let error = transform.error.as_deref().unwrap_or_default();
        cells.extend(errors.then(|| error.lines().next().unwrap_or_default().to_owned()));
        table.row(cells);
    }
    format!("\n{}", table.render())
}

fn outcome(row: &RunRow) -> String {
    match (row.status.as_str(), &row.error_code) {
        ("success", _) => counts(row).line(row.mode.as_deref().unwrap_or_default()),
        (_, Some(code)) => code.clone(),
        _ => String::new(),
    }
}

fn counts(row: &RunRow) -> Counts {
    let number = |value: Option<i64>| value.unwrap_or(0);
    Counts {
        rows_in: number(row.rows_in),
        inserted: number(row.rows_inserted),
        updated: number(row.rows_updated),
        closed_out: number(row.rows_closed_out),
        deleted: number(row.rows_deleted),
        unchanged: number(row.rows_unchanged),
        deduplicated: number(row.rows_deduplicated),
        skipped: number(row.rows_skipped),
        rejected: number(row.rows_rejected),
        rehashed: number(row.rows_rehashed),
        unread: 0,
    }
}

fn watermark(row: &RunRow) -> Option<String> {
    match (&row.watermark_before, &row.watermark_after) {
        (None, None) => None,
        (before, after) => {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            Some(format!("{} → {}", text(before), text(after)))
        }
    }
}

/// The slot of a run, and, from the second attempt on, which one it is.
fn served(slot: &str, attempt: i64, zone: &TimeZone) -> String {
    let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
    format!("{}{again}", instant(slot, zone))
}

fn by(row: &RunRow) -> Option<String> {
    let host = row.host.as_deref().map(|host| format!(" on {host}")).unwrap_or_default();
    let pid = row.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    row.started_by.as_deref().map(|by| format!("{by}{host}{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;
    use ematix_flow_core::report::StepReport;

    fn row(status: &str) -> RunRow {
        let good = status == "success";
        RunRow {
            pipeline: "customers".into(),
            run_id: "01a207ab-0000-7000-8000-66b25d21c0fe".into(),
            run_number: Some(3),
            status: status.into(),
            committed: good,
            mode: Some("scd2".into()),
            path: Some("same_db".into()),
            target: "analytics.dim_customers".into(),
            started_at: "2026-03-01T10:00:00.25Z".into(),
            ended_at: Some("2026-03-01T10:00:00.36Z".into()),
            committed_at: None,
            duration_ms: Some(110),
            rows_in: Some(5000),
            rows_inserted: Some(12),
            rows_updated: Some(0),
            rows_unchanged: Some(4988),
            rows_closed_out: Some(3),
            rows_deleted: Some(0),
            rows_deduplicated: Some(0),
            rows_skipped: Some(0),
            rows_rejected: Some(0),
            rows_rehashed: Some(0),
            watermark_before: None,
            watermark_after: None,
            error_code: (!good).then(|| "mass_delete".into()),
            error: (!good).then(|| "60 of 100 keys left the source".into()),
            started_by: Some("cli".into()),
            host: Some("etl-1".into()),
            pid: Some(4711),
            version: Some("0.1.0".into()),
            slot: None,
            attempt: 1,
            parent_run_id: None,
            step_name: None,
            transforms: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_a_line() {
        assert_eq!(
            plain(&runs(&[row("refused"), row("success")], true, &TimeZone::UTC)),
            "\
STATUS   STARTED           TOOK     IN  INSERTED  CLOSED  BY   RUN       ERROR
refused  03-01 10:00:00  0.11 s                           cli  5d21c0fe  mass_delete
success  03-01 10:00:00  0.11 s  5,000        12       3  cli  5d21c0fe
"
        );
        assert_eq!(
            plain(&runs(&[row("success")], false, &TimeZone::UTC)),
            "\
STATUS   PIPELINE   STARTED           TOOK     IN  WRITTEN  BY   RUN
success  customers  03-01 10:00:00  0.11 s  5,000       15  cli  5d21c0fe
"
        );
        assert_eq!(plain(&runs(&[], true, &TimeZone::UTC)), "no runs yet\n");
    }

    #[test]
    fn a_log_has_facts_and_steps() {
        let step = |n, kind: &str, rows, milliseconds| StepReport {
            n,
            kind: kind.into(),
            purpose: format!("{kind} something"),
            rows,
            bytes: None,
            milliseconds,
        };
        let log = RunLog {
            run: row("refused"),
            steps: vec![step(1, "diff", Some(5000), 21.7), step(2, "guard", None, 0.42)],
        };
        assert_eq!(
            plain(&super::log(&log, &TimeZone::UTC)),
            "\
customers  refused  01a207ab-0000-7000-8000-66b25d21c0fe
  target     analytics.dim_customers
  mode       scd2
  path       same_db
  started    2026-03-01 10:00:00
  took       0.11 s
  by         cli on etl-1, process 4711
  version    0.1.0
  error      [mass_delete] 60 of 100 keys left the source

N  KIND    ROWS    TOOK  PURPOSE
1  diff   5,000   22 ms  diff something
2  guard         0.4 ms  guard something
"
        );
    }
}
