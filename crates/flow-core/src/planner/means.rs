//! What the target's engine lacks gets another form here, and nowhere else: a unique index that it does not keep
//! becomes a guard inside the transaction, after the rows were written.

use crate::declare::options::OnDuplicate;
use crate::engine::Uniqueness;
use crate::error::ErrorCode;
use crate::pipeline::strategy::{KeyNeed, Requirement, Unique};
use crate::pipeline::{Resolved, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::reading::guards::{ROWS, has_key_guards};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::DataType;

/// Whether guards see to what is unique, and not the engine.
pub fn guards_uniqueness(load: &Resolved<'_>) -> bool {
    load.ends.target.can.unique == Uniqueness::Unenforced
}

/// What the declaration says is unique, beside what the strategy requires.
pub fn declared_unique(load: &Resolved<'_>) -> Vec<Unique> {
    // What is declared as unique is so among the versions of a history, which sees to it itself.
    if matches!(load.pipeline.strategy.keys(), KeyNeed::OfVersions | KeyNeed::OfEvents) {
        return Vec::new();
    }
    let unique =
        |columns: &Vec<Ident>, primary_key| Unique { columns: columns.clone(), among: None, primary_key };
    // What the keys already have needs no second index.
    let has_key = load.pipeline.strategy.requirements(load).iter().any(Requirement::is_primary_key);
    let primary = Some(&load.table.primary_key).filter(|columns| !columns.is_empty() && !has_key);
    let rest = load.table.unique.iter().map(|columns| unique(columns, false));
    primary.map(|columns| unique(columns, true)).into_iter().chain(rest).collect()
}

/// Asks whether everything is unique that must be, where the engine does not see to it and rows were written.
pub fn guards(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if !guards_uniqueness(load) {
        return;
    }
    let required = load.pipeline.strategy.unique(&load.table, &load.keys);
    for unique in required.into_iter().chain(declared_unique(load)) {
        let live = load.facts.target.live.as_ref();
        if !live.is_some_and(|live| live.has_unique_index(&unique.columns, unique.among.as_ref())) {
            guard(load, &unique, builder);
        }
    }
}

fn guard(load: &Resolved<'_>, unique: &Unique, builder: &mut PlanBuilder<'_>) {
    let target = &load.table.name;
    let list = unique.columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (purpose, message, one) = match &unique.among {
        Some(_) => (
            format!("no key has two current versions ({list})"),
            format!("{{count}} keys ({list}) of {target} have several current versions"),
            format!("{{count}} key ({list}) of {target} has several current versions"),
        ),
        None => (
            format!("no key has two rows ({list})"),
            format!("{{count}} keys ({list}) of {target} have several rows"),
            format!("{{count}} key ({list}) of {target} has several rows"),
        ),
    };
    let of_keys = load.keys.iter().all(|key| unique.columns.contains(key)) && !load.keys.is_empty();
    // All rows are those of the source, whose keys have been asked for.
    let all_new = load.creates || load.pipeline.strategy.keys() == KeyNeed::Optional;
    if all_new && of_keys && has_key_guards(load) {
        return;
    }
    // What others have written beside it is found by the next run, whatever that writes; versions that have ended are
    // looked at where new ones were written.
    let whole = of_keys && unique.columns.len() == load.keys.len();
    let mut which = vec![RunValue::RowsInserted, RunValue::RowsUpdated];
    if whole {
        which = vec![RunValue::RowsRepeated];
        let answer = || Answer::Read(vec![RunValue::RowsRepeated]);
        let purpose = format!("count keys that have several rows ({list})");
        match beside_the_source(load, unique) {
            Some(sql) => {
                let compared = format!("whether there are more rows than keys were read ({list})");
                builder.step(StepKind::Guard, compared, sql, answer());
                builder.step_if(
                    RunValue::RowsRepeated,
                    StepKind::Guard,
                    purpose,
                    how_many(load, unique),
                    answer(),
                );
            }
            None => builder.step(StepKind::Guard, purpose, how_many(load, unique), answer()),
        }
    }
    let of_changes = of_keys
        && !whole
        && builder.leftovers.contains(&load.changes())
        && load.pipeline.strategy.keys() == KeyNeed::OfVersions;
    builder.step_if_any(
        which,
        StepKind::Guard,
        format!("{purpose}   expects no rows"),
        repeated(load, unique, of_changes),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::TargetFailed,
            message,
            one,
            sample: unique.columns.iter().map(ToString::to_string).collect(),
            hint: "the target's engine keeps nothing unique, so this is asked once the rows are written; nothing stands of this run".to_owned(),
        }),
    );
}

