//! The text that Prometheus reads (https://prometheus.io/docs/instrumenting/exposition_formats/), from plain data; and
//! the file of it that the node exporter's textfile collector picks up. Such a file is the memory of what each
//! pipeline's last run was: what has not run now stays in it as it was.

use crate::rows;
use ematix_flow_core::report::{RunReport, Status};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// The statuses that a run may end with, in the order of the text.
const STATUSES: &[Status] = &[
    Status::Success,
    Status::Failed,
    Status::Refused,
    Status::Locked,
    Status::Cancelled,
    Status::Skipped,
    Status::Lost,
];

/// What is told of one pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineMetrics {
    /// How many runs have ended with each status.
    pub runs: IndexMap<String, f64>,
    /// How many rows of each kind runs have come to.
    pub rows: IndexMap<String, f64>,
    /// The status of the last run.
    pub last_status: Option<String>,
    /// When it ended, in seconds since 1970.
    pub last_ended: Option<f64>,
    /// How long it took, in seconds.
    pub last_seconds: Option<f64>,
    /// Its rows by kind.
    pub last_rows: IndexMap<String, f64>,
    /// When the last run ended that was a success, in seconds since 1970.
    pub last_success: Option<f64>,
}

/// What is told of each pipeline, by its name.
pub type Told = IndexMap<String, PipelineMetrics>;

/// A family of series: its name, its type, what it says, and the label beside `pipeline`.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    values: fn(&PipelineMetrics) -> Vec<(&str, f64)>,
    put: fn(&mut PipelineMetrics, &str, f64),
}

