//! Lengths of time as users write them: `"90s"`, `"10m"`, `"2h"`, `"30d"`.

use crate::error::{ErrorCode, FlowError, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A length of time, exact to the millisecond, that remembers how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duration {
    milliseconds: u64,
    text: String,
}

impl Duration {
    /// Reads `"90s"`, `"250ms"`, `"10m"`, `"2h"`, `"30d"`, and sums of them: `"1h30m"`.
    ///
    /// # Errors
    /// `invalid_value` for anything else.
    ///
    /// ```
    /// use ematix_flow_core::duration::Duration;
    /// assert_eq!(Duration::parse("1h30m").unwrap().milliseconds(), 5_400_000);
    /// ```
    pub fn parse(text: &str) -> Result<Duration> {
        let invalid = || {
            FlowError::new(ErrorCode::InvalidValue, format!("`{text}` is not a duration"))
                .hint("write a number and a unit: \"90s\", \"10m\", \"2h\", \"30d\"")
        };
        let mut rest = text.trim();
        let mut milliseconds: u64 = 0;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit: u64 = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(invalid()),
            };
            rest = &rest[letters..];
            milliseconds =
                number.checked_mul(unit).and_then(|n| milliseconds.checked_add(n)).ok_or_else(invalid)?;
        }
        // A hundred years keep every sum with a timestamp inside what Postgres can hold.
        if milliseconds > 100 * 366 * 86_400_000 {
            return Err(invalid().detail("it is longer than a hundred years"));
        }
        Ok(Duration { milliseconds, text: text.trim().to_owned() })
    }

    /// The length in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        self.milliseconds
    }

    /// The length in its largest whole unit, however it was written.
    ///
    /// ```
    /// use ematix_flow_core::duration::Duration;
    /// assert_eq!(Duration::parse("2592000s").unwrap().in_one_unit(), "30d");
    /// assert_eq!(Duration::parse("1h30m").unwrap().in_one_unit(), "90m");
    /// ```
    pub fn in_one_unit(&self) -> String {
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        match units.iter().find(|(_, length)| self.milliseconds.is_multiple_of(*length)) {
            Some((unit, length)) => format!("{}{unit}", self.milliseconds / length),
            None => format!("{}ms", self.milliseconds),
        }
    }

    /// The length for timers.
    pub fn as_std(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.milliseconds)
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        self.milliseconds == 0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        Duration::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A length of time: a number and `ms`, `s`, `m`, `h` or `d`; several add up, as in `1h30m`.",
            "type": "string",
            "pattern": "^([0-9]+(ms|s|m|h|d))+$",
            "examples": ["90s", "10m", "2h", "30d"],
        })
    }
}
