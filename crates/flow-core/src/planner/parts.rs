//! Several targets from one reading: parts of one plan. The source is read once into a table of its own, each
//! target is loaded from there, and all of it stands or nothing.

use super::{finish, plan};
use crate::dialect::{Crossing, Dialect};
use crate::engine::Ends;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{ExecutionPath, Facts, SourceColumn, SourceFacts};
use crate::pipeline::Pipeline;
use crate::plan::builder::PlanBuilder;
use crate::plan::{
    Action, Answer, Blame, Child, Copy, Mark, MarkKind, Phase, PhaseName, Plan, Step, StepKind,
};
use crate::query::ReadQuery;
use crate::reading;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};

/// The reading that several targets share.
pub struct Reading<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The run of all targets together.
    pub run_id: &'a str,
    /// Where the source is.
    pub path: ExecutionPath,
    /// Why there.
    pub path_reason: &'a str,
    /// The source, with the types of another database where the target's does not have its own.
    pub source: &'a SourceFacts,
    /// Whether the plan will be rolled back.
    pub dry_run: bool,
}

/// Makes the plan of several targets; the facts are those of each, with the source as it was read.
///
/// # Errors
/// As [`plan`] of each, and `invalid_value` for a column that cannot come from another database.
pub fn plan_together(shared: &Reading<'_>, parts: &[(Pipeline, Facts)], ends: &Ends<'_>) -> Result<Plan> {
    let table = shared_table(shared.run_id)?;
    let mut plans = Vec::new();
    for (pipeline, facts) in parts {
        plans.push(
            plan_of_part(shared, pipeline, facts, &table, ends)
                .map_err(|error| error.context("target", pipeline.target.name().to_string()))?,
        );
    }
    let mut builder = PlanBuilder::new(*ends);
    builder.phase(PhaseName::Read);
    read_once(shared, &table, parts.len(), ends, &mut builder)?;
    if !shared.dry_run {
        builder.phase(PhaseName::Record);
        finish::of_all(shared.run_id, shared.path, &table, ends.target.dialect, &mut builder);
    }
    let mut whole = combined(plans, builder.take_phases());
    // What a target says for itself comes before what is said for all of them.
    whole.after.extend(shared.pipeline.after.iter().cloned().map(Child::Transform));
    if whole.refused.is_some() {
        whole.after.clear();
    }
    Ok(whole)
}

/// The plan of one target, from the table of the reading.
fn plan_of_part(
    shared: &Reading<'_>,
    pipeline: &Pipeline,
    facts: &Facts,
    table: &QualifiedName,
    ends: &Ends<'_>,
) -> Result<Plan> {
    let mut pipeline = pipeline.clone();
    pipeline.source.query = ReadQuery::of_table(&sql!("{table}", table).to_text(ends.target.dialect));
    let facts = Facts {
        path: ExecutionPath::SameDatabase,
        path_reason: format!("one reading for several targets; {}", shared.path_reason),
        source: SourceFacts { relation: None, ..facts.source.clone() },
        ..facts.clone()
    };
    plan(&pipeline, &facts, ends)
}

/// The table of the reading.
fn shared_table(run_id: &str) -> Result<QualifiedName> {
    let batch: String = run_id.chars().filter(|c| *c != '-').collect();
    Ok(QualifiedName {
        schema: Ident::fixed(crate::history::SCHEMA),
        name: Ident::new(format!("_ematix_reading_{batch}"))?,
    })
}

