//! Text as dates and times: a match of a pattern gives the fields, the fields are looked at, and only what is a day of
//! the calendar and a time of the day is made one.

use super::super::family::Family;
use super::super::value::Value;
use super::iso::Iso;
use super::template::{MONTH, Template, ZONE};
use crate::sql;
use crate::sql::{Literal, Sql};
use crate::types::DataType;

/// How text is read.
#[derive(Debug)]
pub enum Text {
    /// By the catalogue of what is usual.
    Usual {
        /// Whether 01/02/2026 is the first of February.
        day_first: bool,
    },
    /// By one format.
    Template(Template),
}

const TIME: &str = "([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:[.,][0-9]{1,9})?))?";
/// Zones of RFC 2822, whose names its section 4.3 defines.
const NAMED_ZONES: &[(&str, i64)] = &[
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
];

/// The patterns of the catalogue over text in capitals, and what their groups make.
fn usual(day_first: bool) -> Vec<Template> {
    let template = |pattern: String, fields: &str| Template { pattern, fields: fields.to_owned() };
    let ymd = |mark: &str| {
        template(
            format!("^([0-9]{{4}}){mark}([0-9]{{1,2}}){mark}([0-9]{{1,2}})(?:(?:T| +){TIME} *{ZONE}?)?$"),
            "\\1|\\2|\\3|\\4|\\5|\\6|\\7|",
        )
    };
    let dmy = |mark: &str| {
        template(
            format!(
                "^([0-9]{{1,2}}){mark}([0-9]{{1,2}}){mark}([0-9]{{4}})(?:(?:T|,? +){TIME} *([AP]M)? *{ZONE}?)?$"
            ),
            if day_first { "\\3|\\2|\\1|\\4|\\5|\\6|\\8|\\7" } else { "\\3|\\1|\\2|\\4|\\5|\\6|\\8|\\7" },
        )
    };
    let names: Vec<&str> = NAMED_ZONES.iter().map(|(name, _)| *name).collect();
    let zone = format!("(Z|UTC|GMT|UT|{}|[+-][0-9]{{4}})", names.join("|"));
    vec![
        ymd("-"),
        dmy("/"),
        template(
            format!(
                "^([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})(?:[T ]([0-9]{{2}})([0-9]{{2}})([0-9]{{2}}(?:[.,][0-9]{{1,9}})?)? *{ZONE}?)?$"
            ),
            "\\1|\\2|\\3|\\4|\\5|\\6|\\7|",
        ),
        template(
            "^([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})$".to_owned(),
            "\\1|\\2|\\3|\\4|\\5|\\6||",
        ),
        template(
            format!(
                "^(?:(?:MON|TUE|WED|THU|FRI|SAT|SUN), *)?([0-9]{{1,2}})[ -]+{MONTH}[ -]+([0-9]{{4}})(?: +{TIME} *{zone}?(?: *\\([^()]*\\))?)?$"
            ),
            "\\3|\\2|\\1|\\4|\\5|\\6|\\7|",
        ),
        ymd("/"),
        ymd("\\."),
        dmy("\\."),
        dmy("-"),
    ]
}

/// Seconds since 1970 as they are written now, with or without a fraction; and milliseconds.
const SECONDS: &str = "^-?[0-9]{9,10}(?:\\.[0-9]{1,9})?$";
const MILLISECONDS: &str = "^-?[0-9]{12,13}$";

/// A time without its zone, and the zone in minutes east of Greenwich; in the names of the fields `c`.
struct Fields {
    /// Whether they are a day and a time of the day.
    are_right: Sql,
    year: Sql,
    month: Sql,
    day: Sql,
    local: Sql,
    offset: Sql,
    has_zone: Sql,
}

