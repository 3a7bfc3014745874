//! A part of the source that is loaded again: from one value of a column to another, half-open.

use crate::dialect::Measure;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::SourcePart;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;
use jiff::Timestamp;

/// The condition that a row `q` of the source meets which belongs to the part.
///
/// # Errors
/// `option_not_for_mode` and others where the strategy cannot load a part; `invalid_value` for a value that is none of
/// the column's.
pub fn range(load: &Resolved<'_>, part: &SourcePart, builder: &mut PlanBuilder<'_>) -> Result<Sql> {
    let column = load.pipeline.strategy.part_by(load.pipeline)?;
    builder.note(format!(
        "loads again the rows whose {column} lies {}; the watermark stays where it is",
        part.words()
    ));
    let (value, data_type) = place(load, column)?;
    let mut conditions = Vec::new();
    if let Some(from) = &part.from {
        let (value, from) = compared(load, column, data_type, &value, from)?;
        conditions.push(sql!("{value} >= {from}", value, from));
    }
    if let Some(to) = &part.to {
        let (value, to) = compared(load, column, data_type, &value, to)?;
        conditions.push(sql!("{value} < {to}", value, to));
    }
    Ok(Sql::join(conditions, "\n   AND "))
}

/// The column in a row `q`, and its type.
fn place<'a>(load: &'a Resolved<'_>, column: &Ident) -> Result<(Sql, &'a TypeFacts)> {
    let value = sql!("q.{column}", column);
    match &load.pipeline.incremental {
        Some(incremental) if incremental.column == *column => Ok((value, load.watermark_type(incremental)?)),
        _ => {
            let data_type = load.type_of(column);
            let loaded = load.facts.source.loaded(column.as_str()).map(|column| &column.data_type);
            match loaded.filter(|own| load.dialect.measure(own) != Measure::Unmeasured) {
                Some(own) => Ok((value, own)),
                // Text that becomes a time when it is loaded.
                None => Ok((load.dialect.cast_to(&value, &data_type.name), data_type)),
            }
        }
    }
}

/// The column's value and a bound, as they are compared.
fn compared(
    load: &Resolved<'_>,
    column: &Ident,
    data_type: &TypeFacts,
    value: &Sql,
    bound: &str,
) -> Result<(Sql, Sql)> {
    let wrong = |hint: &str| {
        let message = format!("`{bound}` is no value of `{column}`, which is {}", data_type.name);
        Err(FlowError::new(ErrorCode::InvalidValue, message).hint(hint))
    };
    let is_time = bound.parse::<Timestamp>().is_ok();
    match load.dialect.measure(data_type) {
        Measure::Instant { .. } | Measure::LocalTime | Measure::Date if !is_time => {
            wrong("write a date, or a date and time: 2026-03-01T10:00")
        }
        Measure::Instant { .. } => Ok((value.clone(), load.dialect.typed_literal(bound, &data_type.name))),
        Measure::LocalTime => {
            let bound = bound.trim_end_matches('Z');
            Ok((value.clone(), load.dialect.typed_literal(bound, &data_type.name)))
        }
        // A day begins at midnight, UTC, and a bound may lie within it.
        Measure::Date => Ok((load.dialect.to_instant(data_type, value), load.instant_of(bound))),
        Measure::Number if bound.parse::<f64>().is_err() => wrong("write a number"),
        Measure::Number => Ok((value.clone(), load.dialect.typed_literal(bound, &data_type.name))),
        Measure::Unmeasured => wrong("a part is told by a time or a number"),
    }
}
