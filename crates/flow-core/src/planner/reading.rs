//! Reading the source: into a table of intermediate rows, or in place where a unique index proves
//! what guards would ask. Guards, the watermark's range and the locks that make one reading of it.

use super::builder::PlanBuilder;
use super::load::{Load, Rows};
use crate::dialect::{Cast, ColumnValue, Measure, RowOrder};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::Cap;
use crate::pipeline::Incremental;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::spec::options::{LateCommits, Lookback, NullWatermark, OnDuplicate};
use crate::sql;
use crate::sql::{Ident, Literal, Slot, Sql};
use crate::types::{DataType, TypeFacts};

/// The column of a stage that holds the incremental column's value.
pub const WATERMARK: &str = "_ematix_watermark";
/// The column of a stage that holds the hash of the source row.
pub const IDENTITY: &str = "_ematix_identity";
/// The column of a stage that numbers the rows of a key.
const RANK: &str = "_ematix_rank";
/// How many rows a repeated key has.
const ROWS: &str = "_ematix_rows";

/// Reads the source where the strategy wants it, and asks every guard that needs no target.
///
/// `identity` names the source columns whose hash the stage carries (append's ledger).
pub fn steps(load: &Load<'_>, identity: Option<&[String]>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    lock_source(load, builder);
    match &load.rows {
        Rows::Direct(relation) => {
            let unique = relation.unique.first().map(|columns| columns.join(", ")).unwrap_or_default();
            builder.note(format!(
                "a unique index on {unique} of the source proves its keys: it is read in place"
            ));
        }
        Rows::Stage(_) => {
            stage(load, identity, builder)?;
            guards(load, builder);
        }
    }
    Ok(())
}

/// CREATE TABLE AS takes its snapshot before it waits for a lock: what another flow truncates and
/// reloads meanwhile would look empty. Executing the query once with LIMIT 0 takes all locks first.
pub fn lock_source(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let query = Sql::user(load.pipeline.source.query.text());
    builder.step(
        StepKind::Lock,
        "lock what the query reads, so that the reading is younger than its locks",
        load.dialect.probe(&query),
        Answer::Ignore,
    );
}

fn stage(load: &Load<'_>, identity: Option<&[String]>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let name = load.stage_name("stage");
    builder.leftovers.push(name.clone());
    let ours = |data_type: &DataType| Sql::from_dialect(load.type_name(data_type));
    let mut columns: Vec<(Ident, Sql, Sql)> = Vec::new();
    for column in &load.columns {
        let source = sql!("q.{name}", name = column.name);
        let data_type = Sql::from_dialect(column.data_type.name.clone());
        let value = match column.cast {
            Cast::Widening => load.dialect.cast_to(&source, &column.data_type.name),
            Cast::Same | Cast::ByInsert => source,
        };
        columns.push((column.name.clone(), data_type, value));
    }
    let range = match &load.pipeline.incremental {
        Some(incremental) => {
            let data_type = watermark_type(load, incremental)?;
            let column = sql!("q.{column}", column = incremental.column);
            columns.push((Ident::fixed(WATERMARK), Sql::from_dialect(data_type.name.clone()), column));
            range(load, incremental, data_type, builder)?
        }
        None => None,
    };
    if let Some(names) = identity {
        let digest = identity_digest(load, names);
        columns.push((Ident::fixed(IDENTITY), ours(&DataType::Bytes), digest));
    }
    if load.pipeline.on_duplicate == OnDuplicate::Latest {
        let mut keys = Sql::join(load.keys.iter().map(|key| rank_key(load, key)), ", ");
        // Rows that are left out for their NULL must not stand before those that stay.
        if let Some(skipping) = &load.pipeline.incremental
            && skipping.on_null == NullWatermark::Skip
        {
            keys.push(&sql!(", q.{column} IS NULL", column = skipping.column));
        }
        let order = Sql::join(load.pipeline.order_by.iter().map(|item| Sql::user_list(item)), ", ");
        let rank = sql!(
            "{row_number}() OVER (PARTITION BY {keys} ORDER BY {order})",
            row_number = load.dialect.function("row_number"),
            keys,
            order
        );
        columns.push((Ident::fixed(RANK), ours(&DataType::BigInt), rank));
    }
    let query = Sql::user(load.pipeline.source.query.text());
    let filter = range.map_or(Sql::empty(), |condition| sql!("\n WHERE {condition}", condition));
    let purpose = format!("copy the source query into {name}");
    let typed = load.columns.iter().any(|column| column.cast == Cast::ByInsert);
    let aliased = columns.iter().map(|(name, _, value)| {
        let own_name = *value == sql!("q.{name}", name);
        if own_name { value.clone() } else { sql!("{value} AS {name}", value, name) }
    });
    let select = sql!(
        "SELECT {list}\n  FROM {query} AS q{filter}",
        list = Sql::join(aliased, ",\n       "),
        query,
        filter
    );
    if typed {
        let definitions =
            columns.iter().map(|(name, data_type, _)| (name.clone(), data_type.clone())).collect();
        let sql = load.dialect.create_stage(&name, definitions);
        builder.step(StepKind::Stage, format!("a table of the declared types: {name}"), sql, Answer::Ignore);
        let insert = sql!("INSERT INTO {name}\n{select}", name, select);
        builder.step(StepKind::Stage, purpose, insert, Answer::Count(vec![Slot::RowsIn]));
    } else {
        let sql = load.dialect.create_stage_as(&name, select, RowOrder::Unknown);
        builder.step(StepKind::Stage, purpose, sql, Answer::Count(vec![Slot::RowsIn]));
    }
    Ok(())
}

