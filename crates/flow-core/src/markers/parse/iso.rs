//! The way that most times are written, by their places alone: `2026-07-01T12:30:00.123Z`, with or without a time, its
//! seconds, their fraction, a zone. The patterns of the catalogue cost Postgres many times as much, so they are asked
//! about the rest: other forms, and days that not every year has.

use super::super::value::Value;
use crate::sql;
use crate::sql::{Literal, Sql};

/// What stands for digits, without the zone, behind `0000-00-00 00:00`.
const SECONDS: &[&str] = &["", ":00", ":00.0", ":00.00", ":00.000", ":00.0000", ":00.00000", ":00.000000"];
/// Zones, the offsets with noughts for digits.
const ZONES: &[&str] = &["", "Z", "+00", "+00:00", "+0000", "-00", "-00:00", "-0000"];

/// A text in capitals that is written so.
pub struct Iso {
    /// Whether it is, and is a time that any reader takes.
    pub is_right: Sql,
    /// Its day.
    pub day: Sql,
    /// It as a time of the zone that it names, or else of this one.
    at: Sql,
    zone: Sql,
}

impl Iso {
    /// Of the text `u`.
    pub fn of(value: &mut Value<'_>, u: &Sql) -> Iso {
        let (substr, left, ltrim, length) = (
            value.function("substr"),
            value.function("left"),
            value.function("ltrim"),
            value.function("length"),
        );
        value.set(
            sql!("{translate}({u}, '123456789T', '000000000 ')", translate = value.function("translate"), u),
            None,
        );
        let shape = value.named();
        value.set(sql!("{ltrim}({substr}({shape}, 17), ':.0')", ltrim, substr, shape), None);
        let zone = value.named();
        let part = |begin: i64, length: i64| {
            let (begin, length) = (Literal::Integer(begin), Literal::Integer(length));
            sql!("{substr}({u}, {begin}, {length})", substr, u, begin, length)
        };
        let among = |texts: &[&str]| {
            let each = texts.iter().map(|text| sql!("{text}", text = Literal::Text((*text).to_owned())));
            Sql::join(each, ", ")
        };
        let is_right = sql!(
            "({left}({shape}, 16) IN ('0000-00-00', '0000-00-00 00:00')\n             AND {left}({substr}({shape}, 17), {length}({shape}) - 16 - {length}({zone})) IN ({seconds}) AND {zone} IN ({zones})\n             AND {year} > '0000' AND {month} BETWEEN '01' AND '12' AND {day} BETWEEN '01' AND '31'\n             AND ({day} <= '28' OR {month} <> '02' AND ({day} <= '30' OR {month} IN ('01', '03', '05', '07', '08', '10', '12')))\n             AND {hour} < '24' AND {minute} < '60' AND {second} < '60'\n             AND ({left}({zone}, 1) NOT IN ('+', '-') OR {offset} <= '14' AND {right}({u}, 2) < '60'))",
            left,
            shape,
            substr,
            length,
            zone,
            seconds = among(SECONDS),
            zones = among(ZONES),
            year = part(1, 4),
            month = part(6, 2),
            day = part(9, 2),
            hour = part(12, 2),
            minute = part(15, 2),
            second = part(18, 2),
            offset = sql!("{substr}({u}, {length}({u}) - {length}({zone}) + 2, 2)", substr, u, length, zone),
            right = value.function("right"),
            u
        );
        Iso { is_right, day: part(1, 10), at: u.clone(), zone }
    }

    /// The instant; a text without a zone is a time of that one.
    pub fn instant(&self, zone: &str) -> Sql {
        sql!(
            "CASE WHEN {zone} = '' THEN {at}::timestamp AT TIME ZONE {own} ELSE {at}::timestamp with time zone END",
            zone = self.zone,
            at = self.at,
            own = Literal::Text(zone.to_owned())
        )
    }
}
