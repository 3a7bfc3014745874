//! Plans as text: what differs, then every step as it will run.

use super::diagnostic;
use super::number::counted;
use super::style::{self, ERROR, FAINT, STRONG, paint};
use ematix_flow_core::plan::{Mark, MarkKind, Plan, PrintedChild, Step};
use ematix_flow_core::report::{PlanReport, PlannedPipeline};

/// How much of each plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Each step's SQL under its purpose.
    pub sql: bool,
    /// Plans without a mark in full, too.
    pub unmarked: bool,
}

/// Every plan, and the line that sums them up.
pub fn report(report: &PlanReport, detail: Detail) -> String {
    let mut blocks: Vec<(String, bool)> =
        report.pipelines.iter().map(|planned| pipeline(planned, detail)).collect();
    blocks.push((last_line(report), false));
    let mut text = String::new();
    for (index, (block, long)) in blocks.iter().enumerate() {
        let after_long = index > 0 && blocks[index - 1].1;
        // Between plans in full a blank line; a single plan and its sum belong together.
        if index > 0 && (*long || after_long) && (blocks.len() > 2 || detail.sql) {
            text.push('\n');
        }
        text.push_str(block);
    }
    text
}

/// `Plan: 0 to create, 1 to change, 0 drifted`.
pub fn last_line(report: &PlanReport) -> String {
    paint(STRONG, format_args!("Plan: {}", sum(report))) + "\n"
}

/// `0 to create, 1 to change, 0 drifted`.
pub fn sum(report: &PlanReport) -> String {
    format!("{} to create, {} to change, {} drifted", report.create, report.change, report.drifted)
}

/// One pipeline, and whether it was shown in full.
fn pipeline(planned: &PlannedPipeline, detail: Detail) -> (String, bool) {
    let Some(plan) = &planned.plan else {
        let head = format!("{}  {}\n", paint(STRONG, &planned.pipeline), paint(ERROR, "no plan"));
        return (head + &diagnostic::errors(planned.faults()), true);
    };
    let mut text = head(&planned.pipeline, plan);
    let full = detail.unmarked || !plan.marks.is_empty();
    if full {
        text.push_str(&marks(plan));
        for warning in &plan.warnings {
            text.push_str(&format!("  {} {warning}\n", paint(style::WARNING, "warning:")));
        }
        for note in &plan.notes {
            text.push_str(&format!("  {}\n", paint(FAINT, format_args!("note: {note}"))));
        }
        let shown: Vec<Shown<'_>> = plan.steps().map(Shown::from).collect();
        let children = plan.printed_children();
        let shown: Vec<Shown<'_>> = shown.into_iter().chain(children.iter().map(Shown::from)).collect();
        text.push_str(&steps(&shown, detail.sql));
    }
    (text, full)
}

/// The first line of a plan: mode, target, keys and path, with their reasons.
pub fn head(name: &str, plan: &Plan) -> String {
    let keys = match (plan.header.keys.as_slice(), &plan.header.keys_reason) {
        ([], _) => String::new(),
        (keys, Some(reason)) => format!("  keys: {} ({reason})", keys.join(", ")),
        (keys, None) => format!("  keys: {}", keys.join(", ")),
    };
    let targets: Vec<String> = plan.parts.iter().map(|part| part.target.to_string()).collect();
    let path = format!("  path: {} ({})", plan.header.path.name(), plan.header.path_reason);
    format!("{}  {}  {}{keys}{path}\n", paint(STRONG, name), plan.header.mode, targets.join(", "))
}

/// Marks of one kind on one target.
pub struct Marked<'a> {
    /// The kind.
    pub kind: MarkKind,
    /// The target.
    pub target: String,
    /// The marks.
    pub marks: Vec<&'a Mark>,
}

