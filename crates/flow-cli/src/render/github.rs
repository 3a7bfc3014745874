//! Workflow commands that GitHub shows beside the lines of a pull request: `::error file=…,line=…::message`.
//! <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>

use super::plan::{Marked, marked, risk};
use crate::workspace::Workspace;
use ematix_flow_core::declare::Places;
use ematix_flow_core::error::{FlowError, Location};
use ematix_flow_core::plan::{Mark, MarkKind, Plan};
use ematix_flow_core::report::{PlannedPipeline, RunReport};

/// How much an annotation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Notice,
    Warning,
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// What annotations are made with: where pipelines are declared, and how files are named.
#[derive(Debug)]
pub struct Annotations<'a> {
    /// The places of the declarations.
    pub places: &'a Places,
    /// How files are named.
    pub workspace: &'a Workspace,
}

impl Annotations<'_> {
    /// One annotation for each of some errors.
    pub fn errors(&self, errors: &[FlowError]) -> String {
        errors.iter().map(|error| self.error(error, None)).collect()
    }

    /// One annotation for each of some doubts.
    pub fn warnings(&self, doubts: &[FlowError]) -> String {
        let warning = |doubt: &FlowError| {
            self.annotation(Level::Warning, doubt.location.as_deref(), doubt.code.name(), &words(doubt))
        };
        doubts.iter().map(warning).collect()
    }

    /// What a plan would change: one annotation for each kind of mark, and one for each warning or error.
    pub fn plan(&self, planned: &PlannedPipeline) -> String {
        let name = &planned.pipeline;
        let mut text = String::new();
        if let Some(plan) = &planned.plan {
            // Drift that a run is refused for is told as the error, which has its remedy.
            let told = |group: &Marked<'_>| group.kind == MarkKind::Drift && plan.refused.is_some();
            for Marked { kind, target, marks } in marked(plan).into_iter().filter(|group| !told(group)) {
                let harmless = marks.iter().all(|mark| mark.risk.is_none());
                let level = if harmless { Level::Notice } else { Level::Warning };
                let lines: Vec<String> = marks.iter().map(|mark| with_risk(mark)).collect();
                let title = format!("{name}: {kind} {target}");
                text.push_str(&self.annotation(level, self.place(name).as_ref(), &title, &lines.join("\n")));
            }
            for warning in unsaid_warnings(plan) {
                text.push_str(&self.warning(name, warning));
            }
        }
        text.extend(planned.errors.iter().map(|error| self.error(error, Some(name))));
        text
    }

    /// What a dry-run met.
    pub fn run(&self, report: &RunReport) -> String {
        let name = &report.pipeline;
        let mut text: String = report.warnings.iter().map(|warning| self.warning(name, warning)).collect();
        text.extend(report.error.iter().map(|error| self.error(error, Some(name))));
        text
    }

    fn warning(&self, pipeline: &str, warning: &str) -> String {
        self.annotation(
            Level::Warning,
            self.place(pipeline).as_ref(),
            &format!("{pipeline}: warning"),
            warning,
        )
    }

    fn error(&self, error: &FlowError, pipeline: Option<&str>) -> String {
        let of_pipeline = pipeline.and_then(|pipeline| self.place(pipeline));
        let place = error.location.as_deref().or(of_pipeline.as_ref());
        let title = match pipeline {
            Some(pipeline) => format!("{pipeline}: {}", error.code),
            None => error.code.to_string(),
        };
        self.annotation(Level::Error, place, &title, &words(error))
    }

    fn place(&self, pipeline: &str) -> Option<Location> {
        self.places.pipeline(pipeline)
    }

    fn annotation(&self, level: Level, place: Option<&Location>, title: &str, message: &str) -> String {
        let mut properties = String::new();
        if let Some(place) = place {
            let file = property(&self.workspace.relative(&place.file));
            properties = format!("file={file},line={},col={},", place.line, place.column);
        }
        format!("::{} {properties}title={}::{}\n", level.name(), property(title), escaped(message))
    }
}

/// Warnings that no mark tells already.
pub fn unsaid_warnings(plan: &Plan) -> impl Iterator<Item = &String> {
    let said = |warning: &str| {
        let drift = plan.marks.iter().filter(|mark| mark.mark == MarkKind::Drift);
        drift
            .filter_map(|mark| mark.what.strip_suffix(" (ignored)"))
            .any(|what| warning == format!("drift ignored: {what}"))
    };
    plan.warnings.iter().filter(move |warning| !said(warning))
}

fn with_risk(mark: &Mark) -> String {
    match mark.risk.is_none() {
        true => mark.what.clone(),
        false => format!("{} ({})", mark.what, risk(mark)),
    }
}

/// Everything that an error says but its place.
fn words(error: &FlowError) -> String {
    let label = error.location.iter().filter_map(|place| place.excerpt.as_ref()?.label.clone());
    let lines = std::iter::once(error.message.clone()).chain(error.details.iter().cloned()).chain(label);
    let hint = error.hint.iter().map(|hint| format!("hint: {hint}"));
    lines.chain(hint).collect::<Vec<_>>().join("\n")
}

/// Text that stays in its command: the runner takes a new line for a new command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As [`escaped`], and without what ends a property.
fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}
