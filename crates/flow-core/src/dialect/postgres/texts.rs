//! Values as text that no setting of a session changes: DateStyle, IntervalStyle, TimeZone, bytea_output,
//! extra_float_digits.

use super::{DATE, TIMESTAMP, TIMESTAMPTZ};
use crate::hash::Normal;
use crate::sql;
use crate::sql::{Literal, Sql};
use crate::types::TypeFacts;

const BYTEA: u32 = 17;
const REAL: u32 = 700;
const DOUBLE: u32 = 701;
const INTERVAL: u32 = 1186;
/// Arrays of types whose text depends on a setting, with their elements.
const ARRAYS: &[(u32, u32)] = &[
    (1001, BYTEA),
    (1021, REAL),
    (1022, DOUBLE),
    (1115, TIMESTAMP),
    (1182, DATE),
    (1185, TIMESTAMPTZ),
    (1187, INTERVAL),
];
/// Ranges of them.
const RANGES: &[(u32, u32)] = &[(3908, TIMESTAMP), (3910, TIMESTAMPTZ), (3912, DATE)];

/// The text by which a watermark and a ledger know a value; that of floats takes a setting.
pub(super) fn stable(data_type: &TypeFacts, value: &Sql) -> Sql {
    match data_type.normal {
        Some(Normal::AsSent(sent)) => time(sent.oid, value).unwrap_or_else(|| sql!("{value}::text", value)),
        _ => sql!("{value}::text", value),
    }
}

/// The text of a value of any type that Postgres brings.
pub(super) fn plain(data_type: &TypeFacts, value: &Sql) -> Sql {
    let oid = data_type.wire.oid.unwrap_or_default();
    let among = |pairs: &[(u32, u32)]| pairs.iter().find(|(whole, _)| *whole == oid).map(|(_, part)| *part);
    if let Some(text) = single(oid, value) {
        return text;
    }
    if let Some(element) = among(ARRAYS) {
        let text = single(element, &Sql::text("e.value")).expect("its text depends on a setting");
        // Of an array of several dimensions its bounds say the rest.
        return sql!(
            "CASE WHEN {value} IS NOT NULL\n            THEN CASE WHEN pg_catalog.array_ndims({value}) > 1 THEN pg_catalog.array_dims({value}) || '=' ELSE '' END\n              || ARRAY(SELECT {text} FROM pg_catalog.unnest({value}) WITH ORDINALITY AS e (value, at) ORDER BY e.at)::text\n       END",
            value,
            text
        );
    }
    if let Some(bound) = among(RANGES) {
        let of = |function: &'static str| {
            let value = sql!("pg_catalog.{function}({value})", function = Sql::text(function), value);
            single(bound, &value).expect("its text depends on a setting")
        };
        return sql!(
            "CASE WHEN pg_catalog.isempty({value}) THEN 'empty'\n            WHEN {value} IS NOT NULL\n            THEN CASE WHEN pg_catalog.lower_inc({value}) THEN '[' ELSE '(' END || COALESCE({lower}, '') || ','\n              || COALESCE({upper}, '') || CASE WHEN pg_catalog.upper_inc({value}) THEN ']' ELSE ')' END\n       END",
            value,
            lower = of("lower"),
            upper = of("upper")
        );
    }
    sql!("{value}::text", value)
}

/// The text of a value of a type whose own depends on a setting.
fn single(oid: u32, value: &Sql) -> Option<Sql> {
    match oid {
        BYTEA => Some(sql!(
            "({prefix} || pg_catalog.encode({value}, 'hex'))",
            prefix = Literal::Text("\\x".to_owned()),
            value
        )),
        INTERVAL => Some(interval(value)),
        REAL => Some(float(value, Float { digits: &[5, 6, 7, 8], least: "1e6", type_name: "real" })),
        DOUBLE => {
            Some(float(value, Float { digits: &[14, 15, 16], least: "1e15", type_name: "double precision" }))
        }
        _ => time(oid, value),
    }
}

