//! What a run tells while it goes: lines a phase for whoever watches, a line a step with `-v`.

use super::number::{counted, size, step_duration, thousands};
use super::report::Counts;
use super::spinner::{Board, Line};
use super::style::{FAINT, STRONG, WARNING, paint};
use super::table::cut;
use crate::console::Console;
use ematix_flow_core::error::FlowError;
use ematix_flow_core::pipeline::Transform;
use ematix_flow_core::plan::{Plan, Step, StepKind};
use ematix_flow_core::report::{RunReport, StepReport, TransformReport};
use ematix_flow_run::execute::observer::Observer;
use ematix_flow_run::transport::Passed;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where the runs of a command show how far they are.
pub struct Screen<'a> {
    console: &'a Console,
    board: Option<Board>,
    several: bool,
}

impl<'a> Screen<'a> {
    /// Nothing is shown where nobody watches; `several`: whether runs go on side by side.
    pub fn new(console: &'a Console, several: bool) -> Screen<'a> {
        let board = console.shows_progress().then(|| Board::start(console.width()));
        Screen { console, board, several }
    }

    /// Follows a run from one connection to another.
    pub fn follow(&self, pipeline: &str, source: &str, target_connection: &str) -> Progress<'a> {
        let name = self.several.then(|| pipeline.to_owned());
        Progress {
            console: self.console,
            source: source.to_owned(),
            target_connection: target_connection.to_owned(),
            line: self.board.as_ref().map(|board| board.line(name.as_deref())),
            name,
            seen: Mutex::new(Seen::default()),
        }
    }
}

/// Follows one run on stderr.
pub struct Progress<'a> {
    console: &'a Console,
    source: String,
    target_connection: String,
    line: Option<Line>,
    /// Of several at once: whose lines they are.
    name: Option<String>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    keys: Vec<String>,
    waiting: bool,
    /// Whether it was said that the target's server is away.
    away: bool,
    source_told: bool,
    passing_since: Option<Instant>,
}

impl Progress<'_> {
    /// Takes the moving line away and says what was written.
    pub fn finish(&self, report: &RunReport) {
        let Some(line) = &self.line else { return };
        line.clear();
        let wrote = report.error.is_none() || report.committed;
        if wrote && self.name.is_none() && self.console.verbose() == 0 {
            // On one database the source is read by the statement that compares; its rows are known at the end.
            if !self.seen().source_told {
                self.line(&phase("source", &[counted(report.rows_in, "row", "rows")]));
            }
            self.line(&phase("load", &[Counts::of(report).written(&report.mode)]));
        }
    }

    /// Prints something where no moving line is in its way.
    pub fn above(&self, print: impl FnOnce()) {
        match &self.line {
            Some(line) => line.above(print),
            None => print(),
        }
    }

    /// The keys of the plan that ran.
    pub fn keys(&self) -> Vec<String> {
        self.seen().keys.clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        let text = match &self.name {
            Some(name) => format!("{}  {}\n", paint(FAINT, name), text.trim()),
            None => text.to_owned(),
        };
        self.above(|| self.console.tell(&text));
    }

    /// Somebody watches this run alone, or asked for every step.
    fn tells(&self) -> bool {
        self.line.is_some() && self.name.is_none() || self.verbose()
    }

    fn verbose(&self) -> bool {
        self.console.verbose() > 0 && !self.console.logs_json()
    }
}

