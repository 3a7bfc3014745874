//! Values of the incremental column that lie ahead of the source's clock. A watermark that follows one passes every row
//! that comes before that time, run after run, with success: so more than a day ahead is refused, unless such rows are
//! to be loaded, and then the next reading begins at the clock.

use super::stage::WATERMARK;
use crate::declare::options::FutureWatermark;
use crate::dialect::Measure;
use crate::error::ErrorCode;
use crate::pipeline::Incremental;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::TypeFacts;
use std::time::Duration;

/// A day: local times are up to 14 hours ahead of the clock, which is asked in UTC.
const A_DAY: Duration = Duration::from_secs(86_400);

/// The source's clock as a value of the column's type; `None` where the type has no times, or nobody asked.
fn clock(load: &Resolved<'_>, data_type: &TypeFacts) -> Option<Sql> {
    let clock = load.facts.source.clock.as_deref()?;
    let value = |text: &str| load.dialect.typed_literal(text, &data_type.name);
    match load.dialect.measure(data_type) {
        Measure::Instant { .. } => Some(value(clock)),
        Measure::LocalTime => Some(value(clock.trim_end_matches('Z'))),
        Measure::Date => Some(value(clock.get(..10)?)),
        Measure::Number | Measure::Unmeasured => None,
    }
}

/// A day after the source's clock.
fn a_day_ahead(load: &Resolved<'_>, data_type: &TypeFacts) -> Option<Sql> {
    let clock = clock(load, data_type)?;
    let day = match load.dialect.measure(data_type) {
        Measure::Date => sql!("{one}", one = Literal::Integer(1)),
        _ => load.dialect.duration(A_DAY),
    };
    Some(sql!("{clock} + {day}", clock, day))
}

/// Ends the run before it reads where the watermark itself lies ahead: it would find nothing, with success.
pub fn stored(
    load: &Resolved<'_>,
    incremental: &Incremental,
    data_type: &TypeFacts,
    builder: &mut PlanBuilder<'_>,
) {
    let read_from = load.facts.watermark.as_ref().and_then(|stored| stored.read_from.as_ref());
    let in_full = load.facts.run.full_scan || load.need.in_full;
    let (Some(read_from), Some(ahead), false) = (read_from, a_day_ahead(load, data_type), in_full) else {
        return;
    };
    if incremental.on_future == FutureWatermark::Include {
        return;
    }
    let name = &load.pipeline.name;
    let message = format!("the stored watermark of `{name}` lies more than a day after the source's clock");
    builder.step(
        StepKind::Guard,
        "the watermark does not lie in the future   expects no rows",
        sql!(
            "SELECT 1 AS count\n WHERE {read_from} > {ahead}",
            read_from = load.dialect.typed_literal(read_from, &data_type.name),
            ahead
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::FutureWatermark,
            one: message.clone(),
            message,
            sample: Vec::new(),
            hint: format!("every row before {read_from} would be passed over: `flow watermark set {name} VALUE` says from where to go on, `flow watermark reset {name}` reads in full"),
        }),
    );
}

/// Ends the run where rows of the stage lie ahead.
pub fn rows(load: &Resolved<'_>, incremental: &Incremental, builder: &mut PlanBuilder<'_>) {
    let Ok(data_type) = load.watermark_type(incremental) else { return };
    let Some(ahead) = a_day_ahead(load, data_type) else { return };
    let column = &incremental.column;
    if incremental.on_future == FutureWatermark::Include {
        builder.note(format!("rows whose {column} lies in the future are read again by every run"));
        return;
    }
    let name = &load.pipeline.name;
    builder.step(
        StepKind::Guard,
        format!("no {column} in the future   expects no rows"),
        sql!(
            "SELECT {count}(*) AS count\n  FROM {stage} AS s\n WHERE s.{watermark} > {ahead}\nHAVING {count}(*) > 0",
            count = load.dialect.function("count"),
            stage = load.source(),
            watermark = Ident::fixed(WATERMARK),
            ahead
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::FutureWatermark,
            message: format!("{{count}} rows of `{name}` have a value of {column} more than a day after the source's clock"),
            one: format!("{{count}} row of `{name}` has a value of {column} more than a day after the source's clock"),
            sample: Vec::new(),
            hint: "it would pass every row before then: mend them, or load them with future_watermark = \"include\"".to_owned(),
        }),
    );
}

/// Where the next reading may begin at most. A local time has no zone, so its clock is not held against it unless rows
/// of the future are loaded.
pub fn no_later(load: &Resolved<'_>, incremental: &Incremental, data_type: &TypeFacts, bound: Sql) -> Sql {
    let exact = matches!(load.dialect.measure(data_type), Measure::Instant { .. });
    match clock(load, data_type) {
        Some(clock) if exact || incremental.on_future == FutureWatermark::Include => {
            load.dialect.least([&bound, &clock])
        }
        _ => bound,
    }
}