/// A key as the target will hold it: numeric 1.2 and 1.4 are one integer. What an explicit cast would
/// cut, the INSERT into the stage refuses.
fn rank_key(load: &Load<'_>, key: &Ident) -> Sql {
    let column = load.filled(key).expect("keys are filled");
    let source = sql!("q.{key}", key);
    match column.cast {
        Cast::Same => source,
        Cast::Widening | Cast::ByInsert => load.dialect.cast_to(&source, &column.data_type.name),
    }
}

fn identity_digest(load: &Load<'_>, names: &[String]) -> Sql {
    let idents: Vec<(Ident, &TypeFacts)> = names
        .iter()
        .filter_map(|name| Some((Ident::new(name).ok()?, &load.facts.source.column(name)?.data_type)))
        .collect();
    let columns: Vec<_> = idents
        .iter()
        .map(|(name, data_type)| ColumnValue { name, sql: sql!("q.{name}", name), data_type })
        .collect();
    load.dialect.row_digest(&columns)
}

/// The type of the incremental column.
pub fn watermark_type<'a>(load: &'a Load<'_>, incremental: &Incremental) -> Result<&'a TypeFacts> {
    match load.facts.source.column(incremental.column.as_str()) {
        Some(column) => Ok(&column.data_type),
        None => {
            let names: Vec<&str> =
                load.facts.source.columns.iter().map(|column| column.name.as_str()).collect();
            Err(FlowError::new(
                ErrorCode::UnknownColumn,
                format!("the source has no column `{}`, which incremental_column names", incremental.column),
            )
            .detail(format!("the source has: {}", names.join(", "))))
        }
    }
}

/// The condition that reads from the watermark on; `None` for a reading in full.
fn range(
    load: &Load<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
    builder: &mut PlanBuilder<'_>,
) -> Result<Option<Sql>> {
    let column = sql!("q.{column}", column = incremental.column);
    let lower = lower_bound(load, incremental, data_type)?;
    explain_late_commits(load, incremental, data_type, builder);
    // Rows without a value are read whatever becomes of them: refused, loaded, or left out and counted.
    Ok(lower.map(|lower| sql!("{column} >= {lower}\n    OR {column} IS NULL", column, lower)))
}

