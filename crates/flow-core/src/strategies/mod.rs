//! The load strategies: one file each. Nobody else asks which one a pipeline has.

mod append;
mod build;
mod by_key;
mod events;
mod merge;
mod rehash;
mod scd2;
mod truncate;

use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::{PipelineOptions, Repeats};
use crate::dialect::Dialect;
use crate::pipeline::strategy::{Invariant, LoadStrategy};
use crate::pipeline::{Resolved, Rows};
use crate::plan::Answer;
use crate::run_value::{RunValue, Values};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;
use append::Append;
use events::{Collapsed, Events};
pub use events::{RUN, SUPERSEDED_BY, superseded};
use merge::Merge;
use scd2::Scd2;
use std::sync::Arc;
use truncate::Truncate;

/// The strategy of a mode, as options describe it.
fn declared(mode: Mode, check: &mut Check<'_>, options: &PipelineOptions) -> Arc<dyn LoadStrategy> {
    match mode {
        Mode::Append => Arc::new(Append::of(check, options)),
        Mode::Truncate => Arc::new(Truncate::of(check, options)),
        Mode::Merge => Arc::new(Merge::of(check, options)),
        Mode::Scd2 if options.is_by_event() && options.repeats() == Repeats::Collapse => {
            Arc::new(Collapsed::of(check, options))
        }
        Mode::Scd2 if options.is_by_event() => Arc::new(Events::of(check, options)),
        Mode::Scd2 => Arc::new(Scd2::of(check, options)),
    }
}

/// What is left of the rows read when those that were written or dropped are counted.
fn rest(values: &Values) -> i64 {
    let n = |value| values.number(value);
    n(RunValue::RowsIn)
        - n(RunValue::RowsInserted)
        - n(RunValue::RowsUpdated)
        - n(RunValue::RowsDeduplicated)
        - n(RunValue::RowsRejected)
}

/// What the first load of a table counts: read in place, the one statement that reads and writes tells both.
fn of_every_row(load: &Resolved<'_>) -> Answer {
    match load.rows {
        Rows::Direct(_) => Answer::Count(vec![RunValue::RowsIn, RunValue::RowsInserted]),
        Rows::Stage(_) | Rows::Compared => Answer::CountAllRead(vec![RunValue::RowsInserted]),
    }
}

/// How many keys of one broken invariant are named.
const SHOWN: i64 = 20;

/// The keys of rows `t` as texts, and the end of a query that shows some of them.
fn shown(dialect: &dyn Dialect, keys: &[Ident]) -> (Sql, Sql) {
    let text = dialect.type_name(&DataType::Text);
    let texts = keys.iter().map(|key| dialect.cast_to(&sql!("t.{key}", key), &text));
    (Sql::join(texts, ", "), sql!("LIMIT {shown}", shown = Literal::Integer(SHOWN)))
}

/// What holds wherever rows are matched by keys.
fn key_invariants(dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
    if keys.is_empty() {
        return Vec::new();
    }
    let (texts, limit) = shown(dialect, keys);
    let null = Sql::join(keys.iter().map(|key| sql!("t.{key} IS NULL", key)), " OR ");
    vec![Invariant {
        name: "no_null_key",
        detail: "a column of its key is NULL",
        sql: sql!("SELECT {texts} FROM {target} AS t WHERE {null} {limit}", texts, target, null, limit),
    }]
}

/// What holds of a table that has one row a key.
fn one_row_per_key(dialect: &dyn Dialect, target: &QualifiedName, keys: &[Ident]) -> Vec<Invariant> {
    let once = once_per_key(dialect, target, keys, "one_row_per_key", "the key has several rows", None);
    key_invariants(dialect, target, keys).into_iter().chain(once).collect()
}

/// A key comes once among the rows that meet a condition.
fn once_per_key(
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
    name: &'static str,
    detail: &'static str,
    among: Option<Sql>,
) -> Option<Invariant> {
    if keys.is_empty() {
        return None;
    }
    let (texts, limit) = shown(dialect, keys);
    let among = among.map_or(Sql::empty(), |among| sql!(" WHERE {among}", among));
    let count = dialect.function("count");
    let sql = sql!(
        "SELECT {texts} FROM {target} AS t{among} GROUP BY {keys} HAVING {count}(*) > 1 {limit}",
        texts,
        target,
        among,
        keys,
        count,
        limit
    );
    Some(Invariant { name, detail, sql })
}

/// Rows that meet a condition, which none may.
fn broken(
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
    name: &'static str,
    detail: &'static str,
    condition: Sql,
) -> Invariant {
    let (texts, limit) = shown(dialect, keys);
    let sql =
        sql!("SELECT {texts} FROM {target} AS t WHERE {condition} {limit}", texts, target, condition, limit);
    Invariant { name, detail, sql }
}

/// The beginning of a row's neighbour, in [`broken_beside_next`].
const NEXT: &str = "_ematix_next";

/// Rows that meet a condition beside `t._ematix_next`, where the next row of their key begins.
fn broken_beside_next(
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
    begin: &Ident,
    (name, detail): (&'static str, &'static str),
    condition: Sql,
) -> Invariant {
    let (texts, limit) = shown(dialect, keys);
    let sql = sql!(
        "SELECT {texts}\n  FROM (SELECT t.*, {lead}(t.{begin}) OVER (PARTITION BY {keys} ORDER BY t.{begin}) AS {next} FROM {target} AS t) AS t\n WHERE {condition} {limit}",
        texts,
        lead = dialect.function("lead"),
        begin,
        keys,
        next = Ident::fixed(NEXT),
        target,
        condition,
        limit
    );
    Invariant { name, detail, sql }
}
