//! Reading the source: into a table of intermediate rows, or in place where a unique index proves
//! what guards would ask. Guards, the watermark's range and the locks that make one reading of it.

use super::builder::PlanBuilder;
use super::load::{Load, Rows};
use crate::dialect::Cast;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::Cap;
use crate::pipeline::Incremental;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::schema::TypeFacts;
use crate::spec::options::{LateCommits, Lookback, NullWatermark, OnDuplicate};
use crate::sql;
use crate::sql::{Ident, Literal, Slot, Sql};

/// The column of a stage that holds the incremental column's value.
pub const WATERMARK: &str = "_ematix_watermark";
/// The column of a stage that holds the hash of the source row.
pub const IDENTITY: &str = "_ematix_identity";
/// The column of a stage that numbers the rows of a key.
const RANK: &str = "_ematix_rank";

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
        sql!("SELECT FROM {query} AS q LIMIT 0", query),
        Answer::Ignore,
    );
}

fn stage(load: &Load<'_>, identity: Option<&[String]>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let name = load.stage_name("stage");
    let mut columns: Vec<(Ident, Sql, Sql)> = Vec::new();
    for column in &load.columns {
        let source = sql!("q.{name}", name = column.name);
        let data_type = Sql::from_dialect(column.data_type.name.clone());
        let value = match column.cast {
            Cast::Widening => sql!("{source}::{data_type}", source, data_type),
            Cast::Same | Cast::ByInsert => source,
        };
        columns.push((column.name.clone(), data_type, value));
    }
    let range = match &load.pipeline.incremental {
        Some(incremental) => {
            let data_type = watermark_type(load, incremental)?;
            let column = sql!("q.{column}", column = incremental.column);
            columns.push((Ident::fixed(WATERMARK), Sql::from_dialect(data_type.name.clone()), column));
            Some(range(load, incremental, data_type, builder)?)
        }
        None => None,
    };
    if let Some(names) = identity {
        let digest = identity_digest(load, names);
        columns.push((Ident::fixed(IDENTITY), Sql::text("bytea"), digest));
    }
    if load.pipeline.on_duplicate == OnDuplicate::Latest {
        let keys = Sql::join(load.keys.iter().map(|key| rank_key(load, key)), ", ");
        let order = Sql::join(load.pipeline.order_by.iter().map(|item| Sql::user_list(item)), ", ");
        let rank = sql!("pg_catalog.row_number() OVER (PARTITION BY {keys} ORDER BY {order})", keys, order);
        columns.push((Ident::fixed(RANK), Sql::text("bigint"), rank));
    }
    let query = Sql::user(load.pipeline.source.query.text());
    let filter = range.map_or(Sql::empty(), |condition| sql!("\n WHERE {condition}", condition));
    let purpose = format!("copy the source query into {name}");
    let typed = load.columns.iter().any(|column| column.cast == Cast::ByInsert);
    let aliased = columns.iter().map(|(name, _, value)| sql!("{value} AS {name}", value, name));
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
        let settings = load.dialect.planner_settings(false);
        let create = load.dialect.create_stage_as(&name, select);
        let sql = sql!("{settings};\n{create}", settings, create);
        builder.step(StepKind::Stage, purpose, sql, Answer::Count(vec![Slot::RowsIn]));
    }
    Ok(())
}

/// A key as the target will hold it: numeric 1.2 and 1.4 are one integer. What an explicit cast would
/// cut, the INSERT into the stage refuses.
fn rank_key(load: &Load<'_>, key: &Ident) -> Sql {
    let column = load.filled(key).expect("keys are filled");
    match column.cast {
        Cast::Same => sql!("q.{key}", key),
        Cast::Widening | Cast::ByInsert => {
            sql!("q.{key}::{type}", key, type = Sql::from_dialect(column.data_type.name.clone()))
        }
    }
}