/// Where this reading begins; `None` for a reading in full.
pub fn lower_bound(load: &Load<'_>, incremental: &Incremental, data_type: &TypeFacts) -> Result<Option<Sql>> {
    let lookback = lookback(load, incremental, data_type)?;
    let Some(stored) = &load.facts.watermark else { return Ok(None) };
    if stored.column != incremental.column.as_str() {
        return Err(FlowError::new(
            ErrorCode::WatermarkMismatch,
            format!(
                "the stored watermark of `{}` belongs to the column `{}`, not to `{}`",
                load.pipeline.name, stored.column, incremental.column
            ),
        )
        .hint(format!(
            "`flow watermark reset {}` forgets it; the next run reads in full",
            load.pipeline.name
        )));
    }
    if load.facts.run.full_scan || load.reads_in_full() {
        return Ok(None);
    }
    // What was loaded up to a watermark was loaded into that table, and is gone with it.
    if let Some(loaded) = &stored.target
        && (load.creates || *loaded != load.pipeline.target_key())
    {
        let state = if load.creates {
            "does not exist any more".to_owned()
        } else {
            format!("is not {}", load.table.name)
        };
        return Err(FlowError::new(
            ErrorCode::WatermarkMismatch,
            format!(
                "the stored watermark of `{}` belongs to the table {loaded}, which {state}",
                load.pipeline.name
            ),
        )
        .hint(format!(
            "`flow watermark reset {}` forgets it; the next run reads in full",
            load.pipeline.name
        )));
    }
    let Some(read_from) = stored.read_from.as_ref().or(stored.last_value.as_ref()) else { return Ok(None) };
    let value = |text: &str| load.dialect.typed_literal(text, &data_type.name);
    let from = match &lookback {
        Some(back) => sql!("{value} - {back}", value = value(read_from), back),
        None => value(read_from),
    };
    Ok(Some(match &stored.covered_from {
        Some(covered) if lookback.is_some() => {
            sql!("GREATEST({from}, {covered})", from, covered = value(covered))
        }
        _ => from,
    }))
}

/// The lookback in the terms of the column's type; `None` for none.
pub fn lookback(load: &Load<'_>, incremental: &Incremental, data_type: &TypeFacts) -> Result<Option<Sql>> {
    if incremental.lookback.is_zero() {
        return Ok(None);
    }
    let measure = load.dialect.measure(data_type);
    match (&incremental.lookback, measure) {
        (Lookback::Duration(duration), Measure::Instant { .. } | Measure::LocalTime) => {
            Ok(Some(load.dialect.duration(duration.as_std())))
        }
        (Lookback::Duration(duration), Measure::Date) => {
            let days = duration.milliseconds().div_ceil(86_400_000) as i64;
            Ok(Some(sql!("{days}", days = Literal::Integer(days))))
        }
        (Lookback::Number(number), Measure::Number | Measure::Date) => {
            Ok(Some(sql!("{number}", number = Literal::Integer(*number))))
        }
        (written, measure) => {
            let written = match written {
                Lookback::Number(number) => number.to_string(),
                Lookback::Duration(duration) => format!("\"{duration}\""),
            };
            let wanted = match measure {
                Measure::Instant { .. } | Measure::LocalTime => "a duration: \"10m\"",
                Measure::Date => "a duration or a number of days",
                Measure::Number => "a number",
                Measure::Unmeasured => "none: the column has no distance",
            };
            Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "lookback = {written} does not fit `{}`, which is of type {}",
                    incremental.column, data_type.name
                ),
            )
            .hint(format!("it takes {wanted}")))
        }
    }
}

/// Where the next reading begins, once this one has told how far it came.
pub fn next_bound(load: &Load<'_>, incremental: &Incremental, data_type: &TypeFacts) -> Result<Sql> {
    let read_from = load.dialect.cast_to(&sql!("{slot}", slot = Slot::ReadFrom), &data_type.name);
    Ok(match lookback(load, incremental, data_type)? {
        // A difference may be of a wider type.
        Some(back) => load.dialect.cast_to(&sql!("({read_from} - {back})", read_from, back), &data_type.name),
        None => read_from,
    })
}

impl Load<'_> {
    /// Whether a run with a watermark reads in full all the same: the compare columns changed.
    pub fn reads_in_full(&self) -> bool {
        crate::strategies::rehashes(self)
    }
}

/// Whether the cap applies, and the sentence that says so.
fn cap<'a>(
    load: &'a Load<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
) -> std::result::Result<&'a str, String> {
    if !matches!(load.dialect.measure(data_type), Measure::Instant { .. }) {
        return Err(format!("`{}` is {}, not timestamptz", incremental.column, data_type.name));
    }
    let stamped = load.facts.source.column(incremental.column.as_str()).is_some_and(|column| column.stamped);
    match incremental.late_commits {
        LateCommits::Lookback => return Err("late_commits = \"lookback\"".to_owned()),
        LateCommits::Auto if !stamped => {
            return Err(format!(
                "nothing shows that `{}` is stamped by the source's own clock",
                incremental.column
            ));
        }
        LateCommits::Auto | LateCommits::Cap => {}
    }
    match &load.facts.cap {
        Cap::At(instant) => Ok(instant),
        Cap::Unknown(why) => Err(why.clone()),
    }
}

