//! What the rows that were read must hold before a row of the target is touched.

use super::future;
use super::stage::{RANK, WATERMARK};
use super::{expected, unread};
use crate::declare::options::{NullWatermark, OnDuplicate};
use crate::dialect::ColumnValue;
use crate::error::{ErrorCode, Result};
use crate::pipeline::Resolved;
use crate::pipeline::strategy::KeyNeed;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::DataType;

/// How many rows a repeated key has.
pub const ROWS: &str = "_ematix_rows";

/// Guards over the stage; the rows that the strategy shall not see are dropped from it.
///
/// # Errors
/// An expectation that cannot be asked of its columns.
pub fn over_stage(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let stage = load.source();
    unread::over_stage(load, builder);
    if let Some(incremental) = &load.pipeline.incremental {
        let watermark = Ident::fixed(WATERMARK);
        match incremental.on_null {
            NullWatermark::Error => builder.step(
                StepKind::Guard,
                format!("no NULL in {}   expects no rows", incremental.column),
                sql!(
                    "SELECT {count}(*) AS count\n  FROM {stage} AS s\n WHERE s.{watermark} IS NULL\nHAVING {count}(*) > 0",
                    count = load.dialect.function("count"),
                    stage,
                    watermark
                ),
                Answer::NoRows(GuardFailure {
                    code: ErrorCode::NullWatermark,
                    message: format!("{{count}} rows of `{}` have NULL in {}", load.pipeline.name, incremental.column),
                    one: format!("{{count}} row of `{}` has NULL in {}", load.pipeline.name, incremental.column),
                    sample: Vec::new(),
                    hint: "set null_watermark = \"include\" to read such rows every time, or \"skip\" to leave them out".to_owned(),
                }),
            ),
            NullWatermark::Skip => {
                builder.step(
                    StepKind::Stage,
                    format!("leave out rows whose {} is NULL", incremental.column),
                    sql!("DELETE FROM {stage} AS s WHERE s.{watermark} IS NULL", stage, watermark),
                    Answer::Count(vec![RunValue::RowsSkipped]),
                );
            }
            NullWatermark::Include => {
                builder.note(format!("rows whose {} is NULL are read again by every run", incremental.column));
            }
        }
        future::rows(load, incremental, builder);
    }
    empty_source(load, builder);
    // Rows that will be put aside end no run by their keys.
    let quarantines = load.pipeline.quarantines();
    if has_key_guards(load) {
        count_keys(load, builder);
        if !quarantines {
            unread::no_nulls(load, true, builder);
            no_null_keys(load, builder);
        }
        if load.pipeline.on_duplicate == OnDuplicate::Latest {
            keep_latest(load, builder);
        }
    }
    // Of what is about to stand, and before a repeated key ends the run: whoever expects it to be unique says so.
    expected::over_stage(load, builder)?;
    unread::no_nulls(load, false, builder);
    if quarantines && has_key_guards(load) {
        recount_keys(load, builder);
        unread::no_nulls(load, true, builder);
        no_null_keys(load, builder);
    }
    match (load.pipeline.strategy.keys(), &load.pipeline.keys) {
        // A ledger knows rows by their keys: two without one would be taken for the same row.
        (KeyNeed::None, Some(keys)) => null_key_guard(load, keys, builder),
        (KeyNeed::OfEvents, _) => null_key_guard(load, &load.keys, builder),
        _ if has_key_guards(load) && load.pipeline.on_duplicate == OnDuplicate::Error => {
            repeated_key_guard(load, builder);
        }
        _ => {}
    }
    Ok(())
}

/// Guards of the keys alone, over rows that are read in place.
pub fn of_keys(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if has_key_guards(load) {
        count_keys(load, builder);
        no_null_keys(load, builder);
        repeated_key_guard(load, builder);
    }
}

/// Whether NULL and repeated keys are counted.
pub fn has_key_guards(load: &Resolved<'_>) -> bool {
    !matches!(load.pipeline.strategy.keys(), KeyNeed::None | KeyNeed::OfEvents) && !load.keys.is_empty()
}

fn null_key_guard(load: &Resolved<'_>, keys: &[Ident], builder: &mut PlanBuilder<'_>) {
    let list = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let null = Sql::join(keys.iter().map(|key| sql!("s.{key} IS NULL", key)), " OR ");
    let sql = sql!(
        "SELECT {count} AS count\n  FROM {stage} AS s\nHAVING {count} > 0",
        count = load.dialect.count_where(&null),
        stage = load.source()
    );
    builder.step(
        StepKind::Guard,
        format!("no NULL keys ({list})   expects no rows"),
        sql,
        Answer::NoRows(null_key(load, &list)),
    );
}

fn null_key(load: &Resolved<'_>, list: &str) -> GuardFailure {
    GuardFailure {
        code: ErrorCode::NullKey,
        message: format!("{{count}} rows of `{}` have NULL in their key ({list})", load.pipeline.name),
        one: format!("{{count}} row of `{}` has NULL in its key ({list})", load.pipeline.name),
        sample: Vec::new(),
        hint: "leave such rows out in the query, or give them a key".to_owned(),
    }
}

/// A source without rows, judged by the rows that the reading brought.
pub fn empty_source(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if !load.pipeline.refuse_empty_source {
        return;
    }
    builder.step(
        StepKind::Guard,
        "the source is not empty   expects no rows",
        sql!("SELECT {rows} AS count\n WHERE {rows} = 0", rows = RunValue::RowsIn),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::EmptySource,
            message: format!("the source of `{}` has no rows", load.pipeline.name),
            one: String::new(),
            sample: Vec::new(),
            hint: "if it may be empty, set on_empty_source = \"ignore\"".to_owned(),
        }),
    );
}

