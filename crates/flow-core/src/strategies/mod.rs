//! The load strategies: one file each. Nobody else asks which one a pipeline has.

mod append;
mod by_key;
mod merge;
mod scd2;
mod truncate;

use crate::dialect::Dialect;
use crate::pipeline::Strategy;
use crate::plan::Answer;
use crate::resolve::strategy::{Invariant, LoadStrategy};
use crate::resolve::{Resolved, Rows};
use crate::run_value::{RunValue, Values};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// What a pipeline's strategy can be asked.
pub fn of(strategy: &Strategy) -> &dyn LoadStrategy {
    match strategy {
        Strategy::Append(append) => append,
        Strategy::Truncate(truncate) => truncate,
        Strategy::Merge(merge) => merge,
        Strategy::Scd2(scd2) => scd2,
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
