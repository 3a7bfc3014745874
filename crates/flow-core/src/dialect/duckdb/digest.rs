//! The row hash in the SQL of DuckDB: one text of hexadecimal digits for each column, put together and hashed.
//! `tests/golden/row_hash.json` holds it to what the other two forms say. Pure.

use super::types::{decimal, oid};
use crate::hash::Normal;
use crate::types::TypeFacts;

/// The hash over the fields, in order.
pub fn row(fields: &[String]) -> String {
    let count = format!("'{:08x}'", fields.len());
    let all: Vec<&str> = std::iter::once(count.as_str()).chain(fields.iter().map(String::as_str)).collect();
    // Not a chain of ||, which is as deep as the table is wide.
    format!(
        "system.main.unhex(system.main.sha256(system.main.unhex(system.main.concat(\n         {}))))",
        all.join(",\n         ")
    )
}

/// One value: the type under which it is framed, its length, its bytes. What has no normal form is hashed by its text.
pub fn field(value: &str, data_type: &TypeFacts) -> String {
    let framed =
        |oid: u32, bytes: usize, hex: String| frame(value, oid, &format!("'{oid:08x}{bytes:08x}'"), &hex);
    match data_type.normal {
        Some(Normal::Int8) => framed(oid::INT8, 8, int8(value)),
        Some(Normal::Bool) => framed(oid::BOOL, 1, format!("CASE WHEN {value} THEN '01' ELSE '00' END")),
        Some(Normal::Float8) => framed(oid::FLOAT8, 8, float8(value)),
        Some(Normal::Numeric) => match decimal(&data_type.name) {
            Some((precision, scale)) => numeric(value, precision, scale),
            None => text(value),
        },
        Some(Normal::AsSent(sent)) => match sent.oid {
            oid::DATE => framed(sent.oid, 4, date(value)),
            oid::TIME => framed(sent.oid, 8, int8(&format!("system.main.epoch_us({value})"))),
            oid::TIMESTAMP | oid::TIMESTAMPTZ => framed(sent.oid, 8, instant(value, &data_type.name)),
            oid::INTERVAL => framed(sent.oid, 16, interval(value)),
            oid::UUID => {
                framed(sent.oid, 16, format!("system.main.replace(CAST({value} AS VARCHAR), '-', '')"))
            }
            oid::BYTEA => {
                let length = int4(&format!("system.main.octet_length({value})"));
                frame(value, oid::BYTEA, &format!("'{:08x}' || {length}", oid::BYTEA), &hex(value))
            }
            _ => text(value),
        },
        _ => text(value),
    }
}

fn frame(value: &str, oid: u32, head: &str, hex: &str) -> String {
    format!("CASE WHEN {value} IS NULL THEN '{oid:08x}ffffffff' ELSE {head} || {hex} END")
}

fn text(value: &str) -> String {
    let value = format!("CAST({value} AS VARCHAR)");
    let length = int4(&format!("system.main.strlen({value})"));
    frame(&value, oid::TEXT, &format!("'{:08x}' || {length}", oid::TEXT), &hex(&value))
}

fn hex(value: &str) -> String {
    format!("system.main.hex({value})")
}

/// The low bytes of a number, the high ones first; the text of a negative number has all sixteen digits.
fn low_bytes(number: &str, digits: u8) -> String {
    format!(
        "system.main.right(system.main.lpad(system.main.to_hex(CAST({number} AS BIGINT)), 16, '0'), {digits})"
    )
}

fn int8(number: &str) -> String {
    low_bytes(number, 16)
}

fn int4(number: &str) -> String {
    low_bytes(number, 8)
}

fn int2(number: &str) -> String {
    low_bytes(number, 4)
}

/// As double precision with one NaN and one zero.
fn float8(value: &str) -> String {
    let double = format!("CAST({value} AS DOUBLE)");
    format!(
        "CASE WHEN {double} = 0 THEN '0000000000000000' WHEN system.main.isnan({double}) THEN '7ff8000000000000' \
         ELSE system.main.hex(CAST(CAST({double} AS BIT) AS BLOB)) END"
    )
}

