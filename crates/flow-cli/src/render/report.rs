//! A run's report as the line that every run ends with, and the sample of a dry-run.

use super::number::{counted, duration, thousands};
use super::style::{self, FAINT, STRONG, paint};
use ematix_flow_core::declare::Mode;
use ematix_flow_core::error::{ExitCode, FlowError};
use ematix_flow_core::planner::rewind;
use ematix_flow_core::report::{LayerReport, RunReport, SampleRow, Status, TransformReport};
use serde_json::Value;

/// The counts of a run, as its mode has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the source gave.
    pub rows_in: i64,
    /// New rows.
    pub inserted: i64,
    /// Rows rewritten in place.
    pub updated: i64,
    /// Versions closed.
    pub closed_out: i64,
    /// Keys found gone.
    pub deleted: i64,
    /// Rows that needed nothing.
    pub unchanged: i64,
    /// Rows dropped as duplicates.
    pub deduplicated: i64,
    /// Rows loaded before, or without a watermark.
    pub skipped: i64,
    /// Rows quarantined.
    pub rejected: i64,
    /// Hashes computed anew.
    pub rehashed: i64,
    /// Values that markers could not read.
    pub unread: i64,
}

impl Counts {
    /// The counts of a report.
    pub fn of(report: &RunReport) -> Counts {
        Counts {
            rows_in: report.rows_in,
            inserted: report.rows_inserted,
            updated: report.rows_updated,
            closed_out: report.rows_closed_out,
            deleted: report.rows_deleted,
            unchanged: report.rows_unchanged,
            deduplicated: report.rows_deduplicated,
            skipped: report.rows_skipped,
            rejected: report.rows_rejected,
            rehashed: report.rows_rehashed,
            unread: report.parse_failures.values().sum(),
        }
    }

    /// `5,000 in  12 inserted  3 closed out  4,988 unchanged`: what belongs to the mode always, the
    /// rest where it is not zero.
    pub fn line(&self, mode: &str) -> String {
        self.words(mode, true).join("  ")
    }

    /// What was written, for the line `load`.
    pub fn written(&self, mode: &str) -> String {
        let mut words = self.words(mode, false);
        if words.is_empty() {
            words.push("nothing to write".to_owned());
        }
        words.join("  ")
    }

    fn words(&self, mode: &str, whole: bool) -> Vec<String> {
        if mode == rewind::MODE {
            let words = [
                format!("{} brought back", thousands(self.updated)),
                format!("{} gone", thousands(self.deleted)),
            ];
            return words.into();
        }
        let mode = Mode::named(mode);
        let versions = mode.is_some_and(Mode::keeps_versions);
        let updates = mode.is_some_and(Mode::updates_rows);
        // The count, its word, whether it is part of what was written, whether it is shown at zero.
        let all = [
            (self.rows_in, "in", false, true),
            (self.inserted, "inserted", true, true),
            (self.updated, "updated", true, updates),
            (self.closed_out, "closed out", true, versions),
            (self.deleted, "deleted", true, false),
            (self.unchanged, "unchanged", false, versions || updates),
            (self.deduplicated, "deduplicated", false, false),
            (self.skipped, "skipped", false, false),
            (self.rejected, "rejected", true, false),
            (self.rehashed, "rehashed", true, false),
            (self.unread, "not read", false, false),
        ];
        all.into_iter()
            .filter(
                |(count, _, written, always)| {
                    if whole { *count != 0 || *always } else { *count != 0 && *written }
                },
            )
            .map(|(count, word, _, _)| format!("{} {word}", thousands(count)))
            .collect()
    }
}

/// A run that has ended, and the keys of its plan.
#[derive(Debug)]
pub struct Ended {
    /// Its report.
    pub report: RunReport,
    /// The keys by which its rows were matched.
    pub keys: Vec<String>,
}

