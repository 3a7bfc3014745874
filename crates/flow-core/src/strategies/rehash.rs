//! A changed set of compare columns, or another encoding of hashes: the run that changes it opens no false version.

use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject};
use crate::reading::diff::Apart;
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::Ident;

fn name_set(names: &[Ident]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// The set of compare columns, in the order in which it is stored.
pub fn compare_set(load: &Resolved<'_>) -> Vec<String> {
    name_set(&load.compared)
}

/// Whether hashes exist that were made from other columns, by another encoding, or by somebody else.
pub fn rehashes(load: &Resolved<'_>) -> bool {
    if load.creates || load.facts.assumed {
        return false;
    }
    // A type that is hashed otherwise: migrate widened it.
    let retyped = |name: &Ident| {
        let live = load.facts.target.live.as_ref().and_then(|live| live.column(name.as_str()));
        live.is_some_and(|live| live.data_type.normal != load.type_of(name).normal)
    };
    if load.compared.iter().any(retyped) {
        return true;
    }
    let record = load.facts.target.record.as_ref();
    let stored_set = record.and_then(|record| record.compare_set.as_ref());
    let stored_version = record.and_then(|record| record.encoding_version);
    stored_set != Some(&compare_set(load)) || stored_version != Some(crate::hash::ENCODING_VERSION)
}

/// The compare columns that the stored hashes were made from, as far as they are compared still.
pub fn common_columns(load: &Resolved<'_>) -> Vec<Ident> {
    match stored_set(load) {
        Some(stored) => {
            let known = |name: &&Ident| stored.iter().any(|stored| stored == name.as_str());
            load.compared.iter().filter(known).cloned().collect()
        }
        // A column that this run adds has no value yet in any version.
        None => load.compared.iter().filter(|name| load.is_live(name)).cloned().collect(),
    }
}

/// The compare columns of the hashes that exist; `None` where we made none of them.
fn stored_set(load: &Resolved<'_>) -> Option<Vec<String>> {
    load.facts.target.record.as_ref()?.compare_set.clone()
}

/// The compare columns that the stored hashes were not made from.
pub fn joined_columns(load: &Resolved<'_>) -> Vec<Ident> {
    let common = common_columns(load);
    load.compared.iter().filter(|name| !common.contains(name)).cloned().collect()
}

/// Two deployments with different sets would take turns and miss changes: a set that returns is drift.
pub fn mark(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(stored) = stored_set(load) else {
        builder.mark(Subject::RowHashes, format!("a history that others began   {}", what_follows(load)));
        return Ok(());
    };
    let set = compare_set(load);
    let changed = set != stored;
    let earlier =
        load.facts.target.record.as_ref().map(|record| record.earlier_sets.as_slice()).unwrap_or_default();
    if changed && earlier.contains(&set) {
        return Err(FlowError::new(
            ErrorCode::Drift,
            format!("the compare columns of {} go back to an earlier set", load.table.name),
        )
        .detail(format!("now: {}", stored.join(", ")))
        .detail(format!("before, and declared: {}", set.join(", ")))
        .hint("two deployments may disagree, and each would miss changes; if the return is meant, change the set by a column that was never there, or start a new target"));
    }
    let mut words: Vec<String> =
        set.iter().filter(|name| !stored.contains(name)).map(|name| format!("+ {name}")).collect();
    words.extend(stored.iter().filter(|name| !set.contains(name)).map(|name| format!("- {name}")));
    let what = if changed {
        format!("compare_columns {}", words.join(" "))
    } else {
        "the encoding of row hashes".to_owned()
    };
    builder.mark(Subject::RowHashes, format!("{what}   {}", what_follows(load)));
    if load.pipeline.incremental.is_some() {
        builder.note("the compare columns changed: this run reads in full");
    }
    Ok(())
}

fn what_follows(load: &Resolved<'_>) -> &'static str {
    match load.need.versions {
        Some(_) => "current versions rehashed, none opened",
        None => "no version opened",
    }
}

/// Columns that join the set are written in place, and every current version is rehashed: their stored
/// value is NULL or stale, and would open false versions.
pub fn current_versions(
    load: &Resolved<'_>,
    (flag, hash): (&Ident, Option<&Ident>),
    builder: &mut PlanBuilder<'_>,
) {
    let joined = joined_columns(load);
    let target = &load.table.name;
    let live = |name: &Ident| sql!("t.{name}", name);
    if !joined.is_empty() {
        let value = |name: &Ident| load.value(load.filled(name).expect("compared columns are filled"));
        let names: Vec<&str> = joined.iter().map(|name| name.as_str()).collect();
        let condition = sql!(
            "{keys}\n   AND t.{flag}\n   AND ({differs})",
            keys = load.keys_equal("t", |key| load.key_value(key)),
            flag,
            differs = load.differ(&joined, value, live)
        );
        let assignments =
            joined.iter().map(|name| sql!("{name} = {value}", name, value = value(name))).collect();
        let from = sql!("{source} AS s", source = load.source());
        if let Some(apart) = Apart::of(load, &joined, value) {
            let equal = sql!("{condition}\n   AND ({equal})", condition, equal = apart.condition);
            let sql = load.dialect.update_from(target, apart.assignments, from.clone(), equal);
            builder.step(StepKind::Update, apart.purpose, sql, Answer::Ignore);
        }
        let sql = load.dialect.update_from(target, assignments, from, condition);
        builder.step(
            StepKind::Update,
            format!("write {} into current versions in place", names.join(", ")),
            sql,
            Answer::Ignore,
        );
    }
    let Some(hash) = hash else { return };
    let digest = load.row_digest(live);
    let sql = sql!(
        "UPDATE {target} AS t\n   SET {hash} = {digest}\n WHERE t.{flag}\n   AND t.{hash} IS DISTINCT FROM {digest}",
        target,
        hash,
        digest,
        flag
    );
    builder.step(
        StepKind::Update,
        "rehash current versions over the new set of compare columns",
        sql,
        Answer::Count(vec![RunValue::RowsRehashed]),
    );
}
