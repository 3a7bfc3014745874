//! The plan of a rewind: the target is put back to what a run had left, and the watermarks of those who load it with it.

use crate::engine::Ends;
use crate::error::Result;
use crate::facts::{ExecutionPath, RewindFacts};
use crate::features;
use crate::history::{self, RewoundRun};
use crate::pipeline::{Brought, Pipeline, Rewind, cannot_rewind};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Header, Part, PhaseName, Plan, StepKind};
use crate::sql;
use crate::sql::Sql;

/// What stands in the place of a load strategy.
pub const MODE: &str = "rewind";

/// Makes the plan.
///
/// # Errors
/// `cannot_rewind`, and why; what the pipeline's strategy says.
pub fn plan(pipeline: &Pipeline, facts: &RewindFacts, ends: &Ends<'_>) -> Result<Plan> {
    let (target, to) = (pipeline.target.name(), &facts.to);
    if let Some(by) = to.undone_by {
        let error = cannot_rewind(target, to.number, format!("run {by} has undone that run"));
        return Err(
            error.hint(format!("run {by} itself can be named, and every run before what it has undone"))
        );
    }
    if facts.forgotten > 0 {
        let runs =
            if facts.forgotten == 1 { "1 run".to_owned() } else { format!("{} runs", facts.forgotten) };
        let why = format!("the history has forgotten {runs} since, and with them what they have read");
        let error = cannot_rewind(target, to.number, why);
        return Err(error
            .hint("name a run from which on the history has all; history_keep says how long it has them"));
    }
    let rewind = Rewind::of(pipeline, facts, ends.target.dialect)?;
    let mut builder = PlanBuilder::new(*ends);
    tell(facts, &mut builder);
    builder.phase(PhaseName::Apply);
    pipeline.strategy.rewind(&rewind, &mut builder)?;
    let refreshed = features::rewound(pipeline, ends.target.dialect, &mut builder);
    builder.phase(PhaseName::Record);
    finish(&rewind, &mut builder);
    let header = Header {
        mode: MODE.to_owned(),
        keys: rewind.keys.iter().map(ToString::to_string).collect(),
        keys_reason: None,
        path: ExecutionPath::SameDatabase,
        path_reason: "nothing is read: the target is put back".to_owned(),
        target: target.clone(),
        compared: Vec::new(),
    };
    let part =
        Part { target: target.clone(), path: header.path, stages_nothing: false, warnings: Vec::new() };
    Ok(Plan {
        header,
        parts: vec![part],
        marks: Vec::new(),
        notes: builder.notes.clone(),
        warnings: builder.warnings.clone(),
        refused: None,
        phases: builder.take_phases(),
        after: refreshed.into_iter().collect(),
    })
}

fn tell(facts: &RewindFacts, builder: &mut PlanBuilder<'_>) {
    let to = &facts.to;
    let when = to.committed_at.as_ref().map(|at| format!(", which committed at {at}")).unwrap_or_default();
    builder.note(format!(
        "back to what it was after run {} ({}){when}",
        to.number,
        history::short_id(&to.run_id)
    ));
    let runs = if facts.since.runs == 1 {
        "1 run comes".to_owned()
    } else {
        format!("{} runs come", facts.since.runs)
    };
    builder.note(format!("{runs} undone"));
    for watermark in facts.watermarks_that_change() {
        let name = &watermark.pipeline;
        builder.note(match watermark.then() {
            Some((value, _)) => format!("the watermark of `{name}` goes back to {value}: its next run reads again from there"),
            None => format!("the watermark of `{name}` is forgotten, since what that run left of it is not known: its next run reads in full"),
        });
    }
}

fn finish(rewind: &Rewind<'_>, builder: &mut PlanBuilder<'_>) {
    let Rewind { facts, dialect, pipeline, .. } = rewind;
    if facts.run.dry_run {
        let sql = dialect.judge_deferred();
        builder.step(StepKind::Guard, "judge the constraints that wait for the commit", sql, Answer::Ignore);
        return;
    }
    let mut statements: Vec<Sql> =
        builder.leftovers.iter().map(|name| sql!("DROP TABLE {name}", name)).collect();
    let instant = dialect.typed_literal(&facts.run.instant, &dialect.type_name(&dialect.instant_type()));
    statements.push(history::remember_rewind(&pipeline.target_key(), instant));
    for watermark in facts.watermarks_that_change() {
        statements.push(match watermark.then() {
            Some((value, read_from)) => {
                history::rewind_watermark(*dialect, &watermark.pipeline, value, read_from)
            }
            None => history::forget_watermark(&watermark.pipeline),
        });
    }
    if pipeline.source.brought.as_ref().is_some_and(Brought::is_loaded_once) {
        statements.push(history::forget_files_since(&pipeline.target_key(), facts.to.number));
    }
    let (before, after) = facts.watermark_of(&pipeline.name);
    let run = RewoundRun { run_id: &facts.run.id, to: facts.to.number, before, after };
    statements.push(history::rewound(*dialect, run));
    builder.step(
        StepKind::Finish,
        "watermarks, run history",
        Sql::join(statements, ";\n"),
        Answer::ExactlyOne,
    );
}
