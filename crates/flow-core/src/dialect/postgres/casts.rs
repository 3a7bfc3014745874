//! Which values a cast keeps.

use crate::dialect::Cast;
use crate::types::digits;

/// How an explicit cast between types, by the names that Postgres prints, relates to what an INSERT does.
pub fn cast(from: &str, to: &str) -> Cast {
    if from == to {
        return Cast::Same;
    }
    const WIDENING: &[(&str, &str)] = &[
        ("smallint", "integer"),
        ("smallint", "bigint"),
        ("integer", "bigint"),
        ("smallint", "numeric"),
        ("integer", "numeric"),
        ("bigint", "numeric"),
        ("real", "double precision"),
        ("character varying", "text"),
        ("text", "character varying"),
        ("name", "text"),
    ];
    let (from_base, from_length) = modifier(from);
    let (to_base, to_length) = modifier(to);
    let listed = |pair: (&str, &str)| WIDENING.contains(&pair);
    let wider = match (from_length, to_length) {
        // varchar(64) to text or varchar, numeric(10,2) to numeric: no value can be too long.
        (_, None) => {
            (from_base == to_base && matches!(to_base, "character varying" | "numeric"))
                || listed((from_base, to_base))
        }
        (Some(from), Some(to)) if from_base == to_base && from_base == "character varying" => {
            matches!((from.parse::<u32>(), to.parse::<u32>()), (Ok(from), Ok(to)) if from <= to)
        }
        _ => false,
    };
    if wider || digits::keeps(from, to) { Cast::Widening } else { Cast::ByInsert }
}

/// `character varying(256)` is `character varying` and `256`.
fn modifier(name: &str) -> (&str, Option<&str>) {
    // An array's name goes on after the modifier, and is another type.
    match (name.find('('), name.strip_suffix(')')) {
        (Some(open), Some(inner)) => (&name[..open], Some(&inner[open + 1..])),
        _ => (name, None),
    }
}