/// The line that a run ends with; its first word is the status.
pub fn line(report: &RunReport) -> String {
    let mut text = own_line(report);
    if report.status == Status::Success {
        for part in &report.targets {
            text.push_str(&format!("  {}  {}\n", part.target, Counts::of(part).line(&part.mode)));
        }
    }
    for transform in &report.transforms {
        let line = match report.dry_run {
            true => format!("after the commit, not run here: {}\n", transform.name),
            false => self::transform(transform),
        };
        text.push_str(&format!("  {line}"));
    }
    for told in &report.notify {
        let endings: Vec<&str> = told.on.iter().map(|ending| ending.name()).collect();
        text.push_str(&format!(
            "  when it has ended, not told here: {} of {}\n",
            told.to,
            endings.join(", ")
        ));
    }
    text
}

/// How a transform ended, in a line.
pub fn transform(report: &TransformReport) -> String {
    let status = paint(style::of_status(report.status.name()), report.status.name());
    let name = paint(STRONG, &report.name);
    if report.run_id.is_none() {
        return format!("{status}  {name}  not started\n");
    }
    let metrics: Vec<String> =
        report.metrics.iter().map(|(name, value)| format!("{name} = {}", cell(value))).collect();
    let metrics = if metrics.is_empty() { String::new() } else { format!("  {}", metrics.join("  ")) };
    let run = paint(FAINT, format_args!("(run {})", report.short_id()));
    format!("{status}  {name}{metrics}  {}  {run}\n", duration(report.duration_ms))
}

fn own_line(report: &RunReport) -> String {
    let status = paint(style::of_status(report.status.name()), report.status.name());
    let name = paint(STRONG, &report.pipeline);
    // What is wrong with files or usage is no run: nothing remembers its id.
    let is_run = report.error.as_ref().is_none_or(|error| error.code.exit() != ExitCode::Usage);
    let shown = paint(FAINT, format_args!("(run {})", report.short_id()));
    let run = if is_run { format!("  {shown}") } else { String::new() };
    let took = duration(report.duration_ms);
    match report.status {
        Status::Success if report.dry_run => {
            let note = paint(FAINT, "(dry run: rolled back)");
            format!("{status}  {name}  {}  {took}  {note}\n", Counts::of(report).line(&report.mode))
        }
        Status::Success => {
            format!("{status}  {name}  {}  {took}{run}\n", Counts::of(report).line(&report.mode))
        }
        Status::Skipped => match &report.error {
            Some(error) => skipped(&report.pipeline, error),
            None => format!("{status}  {name}  not started\n"),
        },
        _ if report.committed => format!("{status}  {name}  the load stands  {took}{run}\n"),
        Status::Refused => format!("{status}  {name}  nothing was written{run}\n"),
        _ => format!("{status}  {name}  nothing was written  {took}{run}\n"),
    }
}

/// Why something was not started, in a line.
pub fn skipped(name: &str, why: &FlowError) -> String {
    let status = paint(style::of_status("skipped"), "skipped");
    let hint = why.hint.as_deref().map(|hint| format!("  ({hint})")).unwrap_or_default();
    format!("{status}  {}  {}{hint}\n", paint(STRONG, name), why.message)
}

/// Rows that would change: a new or a lost row whole, a changed one as old → new.
pub fn sample(rows: &[SampleRow], keys: &[String]) -> String {
    let mut text = String::new();
    for row in rows {
        let present = row.new.as_ref().or(row.old.as_ref());
        let key: Vec<String> = keys
            .iter()
            .filter_map(|key| {
                present.and_then(|row| row.get(key)).map(|value| format!("{key} = {}", cell(value)))
            })
            .collect();
        let other = |name: &&String| !keys.contains(name);
        let change: Vec<String> = match (&row.old, &row.new) {
            (Some(old), Some(new)) => new
                .keys()
                .filter(other)
                .filter(|name| old.get(*name) != new.get(*name))
                .map(|name| {
                    let before = old.get(name).map_or_else(|| "–".to_owned(), cell);
                    format!("{name}: {before} → {}", cell(&new[name.as_str()]))
                })
                .collect(),
            _ => present
                .map(|row| {
                    row.iter()
                        .filter(|(name, _)| other(name))
                        .map(|(name, value)| format!("{name}: {}", cell(value)))
                        .collect()
                })
                .unwrap_or_default(),
        };
        let parts: Vec<String> = key.into_iter().chain(change).collect();
        text.push_str(&format!(
            "  {}  {}\n",
            paint(STRONG, format_args!("{:<6}", row.change)),
            parts.join("  ")
        ));
    }
    if rows.is_empty() {
        text.push_str("  no row that is there would change\n");
    }
    text
}

