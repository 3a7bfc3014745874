//! The watermark: where a reading begins, how far rows that commit late are covered, and what it leaves.

use super::stage::WATERMARK;
use super::{future, rejected};
use crate::declare::options::{LateCommits, Lookback};
use crate::dialect::{Dialect, Measure};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::Cap;
use crate::pipeline::Resolved;
use crate::pipeline::{Brought, Incremental};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::TypeFacts;

/// The condition that reads from the watermark on; `None` for a reading in full.
pub fn range(
    load: &Resolved<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
    builder: &mut PlanBuilder<'_>,
) -> Result<Option<Sql>> {
    let column = sql!("q.{column}", column = incremental.column);
    let lower = lower_bound(load, incremental, data_type)?;
    refuse_without_cap(load, incremental, data_type)?;
    explain_late_commits(load, incremental, data_type, builder);
    // Rows without a value are read whatever becomes of them: refused, loaded, or left out and counted.
    Ok(lower.map(|lower| sql!("{column} >= {lower}\n    OR {column} IS NULL", column, lower)))
}

/// Where this reading begins; `None` for a reading in full.
pub fn lower_bound(
    load: &Resolved<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
) -> Result<Option<Sql>> {
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
    if load.facts.run.full_scan {
        return Ok(None);
    }
    if load.need.in_full {
        return match &load.pipeline.source.brought {
            Some(Brought::Http(api)) if !api.watermarks().is_empty() => {
                Err(asked_for_less(load, "`:watermark` asks the API for the new ones"))
            }
            Some(Brought::Foreign(foreign)) => {
                Err(asked_for_less(load, &format!("{foreign} sends the new ones")))
            }
            _ => Ok(None),
        };
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
        Some(covered) if lookback.is_some() => load.dialect.greatest([&from, &value(covered)]),
        _ => from,
    }))
}

/// The condition by which a database of another engine leaves rows `q` out that this reading does not need, in its own
/// words: it lets pass too many rather than too few. `None` where it cannot tell, and for a reading in full.
///
/// # Errors
/// As [`lower_bound`].
pub fn at_source(
    load: &Resolved<'_>,
    incremental: &Incremental,
    own: &TypeFacts,
    dialect: &dyn Dialect,
) -> Result<Option<Sql>> {
    let data_type = load.watermark_type(incremental)?;
    let (Some(stored), Some(_)) = (&load.facts.watermark, lower_bound(load, incremental, data_type)?) else {
        return Ok(None);
    };
    let Some(read_from) = stored.read_from.as_ref().or(stored.last_value.as_ref()) else { return Ok(None) };
    let typed = |name: &str| dialect.typed_literal(read_from, name);
    let from = match (load.dialect.measure(data_type), dialect.measure(own)) {
        (Measure::Instant { .. }, Measure::Instant { .. }) => typed("TIMESTAMP WITH TIME ZONE"),
        (Measure::LocalTime, Measure::LocalTime) => typed("TIMESTAMP"),
        (Measure::Date, Measure::Date) => typed("DATE"),
        // Rounded down: engines differ in how they compare what has a fraction.
        (Measure::Number, Measure::Number) => match read_from.split('.').next().map(str::parse::<i64>) {
            Some(Ok(whole)) => sql!("{whole}", whole = Literal::Integer(whole.saturating_sub(1))),
            _ => return Ok(None),
        },
        // An order of texts is its engine's own.
        _ => return Ok(None),
    };
    let from = match lookback_in(dialect, incremental, own)? {
        Some(back) => sql!("{from} - {back}", from, back),
        None => from,
    };
    let column = sql!("q.{column}", column = incremental.column);
    Ok(Some(sql!("{column} >= {from}\n    OR {column} IS NULL", column, from)))
}

/// A source has been asked before it was known that all of its rows are needed.
#[cold]
fn asked_for_less(load: &Resolved<'_>, how: &str) -> FlowError {
    let name = &load.pipeline.name;
    let message = format!(
        "{} gains a column that is compared, for which all rows are read, and {how}",
        load.table.name
    );
    FlowError::new(ErrorCode::WatermarkMismatch, message)
        .hint(format!("run it once with `flow run {name} --full-scan`"))
}

/// The lookback in the terms of the column's type; `None` for none.
pub fn lookback(
    load: &Resolved<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
) -> Result<Option<Sql>> {
    lookback_in(load.dialect, incremental, data_type)
}

