//! Markers of dates and times.

use super::Marker;
use super::arguments::Arguments;
use super::family::{Families, Family};
use super::value::Value;
use crate::error::Result;
use crate::sql;
use crate::sql::{Literal, Sql};
use jiff::tz::TimeZone;
use std::sync::Arc;

/// An instant as a zone's clocks show it.
#[derive(Debug)]
struct ToTimezone(String);

fn instants() -> Families {
    Families::any_of(&[Family::Timestamp, Family::TimestampTz])
}

/// A value of any of the types of times as an instant: what names no zone is taken as UTC, never as the session's.
fn instant(value: &Value<'_>, zone: &str) -> Sql {
    let zone = Literal::Text(zone.to_owned());
    match value.family {
        Some(Family::Timestamp) => sql!("({value}) AT TIME ZONE {zone}", value = value.sql(), zone),
        Some(Family::Date) => sql!("({value})::timestamp AT TIME ZONE {zone}", value = value.sql(), zone),
        _ => value.sql(),
    }
}

impl Marker for ToTimezone {
    fn name(&self) -> &'static str {
        "to_timezone"
    }

    fn takes(&self) -> Option<Families> {
        Some(instants())
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::any_of(&[Family::Timestamp, Family::Date, Family::Time]))
    }

    fn needs_type(&self) -> bool {
        true
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        value.must_be("to_timezone", instants())?;
        let zone = Literal::Text(self.0.clone());
        let instant = instant(value, "UTC");
        value.set(sql!("(({instant}) AT TIME ZONE {zone})", instant, zone), Some(Family::Timestamp));
        Ok(())
    }
}

/// A zone that is known.
///
/// # Errors
/// `invalid_value`.
pub fn zone(arguments: &Arguments<'_>, name: String) -> Result<String> {
    match TimeZone::get(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(arguments
            .wrong(format!("knows no time zone `{name}`"))
            .hint("write a name of the IANA database, such as \"Europe/Berlin\" or \"UTC\"")),
    }
}

pub fn to_timezone(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let name = arguments.named(&["tz"])?.needed_text("tz")?;
    Ok(Arc::new(ToTimezone(zone(arguments, name)?)))
}

const UNITS: &[&str] = &[
    "microseconds",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];

/// The beginning of a unit.
#[derive(Debug)]
struct DateTrunc {
    unit: String,
    zone: String,
}

impl Marker for DateTrunc {
    fn name(&self) -> &'static str {
        "date_trunc"
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::any_of(&[Family::Date, Family::Timestamp, Family::TimestampTz]))
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn keeps_type(&self) -> bool {
        true
    }

    fn needs_type(&self) -> bool {
        true
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        value.must_be("date_trunc", self.takes().expect("it says what it takes"))?;
        let (function, time) = (value.function("date_trunc"), value.sql());
        let unit = Literal::Text(self.unit.clone());
        let family = value.family;
        let truncated = match family {
            // A day has no zone, nor has a clock on a wall.
            Some(Family::Timestamp) => sql!("{function}({unit}, {time})", function, unit, time),
            Some(Family::Date) => sql!("{function}({unit}, ({time})::timestamp)::date", function, unit, time),
            _ => {
                let zone = Literal::Text(self.zone.clone());
                sql!("{function}({unit}, {time}, {zone})", function, unit, time, zone)
            }
        };
        value.keep(truncated);
        Ok(())
    }
}

pub fn date_trunc(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["unit", "tz"])?;
    let unit = named.needed_text("unit")?.to_ascii_lowercase();
    if !UNITS.contains(&unit.as_str()) {
        return Err(arguments
            .wrong(format!("knows no unit `{unit}`"))
            .hint(format!("the units are {}", UNITS.join(", "))));
    }
    let name = named.text("tz")?.unwrap_or_else(|| "UTC".to_owned());
    Ok(Arc::new(DateTrunc { unit, zone: zone(arguments, name)? }))
}
