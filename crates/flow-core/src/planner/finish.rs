//! The last steps of a load transaction: what is remembered of the target, the watermark, and the
//! run's own row. A run that was taken over meanwhile finds its row no longer running, and rolls back.

use crate::dialect::Dialect;
use crate::facts::ExecutionPath;
use crate::history::{self, Compared, FileVersion, ReadBy, TargetMemory, WatermarkMemory};
use crate::pipeline::Resolved;
use crate::pipeline::kept::renamed;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Action, Answer, Plan, Step, StepKind};
use crate::reading::watermark;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use sha2::{Digest, Sha256};

/// The steps.
pub fn steps(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if load.facts.run.dry_run {
        // What is rolled back never comes to the commit, where a run would fail.
        let sql = load.dialect.judge_deferred();
        builder.step(StepKind::Guard, "judge the constraints that wait for the commit", sql, Answer::Ignore);
        return;
    }
    let leftovers = builder.leftovers.iter().map(|name| sql!("DROP TABLE {name}", name));
    let mut statements: Vec<Sql> = leftovers.collect();
    let fingerprint = fingerprint(load);
    statements.push(remember_target(load, &fingerprint));
    statements.extend(remember_declaration(load, &fingerprint));
    let remembered = remember_watermark(load);
    let purpose = if remembered.is_some() { "watermark, run history" } else { "run history" };
    statements.extend(remembered);
    statements.push(success(load));
    // One text, one round trip; the run succeeds only if it was not taken for dead meanwhile.
    builder.step(StepKind::Finish, purpose, Sql::join(statements, ";\n"), Answer::ExactlyOne);
}

/// Drops the table of a reading for one target, before its run succeeds.
pub fn of_reading(reading: &QualifiedName, builder: &mut PlanBuilder<'_>) {
    let sql = sql!("DROP TABLE {reading}", reading);
    builder.step(StepKind::Finish, "drop the rows that were read", sql, Answer::Ignore);
}

/// How many files one statement remembers.
const FILES_AT_ONCE: usize = 500;

/// What is remembered of the files that were read, each of which is loaded once: `of` a pipeline, into a target.
pub fn of_files(
    of: (&str, &str),
    run_id: &str,
    files: &[FileVersion],
    dialect: &dyn Dialect,
    builder: &mut PlanBuilder<'_>,
) {
    for some in files.chunks(FILES_AT_ONCE) {
        let sql = history::remember_files(dialect, of, run_id, some);
        let purpose = match some {
            [one] => format!("the file that was read: {}", one.path),
            [first, ..] => format!("the {} files that were read: {} …", some.len(), first.path),
            [] => continue,
        };
        builder.step(StepKind::Finish, purpose, sql, Answer::Ignore);
    }
}

/// What is remembered of a run of several targets, after what is remembered of each.
pub fn of_all(
    run_id: &str,
    path: ExecutionPath,
    reading: &QualifiedName,
    dialect: &dyn Dialect,
    builder: &mut PlanBuilder<'_>,
) {
    let success = history::success_of_several(dialect, run_id, path.name());
    let sql = sql!("DROP TABLE {reading};\n{success}", reading, success);
    builder.step(StepKind::Finish, "run history of all targets", sql, Answer::ExactlyOne);
}

/// Adds the last statement before COMMIT of a run that serves a slot of a schedule: one that was taken over meanwhile
/// finds the slot in another epoch, and rolls back.
pub fn fence(plan: &mut Plan, of: &str, slot: &str, epoch: i64, dialect: &dyn Dialect) {
    let sql = history::fence(of, slot, epoch);
    let n = plan.steps().count() + 1;
    let action = Action::Execute(sql.render(dialect));
    let step = Step::new(n, StepKind::Finish, format!("the slot of {slot}"), action, Answer::ExactlyOne);
    if let Some(last) = plan.phases.last_mut() {
        last.steps.push(Step { part: None, ..step });
    }
}