/// The marks of a plan by target and kind, the kinds in the order in which they are told.
pub fn marked(plan: &Plan) -> Vec<Marked<'_>> {
    let mut groups: Vec<Marked<'_>> = Vec::new();
    for part in &plan.parts {
        let target = part.target.to_string();
        for kind in [MarkKind::Create, MarkKind::Change, MarkKind::Drift] {
            let belongs =
                |mark: &&Mark| mark.mark == kind && mark.part.as_ref().is_none_or(|part| *part == target);
            let marks: Vec<&Mark> = plan.marks.iter().filter(belongs).collect();
            if !marks.is_empty() {
                groups.push(Marked { kind, target: target.clone(), marks });
            }
        }
    }
    groups
}

fn marks(plan: &Plan) -> String {
    let mut text = String::new();
    for Marked { kind, target, marks } in marked(plan) {
        let style = match kind {
            MarkKind::Create => style::GOOD,
            MarkKind::Change => style::WARNING,
            MarkKind::Drift => style::ERROR,
        };
        text.push_str(&format!("{}\n", paint(style, format_args!("{kind} {target}"))));
        for mark in marks {
            let about = mark.rows.map(|rows| format!("   {}", about(rows)));
            for line in format!("{}{}", mark.what, about.unwrap_or_default()).lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    text
}

/// `(about 4,980 rows)`.
pub fn about(rows: u64) -> String {
    format!("(about {})", counted(i64::try_from(rows).unwrap_or(i64::MAX), "row", "rows"))
}

/// What a mark risks, and of how many rows.
pub fn risk(mark: &Mark) -> String {
    match mark.rows {
        Some(rows) => format!("{} {}", mark.risk.words(), about(rows)),
        None => mark.risk.words().to_owned(),
    }
}

const KIND_WIDTH: usize = 9;

/// A step, or what runs after the commit.
struct Shown<'a> {
    n: usize,
    kind: &'static str,
    purpose: &'a str,
    /// Its SQL; nothing of a function.
    sql: Option<String>,
}

impl<'a> From<&'a Step> for Shown<'a> {
    fn from(step: &'a Step) -> Shown<'a> {
        Shown {
            n: step.n,
            kind: step.kind.name(),
            purpose: &step.purpose,
            sql: Some(step.action.to_string()),
        }
    }
}

impl<'a> From<&'a PrintedChild> for Shown<'a> {
    fn from(child: &'a PrintedChild) -> Shown<'a> {
        Shown { n: child.n, kind: child.kind.name(), purpose: &child.purpose, sql: child.sql.clone() }
    }
}

fn steps(steps: &[Shown<'_>], sql: bool) -> String {
    let digits = steps.len().max(1).to_string().len().max(3);
    let mut text = String::new();
    for step in steps {
        if sql {
            let comment = format!("-- {} {}: {}", step.n, step.kind, step.purpose);
            let sql = statement(step.sql.as_deref().unwrap_or_default());
            text.push_str(&format!("\n{}\n{sql}\n", paint(FAINT, comment)));
        } else {
            let kind = format!("{:<KIND_WIDTH$}", step.kind);
            text.push_str(&format!("{:>digits$} {} {}\n", step.n, paint(STRONG, kind), step.purpose));
        }
    }
    text
}

/// A statement as psql takes it.
pub fn statement(sql: &str) -> String {
    let sql = sql.trim_end();
    match sql {
        "" => String::new(),
        _ if sql.ends_with(';') => sql.to_owned(),
        // A comment at the end would swallow the semicolon.
        _ if sql.lines().last().is_some_and(|line| line.contains("--")) => format!("{sql}\n;"),
        _ => format!("{sql};"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;
    use ematix_flow_core::error::{ErrorCode, FlowError};
    use ematix_flow_core::plan::{Action, Answer, Header, Part, Phase, PhaseName, StepKind, Subject};
    use ematix_flow_core::report::ExecutionPath;
    use ematix_flow_core::sql::{QualifiedName, Statement};

    fn step(n: usize, kind: StepKind, purpose: &str) -> Step {
        Step::new(n, kind, purpose, Action::Execute(Statement::default()), Answer::Ignore)
    }

    fn plan(marks: Vec<Mark>) -> Plan {
        let header = Header {
            mode: "scd2".into(),
            keys: vec!["customer_id".into()],
            keys_reason: Some("primary_key".into()),
            path: ExecutionPath::Staging,
            path_reason: "source crm is another server".into(),
            target: QualifiedName::new("analytics", "dim_customers").unwrap(),
            compared: Vec::new(),
        };
        let part = Part {
            target: header.target.clone(),
            path: header.path,
            stages_nothing: false,
            warnings: Vec::new(),
        };
        let steps = vec![
            step(
                1,
                StepKind::Stage,
                "copy the source query into ematix_flow._ematix_stage_customers_<batch>",
            ),
            step(2, StepKind::Guard, "no duplicate or NULL keys (customer_id)"),
            step(3, StepKind::Diff, "rows that are new or differ in email, name, score"),
            step(4, StepKind::Close, "close out the current versions of changed rows"),
            step(5, StepKind::Insert, "open new versions"),
            step(6, StepKind::Finish, "watermark, run history"),
        ];
        Plan {
            header,
            parts: vec![part],
            marks,
            notes: Vec::new(),
            warnings: Vec::new(),
            refused: None,
            phases: vec![Phase { name: PhaseName::Apply, steps }],
            after: Vec::new(),
        }
    }

    fn planned(name: &str, plan: Option<Plan>, errors: Vec<FlowError>) -> PlannedPipeline {
        PlannedPipeline { pipeline: name.into(), declaration: None, plan, errors }
    }

    #[test]
    fn one_plan_is_shown_in_full() {
        let mark = Mark::new(
            Subject::RowHashes,
            "compare_columns + score   4,980 current versions rehashed, none opened",
        );
        let plans = PlanReport {
            pipelines: vec![planned("customers", Some(plan(vec![mark])), Vec::new())],
            change: 1,
            ..PlanReport::default()
        };
        assert_eq!(
            plain(&report(&plans, Detail { sql: false, unmarked: true })),
            "\
customers  scd2  analytics.dim_customers  keys: customer_id (primary_key)  path: staging (source crm is another server)
~ analytics.dim_customers
    compare_columns + score   4,980 current versions rehashed, none opened
  1 stage     copy the source query into ematix_flow._ematix_stage_customers_<batch>
  2 guard     no duplicate or NULL keys (customer_id)
  3 diff      rows that are new or differ in email, name, score
  4 close     close out the current versions of changed rows
  5 insert    open new versions
  6 finish    watermark, run history
Plan: 0 to create, 1 to change, 0 drifted
"
        );
    }

    #[test]
    fn of_several_only_the_marked_are_shown_in_full() {
        let mut marked = plan(vec![Mark::new(Subject::NewTable, "table with 7 columns")]);
        marked.phases[0].steps.truncate(1);
        let plans = PlanReport {
            pipelines: vec![
                planned("a", Some(plan(Vec::new())), Vec::new()),
                planned("b", Some(plan(Vec::new())), Vec::new()),
                planned("c", Some(marked), Vec::new()),
                planned("d", None, vec![FlowError::new(ErrorCode::UnknownColumn, "no column `x`")]),
            ],
            create: 1,
            ..PlanReport::default()
        };
        let head = "scd2  analytics.dim_customers  keys: customer_id (primary_key)  path: staging (source crm is another server)";
        assert_eq!(
            plain(&report(&plans, Detail { sql: false, unmarked: false })),
            format!(
                "\
a  {head}
b  {head}

c  {head}
+ analytics.dim_customers
    table with 7 columns
  1 stage     copy the source query into ematix_flow._ematix_stage_customers_<batch>

d  no plan
error[unknown_column]: no column `x`

Plan: 1 to create, 0 to change, 0 drifted
"
            )
        );
    }

    #[test]
    fn sql_stands_under_its_purpose_and_ends_with_a_semicolon() {
        assert_eq!(statement("SELECT 1"), "SELECT 1;");
        assert_eq!(statement("SELECT 1 -- one"), "SELECT 1 -- one\n;");
        assert_eq!(
            plain(&steps(&[Shown::from(&step(1, StepKind::Diff, "find changes"))], true)),
            "\n-- 1 diff: find changes\n\n"
        );
    }
}
