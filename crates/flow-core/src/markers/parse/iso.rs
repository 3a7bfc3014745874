//! The way that most times are written, by their places alone: `2026-07-01T12:30:00.123Z`, with or without a time, its
//! seconds, their fraction, a zone. The patterns of the catalogue cost Postgres many times as much, so they are asked
//! about the rest: other forms, and days that not every year has. It is bytes that are looked at: to find the n-th
//! character of a text, or to compare two of a language, costs ten times what a byte costs.

use super::super::value::Value;
use crate::sql;
use crate::sql::{Literal, Sql};

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
        let function = |name| value.dialect.function(name);
        let (substr, ltrim, rtrim, length) =
            (function("substr"), function("ltrim"), function("rtrim"), function("octet_length"));
        let (bytes_of, left) = (function("textsend"), function("left"));
        value.set(sql!("{bytes_of}({u})", bytes_of, u), None);
        let bytes = value.named();
        let time = sql!("{substr}({bytes}, 17)", substr, bytes);
        value.set(sql!("{ltrim}({time}, ':.0123456789')", ltrim, time), None);
        let zone = value.named();
        value.set(
            sql!("{substr}({time}, 1, {length}({time}) - {length}({zone}))", substr, time, length, zone),
            None,
        );
        let seconds = value.named();
        let of = |what: &Sql, begin: i64| {
            sql!("{substr}({what}, {begin}, 2)", substr, what, begin = Literal::Integer(begin))
        };
        let year = sql!("{substr}({bytes}, 1, 4)", substr, bytes);
        let (month, day, hour, minute) = (of(&bytes, 6), of(&bytes, 9), of(&bytes, 12), of(&bytes, 15));
        let (second, offset) = (of(&seconds, 2), of(&zone, 2));
        let offset_minutes = sql!("{substr}({zone}, {length}({zone}) - 1)", substr, zone, length);
        let are_digits = |texts: Sql| sql!("{rtrim}({texts}, '0123456789') = ''", rtrim, texts);
        let is_right = sql!(
            "(({bytes} LIKE '____-__-__T__:__%' OR {bytes} LIKE '____-__-__ __:__%' OR {bytes} LIKE '____-__-__')
             AND ({seconds} = '' OR {seconds} LIKE ':__' OR {seconds} LIKE ':__._%' AND {length}({seconds}) <= 10)
             AND {digits}
             AND {year} > '0000' AND {month} BETWEEN '01' AND '12' AND {day} BETWEEN '01' AND '31'
             AND ({day} <= '28' OR {month} <> '02' AND ({day} <= '30' OR {month} IN ('01', '03', '05', '07', '08', '10', '12')))
             AND {hour} < '24' AND {minute} < '60' AND {second} < '60'
             AND ({zone} IN ('', 'Z')
               OR ({zone} LIKE '+%' OR {zone} LIKE '-%') AND ({length}({zone}) IN (3, 5) OR {zone} LIKE '___:__')
                 AND {zone_digits} AND {offset} <= '14' AND {offset_minutes} < '60'))",
            bytes,
            seconds,
            length,
            digits = are_digits(sql!(
                "{year} || {month} || {day} || {hour} || {minute} || {second} || {substr}({seconds}, 5)",
                year,
                month,
                day,
                hour,
                minute,
                second,
                substr,
                seconds
            )),
            year,
            month,
            day,
            hour,
            minute,
            second,
            zone,
            zone_digits = are_digits(sql!("{offset} || {offset_minutes}", offset, offset_minutes)),
            offset,
            offset_minutes
        );
        Iso { is_right, day: sql!("{left}({u}, 10)", left, u), at: u.clone(), zone }
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