fn fields(value: &mut Value<'_>, c: &Sql) -> Fields {
    let written = |index: i64| sql!("{c}[{index}]::integer", c, index = Literal::Integer(index));
    let (strpos, left) = (value.function("strpos"), value.function("left"));
    let month = sql!(
        "CASE WHEN {c}[2] >= 'A' THEN ({strpos}('JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC', {left}({c}[2], 3)) + 2) / 3 ELSE {c}[2]::integer END",
        c,
        strpos,
        left
    );
    let or_zero = |index: i64| {
        sql!("COALESCE(NULLIF({c}[{index}], '')::integer, 0)", c, index = Literal::Integer(index))
    };
    value.set(
        sql!(
            "CASE WHEN {c} IS NOT NULL THEN ARRAY[{year}, {month}, {day}, {hour}, {minute}] END",
            c,
            year = written(1),
            month,
            day = written(3),
            hour = or_zero(4),
            minute = or_zero(5)
        ),
        None,
    );
    let n = value.named();
    let number = |index: i64| sql!("{n}[{index}]", n, index = Literal::Integer(index));
    let (year, month, day, written_hour, minute) = (number(1), number(2), number(3), number(4), number(5));
    let hour = sql!(
        "CASE {c}[8] WHEN 'AM' THEN {written_hour} % 12 WHEN 'PM' THEN {written_hour} % 12 + 12 ELSE {written_hour} END",
        c,
        written_hour
    );
    let second = sql!(
        "COALESCE(NULLIF({replace}({c}[6], ',', '.'), '')::numeric, 0)",
        replace = value.function("replace"),
        c
    );
    let digits = sql!(
        "{rpad}({replace}({substr}({c}[7], 2), ':', ''), 4, '0')",
        rpad = value.function("rpad"),
        replace = value.function("replace"),
        substr = value.function("substr"),
        c
    );
    let mut names = Sql::empty();
    for (name, minutes) in NAMED_ZONES {
        names.push(&sql!(
            " WHEN {c}[7] = {name} THEN {minutes}",
            c,
            name = Literal::Text((*name).to_owned()),
            minutes = Literal::Integer(*minutes)
        ));
    }
    let half = |begin: i64| {
        sql!(
            "{substr}({digits}, {begin}, 2)::integer",
            substr = value.function("substr"),
            digits,
            begin = Literal::Integer(begin)
        )
    };
    let is_numeric = sql!("{left}({c}[7], 1) IN ('+', '-')", left, c);
    let offset = sql!(
        "CASE{names} WHEN {is_numeric} THEN ({hours} * 60 + {minutes}) * ({left}({c}[7], 1) || '1')::integer ELSE 0 END",
        names,
        is_numeric,
        hours = half(1),
        minutes = half(3),
        left,
        c
    );
    let zone_is_right = sql!(
        "CASE WHEN {is_numeric} THEN {hours} <= 15 AND {minutes} <= 59 ELSE TRUE END",
        is_numeric,
        hours = half(1),
        minutes = half(3)
    );
    let days = sql!(
        "CASE WHEN {month} IN (4, 6, 9, 11) THEN 30\n                               WHEN {month} <> 2 THEN 31\n                               WHEN {year} % 400 = 0 OR {year} % 4 = 0 AND {year} % 100 <> 0 THEN 29\n                               ELSE 28 END",
        month,
        year
    );
    let are_right = sql!(
        "{year} > 0 AND {month} BETWEEN 1 AND 12\n             AND {day} BETWEEN 1 AND {days}\n             AND {minute} < 60 AND {second} < 60\n             AND CASE WHEN {c}[8] <> '' THEN {written_hour} BETWEEN 1 AND 12 ELSE {written_hour} < 24 END\n             AND {zone_is_right}",
        year,
        month,
        day,
        days,
        minute,
        second,
        c,
        written_hour,
        zone_is_right
    );
    let local = sql!(
        "{make}({year}, {month}, {day}, {hour}, {minute}, {second}::double precision)",
        make = value.function("make_timestamp"),
        year,
        month,
        day,
        hour,
        minute,
        second
    );
    Fields { are_right, year, month, day, local, offset, has_zone: sql!("{c}[7] <> ''", c) }
}