impl Observer for Progress<'_> {
    fn planned(&self, pipeline: &str, plan: &Plan) {
        self.seen().keys.clone_from(&plan.header.keys);
        if self.tells() {
            // It has the pipeline's name in it, also where several run.
            self.above(|| self.console.tell(&head(pipeline, plan, &self.source, &self.target_connection)));
        }
    }

    fn away(&self, error: &FlowError) {
        if !std::mem::replace(&mut self.seen().away, true) && self.tells() {
            self.line(&format!("  {} {}; it is tried again\n", paint(WARNING, "waiting:"), error.message));
        }
    }

    fn waiting(&self, pipeline: &str) {
        if std::mem::replace(&mut self.seen().waiting, true) {
            return;
        }
        if self.tells() {
            self.line(&format!(
                "  {} another run holds the target of {pipeline}\n",
                paint(WARNING, "waiting:")
            ));
        }
    }

    fn step_started(&self, step: &Step) {
        if let Some(line) = &self.line {
            let room = self.console.width().saturating_sub(20);
            line.show(cut(&format!("{}  {}", step.kind.name(), step.purpose), room));
        }
    }

    fn step_finished(&self, step: &StepReport) {
        if self.verbose() {
            self.line(&step_line(step));
        } else if self.line.is_some()
            && self.name.is_none()
            && (step.kind == StepKind::Stage.name() || step.bytes.is_some())
            && let Some(rows) = step.rows
            // Of several stages the first holds the rows as they came.
            && !std::mem::replace(&mut self.seen().source_told, true)
        {
            let mut facts = vec![counted(rows, "row", "rows")];
            facts.extend(step.bytes.map(size));
            facts.push(step_duration(step.milliseconds));
            self.line(&phase("source", &facts));
        }
    }

    fn transform_started(&self, transform: &Transform) {
        if let Some(line) = &self.line {
            let room = self.console.width().saturating_sub(20);
            line.show(cut(&format!("transform  {}", transform.name), room));
        }
    }

    fn transform_finished(&self, transform: &TransformReport) {
        if self.verbose() {
            self.line(&format!("    {}", super::report::transform(transform)));
        }
    }

    fn passing(&self, passed: Passed) {
        if let Some(line) = &self.line {
            let began = *self.seen().passing_since.get_or_insert_with(Instant::now);
            line.progress(stream(passed, began.elapsed()));
        }
    }
}

/// `customers  scd2  crm → warehouse analytics.dim_customers`.
fn head(pipeline: &str, plan: &Plan, source: &str, target_connection: &str) -> String {
    format!(
        "{}  {}  {source} → {target_connection} {}\n",
        paint(STRONG, pipeline),
        plan.header.mode,
        plan.header.target
    )
}

/// `source  1,234,000 rows  180 MB  912,000 rows/s`.
fn stream(passed: Passed, elapsed: Duration) -> String {
    let mut text = format!("source  {}  {}", counted(passed.rows, "row", "rows"), size(passed.bytes));
    // The first moments say little.
    if elapsed >= Duration::from_millis(500) {
        let rate = (passed.rows as f64 / elapsed.as_secs_f64()).round() as i64;
        text.push_str(&format!(
            "  {} rows/s",
            thousands(if rate >= 10_000 { rate / 1000 * 1000 } else { rate })
        ));
    }
    text
}

fn phase(name: &str, facts: &[String]) -> String {
    format!("  {name:<8} {}\n", facts.join("  "))
}

/// `  3 diff      rows that are new or differ  5,000 rows  22 ms`.
fn step_line(step: &StepReport) -> String {
    // A guard says in its purpose how many rows it expects; with others the run would have ended.
    let counted = step.rows.filter(|_| step.kind != StepKind::Guard.name());
    let rows =
        counted.map(|rows| format!("{} {}  ", thousands(rows), if rows == 1 { "row" } else { "rows" }));
    let facts = format!("{}{}", rows.unwrap_or_default(), step_duration(step.milliseconds));
    format!(
        "{:>3} {} {}  {}\n",
        step.n,
        paint(STRONG, format_args!("{:<9}", step.kind)),
        step.purpose,
        paint(FAINT, facts)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;

    #[test]
    fn a_step_has_number_kind_purpose_rows_and_time() {
        let step = StepReport {
            n: 3,
            kind: "diff".into(),
            purpose: "rows that differ".into(),
            rows: Some(5000),
            bytes: None,
            milliseconds: 21.7,
        };
        assert_eq!(plain(&step_line(&step)), "  3 diff      rows that differ  5,000 rows  22 ms\n");
        let step = StepReport {
            n: 12,
            kind: "truncate".into(),
            purpose: "empty the target".into(),
            rows: None,
            bytes: None,
            milliseconds: 0.42,
        };
        assert_eq!(plain(&step_line(&step)), " 12 truncate  empty the target  0.4 ms\n");
    }

    #[test]
    fn a_stream_tells_rows_bytes_and_speed() {
        let passed = Passed { rows: 1_234_000, bytes: 180_000_000 };
        assert_eq!(stream(passed, Duration::from_millis(200)), "source  1,234,000 rows  180 MB");
        assert_eq!(stream(passed, Duration::from_secs(2)), "source  1,234,000 rows  180 MB  617,000 rows/s");
    }

    #[test]
    fn a_phase_is_a_line() {
        assert_eq!(phase("source", &["5,000 rows".into(), "22 ms".into()]), "  source   5,000 rows  22 ms\n");
    }
}