fn count_keys(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    builder.step(
        StepKind::Guard,
        format!("count NULL and duplicate keys ({})", key_list(load)),
        null_and_repeated_keys(load),
        Answer::Read(vec![RunValue::RowsNullKey, RunValue::RowsRepeated]),
    );
}

/// Once rows were put aside.
fn recount_keys(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    builder.step_if(
        RunValue::RowsRejected,
        StepKind::Guard,
        format!("count NULL and duplicate keys of the rest ({})", key_list(load)),
        null_and_repeated_keys(load),
        Answer::Read(vec![RunValue::RowsNullKey, RunValue::RowsRepeated]),
    );
}

fn null_and_repeated_keys(load: &Resolved<'_>) -> Sql {
    let stage = load.source();
    let null = Sql::join(load.keys.iter().map(|key| sql!("s.{key} IS NULL", key)), " OR ");
    let count = load.dialect.function("count");
    // Counting is several times cheaper than grouping, and nearly always all that is needed. Fingerprints are sorted
    // several times as fast as texts and as keys of several columns: where two keys had the same, keys are compared.
    let values: Vec<ColumnValue<'_>> = load
        .keys
        .iter()
        .map(|key| ColumnValue { name: key, sql: sql!("s.{key}", key), data_type: load.type_of(key) })
        .collect();
    let repeated = match (load.dialect.fingerprint(&values), load.keys.as_slice()) {
        (Some(fingerprint), [key]) => {
            sql!("{count}(s.{key}) - {count}(DISTINCT {fingerprint})", count, key, fingerprint)
        }
        (Some(fingerprint), _) => sql!("{count}(*) - {count}(DISTINCT {fingerprint})", count, fingerprint),
        (None, [key]) => sql!("{count}(s.{key}) - {count}(DISTINCT s.{key})", count, key),
        (None, keys) => sql!(
            "{count}(*) - (SELECT {count}(*) FROM (SELECT DISTINCT {keys} FROM {stage} AS s) AS d)",
            count,
            keys,
            stage
        ),
    };
    sql!(
        "SELECT {null} AS rows_null_key,\n       {repeated} AS rows_repeated\n  FROM {stage} AS s",
        null = load.dialect.count_where(&null),
        repeated,
        stage
    )
}

fn keep_latest(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let order = load.pipeline.order_by.join(", ");
    // Rows without a key are not one key: whoever puts them aside sees each.
    let has_key = match load.pipeline.quarantines() {
        true => {
            let given = load.keys.iter().map(|key| sql!(" AND s.{key} IS NOT NULL", key));
            Sql::join(given, "")
        }
        false => Sql::empty(),
    };
    builder.step_if(
        RunValue::RowsRepeated,
        StepKind::Stage,
        format!("keep the latest row of each key ({}) by {order}", key_list(load)),
        sql!(
            "DELETE FROM {stage} AS s WHERE s.{rank} > 1{has_key}",
            stage = load.source(),
            rank = Ident::fixed(RANK),
            has_key
        ),
        Answer::Count(vec![RunValue::RowsDeduplicated]),
    );
}

fn repeated_key_guard(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let (stage, count, rows) = (load.source(), load.dialect.function("count"), Ident::fixed(ROWS));
    let groups = sql!(
        "SELECT {keys}, {count}(*) AS {rows}\n          FROM {stage} AS s\n         GROUP BY {keys}\n        HAVING {count}(*) > 1",
        keys = load.keys,
        count,
        rows,
        stage
    );
    no_repeated_keys(load, groups, builder);
}

fn key_list(load: &Resolved<'_>) -> String {
    load.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Ends the run if rows with NULL in their key were counted.
pub fn no_null_keys(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let list = key_list(load);
    builder.step_if(
        RunValue::RowsNullKey,
        StepKind::Guard,
        format!("no NULL keys ({list})   expects no rows"),
        sql!("SELECT {rows} AS count", rows = RunValue::RowsNullKey),
        Answer::NoRows(null_key(load, &list)),
    );
}

/// Ends the run if keys came more than once; `groups` gives them with their rows, [`ROWS`].
pub fn no_repeated_keys(load: &Resolved<'_>, groups: Sql, builder: &mut PlanBuilder<'_>) {
    let text = load.type_name(&DataType::Text);
    let texts = load.keys.iter().map(|key| load.dialect.cast_to(&sql!("d.{key}", key), &text));
    builder.step_if(
        RunValue::RowsRepeated,
        StepKind::Guard,
        format!("no duplicate keys ({})   expects no rows", key_list(load)),
        sql!(
            "SELECT {count}(*) OVER () AS count, {texts}, d.{rows}\n  FROM ({groups}) AS d\n ORDER BY d.{rows} DESC, {texts}\n LIMIT 5",
            count = load.dialect.function("count"),
            texts = Sql::join(texts, ", "),
            rows = Ident::fixed(ROWS),
            groups
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::DuplicateSourceKey,
            message: format!("{{count}} keys of `{}` come more than once from the source", load.pipeline.name),
            one: format!("{{count}} key of `{}` comes more than once from the source", load.pipeline.name),
            sample: load.keys.iter().map(ToString::to_string).collect(),
            hint: "make the query return one row per key, or set on_duplicate = \"latest\" with order_by".to_owned(),
        }),
    );
}