/// The commonest shapes of the catalogue, taken apart by their places and marks: groups of a pattern cost Postgres
/// fifteen times as much as the pattern.
fn common(value: &Value<'_>, u: &Sql, day_first: bool) -> Sql {
    let pattern = |text: &str| Literal::Text(text.to_owned());
    let part = |begin: i64, length: i64| {
        let (begin, length) = (Literal::Integer(begin), Literal::Integer(length));
        sql!("{substr}({u}, {begin}, {length})", substr = value.function("substr"), u, begin, length)
    };
    let rest = sql!("{substr}({u}, 17)", substr = value.function("substr"), u);
    // Up to the zone, which begins with one of these.
    let second = sql!(
        "{split_part}({translate}({rest}, 'Z+- ', '||||'), '|', 1)",
        split_part = value.function("split_part"),
        translate = value.function("translate"),
        rest
    );
    let mut cases = sql!(
        "\n            WHEN {u} ~ {iso} THEN ARRAY[{year}, {month}, {day}, {hour}, {minute}, {ltrim}({second}, ':'), {ltrim}({substr}({rest}, {length}({second}) + 1)), '']\n            WHEN {u} ~ '^[0-9]{eight}$' THEN ARRAY[{year}, {basic_month}, {basic_day}, '', '', '', '', '']",
        u,
        iso = pattern(
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)? ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
        ),
        year = part(1, 4),
        month = part(6, 2),
        day = part(9, 2),
        hour = part(12, 2),
        minute = part(15, 2),
        ltrim = value.function("ltrim"),
        second,
        substr = value.function("substr"),
        rest,
        length = value.function("length"),
        eight = Sql::text("{8}"),
        basic_month = part(5, 2),
        basic_day = part(7, 2)
    );
    let split = |text: Sql, mark: &'static str, index: i64| {
        sql!(
            "{split_part}({text}, {mark}, {index})",
            split_part = value.function("split_part"),
            text,
            mark = pattern(mark),
            index = Literal::Integer(index)
        )
    };
    for (mark, escaped) in [("/", "/"), (".", "\\."), ("-", "-")] {
        let (date, time) = (split(u.clone(), " ", 1), split(u.clone(), " ", 2));
        let (day, month) = if day_first { (1, 2) } else { (2, 1) };
        let shape = format!(
            "^[0-9]{{1,2}}{escaped}[0-9]{{1,2}}{escaped}[0-9]{{4}}(?: [0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?)?$"
        );
        cases.push(&sql!(
            "\n            WHEN {u} ~ {shape} THEN ARRAY[{year}, {month}, {day}, {hour}, {minute}, {second}, '', '']",
            u,
            shape = pattern(&shape),
            year = split(date.clone(), mark, 3),
            month = split(date.clone(), mark, month),
            day = split(date, mark, day),
            hour = split(time.clone(), ":", 1),
            minute = split(time.clone(), ":", 2),
            second = split(time, ":", 3)
        ));
    }
    cases
}

/// What the patterns make of a text.
struct Matched {
    /// The text in capitals.
    text: Sql,
    /// The value, under a name, where the text is written as most are; else NULL.
    common: Option<Sql>,
    /// The fields, under a name; NULL where no pattern takes it, or none was asked.
    fields: Sql,
}

/// Asks the patterns about the text `v`, unless it is written as most are, of which `of_iso` makes the value.
fn matched(value: &mut Value<'_>, v: &Sql, text: &Text, of_iso: impl Fn(&Iso) -> Sql) -> Matched {
    value.set(sql!("{upper}({v})", upper = value.function("upper"), v), Some(Family::Text));
    let u = value.named();
    let is_common = matches!(text, Text::Usual { .. }).then(|| {
        let iso = Iso::of(value, &u);
        value.set(sql!("CASE WHEN {is} THEN {made} END", is = iso.is_right, made = of_iso(&iso)), None);
        value.named()
    });
    let (to_array, regexp_replace) = (value.function("string_to_array"), value.function("regexp_replace"));
    let usual_ones;
    let templates = match text {
        Text::Usual { day_first } => {
            usual_ones = usual(*day_first);
            usual_ones.as_slice()
        }
        Text::Template(template) => std::slice::from_ref(template),
    };
    let mut cases = Sql::empty();
    if let Some(common) = &is_common {
        cases.push(&sql!(" WHEN {common} IS NOT NULL THEN NULL", common));
    }
    if let Text::Usual { day_first } = text {
        cases.push(&common(value, &u, *day_first));
    }
    for Template { pattern, fields } in templates {
        let (pattern, fields) = (Literal::Text(pattern.clone()), Literal::Text(fields.clone()));
        cases.push(&sql!(
            "\n            WHEN {u} ~ {pattern} THEN {to_array}({regexp_replace}({u}, {pattern}, {fields}), '|')",
            u,
            pattern,
            to_array,
            regexp_replace,
            fields
        ));
    }
    value.set(sql!("CASE{cases}\n       END", cases), None);
    Matched { text: u, common: is_common, fields: value.named() }
}

/// The value where it is known already.
fn known(common: Option<Sql>) -> Sql {
    common.map_or_else(Sql::empty, |common| {
        sql!(" WHEN {common} IS NOT NULL THEN {common}\n           ", common)
    })
}

/// The time of a text that is a number, as UTC.
fn since_1970(value: &Value<'_>, u: &Sql, divisor: i64) -> Sql {
    sql!(
        "(TIMESTAMP '1970-01-01 00:00:00' + {make}(secs => ({u}::numeric / {divisor})::double precision))",
        make = value.function("make_interval"),
        u,
        divisor = Literal::Integer(divisor)
    )
}