fn read_once(
    shared: &Reading<'_>,
    table: &QualifiedName,
    targets: usize,
    ends: &Ends<'_>,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let (from, dialect) = (ends.source.dialect, ends.target.dialect);
    let query = Sql::user(shared.pipeline.source.query.text());
    let purpose = format!("read the source once, for {targets} targets");
    reading::lock_query(ends, &query, shared.path, builder);
    if shared.path == ExecutionPath::SameDatabase {
        let create = dialect.create_stage_as(
            table,
            sql!("SELECT *\n  FROM {query} AS q", query),
            crate::dialect::RowOrder::Unknown,
        );
        builder.reading_step(StepKind::Stage, purpose, create, Answer::Ignore, Blame::Source);
        return Ok(());
    }
    let mut columns: Vec<(Ident, Sql)> = Vec::new();
    let mut values: Vec<Sql> = Vec::new();
    for column in &shared.source.columns {
        let (name, value) = crossing(column, dialect)?;
        columns.push((name, Sql::from_dialect(column.inferred_type().to_owned())));
        values.push(value);
    }
    let names: Vec<Ident> = columns.iter().map(|(name, _)| name.clone()).collect();
    let create = dialect.create_stage(table, columns);
    builder.step(StepKind::Stage, format!("a table for the rows: {table}"), create, Answer::Ignore);
    let select =
        sql!("SELECT {values}\n  FROM {query} AS q", values = Sql::join(values, ",\n       "), query);
    let copy = Copy {
        read: from.copy_out(&select).render(from),
        write: dialect.copy_in(table, &names).render(dialect),
        kept: names.len(),
        digests: Vec::new(),
    };
    builder.transfer(StepKind::Stage, purpose, Action::Copy(copy));
    Ok(())
}

/// How a column of the source comes into the table of the reading: its name there, and its value.
fn crossing(column: &SourceColumn, dialect: &dyn Dialect) -> Result<(Ident, Sql)> {
    let name = Ident::new(column.name.clone())?;
    let value = sql!("q.{name}", name);
    match (&column.inferred, dialect.crossing(&column.data_type, &column.data_type)) {
        (_, Crossing::Refused(why)) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the column `{name}` cannot come from another database: {why}"),
        )
        .hint(format!("cast it in the query: {name}::text AS {name}"))),
        (Some(data_type), _) => {
            let cast = dialect.cast_to(&value, data_type);
            Ok((name.clone(), sql!("{cast} AS {name}", cast, name)))
        }
        (None, _) => Ok((name, value)),
    }
}

/// Plans of several targets as one: phase by phase, in each the shared steps and then those of every part, but what
/// is remembered of the whole comes last.
fn combined(plans: Vec<Plan>, shared: Vec<Phase>) -> Plan {
    let mut whole = Plan {
        header: plans[0].header.clone(),
        parts: Vec::new(),
        marks: Vec::new(),
        notes: Vec::new(),
        warnings: Vec::new(),
        refused: None,
        phases: Vec::new(),
        after: Vec::new(),
    };
    let mut steps: Vec<(PhaseName, Step)> = Vec::new();
    for phase in shared {
        steps.extend(phase.steps.into_iter().map(|step| (phase.name, Step { part: None, ..step })));
    }
    for (part, plan) in plans.into_iter().enumerate() {
        let target = plan.header.target.to_string();
        for phase in plan.phases {
            for step in phase.steps {
                // Targets of one schema create it once.
                let made = |(name, other): &(PhaseName, Step)| {
                    *name == PhaseName::Prepare && other.action == step.action
                };
                if phase.name == PhaseName::Prepare && steps.iter().any(made) {
                    continue;
                }
                let purpose = format!("{target}: {}", step.purpose);
                steps.push((phase.name, Step { purpose, part: Some(part), ..step }));
            }
        }
        whole.parts.extend(plan.parts);
        whole.after.extend(plan.after);
        for mark in plan.marks {
            let same = |other: &Mark| other.mark == MarkKind::Create && other.what == mark.what;
            if !whole.marks.iter().any(same) {
                whole.marks.push(Mark { part: Some(target.clone()), ..mark });
            }
        }
        whole.refused = whole.refused.or(plan.refused.map(|drift| drift.context("target", target)));
        whole.notes.extend(plan.notes);
        whole.warnings.extend(plan.warnings);
    }
    if whole.refused.is_some() {
        steps.clear();
    }
    // Within a phase the sort keeps the order; the whole's own row is written after those of its parts.
    steps.sort_by_key(|(phase, step)| (*phase, *phase == PhaseName::Record && step.part.is_none()));
    for (index, (name, step)) in steps.into_iter().enumerate() {
        let step = Step { n: index + 1, ..step };
        match whole.phases.last_mut() {
            Some(phase) if phase.name == name => phase.steps.push(step),
            _ => whole.phases.push(Phase { name, steps: vec![step] }),
        }
    }
    whole
}