fn by(values: &IndexMap<String, f64>) -> Vec<(&str, f64)> {
    values.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

fn one(value: Option<f64>) -> Vec<(&'static str, f64)> {
    value.map(|value| ("", value)).into_iter().collect()
}

const FAMILIES: &[Family] = &[
    Family {
        name: "ematix_flow_runs_total",
        kind: "counter",
        help: "Runs that have ended, by status.",
        label: Some("status"),
        values: |told| by(&told.runs),
        put: |told, status, value| *told.runs.entry(status.to_owned()).or_default() = value,
    },
    Family {
        name: "ematix_flow_rows_total",
        kind: "counter",
        help: "Rows of all runs, by what became of them.",
        label: Some("kind"),
        values: |told| by(&told.rows),
        put: |told, kind, value| *told.rows.entry(kind.to_owned()).or_default() = value,
    },
    Family {
        name: "ematix_flow_last_run_status",
        kind: "gauge",
        help: "1 for the status of the last run, 0 for every other.",
        label: Some("status"),
        values: |told| match &told.last_status {
            Some(last) => {
                STATUSES.iter().map(|status| (status.name(), f64::from(status.name() == last))).collect()
            }
            None => Vec::new(),
        },
        put: |told, status, value| {
            if value == 1.0 {
                told.last_status = Some(status.to_owned());
            }
        },
    },
    Family {
        name: "ematix_flow_last_run_timestamp_seconds",
        kind: "gauge",
        help: "When the last run ended, in seconds since 1970.",
        label: None,
        values: |told| one(told.last_ended),
        put: |told, _, value| told.last_ended = Some(value),
    },
    Family {
        name: "ematix_flow_last_success_timestamp_seconds",
        kind: "gauge",
        help: "When the last run ended that was a success, in seconds since 1970.",
        label: None,
        values: |told| one(told.last_success),
        put: |told, _, value| told.last_success = Some(value),
    },
    Family {
        name: "ematix_flow_last_run_duration_seconds",
        kind: "gauge",
        help: "How long the last run took.",
        label: None,
        values: |told| one(told.last_seconds),
        put: |told, _, value| told.last_seconds = Some(value),
    },
    Family {
        name: "ematix_flow_last_run_rows",
        kind: "gauge",
        help: "Rows of the last run, by what became of them.",
        label: Some("kind"),
        values: |told| by(&told.last_rows),
        put: |told, kind, value| *told.last_rows.entry(kind.to_owned()).or_default() = value,
    },
];

impl PipelineMetrics {
    /// Counts a run that has ended.
    pub fn add(&mut self, report: &RunReport) {
        let status = report.status.name();
        *self.runs.entry(status.to_owned()).or_default() += 1.0;
        self.last_rows.clear();
        for (kind, count) in rows::of(report) {
            *self.rows.entry(kind.to_owned()).or_default() += count as f64;
            self.last_rows.insert(kind.to_owned(), count as f64);
        }
        let ended = report.ended_at.parse::<Timestamp>().ok();
        let ended = ended.map(|at| at.as_microsecond() as f64 / 1e6);
        self.last_status = Some(status.to_owned());
        self.last_ended = ended;
        self.last_seconds = Some(report.duration_ms as f64 / 1000.0);
        if report.status == Status::Success {
            self.last_success = ended;
        }
    }
}

/// The text of it.
pub fn render(told: &Told) -> String {
    let mut text = String::new();
    for family in FAMILIES {
        let Family { name, kind, help, label, values, .. } = family;
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (pipeline, metrics) in told {
            for (value_of, value) in values(metrics) {
                let _ = write!(text, "{name}{{pipeline=\"{}\"", escaped(pipeline));
                if let Some(label) = label {
                    let _ = write!(text, ",{label}=\"{}\"", escaped(value_of));
                }
                let _ = writeln!(text, "}} {value}");
            }
        }
    }
    text
}

/// What a text of ours says; what is not ours is left aside.
pub fn read(text: &str) -> Told {
    let mut told = Told::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some(family) = FAMILIES.iter().find(|family| family.name == name) else { continue };
        let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
        let Ok(value) = value.trim().parse() else { continue };
        let labels = labels_of(labels);
        let label =
            |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let Some(pipeline) = label("pipeline") else { continue };
        let value_of = family.label.map_or(Some(""), label);
        if let Some(value_of) = value_of {
            (family.put)(told.entry(pipeline.to_owned()).or_default(), value_of, value);
        }
    }
    told
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `a="b",c="d"`.
fn labels_of(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut characters = text.chars();
    loop {
        let name: String = characters.by_ref().take_while(|character| *character != '=').collect();
        if characters.next() != Some('"') {
            return found;
        }
        let mut value = String::new();
        loop {
            match characters.next() {
                Some('\\') => match characters.next() {
                    Some('n') => value.push('\n'),
                    Some(other) => value.push(other),
                    None => return found,
                },
                Some('"') => break,
                Some(other) => value.push(other),
                None => return found,
            }
        }
        found.push((name.trim_start_matches(',').to_owned(), value));
    }
}

/// Enters runs into a file: what it says of pipelines that are declared no longer is left out, and a reader finds the
/// old text or the new one, never half of it.
///
/// # Errors
/// As the file system says.
pub fn enter(file: &Path, reports: &[&RunReport], declared: &[&str]) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Whoever enters at the same time would lose what we enter. A lock that cannot be had is no reason to wait for it.
    let _turn = File::open(directory).and_then(|held| take_turn(&held).map(|()| held));
    let mut told = match std::fs::read_to_string(file) {
        Ok(text) => read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Told::new(),
        Err(error) => return Err(error),
    };
    told.retain(|pipeline, _| declared.contains(&pipeline.as_str()));
    for report in reports.iter().filter(|report| !report.dry_run) {
        told.entry(report.pipeline.clone()).or_default().add(report);
    }
    told.sort_keys();
    let name = file.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    // The collector takes files that end in .prom.
    let beside = directory.join(format!(".{name}.{}", std::process::id()));
    let written = File::create(&beside).and_then(|mut new| {
        new.write_all(render(&told).as_bytes())?;
        new.sync_data()
    });
    let moved = written.and_then(|()| std::fs::rename(&beside, file));
    if moved.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    moved
}

fn take_turn(held: &File) -> io::Result<()> {
    for _ in 0..100 {
        match held.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            done => return done.map_err(io::Error::from),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut told = Told::new();
        let mut report = RunReport::of("odd \"name\" \\ {a} = b,\nc");
        report.status = Status::Success;
        report.ended_at = "2026-01-02T03:04:05.678901Z".to_owned();
        report.duration_ms = 1250;
        report.rows_in = 7;
        told.entry(report.pipeline.clone()).or_default().add(&report);
        report.status = Status::Refused;
        report.ended_at = "2026-01-02T03:05:05Z".to_owned();
        told.entry(report.pipeline.clone()).or_default().add(&report);
        told.entry("other".to_owned()).or_default().add(&report);
        assert_eq!(read(&render(&told)), told);
        let metrics = &told[0];
        assert_eq!(metrics.last_success, Some(1_767_323_045.678_901));
        assert_eq!(metrics.last_status.as_deref(), Some("refused"));
        assert_eq!(metrics.rows["in"], 14.0);
        assert_eq!(metrics.last_rows["in"], 7.0);
    }
}