fn lookback_in(
    dialect: &dyn Dialect,
    incremental: &Incremental,
    data_type: &TypeFacts,
) -> Result<Option<Sql>> {
    if incremental.lookback.is_zero() {
        return Ok(None);
    }
    let measure = dialect.measure(data_type);
    match (&incremental.lookback, measure) {
        (Lookback::Duration(duration), Measure::Instant { .. } | Measure::LocalTime) => {
            Ok(Some(dialect.duration(duration.as_std())))
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
pub fn next_bound(load: &Resolved<'_>, incremental: &Incremental, data_type: &TypeFacts) -> Result<Sql> {
    let read_from = load.dialect.cast_to(&sql!("{slot}", slot = RunValue::ReadFrom), &data_type.name);
    Ok(match lookback(load, incremental, data_type)? {
        // A difference may be of a wider type.
        Some(back) => load.dialect.cast_to(&sql!("({read_from} - {back})", read_from, back), &data_type.name),
        None => read_from,
    })
}

/// Whether the cap applies, and the sentence that says so.
fn cap<'a>(
    load: &'a Resolved<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
) -> std::result::Result<&'a str, String> {
    if !matches!(load.dialect.measure(data_type), Measure::Instant { .. }) {
        return Err(format!("`{}` is {}, not timestamptz", incremental.column, data_type.name));
    }
    // Whoever stamped the column: reading from further back loses no row.
    if incremental.late_commits == LateCommits::Lookback {
        return Err("late_commits = \"lookback\"".to_owned());
    }
    match &load.facts.cap {
        Cap::At(instant) => Ok(instant),
        Cap::Unknown(why) => Err(why.clone()),
    }
}

/// Who insists on the cap is not left with less. A preview asks no database.
fn refuse_without_cap(load: &Resolved<'_>, incremental: &Incremental, data_type: &TypeFacts) -> Result<()> {
    match cap(load, incremental, data_type) {
        Err(why) if incremental.late_commits == LateCommits::Cap && !load.facts.assumed => {
            Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{}` cannot have late_commits = \"cap\": {why}", load.pipeline.name),
            )
            .hint("see to that, or set late_commits = \"auto\": what the cap cannot cover, lookback has to"))
        }
        _ => Ok(()),
    }
}

fn explain_late_commits(
    load: &Resolved<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
    builder: &mut PlanBuilder<'_>,
) {
    let lookback = match &incremental.lookback {
        lookback if lookback.is_zero() => "lookback is 0".to_owned(),
        Lookback::Number(number) => format!("lookback is {number}"),
        Lookback::Duration(duration) => format!("lookback is {duration}"),
    };
    let stamped = load.facts.source.column(incremental.column.as_str()).is_some_and(|column| column.stamped);
    match cap(load, incremental, data_type) {
        Ok(_) => {
            builder.note("rows that commit late are found again: the next run reads from the start of the oldest running transaction");
            if !stamped && incremental.late_commits == LateCommits::Auto {
                builder.warn(format!(
                    "nothing shows that `{}` is stamped by the source's own clock: rows that commit late are found again as far as the clock that stamps them is right, and within lookback ({lookback})",
                    incremental.column
                ));
            }
        }
        Err(why) => {
            builder.warn(format!(
                "rows that commit late are found again only within lookback ({lookback}): {why}"
            ));
        }
    }
}

/// Reads the watermark that this reading leaves, before the stage is dropped.
pub fn steps(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(incremental) = &load.pipeline.incremental else { return Ok(()) };
    // A part says nothing of what lies before and after it.
    if load.facts.run.part.is_some() {
        return Ok(());
    }
    let data_type = load.watermark_type(incremental)?;
    let column = Ident::fixed(WATERMARK);
    let stage = match rejected::of_run(load) {
        Some(rejects) => sql!(
            "(SELECT s.{column} FROM {stage} AS s UNION ALL SELECT c.{column} FROM {rejects} AS c)",
            column,
            stage = load.source(),
            rejects
        ),
        None => load.source(),
    };
    let literal = |text: &String| load.dialect.typed_literal(text, &data_type.name);
    let stored = load.facts.watermark.as_ref();
    let last = stored.and_then(|stored| stored.last_value.as_ref()).map(literal);
    let read_from = stored.and_then(|stored| stored.read_from.as_ref()).map(literal);
    let highest = match &last {
        Some(last) => load.dialect.greatest([&Sql::text("h.highest"), last]),
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
            load.dialect.least([&highest, &cap])
        }
        Err(_) => highest.clone(),
    };
    let safe = future::no_later(load, incremental, data_type, safe);
    let next = match &read_from {
        Some(read_from) => sql!(
            "CASE WHEN h.highest IS NULL\n                    THEN {read_from}\n                    ELSE {greatest}\n               END",
            read_from,
            greatest = load.dialect.greatest([read_from, &safe])
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
        Answer::Read(vec![RunValue::Watermark, RunValue::ReadFrom]),
    );
    rejected::enter_into_ledger(load, incremental, builder)
}
