//! The times of a slot that the query of a scheduled pipeline may name.

use super::{ReadQuery, blanks};
use jiff::Timestamp;

/// What a run for a slot reads: the time from the slot before it, or from the last that was served, until its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotTimes {
    /// `:slot_start`.
    pub start: Timestamp,
    /// `:slot_end`, and `:scheduled_for`.
    pub end: Timestamp,
}

impl SlotTimes {
    /// The names of the values.
    pub const NAMES: [&'static str; 3] = ["slot_start", "slot_end", "scheduled_for"];

    fn value(&self, name: &str) -> Option<Timestamp> {
        match name {
            "slot_start" => Some(self.start),
            "slot_end" | "scheduled_for" => Some(self.end),
            _ => None,
        }
    }
}

impl ReadQuery {
    /// Whether it names a time of its slot.
    pub fn names_slot(&self) -> bool {
        let is_named = |text: &str| {
            blanks(text).is_ok_and(|blanks| {
                blanks.iter().any(|blank| !blank.is_name && SlotTimes::NAMES.contains(&blank.name))
            })
        };
        self.text.contains(':') && is_named(&self.text)
    }

    /// The query for a slot. Every other `:name` is the server's to judge.
    ///
    /// ```
    /// use ematix_flow_core::query::{ReadQuery, SlotTimes};
    /// let query = ReadQuery::parse("SELECT * FROM app.events WHERE at >= :slot_start AND at < :slot_end").unwrap();
    /// let slot = SlotTimes {
    ///     start: "2026-03-01T10:00:00Z".parse().unwrap(),
    ///     end: "2026-03-01T11:00:00Z".parse().unwrap(),
    /// };
    /// assert_eq!(
    ///     query.at_slot(&slot).text(),
    ///     "SELECT * FROM app.events WHERE at >= CAST('2026-03-01T10:00:00Z' AS timestamptz) \
    ///      AND at < CAST('2026-03-01T11:00:00Z' AS timestamptz)"
    /// );
    /// ```
    pub fn at_slot(&self, slot: &SlotTimes) -> ReadQuery {
        let (mut out, mut copied) = (String::new(), 0);
        for blank in blanks(&self.text).unwrap_or_default().iter().filter(|blank| !blank.is_name) {
            let Some(value) = slot.value(blank.name) else { continue };
            out.push_str(&self.text[copied..blank.start]);
            out.push_str(&format!("CAST('{value}' AS timestamptz)"));
            copied = blank.end;
        }
        out.push_str(&self.text[copied..]);
        ReadQuery { text: out, simple: self.simple.clone() }
    }
}
