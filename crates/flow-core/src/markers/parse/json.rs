//! Text as JSON. Postgres 15 has no question for it, so the text is reduced: strings and scalars to a character each,
//! then arrays and objects from the inside out, until one is left, or what is no JSON.

use super::super::family::Family;
use super::super::value::Value;
use crate::sql;
use crate::sql::{Literal, Sql};
use crate::types::DataType;

/// A string, as jsonb takes it: no NUL, no half of a surrogate pair.
const STRING: &str = r#""(?:[^"\\\u0001-\u001f]|\\(?:["\\/bfnrt]|u(?!0000)(?![dD][89a-fA-F])[0-9a-fA-F]{4}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*""#;
/// Everything else that is no array and no object; numbers as large as numeric holds them.
const SCALAR: &str = r"-?(?:0|[1-9][0-9]{0,250})(?:\.[0-9]{1,250})?(?:[eE][+-]?[0-9]{1,4})?|true|false|null";
/// Characters that no JSON has outside of strings, nor in them; two of them stand for a scalar and a string.
const FOREIGN: &str = r"[\u0001-\u0008\u000b\u000c\u000e-\u001f]";
const ARRAY: &str = r"\[(?:[\u0001\u0002](?:,[\u0001\u0002])*)?\]";
const OBJECT: &str = r"\{(?:\u0002:[\u0001\u0002](?:,\u0002:[\u0001\u0002])*)?\}";
/// How deep what is read may be nested.
const DEPTH: i64 = 500;

/// JSON.
pub fn json(value: &mut Value<'_>, v: &Sql) {
    let pattern = |text: &str| Literal::Text(text.to_owned());
    let declared = match value.declared {
        DataType::Json if value.ends_in_declared => "json",
        _ => "jsonb",
    };
    let regexp_replace = value.function("regexp_replace");
    let tokens = sql!(
        "{r}({r}({r}({v}, {string}, {s}, 'g'), {scalar}, {w}, 'g'), {white}, '', 'g')",
        r = regexp_replace,
        v,
        string = pattern(STRING),
        s = pattern("\u{2}"),
        scalar = pattern(SCALAR),
        w = pattern("\u{1}"),
        white = pattern("[ \\t\\n\\r]+")
    );
    value.set(
        sql!(
            "CASE WHEN {v} !~ {foreign}\n             AND (WITH RECURSIVE reduced(n, t) AS (\n                    SELECT 0, {tokens}\n                     UNION ALL\n                    SELECT r.n + 1, x.t\n                      FROM reduced AS r,\n                           LATERAL (SELECT {r}({r}(r.t, {array}, {w}, 'g'), {object}, {w}, 'g') AS t) AS x\n                     WHERE x.t <> r.t AND r.n < {depth}\n                  )\n                  SELECT r.t IN ({w}, {s}) FROM reduced AS r ORDER BY r.n DESC LIMIT 1)\n            THEN {v}::{declared}\n       END",
            v,
            foreign = pattern(FOREIGN),
            tokens,
            r = regexp_replace,
            array = pattern(ARRAY),
            object = pattern(OBJECT),
            w = pattern("\u{1}"),
            s = pattern("\u{2}"),
            depth = Literal::Integer(DEPTH),
            declared = Sql::from_dialect(declared.to_owned())
        ),
        Some(Family::Json),
    );
}
