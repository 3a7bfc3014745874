//! What is known of pipelines between their runs, a line each.

use super::number::{age, duration, minute, thousands};
use super::style::{self, ERROR, FAINT, STRONG, WARNING, paint};
use super::table::Table;
use ematix_flow_core::report::{RunPoint, StatusRow};
use jiff::Timestamp;
use jiff::tz::TimeZone;

const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// `NAME LAST STARTED TOOK IN WRITTEN LAG NEXT RUNS`; what is running and what was missed, where there is any.
pub fn states(rows: &[StatusRow], now: Timestamp, zone: &TimeZone) -> String {
    if rows.is_empty() {
        return "no pipelines are declared\n".to_owned();
    }
    let running = rows.iter().any(|row| row.running_since.is_some());
    let missed = rows.iter().any(|row| row.missed_slot.is_some());
    let mut head = vec!["NAME", "LAST", "STARTED", ">TOOK", ">IN", ">WRITTEN", ">LAG"];
    head.extend(running.then_some("RUNNING"));
    head.push("NEXT");
    head.extend(missed.then_some("MISSED"));
    head.push("RUNS");
    let mut table = Table::new(&head);
    for row in rows {
        let last = row.last_ended();
        let shown = |text: Option<String>| text.unwrap_or_else(dash);
        // What failed has written nothing.
        let counted = last.filter(|run| run.status == "success");
        let mut cells = vec![
            paint(STRONG, &row.name),
            match (last, &row.running_since) {
                (Some(run), _) => paint(style::of_status(&run.status), &run.status),
                (None, Some(_)) => dash(),
                (None, None) => paint(FAINT, "never ran"),
            },
            shown(last.map(|run| minute(&run.started_at, zone))),
            shown(last.and_then(|run| run.duration_ms).map(|ms| duration(ms.unsigned_abs()))),
            shown(counted.and_then(|run| run.rows_in).map(thousands)),
            shown(counted.map(|run| thousands(run.rows_written()))),
            shown(row.lag_ms.map(|ms| age(ms.unsigned_abs()))),
        ];
        cells.extend(
            running.then(|| row.running_since.as_deref().map(|at| since(at, now)).unwrap_or_default()),
        );
        cells.push(match &row.paused {
            Some(_) => paint(WARNING, "paused"),
            None => shown(row.next.as_deref().map(|next| minute(next, zone))),
        });
        cells.extend(missed.then(|| {
            let slot = row.missed_slot.as_deref().map(|slot| paint(ERROR, minute(slot, zone)));
            slot.unwrap_or_default()
        }));
        cells.push(sparkline(&row.runs));
        table.row(cells);
    }
    table.render()
}

/// For how long something has been going on.
fn since(started_at: &str, now: Timestamp) -> String {
    let for_how_long = started_at.parse::<Timestamp>().map(|at| now.duration_since(at).as_millis().max(0));
    for_how_long.map_or_else(|_| started_at.to_owned(), |ms| format!("for {}", age(ms as u64)))
}

/// How long the last runs took, oldest first: a bar is a success, anything else the sign of what it was.
fn sparkline(runs: &[RunPoint]) -> String {
    let took = |run: &RunPoint| run.duration_ms.unwrap_or(0).max(0);
    let longest = runs.iter().filter(|run| run.status == "success").map(took).max().unwrap_or(0);
    let bar = |run: &RunPoint| match run.status.as_str() {
        "success" if longest == 0 => BARS[0],
        "success" => BARS[(took(run) * 7 / longest).clamp(0, 7) as usize],
        "running" => "…",
        "skipped" => "·",
        "cancelled" => "-",
        "locked" | "refused" => "!",
        _ => "✗",
    };
    runs.iter().map(|run| paint(style::of_status(&run.status), bar(run))).collect()
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;

    fn run(status: &str, duration_ms: i64) -> RunPoint {
        RunPoint {
            status: status.to_owned(),
            duration_ms: Some(duration_ms),
            started_at: "2026-03-01T10:00:00.25Z".to_owned(),
            rows_in: Some(5000),
            rows_inserted: Some(12),
            ..RunPoint::default()
        }
    }

    fn states(rows: &[StatusRow]) -> String {
        let now = "2026-03-01T12:00:00Z".parse().expect("an instant");
        plain(&super::states(rows, now, &TimeZone::UTC))
    }

    #[test]
    fn a_pipeline_is_a_line_with_the_durations_and_ends_of_its_last_runs() {
        let ends = ["failed", "refused", "locked", "cancelled", "skipped", "lost"].map(|end| run(end, 9000));
        let took = [0, 50, 100, 110].map(|ms| run("success", ms));
        let customers = StatusRow {
            name: "customers".into(),
            lag_ms: Some(7_500_000),
            next: Some("2026-03-01T13:00:00Z".into()),
            runs: ends.into_iter().chain(took).collect(),
            ..StatusRow::default()
        };
        let never = StatusRow { name: "orders".into(), ..StatusRow::default() };
        assert_eq!(
            states(&[customers, never]),
            "\
NAME       LAST       STARTED             TOOK     IN  WRITTEN  LAG  NEXT              RUNS
customers  success    2026-03-01 10:00  0.11 s  5,000       12  2 h  2026-03-01 13:00  ✗!!-·✗▁▄▇█
orders     never ran  –                      –      –        –    –  –
"
        );
    }

    #[test]
    fn what_runs_and_what_was_missed_is_marked() {
        let running = StatusRow {
            name: "orders".into(),
            running_since: Some("2026-03-01T11:57:00Z".into()),
            runs: vec![run("failed", 20), RunPoint { duration_ms: None, ..run("running", 0) }],
            ..StatusRow::default()
        };
        let missed = StatusRow {
            name: "prices".into(),
            missed_slot: Some("2026-03-01T11:00:00Z".into()),
            ..StatusRow::default()
        };
        assert_eq!(
            states(&[running, missed]),
            "\
NAME    LAST       STARTED             TOOK  IN  WRITTEN  LAG  RUNNING    NEXT  MISSED            RUNS
orders  failed     2026-03-01 10:00  0.02 s   –        –    –  for 3 min  –                       ✗…
prices  never ran  –                      –   –        –    –             –     2026-03-01 11:00
"
        );
    }
}