/// What each layer left: rows fewer or more than before, and the values that markers changed.
pub fn layers(layers: &[LayerReport]) -> String {
    let width = layers.iter().map(|layer| layer.layer.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut before = None;
    for layer in layers {
        let mut words = vec![counted(layer.rows, "row", "rows")];
        match before.map(|before: i64| layer.rows - before) {
            Some(difference) if difference < 0 => words.push(format!("{} dropped", thousands(-difference))),
            Some(difference) if difference > 0 => words.push(format!("{} more", thousands(difference))),
            _ => {}
        }
        let changed = layer.changed.iter().flatten().filter(|(_, count)| **count > 0);
        let columns: Vec<String> =
            changed.map(|(column, count)| format!("{column}: {} changed", thousands(*count))).collect();
        words.extend(columns);
        text.push_str(&format!("  {:<width$}  {}\n", layer.layer, words.join("  ")));
        for row in layer.sample.iter().flatten() {
            // A number that was a text looks the same.
            let shown =
                row.after.iter().map(|(name, after)| match (row.before.get(name).map(cell), cell(after)) {
                    (Some(before), after) if before != after => format!("{name}: {before} → {after}"),
                    (_, after) => format!("{name}: {after}"),
                });
            let parts: Vec<String> = shown.collect();
            text.push_str(&format!("  {:<width$}    {}\n", "", parts.join("  ")));
        }
        before = Some(layer.rows);
    }
    text
}

/// A value as in a sentence: text without quotes, NULL as NULL.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) if text.is_empty() => "''".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        other => other.to_string(),
    }
}

/// How several runs ended: `2 success, 1 refused`.
pub fn statuses<'a>(reports: impl IntoIterator<Item = &'a RunReport>) -> String {
    let mut by_status: Vec<(Status, usize)> = Vec::new();
    for report in reports {
        match by_status.iter_mut().find(|(status, _)| *status == report.status) {
            Some((_, count)) => *count += 1,
            None => by_status.push((report.status, 1)),
        }
    }
    let words: Vec<String> = by_status
        .iter()
        .map(|(status, count)| {
            paint(style::of_status(status.name()), format_args!("{count} {}", status.name()))
        })
        .collect();
    words.join(", ")
}

