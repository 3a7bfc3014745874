//! The comparison of merge and scd2 in the target: fills the table of changes, counts it, and addresses the
//! live rows that it touches.

use super::{changes, client, guards, rejected, stage};
use crate::dialect::RowOrder;
use crate::error::ErrorCode;
use crate::pipeline::{Resolved, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::DataType;

const COUNT: &str = "_ematix_count";

/// How a strategy compares.
pub struct Comparison {
    /// Which live rows take part: the current versions.
    pub live: Option<Sql>,
    /// Whether a source row `s` differs from its live row `t`.
    pub differs: Sql,
    /// The word for what becomes of such a row, as an SQL expression.
    pub change: Sql,
    /// Which live rows `t` count as gone when their key left the source; `None`: deletes are ignored.
    pub gone: Option<Sql>,
    /// The share of keys that may go, where it is limited.
    pub max_delete_fraction: Option<f64>,
    /// The purpose, as printed.
    pub purpose: String,
}

/// Fills the table of changes, unless the client has filled it, and asks the guards that need it.
pub fn find(load: &Resolved<'_>, comparison: &Comparison, builder: &mut PlanBuilder<'_>) {
    let target = &load.table.name;
    builder.step(StepKind::Lock, "keep other writers out", load.dialect.lock_table(target), Answer::Ignore);
    match load.rows {
        Rows::Compared => client::same_generation(load, builder),
        Rows::Direct(_) | Rows::Stage(_) => diff(load, comparison, builder),
    }
    count(load, builder);
    if matches!(load.rows, Rows::Direct(_)) {
        guards::empty_source(load, builder);
    }
    if let (Some(gone), Some(fraction)) = (&comparison.gone, comparison.max_delete_fraction) {
        mass_delete(load, gone, fraction, builder);
    }
}

fn diff(load: &Resolved<'_>, comparison: &Comparison, builder: &mut PlanBuilder<'_>) {
    let found = load.changes();
    builder.leftovers.push(found.clone());
    let (address, change, count) =
        (Ident::fixed(changes::ADDRESS), Ident::fixed(changes::CHANGE), Ident::fixed(COUNT));
    let target = &load.table.name;
    let first_key = &load.keys[0];
    let live = comparison.live.as_ref().map_or(Sql::empty(), |live| sql!(" AND {live}", live));
    let on = load.keys_equal("t", |key| load.key_value(key));
    let direct = matches!(load.rows, Rows::Direct(_));
    let counted = if direct {
        sql!(",\n       {null} AS {count}", null = load.null_of(&DataType::BigInt), count)
    } else {
        Sql::empty()
    };
    let (hash, no_hash) = match stage::carries_hash(load) {
        true => (sql!(",\n       s.{hash}", hash = Ident::fixed(stage::HASH)), Sql::text(", NULL")),
        false => (Sql::empty(), Sql::empty()),
    };
    let mut select = sql!(
        "SELECT {values}{hash},\n       {row} AS {address},\n       CASE WHEN t.{key} IS NULL THEN 'new' ELSE {kind} END AS {change}{counted}\n  FROM {source} AS s\n  LEFT JOIN {target} AS t ON {on}{live}\n WHERE t.{key} IS NULL\n    OR {differs}",
        values = load.named_values(),
        hash,
        row = load.row_address(),
        address,
        key = first_key,
        kind = comparison.change,
        change,
        counted,
        source = load.source(),
        target,
        on,
        live,
        differs = comparison.differs
    );
    let nulls = || Sql::join(load.columns.iter().map(|_| Sql::text("NULL")), ", ");
    if let Some(gone) = &comparison.gone {
        let found = load.keys_equal("t", |key| load.key_value(key));
        // The source has a row that was put aside: its key is not gone.
        let aside = match rejected::of_run(load) {
            Some(rejects) => sql!(
                "\n   AND NOT EXISTS (SELECT 1 FROM {rejects} AS c WHERE {same})",
                rejects,
                same = load.keys_equal("t", |key| sql!("c.{key}", key))
            ),
            None => Sql::empty(),
        };
        select.push(&sql!(
            "\nUNION ALL\nSELECT {nulls}{no_hash}, {row}, 'gone'{counted}\n  FROM {target} AS t\n WHERE {gone}\n   AND NOT EXISTS (SELECT 1 FROM {source} AS s WHERE {found}){aside}",
            nulls = nulls(),
            no_hash,
            row = load.row_address(),
            counted = if direct { Sql::text(", NULL") } else { Sql::empty() },
            target,
            gone,
            source = load.source(),
            found,
            aside
        ));
    }
    if direct {
        // One statement, one snapshot: the same reading counts its rows.
        select.push(&sql!(
            "\nUNION ALL\nSELECT {nulls}, {no_address}, 'read', {rows}(*)\n  FROM {source} AS s",
            nulls = nulls(),
            no_address = load.no_row_address(),
            rows = load.dialect.function("count"),
            source = load.source()
        ));
    }
    let create = load.dialect.create_stage_as(&found, select, order(load));
    let blame = load.blame_of_reading();
    builder.reading_step(StepKind::Diff, comparison.purpose.clone(), create, Answer::Ignore, blame);
}

fn count(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let changes = load.changes();
    let found = |kind: &'static str| load.dialect.count_where(&changes::of_kind(&[kind]));
    let rows_in = if matches!(load.rows, Rows::Direct(_)) {
        sql!(
            ",\n       coalesce({max}(c.{count}), 0) AS rows_in",
            max = load.dialect.function("max"),
            count = Ident::fixed(COUNT)
        )
    } else {
        Sql::empty()
    };
    let mut found_values =
        vec![RunValue::RowsNew, RunValue::RowsChanged, RunValue::RowsOverwritten, RunValue::RowsGone];
    if matches!(load.rows, Rows::Direct(_)) {
        found_values.push(RunValue::RowsIn);
    }
    builder.step(
        StepKind::Diff,
        "count what was found",
        sql!(
            "SELECT {new} AS rows_new,\n       {changed} AS rows_changed,\n       {overwritten} AS rows_overwritten,\n       {gone} AS rows_gone{rows_in}\n  FROM {changes} AS c",
            new = found("new"),
            changed = found("changed"),
            overwritten = found("overwritten"),
            gone = found("gone"),
            rows_in,
            changes
        ),
        Answer::Read(found_values),
    );
}

/// A merge join over the key's indexes beats a hash join where both tables lie in the order of the key.
fn order(load: &Resolved<'_>) -> RowOrder {
    let Rows::Direct(relation) = &load.rows else { return RowOrder::Unknown };
    let Some(key) = load.keys.first().map(Ident::as_str) else { return RowOrder::Unknown };
    let source = relation.correlation.get(key).copied().unwrap_or(0.0);
    let target = load.facts.target.correlation.get(key).copied().unwrap_or(0.0);
    if source.abs() >= 0.9 && target.abs() >= 0.9 { RowOrder::ByKey } else { RowOrder::Unknown }
}

fn mass_delete(load: &Resolved<'_>, gone: &Sql, fraction: f64, builder: &mut PlanBuilder<'_>) {
    let target = &load.table.name;
    builder.step_if(
        RunValue::RowsGone,
        StepKind::Guard,
        format!("not more than {} of the current keys left the source   expects no rows", percent(fraction)),
        sql!(
            "SELECT {gone} AS count, k.keys AS total\n  FROM (SELECT {count}(*) AS keys FROM {target} AS t WHERE {live}) AS k\n WHERE k.keys >= 20\n   AND {gone} > k.keys * {fraction}",
            gone = RunValue::RowsGone,
            count = load.dialect.function("count"),
            target,
            live = gone,
            fraction = Literal::Float(fraction)
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::MassDelete,
            message: format!("{{count}} of {{total}} keys of `{}` left the source", load.pipeline.name),
            one: format!("{{count}} of {{total}} keys of `{}` left the source", load.pipeline.name),
            sample: Vec::new(),
            hint: format!("if that is right, run once with --max-delete-fraction 1; the limit is {fraction}"),
        }),
    );
}

