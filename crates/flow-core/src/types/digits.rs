//! What a column keeps of numbers and times: which types hold every value of another, and which are rounded or cut by
//! an INSERT that says nothing.

use super::TypeFacts;
use std::borrow::Cow;

/// Values that a column cannot hold as they are, and that an INSERT rounds or cuts without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Until the column is given their type.
    UntilAltered,
    /// No ALTER gives the column their type.
    ForGood,
}

/// What of a type decides which values it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A whole number of at most so many digits.
    Whole {
        digits: i32,
    },
    /// Precision and scale; `None` holds any number.
    Numeric(Option<(i32, i32)>),
    /// A binary fraction: so many decimal digits come back as they went in.
    Float {
        digits: i32,
    },
    /// Two decimal places.
    Money,
    Date,
    /// Of so many digits of a second.
    Timestamp {
        zone: bool,
        digits: i32,
    },
    Time {
        zone: bool,
        digits: i32,
    },
    /// `last` is the smallest field that is kept; what is larger is kept in any case.
    Interval {
        last: usize,
        digits: i32,
    },
    /// Letters: of any number, or no more than a name of the catalogue has.
    Text {
        short: bool,
    },
    /// An address with the host's bits, or a network without them.
    Network {
        host: bool,
    },
    Other,
}

/// The digits of a second that are kept where a type does not say how many.
const MICROSECONDS: i32 = 6;

/// The fields of an interval, the largest first.
const FIELDS: &[&str] = &["year", "month", "day", "hour", "minute", "second"];

impl Kind {
    /// By the name that Postgres prints.
    fn of(name: &str) -> Kind {
        // `timestamp(3) with time zone` is its words and its numbers.
        let (before, numbers, behind) = match (name.find('('), name.find(')')) {
            (Some(open), Some(close)) if open < close => {
                (&name[..open], &name[open + 1..close], &name[close + 1..])
            }
            _ => (name, "", ""),
        };
        let mut numbers = numbers.split(',').filter_map(|number| number.trim().parse::<i32>().ok());
        let first = numbers.next();
        let digits = first.unwrap_or(MICROSECONDS);
        let zone = name.ends_with(" with time zone");
        match (before, behind) {
            ("smallint", "") => Kind::Whole { digits: 5 },
            ("integer", "") => Kind::Whole { digits: 10 },
            ("bigint", "") => Kind::Whole { digits: 19 },
            ("numeric", "") => Kind::Numeric(first.map(|precision| (precision, numbers.next().unwrap_or(0)))),
            ("real", "") => Kind::Float { digits: 6 },
            ("double precision", "") => Kind::Float { digits: 15 },
            ("money", "") => Kind::Money,
            ("date", "") => Kind::Date,
            ("text" | "character varying" | "character", "") => Kind::Text { short: false },
            ("name" | "\"char\"", "") => Kind::Text { short: true },
            ("inet", "") => Kind::Network { host: true },
            ("cidr", "") => Kind::Network { host: false },
            _ if is_word(before, "timestamp") => Kind::Timestamp { zone, digits },
            _ if is_word(before, "time") => Kind::Time { zone, digits },
            _ if is_word(before, "interval") => {
                let word = before.rsplit(' ').next().unwrap_or_default();
                let last = FIELDS.iter().position(|field| *field == word);
                Kind::Interval { last: last.unwrap_or(FIELDS.len() - 1), digits }
            }
            _ => Kind::Other,
        }
    }
}

fn is_word(text: &str, word: &str) -> bool {
    text.split(' ').next() == Some(word) && !text.ends_with("[]")
}

/// What an INSERT makes of values that a column cannot hold as they are.
pub fn rounding(from: &TypeFacts, to: &TypeFacts) -> Option<Rounding> {
    (from.name != to.name).then(|| rounding_of(&plain(from), &plain(to))).flatten()
}

/// The name of a type as Postgres prints it. A domain holds what its base type holds, as far as is known here.
fn plain(of: &TypeFacts) -> Cow<'_, str> {
    let name = match of.name.as_str() {
        "DOUBLE" => Cow::from("double precision"),
        "FLOAT" => Cow::from("real"),
        "TIMESTAMP" => Cow::from("timestamp without time zone"),
        "TIME" => Cow::from("time without time zone"),
        name if name.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
            Cow::from(name.to_lowercase().replace("decimal", "numeric"))
        }
        name => Cow::from(name),
    };
    match Kind::of(name.trim_end_matches("[]")) {
        Kind::Other => Cow::from(of.wire.name.as_str()),
        _ => name,
    }
}