/// Days since 2000-01-01.
fn date(value: &str) -> String {
    format!(
        "CASE WHEN {value} = CAST('infinity' AS DATE) THEN '7fffffff' \
         WHEN {value} = CAST('-infinity' AS DATE) THEN '80000000' ELSE {} END",
        int4(&format!("({value} - CAST('2000-01-01' AS DATE))"))
    )
}

/// Microseconds since 2000-01-01.
fn instant(value: &str, type_name: &str) -> String {
    format!(
        "CASE WHEN {value} = CAST('infinity' AS {type_name}) THEN '7fffffffffffffff' \
         WHEN {value} = CAST('-infinity' AS {type_name}) THEN '8000000000000000' ELSE {} END",
        int8(&format!("(system.main.epoch_us({value}) - 946684800000000)"))
    )
}

/// Microseconds, days, months; DuckDB takes them apart into hours, minutes and the rest, years and months.
fn interval(value: &str) -> String {
    let part = |name: &str| format!("system.main.{name}({value})");
    let microseconds = format!(
        "(CAST({} AS BIGINT) * 3600000000 + CAST({} AS BIGINT) * 60000000 + {})",
        part("hour"),
        part("minute"),
        part("microsecond")
    );
    let months = format!("({} * 12 + {})", part("year"), part("month"));
    format!("{} || {} || {}", int8(&microseconds), int4(&part("day")), int4(&months))
}

/// Number of digits, weight, sign and scale, then digits to the base 10,000 without zeros at either end.
fn numeric(value: &str, precision: u16, scale: u16) -> String {
    let whole_groups = (precision - scale).div_ceil(4).max(1);
    let fraction_groups = scale.div_ceil(4);
    // Every digit, in groups of four on both sides of the point.
    let digits = format!(
        "system.main.lpad(system.main.replace(CAST(system.main.abs({value}) AS VARCHAR), '.', ''), {}, '0') || '{}'",
        4 * whole_groups + scale,
        "0".repeat(usize::from(4 * fraction_groups - scale))
    );
    let groups: Vec<String> = (0..whole_groups + fraction_groups)
        .map(|group| int2(&format!("system.main.substr(digits, {}, 4)", 4 * group + 1)))
        .collect();
    let kept_scale = int2(&format!(
        "system.main.strlen(system.main.rtrim(system.main.substr(digits, {}), '0'))",
        4 * whole_groups + 1
    ));
    let sign = format!("CASE WHEN {value} < 0 THEN '4000' ELSE '0000' END");
    let sent = format!(
        "{length} || {count} || weight || {sign} || {kept_scale} || sent",
        length = int4("8 + system.main.strlen(sent) // 2"),
        count = int2("system.main.strlen(sent) // 4"),
    );
    let sent = named("sent", "system.main.regexp_replace(groups, '(0000)+$', '')", &sent);
    let weight = int2(&format!("system.main.strlen(groups) // 4 - {}", fraction_groups + 1));
    let sent = named("weight", &weight, &sent);
    let groups = format!("system.main.regexp_replace({}, '^(0000)+', '')", groups.join(" || "));
    let sent = named("digits", &digits, &named("groups", &groups, &sent));
    format!(
        "CASE WHEN {value} IS NULL THEN '{oid:08x}ffffffff' WHEN {value} = 0 THEN '{oid:08x}000000080000000000000000' \
         ELSE '{oid:08x}' || {sent} END",
        oid = oid::NUMERIC,
    )
}

/// An expression in which a name stands for a value. A subquery would be a join.
fn named(name: &str, value: &str, expression: &str) -> String {
    format!(
        "system.main.list_extract(system.main.list_transform(system.main.list_value({value}), \
         lambda {name}: {expression}), 1)"
    )
}
