//! Markers of numbers, and of what lies in order.

use super::Marker;
use super::arguments::{Arguments, literal, literal_fits, literal_of};
use super::family::{Families, Family};
use super::value::Value;
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql;
use crate::sql::Literal;
use crate::types::DataType;
use serde_json::Value as Json;
use std::sync::Arc;

/// Rounds half away from zero.
#[derive(Debug)]
struct Round(i64);

impl Marker for Round {
    fn name(&self) -> &'static str {
        "round"
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::numbers())
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::numbers())
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        value.must_be("round", Families::numbers())?;
        let (number, round) = (value.sql(), value.function("round"));
        // Only numeric is rounded to digits, and a double's own round() goes to the even neighbour.
        let numeric = value.dialect.type_name(&DataType::Numeric(None));
        let number = value.dialect.cast_to(&sql!("({number})", number), &numeric);
        value.set(
            sql!("{round}({number}, {digits})", round, number, digits = Literal::Integer(self.0)),
            Some(Family::Numeric),
        );
        Ok(())
    }
}

pub fn round(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let digits = match arguments.named(&["digits"])?.get("digits") {
        None => Some(0),
        Some(value) => value.as_i64(),
    };
    match digits {
        Some(digits) if (-1000..=1000).contains(&digits) => Ok(Arc::new(Round(digits))),
        _ => Err(arguments.wrong("takes a number of digits").hint("write \"round\", or { round = 2 }")),
    }
}

/// Keeps a value between two others.
#[derive(Debug)]
struct Clamp {
    minimum: Option<Json>,
    maximum: Option<Json>,
}

impl Marker for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::numbers().or(Families::times()))
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn keeps_type(&self) -> bool {
        true
    }

    fn fits(&self, needed: Families) -> Result<()> {
        self.minimum.iter().chain(&self.maximum).try_for_each(|bound| literal_fits("clamp", bound, needed))
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        value.must_be("clamp", Families::numbers().or(Families::times()))?;
        let family = value.family;
        // GREATEST and LEAST pass over NULL, which is to stay.
        let named = value.named();
        let mut clamped = named.clone();
        if let Some(minimum) = &self.minimum {
            clamped = sql!(
                "GREATEST({clamped}, {minimum})",
                clamped,
                minimum = literal_of("clamp", minimum, family)?
            );
        }
        if let Some(maximum) = &self.maximum {
            clamped =
                sql!("LEAST({clamped}, {maximum})", clamped, maximum = literal_of("clamp", maximum, family)?);
        }
        value.keep(sql!("CASE WHEN {named} IS NOT NULL THEN {clamped} END", named, clamped));
        Ok(())
    }
}

pub fn clamp(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["minimum", "maximum"])?;
    let (minimum, maximum) = (named.get("minimum").cloned(), named.get("maximum").cloned());
    if minimum.is_none() && maximum.is_none() {
        return Err(FlowError::new(ErrorCode::MissingOption, "`clamp` has no bound")
            .hint("write { clamp = { minimum = 0, maximum = 100 } }"));
    }
    for bound in minimum.iter().chain(&maximum) {
        literal("clamp", bound)?;
    }
    if let (Some(low), Some(high)) =
        (minimum.as_ref().and_then(Json::as_f64), maximum.as_ref().and_then(Json::as_f64))
        && low > high
    {
        return Err(arguments.wrong(format!("has a minimum of {low} above its maximum of {high}")));
    }
    Ok(Arc::new(Clamp { minimum, maximum }))
}