/// How many rows there are, and none where there are as many as keys were read: each of those has a row by now, so that
/// none has two, and other keys have none. Two numbers that the engine knows say in no time what nearly always holds.
fn beside_the_source(load: &Resolved<'_>, unique: &Unique) -> Option<Sql> {
    let one_each = matches!(load.pipeline.strategy.keys(), KeyNeed::OfRows | KeyNeed::OfVersions)
        && has_key_guards(load)
        && load.pipeline.on_duplicate == OnDuplicate::Error;
    if !one_each {
        return None;
    }
    let count = load.dialect.function("count");
    let keys = match &load.rows {
        Rows::Direct(_) => sql!("{rows}", rows = RunValue::RowsIn),
        Rows::Stage(_) => sql!("(SELECT {count}(*) FROM {stage})", count, stage = load.source()),
        Rows::Compared => return None,
    };
    Some(sql!(
        "SELECT CASE WHEN {count}(*) = {keys} THEN 0 ELSE {count}(*) END AS rows_repeated\n  FROM {target} AS t{condition}",
        count,
        keys,
        target = load.table.name,
        condition = where_judged(load, unique)
    ))
}

fn where_judged(load: &Resolved<'_>, unique: &Unique) -> Sql {
    let conditions = judged(load, unique);
    match conditions.is_empty() {
        true => Sql::empty(),
        false => sql!("\n WHERE {conditions}", conditions = Sql::join(conditions, " AND ")),
    }
}

/// How many rows stand beside another one of the same values. Counting is cheaper than grouping.
fn how_many(load: &Resolved<'_>, unique: &Unique) -> Sql {
    let (target, count) = (&load.table.name, load.dialect.function("count"));
    let condition = where_judged(load, unique);
    match unique.columns.as_slice() {
        [key] => sql!(
            "SELECT {count}(t.{key}) - {count}(DISTINCT t.{key}) AS rows_repeated\n  FROM {target} AS t{condition}",
            count,
            key,
            target,
            condition
        ),
        columns => sql!(
            "SELECT {count}(*) - (SELECT {count}(*) FROM (SELECT DISTINCT {columns} FROM {target} AS t{condition}) AS d) AS rows_repeated\n  FROM {target} AS t{condition}",
            count,
            columns,
            target,
            condition
        ),
    }
}

/// Which rows `t` of the target are held against each other.
fn judged(load: &Resolved<'_>, unique: &Unique) -> Vec<Sql> {
    let nullable = |name: &&Ident| {
        load.table.columns.iter().chain(&load.managed).any(|column| column.name == **name && column.nullable)
    };
    // NULL is like no other NULL.
    let given = unique.columns.iter().filter(nullable).map(|name| sql!("t.{name} IS NOT NULL", name));
    unique.among.iter().map(|flag| sql!("t.{flag}", flag)).chain(given).collect()
}

/// The values that stand in several rows, those with the most rows first; where only changes were written, among their
/// keys.
fn repeated(load: &Resolved<'_>, unique: &Unique, of_changes: bool) -> Sql {
    let changed = of_changes.then(|| {
        let same = load.keys_equal("t", |key| sql!("c.{key}", key));
        sql!("EXISTS (SELECT 1 FROM {changes} AS c WHERE {same})", changes = load.changes(), same)
    });
    let conditions: Vec<Sql> = judged(load, unique).into_iter().chain(changed).collect();
    let condition = match conditions.is_empty() {
        true => Sql::empty(),
        false => sql!("\n         WHERE {conditions}", conditions = Sql::join(conditions, " AND ")),
    };
    let text = load.type_name(&DataType::Text);
    let texts = unique.columns.iter().map(|name| load.dialect.cast_to(&sql!("d.{name}", name), &text));
    sql!(
        "SELECT {count}(*) OVER () AS count, {texts}, d.{rows}\n  FROM (SELECT {columns}, {count}(*) AS {rows}\n          FROM {target} AS t{condition}\n         GROUP BY {columns}\n        HAVING {count}(*) > 1) AS d\n ORDER BY d.{rows} DESC, {texts}\n LIMIT 5",
        count = load.dialect.function("count"),
        texts = Sql::join(texts, ", "),
        rows = Ident::fixed(ROWS),
        columns = unique.columns,
        target = load.table.name,
        condition
    )
}