fn identity_digest(load: &Load<'_>, names: &[String]) -> Sql {
    let idents: Vec<(Ident, &TypeFacts)> = names
        .iter()
        .filter_map(|name| Some((Ident::new(name).ok()?, &load.facts.source.column(name)?.data_type)))
        .collect();
    let columns: Vec<_> = idents
        .iter()
        .map(|(name, data_type)| crate::dialect::ColumnValue { name, sql: sql!("q.{name}", name), data_type })
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

/// The condition that reads from the watermark on.
fn range(
    load: &Load<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
    builder: &mut PlanBuilder<'_>,
) -> Result<Sql> {
    let column = sql!("q.{column}", column = incremental.column);
    let lower = lower_bound(load, incremental, data_type)?;
    explain_late_commits(load, incremental, data_type, builder);
    Ok(match (lower, incremental.on_null) {
        (None, _) => Sql::text("TRUE"),
        (Some(lower), NullWatermark::Include | NullWatermark::Skip | NullWatermark::Error) => {
            sql!("({column} >= {lower} OR {column2} IS NULL)", column, lower, column2 = column)
        }
    })
}

/// Where this reading begins; `None` for a reading in full.
pub fn lower_bound(load: &Load<'_>, incremental: &Incremental, data_type: &TypeFacts) -> Result<Option<Sql>> {
    let lookback = lookback(incremental, data_type)?;
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
pub fn lookback(incremental: &Incremental, data_type: &TypeFacts) -> Result<Option<Sql>> {
    if incremental.lookback.is_zero() {
        return Ok(None);
    }
    let base = data_type.name.split('(').next().unwrap_or_default();
    let time = data_type.name.starts_with("timestamp");
    match (&incremental.lookback, base) {
        (Lookback::Duration(duration), _) if time => {
            // Seconds, not days: a day may have 23 hours where clocks change.
            let seconds = format!("{} milliseconds", duration.milliseconds());
            Ok(Some(sql!("INTERVAL {seconds}", seconds = Literal::Text(seconds))))
        }
        (Lookback::Duration(duration), "date") => {
            let days = duration.milliseconds().div_ceil(86_400_000) as i64;
            Ok(Some(sql!("{days}", days = Literal::Integer(days))))
        }
        (
            Lookback::Number(number),
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" | "date",
        ) => Ok(Some(sql!("{number}", number = Literal::Integer(*number)))),
        (written, _) => {
            let (written, wanted) = match written {
                Lookback::Number(number) => (number.to_string(), "a duration: \"10m\""),
                Lookback::Duration(duration) => (format!("\"{duration}\""), "a number"),
            };
            let wanted = if time || matches!(base, "smallint" | "integer" | "bigint" | "numeric" | "date") {
                wanted
            } else {
                "none: the column has no distance"
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
    if !data_type.name.starts_with("timestamp") || !data_type.name.ends_with("with time zone") {
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
                sql!("SELECT pg_catalog.count(*) AS count FROM {stage} AS s WHERE s.{watermark} IS NULL HAVING pg_catalog.count(*) > 0", stage, watermark),
                Answer::NoRows(GuardFailure {
                    code: ErrorCode::NullWatermark,
                    message: format!("{{count}} rows of `{}` have NULL in {}", load.pipeline.name, incremental.column),
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
    let unique =
        !load.keys.is_empty() && !matches!(load.pipeline.strategy, crate::pipeline::Strategy::Append(_));
    if unique {
        key_guards(load, builder);
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
        sql!("SELECT {rows} AS count WHERE {rows2} = 0", rows = Slot::RowsIn, rows2 = Slot::RowsIn),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::EmptySource,
            message: format!("the source of `{}` has no rows", load.pipeline.name),
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
    let distinct = match load.keys.as_slice() {
        [key] => sql!("pg_catalog.count(DISTINCT s.{key})", key),
        keys => {
            sql!("(SELECT pg_catalog.count(*) FROM (SELECT DISTINCT {keys} FROM {stage}) AS d)", keys, stage)
        }
    };
    // Counting is several times cheaper than grouping, and nearly always all that is needed.
    let repeated = match load.keys.as_slice() {
        [key] => sql!("pg_catalog.count(s.{key}) - {distinct}", key, distinct),
        _ => sql!("pg_catalog.count(*) - {distinct}", distinct),
    };
    builder.step(
        StepKind::Guard,
        format!("count NULL and duplicate keys ({list})"),
        sql!(
            "SELECT pg_catalog.count(*) FILTER (WHERE {null}) AS rows_null_key,\n       {repeated} AS rows_repeated\n  FROM {stage} AS s",
            null,
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
        Answer::NoRows(GuardFailure {
            code: ErrorCode::NullKey,
            message: format!("{{count}} rows of `{}` have NULL in their key ({list})", load.pipeline.name),
            sample: Vec::new(),
            hint: "leave such rows out in the query, or give them a key".to_owned(),
        }),
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
    let keys = load.keys.clone();
    let texts = Sql::join(load.keys.iter().map(|key| sql!("d.{key}::text", key)), ", ");
    builder.step_if(
        Slot::RowsRepeated,
        StepKind::Guard,
        format!("no duplicate keys ({list})   expects no rows"),
        sql!(
            "SELECT pg_catalog.count(*) OVER () AS count, {texts}, d._ematix_rows\n  FROM (SELECT {keys}, pg_catalog.count(*) AS _ematix_rows FROM {stage} GROUP BY {keys2} HAVING pg_catalog.count(*) > 1) AS d\n ORDER BY d._ematix_rows DESC, {texts2}\n LIMIT 5",
            texts,
            keys,
            stage,
            keys2 = load.keys,
            texts2 = texts
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::DuplicateSourceKey,
            message: format!("{{count}} keys of `{}` come more than once from the source", load.pipeline.name),
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
        Some(last) => sql!("GREATEST(m.highest, {last})", last),
        None => Sql::text("m.highest"),
    };
    let safe = match cap(load, incremental, data_type) {
        Ok(cap) => {
            let cap = load.dialect.typed_literal(cap, "timestamp with time zone");
            let cap = match rounding(data_type) {
                Some(unit) => sql!("{cap} - INTERVAL {unit}", cap, unit = Literal::Text(unit)),
                None => cap,
            };
            sql!("LEAST({highest}, {cap})", highest, cap)
        }
        Err(_) => highest.clone(),
    };
    let next = match &read_from {
        Some(read_from) => sql!(
            "CASE WHEN m.highest IS NULL THEN {read_from} ELSE GREATEST({read_from2}, {safe}) END",
            read_from,
            read_from2 = read_from,
            safe
        ),
        None => sql!("CASE WHEN m.highest IS NULL THEN NULL ELSE {safe} END", safe),
    };
    let text = |value: Sql| load.dialect.stable_text(data_type, &sql!("({value})", value));
    // Nothing of the user's runs after this step.
    let settings = load.dialect.text_settings(data_type).map_or(Sql::empty(), |set| sql!("{set};\n", set));
    builder.step(
        StepKind::Finish,
        format!("the watermark that this reading leaves: the greatest {}", incremental.column),
        sql!(
            "{settings}SELECT {watermark} AS watermark, {read_from} AS read_from\n  FROM (SELECT pg_catalog.max(s.{column}) AS highest FROM {stage} AS s) AS m",
            settings,
            watermark = text(highest),
            read_from = text(next),
            column,
            stage
        ),
        Answer::Read,
    );
    Ok(())
}

/// One unit of a column that keeps fewer than six digits: it rounds up, so the cap goes down.
fn rounding(data_type: &TypeFacts) -> Option<String> {
    let open = data_type.name.find('(')?;
    let digits: u32 = data_type.name[open + 1..].split(')').next()?.parse().ok()?;
    Some(format!("{} microseconds", 10_i64.pow(6 - digits.min(6))))
}

/// Drops the stage, which a run that ends here needs no more.
pub fn drop_stage(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    if let Rows::Stage(name) = &load.rows {
        builder.step(
            StepKind::Stage,
            "drop the intermediate rows",
            sql!("DROP TABLE {name}", name),
            Answer::Ignore,
        );
    }
}
