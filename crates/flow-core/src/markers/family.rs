//! Types as far as markers tell them apart.

use crate::types::{DataType, TypeFacts};
use std::fmt;

/// Types that a marker treats alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Text of any kind.
    Text,
    /// Whole numbers.
    Integer,
    /// Exact decimals.
    Numeric,
    /// Floating point.
    Float,
    /// Truth values.
    Boolean,
    /// Days.
    Date,
    /// Times of the day.
    Time,
    /// Date and time without a zone.
    Timestamp,
    /// Instants.
    TimestampTz,
    /// JSON of both kinds.
    Json,
    /// Anything else.
    Other,
}

/// Every family with its word.
const WORDS: &[(Family, &str)] = &[
    (Family::Text, "text"),
    (Family::Integer, "integer"),
    (Family::Numeric, "numeric"),
    (Family::Float, "float"),
    (Family::Boolean, "boolean"),
    (Family::Date, "date"),
    (Family::Time, "time"),
    (Family::Timestamp, "timestamp"),
    (Family::TimestampTz, "timestamptz"),
    (Family::Json, "json"),
    (Family::Other, "another type"),
];

impl Family {
    /// The family of a declared type; `None` for a type that only a server knows.
    pub fn of_declared(data_type: &DataType) -> Option<Family> {
        Some(match data_type {
            DataType::Text | DataType::String(_) => Family::Text,
            DataType::SmallInt | DataType::Integer | DataType::BigInt => Family::Integer,
            DataType::Numeric(_) => Family::Numeric,
            DataType::Float | DataType::Double => Family::Float,
            DataType::Boolean => Family::Boolean,
            DataType::Date => Family::Date,
            DataType::Timestamp => Family::Timestamp,
            DataType::TimestampTz => Family::TimestampTz,
            DataType::Json | DataType::Jsonb => Family::Json,
            DataType::Uuid | DataType::Bytes => Family::Other,
            DataType::Native(_) => return None,
        })
    }

    /// The family of a type of the source, by its number where every Postgres has it.
    pub fn of(facts: &TypeFacts) -> Family {
        match facts.wire.oid {
            // text, char(n), varchar, name, "char", and a literal whose type nobody said.
            Some(25 | 1042 | 1043 | 19 | 18 | 705) => Family::Text,
            Some(20 | 21 | 23) => Family::Integer,
            Some(1700) => Family::Numeric,
            Some(700 | 701) => Family::Float,
            Some(16) => Family::Boolean,
            Some(1082) => Family::Date,
            Some(1083) => Family::Time,
            Some(1114) => Family::Timestamp,
            Some(1184) => Family::TimestampTz,
            Some(114 | 3802) => Family::Json,
            _ => Family::Other,
        }
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// A set of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families(u16);

impl Families {
    /// One family.
    pub fn of(family: Family) -> Families {
        Families(family.bit())
    }

    /// Several.
    pub fn any_of(families: &[Family]) -> Families {
        Families(families.iter().fold(0, |set, family| set | family.bit()))
    }

    /// Text.
    pub fn text() -> Families {
        Families::of(Family::Text)
    }

    /// Numbers.
    pub fn numbers() -> Families {
        Families::any_of(&[Family::Integer, Family::Numeric, Family::Float])
    }

    /// Dates and times.
    pub fn times() -> Families {
        Families::any_of(&[Family::Date, Family::Time, Family::Timestamp, Family::TimestampTz])
    }

    /// Whether they have a family in common.
    pub fn meets(self, other: Families) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of both.
    pub fn both(self, other: Families) -> Families {
        Families(self.0 & other.0)
    }

    /// Those of either.
    pub fn or(self, other: Families) -> Families {
        Families(self.0 | other.0)
    }

    /// Whether the family is among them.
    pub fn has(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }

    /// The marker that makes one of them out of text.
    pub fn parser(self) -> Option<&'static str> {
        let parsers = [
            (Family::Boolean, "parse_bool"),
            (Family::Date, "parse_date"),
            (Family::Float, "parse_numeric"),
            (Family::Integer, "parse_int"),
            (Family::Json, "parse_json"),
            (Family::Numeric, "parse_numeric"),
            (Family::Timestamp, "parse_timestamp"),
            (Family::TimestampTz, "parse_timestamp"),
        ];
        parsers.into_iter().find(|(family, _)| self.has(*family)).map(|(_, parser)| parser)
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> =
            WORDS.iter().filter(|(family, _)| self.has(*family)).map(|(_, word)| *word).collect();
        f.write_str(&words.join(" or "))
    }
}