/// ISO 8601, as JSON writes times; the years before Christ have BC at the end.
fn time(oid: u32, value: &Sql) -> Option<Sql> {
    let path = Literal::Text("{}".to_owned());
    match oid {
        TIMESTAMPTZ => Some(sql!(
            "CASE WHEN pg_catalog.isfinite({value})\n            THEN (pg_catalog.to_json({value} AT TIME ZONE 'UTC') #>> {path})\n              || CASE WHEN {value} < TIMESTAMPTZ '0001-01-01 00:00:00+00' THEN ' UTC' ELSE 'Z' END\n            ELSE {value}::text\n       END",
            value,
            path
        )),
        DATE | TIMESTAMP => Some(sql!("pg_catalog.to_json({value}) #>> {path}", value, path)),
        _ => None,
    }
}

/// As IntervalStyle `iso_8601` has it.
fn interval(value: &Sql) -> Sql {
    let field = |name: &'static str| sql!("EXTRACT({name} FROM {value})", name = Sql::text(name), value);
    let part = |name: &'static str, letter: &'static str| {
        sql!(
            "CASE WHEN {field} <> 0 THEN pg_catalog.trim_scale({field})::text || {letter} ELSE '' END",
            field = field(name),
            letter = Literal::Text(letter.to_owned())
        )
    };
    let join = |parts: Vec<Sql>| Sql::join(parts, "\n              || ");
    let days = join(vec![part("year", "Y"), part("month", "M"), part("day", "D")]);
    let clock = join(vec![part("hour", "H"), part("minute", "M"), part("second", "S")]);
    sql!(
        "CASE WHEN pg_catalog.isfinite({value}) IS NOT TRUE THEN {value}::text\n            WHEN {value} = INTERVAL '0' AND {months} = 0 AND {day} = 0 THEN 'PT0S'\n            ELSE 'P' || {days}\n              || CASE WHEN {hour} <> 0 OR {minute} <> 0 OR {second} <> 0 THEN 'T' ELSE '' END\n              || {clock}\n       END",
        value,
        months = sql!("({year} * 12 + {month})", year = field("year"), month = field("month")),
        day = field("day"),
        days,
        hour = field("hour"),
        minute = field("minute"),
        second = field("second"),
        clock
    )
}

/// How many digits behind the first tell floats of a type apart, and from where on they have an exponent.
struct Float {
    digits: &'static [usize],
    least: &'static str,
    type_name: &'static str,
}

/// The fewest digits that read back the same, written as `extra_float_digits = 1` writes them. An exponent's form of
/// `to_char` is the digits of the number itself, under any setting.
fn float(value: &Sql, of: Float) -> Sql {
    let Float { digits, least, type_name } = of;
    let (least, type_name) = (Sql::text(least), Sql::text(type_name));
    let written = |digits: usize| {
        let format = Literal::Text(format!("9.{}EEEE", "9".repeat(digits)));
        sql!("pg_catalog.btrim(pg_catalog.to_char(({value})::double precision, {format}))", value, format)
    };
    let (last, fewer) = digits.split_last().expect("it has some");
    let mut cases = Sql::empty();
    for digits in fewer {
        // Rounded up, the greatest numbers would be none of the type.
        cases.push(&sql!(
            " WHEN pg_catalog.abs({value}) < {greatest} AND {text}::{type_name} = {value} THEN {text}",
            value,
            greatest = Sql::text(if digits < &14 { "3e38" } else { "1e308" }),
            text = written(*digits),
            type_name
        ));
    }
    let text = sql!("(CASE{cases} ELSE {last} END)", cases, last = written(*last));
    sql!(
        "CASE WHEN {value} IN ('NaN', 'Infinity', '-Infinity') THEN {value}::text\n            WHEN {value} = 0 THEN CASE WHEN ({value})::text LIKE '-%' THEN '-0' ELSE '0' END\n            WHEN pg_catalog.abs({value}) >= {least} OR pg_catalog.abs({value}) < 1e-4 THEN pg_catalog.regexp_replace({text}, '[.]?0*e', 'e')\n            ELSE pg_catalog.trim_scale({text}::numeric)::text\n       END",
        value,
        least,
        text
    )
}