/// Beside the patterns: seconds, milliseconds, and infinity. A format stands alone.
fn besides(
    value: &Value<'_>,
    u: &Sql,
    text: &Text,
    of_number: impl Fn(Sql) -> Sql,
    of_infinity: impl Fn(&'static str) -> Sql,
) -> Sql {
    if matches!(text, Text::Template(_)) {
        return Sql::empty();
    }
    sql!(
        "\n            WHEN {u} ~ {seconds} THEN {of_seconds}\n            WHEN {u} ~ {milliseconds} THEN {of_milliseconds}\n            WHEN {u} IN ('INFINITY', '+INFINITY') THEN {infinity}\n            WHEN {u} = '-INFINITY' THEN {before_all}",
        u,
        seconds = Literal::Text(SECONDS.to_owned()),
        of_seconds = of_number(since_1970(value, u, 1)),
        milliseconds = Literal::Text(MILLISECONDS.to_owned()),
        of_milliseconds = of_number(since_1970(value, u, 1000)),
        infinity = of_infinity("infinity"),
        before_all = of_infinity("-infinity")
    )
}

/// An instant, or what its column makes of it: a clock of the zone, or its day.
pub fn timestamp(value: &mut Value<'_>, v: &Sql, text: &Text, zone: &str) {
    let Matched { text: u, common, fields: c } = matched(value, v, text, |iso| iso.instant(zone));
    let Fields { are_right, local, offset, has_zone, .. } = fields(value, &c);
    let besides = besides(
        value,
        &u,
        text,
        |number| sql!("{number} AT TIME ZONE 'UTC'", number),
        |word| sql!("{word}::timestamp with time zone", word = Literal::Text(word.to_owned())),
    );
    value.set(
        sql!(
            "CASE{known} WHEN {c} IS NOT NULL THEN\n            CASE WHEN {are_right}\n             THEN CASE WHEN {has_zone} THEN ({local} - {make}(mins => {offset})) AT TIME ZONE 'UTC'\n                       ELSE {local} AT TIME ZONE {zone} END\n            END{besides}\n       END",
            known = known(common),
            c,
            are_right,
            has_zone,
            local,
            make = value.function("make_interval"),
            offset,
            zone = Literal::Text(zone.to_owned()),
            besides
        ),
        Some(Family::TimestampTz),
    );
    as_declared(value, zone);
}

/// A day, as it is written.
pub fn date(value: &mut Value<'_>, v: &Sql, text: &Text) {
    let of_day = |iso: &Iso| sql!("{day}::date", day = iso.day);
    let Matched { text: u, common, fields: c } = matched(value, v, text, of_day);
    let Fields { are_right, year, month, day, .. } = fields(value, &c);
    let besides = besides(
        value,
        &u,
        text,
        |number| sql!("{number}::date", number),
        |word| sql!("{word}::date", word = Literal::Text(word.to_owned())),
    );
    value.set(
        sql!(
            "CASE{known} WHEN {c} IS NOT NULL THEN\n            CASE WHEN {are_right} THEN {make}({year}, {month}, {day}) END{besides}\n       END",
            known = known(common),
            c,
            are_right,
            make = value.function("make_date"),
            year,
            month,
            day,
            besides
        ),
        Some(Family::Date),
    );
}

/// What the column makes of an instant, were it left to an INSERT, would be the session's zone's.
fn as_declared(value: &mut Value<'_>, zone: &str) {
    let zone = Literal::Text(zone.to_owned());
    let instant = value.sql();
    match value.declared {
        DataType::Timestamp if value.ends_in_declared => {
            value.set(sql!("({instant}) AT TIME ZONE {zone}", instant, zone), Some(Family::Timestamp));
        }
        DataType::Date if value.ends_in_declared => {
            value.set(sql!("(({instant}) AT TIME ZONE {zone})::date", instant, zone), Some(Family::Date));
        }
        _ => {}
    }
}

/// A value that is a time already: what has no zone is a time of that zone.
pub fn pass_timestamp(value: &mut Value<'_>, zone: &str) -> bool {
    let named = Literal::Text(zone.to_owned());
    match value.family {
        Some(Family::TimestampTz) => {}
        Some(Family::Timestamp) => {
            value.set(
                sql!("({value}) AT TIME ZONE {named}", value = value.sql(), named),
                Some(Family::TimestampTz),
            );
        }
        Some(Family::Date) => value.set(
            sql!("({value})::timestamp AT TIME ZONE {named}", value = value.sql(), named),
            Some(Family::TimestampTz),
        ),
        _ => return false,
    }
    as_declared(value, zone);
    true
}

/// A value that is a day already, or a time.
pub fn pass_date(value: &mut Value<'_>) -> bool {
    let time = value.sql();
    match value.family {
        Some(Family::Date) => {}
        Some(Family::Timestamp) => value.set(sql!("({time})::date", time), Some(Family::Date)),
        Some(Family::TimestampTz) => {
            value.set(sql!("(({time}) AT TIME ZONE 'UTC')::date", time), Some(Family::Date));
        }
        _ => return false,
    }
    true
}
