//! The rows of a history as they were valid at an instant; of one by event time also as they were known after a run.
//! Pure: statements.

use super::strategy::{HistoryColumns, SUPERSEDED_BY, event_end};
use crate::dialect::Dialect;
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};

/// Which rows are asked for.
pub struct AsOf<'a> {
    /// The table.
    pub target: &'a QualifiedName,
    /// The columns of its history.
    pub kept: &'a HistoryColumns<'a>,
    /// The keys, by which the rows are ordered.
    pub keys: &'a [Ident],
    /// The columns that are shown.
    pub columns: &'a [Ident],
    /// The instant, which is a text with its offset.
    pub at: &'a str,
    /// Conditions besides, on rows `t`.
    pub only: Vec<Sql>,
    /// How many at most.
    pub limit: Option<usize>,
}

/// What was known after a run of a history by event time.
pub struct KnownAfter<'a> {
    /// The number of the run.
    pub run: i64,
    /// The table of the values that were corrected.
    pub superseded: &'a QualifiedName,
}

/// Asks for begin, end and the row as JSON. Never by `valid_to` where it is about what was known: later loads have moved
/// that.
pub fn question(asked: &AsOf<'_>, known: Option<KnownAfter<'_>>, dialect: &dyn Dialect) -> Sql {
    let AsOf { kept, keys, .. } = asked;
    let limit = asked.limit.map_or(Sql::empty(), |limit| {
        sql!("\n LIMIT {limit}", limit = Literal::Integer(i64::try_from(limit).unwrap_or(i64::MAX)))
    });
    let order = keys.iter().map(|key| sql!("r.{key}", key)).chain([sql!("r.{begin}", begin = kept.begin)]);
    sql!(
        "SELECT {begin}, {end}, {row}\n  FROM ({rows}) AS r\n ORDER BY {order}{limit}",
        begin = dialect.iso_instant(&sql!("r.{begin}", begin = kept.begin)),
        end = dialect.iso_instant(&sql!("r.{end}", end = kept.end)),
        row = dialect.json_of_row("r"),
        rows = rows(asked, known, dialect),
        order = Sql::join(order, ", "),
        limit
    )
}

/// The rows themselves, in no order: their columns, begin and end.
pub fn rows(asked: &AsOf<'_>, known: Option<KnownAfter<'_>>, dialect: &dyn Dialect) -> Sql {
    let AsOf { target, kept, columns, at, .. } = asked;
    let from = match known {
        None => sql!("{target} AS t", target),
        Some(known) => known_rows(asked, &known, dialect),
    };
    let mut conditions = vec![kept.as_of(dialect, at)];
    conditions.extend(asked.only.iter().cloned());
    sql!(
        "SELECT {shown}, t.{begin}, t.{end}\n          FROM {from}\n         WHERE {conditions}",
        shown = Sql::join(columns.iter().map(|name| sql!("t.{name}", name)), ", "),
        begin = kept.begin,
        end = kept.end,
        from,
        conditions = Sql::join(conditions, "\n           AND ")
    )
}

/// The events that were known then, each until the next that was known, or its ttl.
fn known_rows(asked: &AsOf<'_>, known: &KnownAfter<'_>, dialect: &dyn Dialect) -> Sql {
    let AsOf { target, kept, keys, columns, .. } = asked;
    let event = kept.event.expect("only a history by event time keeps what it corrects");
    let wrote = event.run.expect("and it knows the run of each event");
    let run = Literal::Integer(known.run);
    let list = |alias: &'static str| {
        let names = columns.iter().chain([kept.begin, event.deleted]);
        Sql::join(names.map(|name| sql!("{alias}.{name}", alias = Sql::text(alias), name)), ", ")
    };
    let next = sql!(
        "{lead}(k.{begin}) OVER (PARTITION BY {keys} ORDER BY k.{begin})",
        lead = dialect.function("lead"),
        begin = kept.begin,
        keys = Sql::join(keys.iter().map(|key| sql!("k.{key}", key)), ", ")
    );
    let end = event_end(dialect, event.ttl, &sql!("k.{begin}", begin = kept.begin), &next);
    sql!(
        "(SELECT k.*, {end} AS {to}\n                  FROM (SELECT {of_target}\n                          FROM {target} AS h\n                         WHERE h.{wrote} <= {run}\n                        UNION ALL\n                        SELECT {of_kept}\n                          FROM {superseded} AS s\n                         WHERE s.{wrote} <= {run} AND s.{by} > {run}) AS k) AS t",
        end,
        to = kept.end,
        of_target = list("h"),
        target,
        wrote,
        run,
        of_kept = list("s"),
        superseded = known.superseded,
        by = Ident::fixed(SUPERSEDED_BY)
    )
}