fn percent(fraction: f64) -> String {
    format!("{} %", (fraction * 1000.0).round() / 10.0)
}

/// Rows that would change, old beside new, for `dry-run --sample`; `changed` is the word for what becomes of a live
/// row that changed.
pub fn sample(load: &Resolved<'_>, changed: &'static str, builder: &mut PlanBuilder<'_>) {
    if load.facts.run.sample == 0 {
        return;
    }
    let (address, change) = (Ident::fixed(changes::ADDRESS), Ident::fixed(changes::CHANGE));
    let json = |alias: &'static str| load.dialect.json_row(load.columns_of(alias));
    builder.step(
        StepKind::Diff,
        "a sample of the rows that would change",
        sql!(
            "SELECT c.{change} AS change,\n       CASE WHEN c.{change} <> 'new' THEN {old} END AS old,\n       CASE WHEN c.{change} <> 'gone' THEN {new} END AS new\n  FROM {changes} AS c\n  LEFT JOIN {target} AS t ON {row} = c.{address}\n WHERE c.{change} <> 'read'\n LIMIT {limit}",
            change,
            old = json("t"),
            new = json("c"),
            changes = load.changes(),
            target = load.table.name,
            row = load.row_address(),
            address,
            limit = Literal::Integer(load.facts.run.sample as i64)
        ),
        Answer::Sample(changed),
    );
}