fn explain_late_commits(
    load: &Load<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
    builder: &mut PlanBuilder<'_>,
) {
    match cap(load, incremental, data_type) {
        Ok(_) => builder.note("rows that commit late are found again: the next run reads from the start of the oldest running transaction"),
        Err(why) => {
            let lookback = match &incremental.lookback {
                lookback if lookback.is_zero() => "lookback is 0".to_owned(),
                Lookback::Number(number) => format!("lookback is {number}"),
                Lookback::Duration(duration) => format!("lookback is {duration}"),
            };
            builder.warn(format!("rows that commit late are found again only within lookback ({lookback}): {why}"));
        }
    }
}

/// Guards over the stage, then the rows that the strategy shall not see are dropped from it.
fn guards(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let stage = load.source();
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
                    Answer::Count(vec![Slot::RowsSkipped]),
                );
            }
            NullWatermark::Include => {
                builder.note(format!("rows whose {} is NULL are read again by every run", incremental.column));
            }
        }
    }
    empty_source(load, builder);
    let append = matches!(load.pipeline.strategy, crate::pipeline::Strategy::Append(_));
    match (append, &load.pipeline.keys) {
        (false, _) if !load.keys.is_empty() => key_guards(load, builder),
        // Its ledger knows rows by their keys: two without one would be taken for the same row.
        (true, Some(keys)) => null_key_guard(load, keys, builder),
        _ => {}
    }
}

fn null_key_guard(load: &Load<'_>, keys: &[Ident], builder: &mut PlanBuilder<'_>) {
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

fn null_key(load: &Load<'_>, list: &str) -> GuardFailure {
    GuardFailure {
        code: ErrorCode::NullKey,
        message: format!("{{count}} rows of `{}` have NULL in their key ({list})", load.pipeline.name),
        one: format!("{{count}} row of `{}` has NULL in its key ({list})", load.pipeline.name),
        sample: Vec::new(),
        hint: "leave such rows out in the query, or give them a key".to_owned(),
    }
}

/// A source without rows, judged by the rows that the reading brought.
pub fn empty_source(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    if !load.pipeline.refuse_empty_source {
        return;
    }
    builder.step(
        StepKind::Guard,
        "the source is not empty   expects no rows",
        sql!("SELECT {rows} AS count\n WHERE {rows} = 0", rows = Slot::RowsIn),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::EmptySource,
            message: format!("the source of `{}` has no rows", load.pipeline.name),
            one: String::new(),
            sample: Vec::new(),
            hint: "if it may be empty, set on_empty_source = \"ignore\"".to_owned(),
        }),
    );
}