/// What several runs came to: `3 pipelines: 2 success, 1 refused  0.31 s`. They may have run side by side: the time is
/// that from the first's begin to the last's end.
pub fn footer(reports: &[&RunReport]) -> String {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let begun = reports.iter().filter_map(|report| time(&report.started_at)).min();
    let ended = reports.iter().filter_map(|report| time(&report.ended_at)).max();
    let milliseconds =
        begun.zip(ended).map_or(0, |(begun, ended)| ended.as_millisecond() - begun.as_millisecond());
    let milliseconds = u64::try_from(milliseconds).unwrap_or(0);
    let all = counted(reports.len() as i64, "pipeline", "pipelines");
    format!("{all}: {}  {}\n", statuses(reports.iter().copied()), duration(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;
    use ematix_flow_core::report::ExecutionPath;
    use serde_json::json;

    fn report(mode: &str, status: Status) -> RunReport {
        RunReport {
            run_id: "01a207ab-0000-7000-8000-66b25d21c0fe".into(),
            status,
            committed: status == Status::Success,
            mode: mode.into(),
            path: Some(ExecutionPath::SameDatabase),
            source_connection: "crm".into(),
            target_connection: "warehouse".into(),
            target: "analytics.dim_customers".into(),
            started_at: "2026-03-01T10:00:00Z".into(),
            ended_at: "2026-03-01T10:00:00.11Z".into(),
            duration_ms: 110,
            rows_in: 5000,
            rows_inserted: 5000,
            ..RunReport::of("customers")
        }
    }

    #[test]
    fn each_mode_has_its_counts_and_others_only_above_zero() {
        let of = |mode: &str, change: fn(&mut RunReport)| {
            let mut report = report(mode, Status::Success);
            change(&mut report);
            plain(&line(&report))
        };
        assert_eq!(
            of("scd2", |_| ()),
            "success  customers  5,000 in  5,000 inserted  0 closed out  0 unchanged  0.11 s  (run 5d21c0fe)\n"
        );
        assert_eq!(
            of("merge", |report| report.rows_deleted = 3),
            "success  customers  5,000 in  5,000 inserted  0 updated  3 deleted  0 unchanged  0.11 s  (run 5d21c0fe)\n"
        );
        assert_eq!(
            of("append", |report| report.rows_skipped = 7),
            "success  customers  5,000 in  5,000 inserted  7 skipped  0.11 s  (run 5d21c0fe)\n"
        );
        assert_eq!(
            of("truncate", |_| ()),
            "success  customers  5,000 in  5,000 inserted  0.11 s  (run 5d21c0fe)\n"
        );
        assert_eq!(
            of("truncate", |report| report.dry_run = true),
            "success  customers  5,000 in  5,000 inserted  0.11 s  (dry run: rolled back)\n"
        );
    }

    #[test]
    fn what_did_not_go_well_says_whether_something_was_written() {
        let of = |status, committed| plain(&line(&RunReport { committed, ..report("scd2", status) }));
        assert_eq!(of(Status::Refused, false), "refused  customers  nothing was written  (run 5d21c0fe)\n");
        assert_eq!(
            of(Status::Failed, false),
            "failed  customers  nothing was written  0.11 s  (run 5d21c0fe)\n"
        );
        assert_eq!(of(Status::Failed, true), "failed  customers  the load stands  0.11 s  (run 5d21c0fe)\n");
        assert_eq!(of(Status::Skipped, false), "skipped  customers  not started\n");
    }

    #[test]
    fn what_was_written_leaves_out_what_was_not() {
        let mut counts = Counts { rows_in: 9, inserted: 2, closed_out: 2, unchanged: 7, ..Counts::default() };
        assert_eq!(counts.written("scd2"), "2 inserted  2 closed out");
        counts = Counts { rows_in: 9, unchanged: 9, ..Counts::default() };
        assert_eq!(counts.written("scd2"), "nothing to write");
    }

    #[test]
    fn a_sample_shows_old_beside_new() {
        let row = |value: Value| value.as_object().unwrap().clone();
        let rows = [
            SampleRow {
                change: "update".into(),
                old: Some(row(json!({"id": 17, "city": "London", "tier": "silver"}))),
                new: Some(row(json!({"id": 17, "city": "Suez", "tier": "silver"}))),
            },
            SampleRow {
                change: "insert".into(),
                old: None,
                new: Some(row(json!({"id": 18, "city": null, "tier": ""}))),
            },
        ];
        assert_eq!(
            plain(&sample(&rows, &["id".to_owned()])),
            "  update  id = 17  city: London → Suez\n  insert  id = 18  city: NULL  tier: ''\n"
        );
        assert_eq!(plain(&sample(&[], &[])), "  no row that is there would change\n");
    }

    #[test]
    fn several_runs_end_with_a_line_that_counts_them() {
        let mut reports =
            [Status::Success, Status::Refused, Status::Success].map(|status| report("scd2", status));
        reports[1].ended_at = "2026-03-01T10:00:00.33Z".into();
        assert_eq!(
            plain(&footer(&reports.iter().collect::<Vec<_>>())),
            "3 pipelines: 2 success, 1 refused  0.33 s\n"
        );
    }
}