/// Updates live rows found by their address: `kinds` says which rows of the changes.
pub fn update_by_address(load: &Resolved<'_>, assignments: Vec<Sql>, kinds: &[&'static str]) -> Sql {
    let changes = sql!("{changes} AS c", changes = load.changes());
    load.dialect.update_from(&load.table.name, assignments, changes, at_address(load, kinds))
}

/// Sets values apart that an update of the live rows would take for equal to the new ones, before it comes: `kinds`
/// says which rows of the changes, `when` which number of them has to be there.
pub fn set_apart(
    load: &Resolved<'_>,
    names: &[Ident],
    kinds: &[&'static str],
    when: RunValue,
    builder: &mut PlanBuilder<'_>,
) {
    let Some(apart) = Apart::of(load, names, |name| sql!("c.{name}", name)) else { return };
    let changes = sql!("{changes} AS c", changes = load.changes());
    let condition = sql!("{at}\n   AND ({equal})", at = at_address(load, kinds), equal = apart.condition);
    let sql = load.dialect.update_from(&load.table.name, apart.assignments, changes, condition);
    builder.step_if(when, StepKind::Update, apart.purpose, sql, Answer::Ignore);
}

/// An update that sets values apart from new ones that are `=` to them.
pub struct Apart {
    /// What it does.
    pub purpose: String,
    /// What it sets.
    pub assignments: Vec<Sql>,
    /// Which rows have such values.
    pub condition: Sql,
}

impl Apart {
    /// The update of those columns whose type needs one; `None` where there is no such column.
    pub fn of(load: &Resolved<'_>, names: &[Ident], new: impl Fn(&Ident) -> Sql) -> Option<Apart> {
        let (mut assignments, mut conditions, mut said) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let new = new(name);
            let Some(apart) = load.dialect.apart(load.type_of(name), &new) else { continue };
            let equal = sql!("t.{name} = {new}", name, new);
            assignments.push(sql!(
                "{name} = CASE WHEN {equal} THEN {apart} ELSE t.{name} END",
                name,
                equal,
                apart
            ));
            conditions.push(equal);
            said.push(name.as_str());
        }
        (!said.is_empty()).then(|| Apart {
            purpose: format!("set values apart that an update takes for equal: {}", said.join(", ")),
            assignments,
            condition: Sql::join(conditions, "\n    OR "),
        })
    }
}

/// Deletes live rows found by their address: `kinds` says which rows of the changes.
pub fn delete_by_address(load: &Resolved<'_>, kinds: &[&'static str]) -> Sql {
    let changes = sql!("{changes} AS c", changes = load.changes());
    load.dialect.delete_using(&load.table.name, changes, at_address(load, kinds))
}

fn at_address(load: &Resolved<'_>, kinds: &[&'static str]) -> Sql {
    let at_address = sql!(
        "{row} = c.{address}\n   AND {kinds}",
        row = load.row_address(),
        address = Ident::fixed(changes::ADDRESS),
        kinds = changes::of_kind(kinds)
    );
    match load.rows {
        Rows::Compared => sql!("{at_address}\n   AND {same}", at_address, same = client::is_as_read(load)),
        Rows::Direct(_) | Rows::Stage(_) => at_address,
    }
}