fn key_guards(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let stage = load.source();
    let names = load.keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let list = names.join(", ");
    let null = Sql::join(load.keys.iter().map(|key| sql!("s.{key} IS NULL", key)), " OR ");
    let count = load.dialect.function("count");
    // Counting is several times cheaper than grouping, and nearly always all that is needed.
    let repeated = match load.keys.as_slice() {
        [key] => sql!("{count}(s.{key}) - {count}(DISTINCT s.{key})", count, key),
        keys => sql!(
            "{count}(*) - (SELECT {count}(*) FROM (SELECT DISTINCT {keys} FROM {stage} AS s) AS d)",
            count,
            keys,
            stage
        ),
    };
    builder.step(
        StepKind::Guard,
        format!("count NULL and duplicate keys ({list})"),
        sql!(
            "SELECT {null} AS rows_null_key,\n       {repeated} AS rows_repeated\n  FROM {stage} AS s",
            null = load.dialect.count_where(&null),
            repeated,
            stage
        ),
        Answer::Read,
    );
    builder.step_if(
        Slot::RowsNullKey,
        StepKind::Guard,
        format!("no NULL keys ({list})   expects no rows"),
        sql!("SELECT {rows} AS count", rows = Slot::RowsNullKey),
        Answer::NoRows(null_key(load, &list)),
    );
    if load.pipeline.on_duplicate == OnDuplicate::Latest {
        let rank = Ident::fixed(RANK);
        builder.step_if(
            Slot::RowsRepeated,
            StepKind::Stage,
            format!("keep the latest row of each key ({list}) by {}", load.pipeline.order_by.join(", ")),
            sql!("DELETE FROM {stage} AS s WHERE s.{rank} > 1", stage, rank),
            Answer::Count(vec![Slot::RowsDeduplicated]),
        );
        return;
    }
    let text = load.type_name(&DataType::Text);
    let texts = load.keys.iter().map(|key| load.dialect.cast_to(&sql!("d.{key}", key), &text));
    let rows = Ident::fixed(ROWS);
    builder.step_if(
        Slot::RowsRepeated,
        StepKind::Guard,
        format!("no duplicate keys ({list})   expects no rows"),
        sql!(
            "SELECT {count}(*) OVER () AS count, {texts}, d.{rows}\n  FROM (SELECT {keys}, {count}(*) AS {rows}\n          FROM {stage} AS s\n         GROUP BY {keys}\n        HAVING {count}(*) > 1) AS d\n ORDER BY d.{rows} DESC, {texts}\n LIMIT 5",
            count,
            texts = Sql::join(texts, ", "),
            rows,
            keys = load.keys,
            stage
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::DuplicateSourceKey,
            message: format!("{{count}} keys of `{}` come more than once from the source", load.pipeline.name),
            one: format!("{{count}} key of `{}` comes more than once from the source", load.pipeline.name),
            sample: names,
            hint: "make the query return one row per key, or set on_duplicate = \"latest\" with order_by".to_owned(),
        }),
    );
}

/// Reads the watermark that this reading leaves, before the stage is dropped.
pub fn watermark(load: &Load<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(incremental) = &load.pipeline.incremental else { return Ok(()) };
    let data_type = watermark_type(load, incremental)?;
    let stage = load.source();
    let column = Ident::fixed(WATERMARK);
    let literal = |text: &String| load.dialect.typed_literal(text, &data_type.name);
    let stored = load.facts.watermark.as_ref();
    let last = stored.and_then(|stored| stored.last_value.as_ref()).map(literal);
    let read_from = stored.and_then(|stored| stored.read_from.as_ref()).map(literal);
    let highest = match &last {
        Some(last) => sql!("GREATEST(h.highest, {last})", last),
        None => Sql::text("h.highest"),
    };
    let safe = match cap(load, incremental, data_type) {
        Ok(cap) => {
            let cap = load.instant_of(cap);
            // A column that keeps fewer digits rounds up, so the cap goes down.
            let cap = match load.dialect.measure(data_type) {
                Measure::Instant { unit: Some(unit) } => {
                    sql!("{cap} - {unit}", cap, unit = load.dialect.duration(unit))
                }
                _ => cap,
            };
            sql!("LEAST({highest}, {cap})", highest, cap)
        }
        Err(_) => highest.clone(),
    };
    let next = match &read_from {
        Some(read_from) => sql!(
            "CASE WHEN h.highest IS NULL\n                    THEN {read_from}\n                    ELSE GREATEST({read_from}, {safe})\n               END",
            read_from,
            safe
        ),
        None => sql!("CASE WHEN h.highest IS NOT NULL THEN {safe} END", safe),
    };
    let text = |name: &'static str| load.dialect.stable_text(data_type, &Sql::text(name));
    // Nothing of the user's runs after this step. What has an order has a greatest value, if not always a max().
    let settings = load.dialect.text_settings(data_type).map_or(Sql::empty(), |set| sql!("{set};\n", set));
    builder.step(
        StepKind::Finish,
        format!("the watermark that this reading leaves: the greatest {}", incremental.column),
        sql!(
            "{settings}SELECT {watermark} AS watermark,\n       {read_from} AS read_from\n  FROM (SELECT {highest} AS watermark,\n               {next} AS read_from\n          FROM (SELECT (SELECT s.{column} FROM {stage} AS s WHERE s.{column} IS NOT NULL ORDER BY s.{column} DESC LIMIT 1) AS highest) AS h) AS m",
            settings,
            watermark = text("m.watermark"),
            read_from = text("m.read_from"),
            highest,
            next,
            column,
            stage
        ),
        Answer::Read,
    );
    Ok(())
}