fn remember_target(load: &Resolved<'_>, fingerprint: &str) -> Sql {
    let rewrites = load.need.in_full;
    let set = load.pipeline.strategy.compare_set(load);
    let compared = set.as_ref().map(|set| Compared { set, earlier: sets_before(load).filter(|_| rewrites) });
    let memory = TargetMemory {
        target: load.pipeline.target_key(),
        fingerprint: fingerprint.to_owned(),
        instant: load.instant(),
        rewrites,
        compared,
    };
    history::remember_target(load.dialect, memory)
}

/// Every set of compare columns that the target had before this run.
fn sets_before(load: &Resolved<'_>) -> Option<Vec<Vec<String>>> {
    let record = load.facts.target.record.as_ref()?;
    let mut sets = record.earlier_sets.clone();
    sets.push(record.compare_set.clone()?);
    Some(sets)
}

fn remember_declaration(load: &Resolved<'_>, fingerprint: &str) -> Option<Sql> {
    let stored = load.facts.target.record.as_ref().and_then(|record| record.fingerprint.as_deref());
    if stored == Some(fingerprint) && !load.creates {
        return None;
    }
    Some(history::remember_declaration(
        &load.pipeline.target_key(),
        fingerprint,
        &declaration(load),
        &load.facts.run.id,
        load.creates,
    ))
}

fn remember_watermark(load: &Resolved<'_>) -> Option<Sql> {
    let incremental = load.pipeline.incremental.as_ref().filter(|_| load.facts.run.part.is_none())?;
    let data_type = load.watermark_type(incremental).ok()?;
    let ledger = load.pipeline.strategy.ledger(load, incremental).ok().flatten();
    let covered_from = match watermark::next_bound(load, incremental, data_type) {
        Ok(bound) if ledger.is_some() => {
            let stored = load.facts.watermark.as_ref().and_then(|stored| stored.covered_from.as_ref());
            Some(match stored {
                Some(stored) => {
                    let stored = load.dialect.typed_literal(stored, &data_type.name);
                    load.dialect.greatest([&bound, &stored])
                }
                None => bound,
            })
        }
        _ => None,
    };
    let memory = WatermarkMemory {
        pipeline: &load.pipeline.name,
        column: &incremental.column,
        data_type,
        covered_from,
        identity: ledger.as_deref(),
        target: &load.pipeline.target_key(),
    };
    Some(history::remember_watermark(load.dialect, memory))
}

fn success(load: &Resolved<'_>) -> Sql {
    let before = load.facts.watermark.as_ref().and_then(|stored| stored.last_value.as_deref());
    let column = load.pipeline.incremental.as_ref().map(|incremental| incremental.column.as_str());
    let path = load.facts.came_by.unwrap_or(load.path);
    history::success(load.dialect, &load.facts.run.id, path.name(), ReadBy { column, before })
}

/// The declaration as it is recorded.
fn declaration(load: &Resolved<'_>) -> serde_json::Value {
    let columns: serde_json::Map<String, serde_json::Value> = load
        .table
        .columns
        .iter()
        .chain(&load.managed)
        .map(|column| {
            let mark = if column.nullable { "?" } else { "" };
            (column.name.to_string(), format!("{}{mark}", column.data_type).into())
        })
        .collect();
    let names = |names: &[Ident]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut declaration = serde_json::json!({
        "mode": load.pipeline.strategy.mode().name(),
        "columns": columns,
        "keys": names(&load.keys),
        "compared": names(&load.compared),
        "primary_key": names(&load.table.primary_key),
        "natural_key": names(&load.table.natural_key),
    });
    let renamed: Vec<String> = renamed(&load.managed).map(|column| column.name.to_string()).collect();
    if !renamed.is_empty() {
        declaration["kept"] = renamed.into();
    }
    for (name, value) in load.pipeline.strategy.declared() {
        declaration[name] = value;
    }
    declaration
}

/// A digest of the declaration.
pub fn fingerprint(load: &Resolved<'_>) -> String {
    let digest = Sha256::digest(declaration(load).to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