/// Whether an explicit cast keeps every value of a number or a time, under any setting.
pub fn keeps(from: &str, to: &str) -> bool {
    match (Kind::of(from), Kind::of(to)) {
        (Kind::Whole { digits }, Kind::Numeric(Some((precision, scale)))) => {
            scale >= 0 && digits <= precision - scale
        }
        (Kind::Numeric(Some((precision, scale))), Kind::Numeric(Some((wider, finer)))) => {
            scale <= finer && precision - scale <= wider - finer
        }
        (from @ Kind::Whole { .. }, to @ Kind::Float { .. }) => !rounded(from, to),
        (Kind::Date, Kind::Timestamp { zone: false, .. }) => true,
        (from @ Kind::Timestamp { zone, .. }, to @ Kind::Timestamp { zone: same, .. })
        | (from @ Kind::Time { zone, .. }, to @ Kind::Time { zone: same, .. }) => {
            zone == same && !rounded(from, to)
        }
        (from @ (Kind::Interval { .. } | Kind::Time { zone: false, .. }), to @ Kind::Interval { .. }) => {
            !rounded(from, to)
        }
        (Kind::Network { host: false }, Kind::Network { host: true }) => true,
        _ => false,
    }
}

fn rounding_of(from: &str, to: &str) -> Option<Rounding> {
    if let (Some(from), Some(to)) = (from.strip_suffix("[]"), to.strip_suffix("[]")) {
        return rounding_of(from, to);
    }
    let (from, to) = (Kind::of(from), Kind::of(to));
    match (from, to) {
        _ if !rounded(from, to) => None,
        // No cast leads from a time of day to a day.
        (Kind::Timestamp { .. }, Kind::Time { .. }) => Some(Rounding::ForGood),
        _ => Some(Rounding::UntilAltered),
    }
}

fn rounded(from: Kind, to: Kind) -> bool {
    match (from, to) {
        (Kind::Whole { .. }, Kind::Numeric(Some((_, scale)))) => scale < 0,
        (Kind::Whole { digits: 5 }, Kind::Float { .. }) => false,
        (Kind::Whole { digits }, Kind::Float { digits: kept }) => digits > kept,
        (Kind::Numeric(from), Kind::Whole { .. }) => from.is_none_or(|(_, scale)| scale > 0),
        (Kind::Numeric(_), Kind::Numeric(None)) => false,
        (Kind::Numeric(from), Kind::Numeric(Some((_, kept)))) => from.is_none_or(|(_, scale)| scale > kept),
        (Kind::Numeric(from), Kind::Float { digits }) => from.is_none_or(|(precision, _)| precision > digits),
        (Kind::Numeric(from), Kind::Money) => from.is_none_or(|(_, scale)| scale > 2),
        (Kind::Money, Kind::Numeric(Some((_, scale)))) => scale < 2,
        (Kind::Float { digits }, Kind::Float { digits: kept }) => digits > kept,
        (Kind::Float { .. }, Kind::Whole { .. } | Kind::Numeric(_)) => true,
        (Kind::Timestamp { .. }, Kind::Date | Kind::Time { .. }) => true,
        (Kind::Interval { .. }, Kind::Time { .. }) => true,
        (Kind::Timestamp { zone, digits }, Kind::Timestamp { zone: keeps, digits: kept })
        | (Kind::Time { zone, digits }, Kind::Time { zone: keeps, digits: kept }) => {
            (zone && !keeps) || digits > kept
        }
        (Kind::Interval { last, digits }, Kind::Interval { last: to, digits: kept }) => {
            last > to || (to == FIELDS.len() - 1 && last == to && digits > kept)
        }
        (Kind::Time { digits, .. }, Kind::Interval { last, digits: kept }) => {
            last < FIELDS.len() - 1 || digits > kept
        }
        (Kind::Text { short: false }, Kind::Text { short: true }) => true,
        (Kind::Network { host: true }, Kind::Network { host: false }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{keeps, rounding_of};

    #[test]
    fn a_type_that_keeps_every_value_of_another_never_rounds_it() {
        let names = [
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "numeric(5,2)",
            "numeric(12,2)",
            "numeric(8,4)",
            "numeric(3,-2)",
            "real",
            "double precision",
            "money",
            "date",
            "timestamp without time zone",
            "timestamp(0) without time zone",
            "timestamp(3) with time zone",
            "timestamp with time zone",
            "time(0) without time zone",
            "time without time zone",
            "time with time zone",
            "interval",
            "interval(3)",
            "interval second(0)",
            "interval year to month",
            "cidr",
            "inet",
        ];
        for from in names {
            for to in names {
                assert!(!(keeps(from, to) && rounding_of(from, to).is_some()), "{from} to {to}");
                assert!(from != to || rounding_of(from, to).is_none(), "{from}");
            }
        }
    }
}
