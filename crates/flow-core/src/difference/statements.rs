//! The statements of a comparison.

use super::{Comparison, Pair, Which};
use crate::dialect::{Dialect, Differing, Digest};
use crate::hash::Normal;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};

/// Into how many ranges the digests of keys are divided: a power of two.
pub const BUCKETS: i64 = 4096;
/// How many of them are looked at first, to see whether summing all of them is worth while.
pub const SAMPLED_BUCKETS: i64 = 64;

const TIMESTAMPTZ: u32 = 1184;

/// How a value is sent of a row that is read whole: what a server need not compute, it sends sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So that equal values have equal bytes, and others not.
    InForm,
    /// A numeric as it is stored, with its scale, which is no part of its value.
    Numeric,
}

impl Comparison {
    fn dialect(&self, which: Which) -> &'static dyn Dialect {
        self.side(which).dialect
    }

    fn words(&self, which: Which) -> &'static dyn Differing {
        self.dialect(which).differing().expect("a comparison has words on both sides")
    }

    fn formed(&self, which: Which, pairs: &[Pair]) -> Vec<Sql> {
        let formed = |pair: &Pair| {
            self.words(which).formed(own(pair, which), pair.form, &sql!("t.{name}", name = pair.name))
        };
        pairs.iter().map(formed).collect()
    }

    /// How the values that are compared are sent of rows that are read whole.
    pub fn sent(&self) -> Vec<Sent> {
        self.compared.iter().map(|pair| as_stored(pair).unwrap_or(Sent::InForm)).collect()
    }

    fn comparable(&self, which: Which, pair: &Pair, alias: &'static str) -> Sql {
        let value = sql!("{alias}.{name}", alias = Sql::text(alias), name = pair.name);
        self.words(which).comparable(own(pair, which), pair.form, &value)
    }

    fn key_digest(&self, which: Which, digest: Digest) -> Sql {
        self.words(which).digest(&self.formed(which, &self.keys), digest)
    }

    fn row_digest(&self, which: Which, digest: Digest) -> Sql {
        let mut values = self.formed(which, &self.keys);
        values.extend(self.formed(which, &self.compared));
        self.words(which).digest(&values, digest)
    }

    /// How many rows of a side have NULL in their key.
    pub fn null_keys(&self, which: Which) -> Sql {
        let null = self.keys.iter().map(|key| sql!("t.{name} IS NULL", name = key.name));
        sql!(
            "SELECT {count}(*) FROM {rows} AS t WHERE {null}",
            count = self.dialect(which).function("count"),
            rows = self.side(which).rows,
            null = Sql::join(null, " OR ")
        )
    }

    /// Keys that come more than once in a side, five of them: how many there are, how often this one comes, and its
    /// columns as text.
    pub fn repeated_keys(&self, which: Which) -> Sql {
        let dialect = self.dialect(which);
        let count = dialect.function("count");
        let keys: Vec<Sql> = self.keys.iter().map(|key| self.comparable(which, key, "t")).collect();
        let texts = self.keys.iter().map(|key| {
            let text = dialect.cast_to(&sql!("t.{name}", name = key.name), "text");
            sql!("{min}({text})", min = dialect.function("min"), text)
        });
        sql!(
            "SELECT {count}(*) OVER () AS keys, {count}(*) AS rows, {texts}\n  FROM {rows} AS t\n GROUP BY {keys}\nHAVING {count}(*) > 1\n ORDER BY 3\n LIMIT 5",
            count,
            texts = Sql::join(texts, ", "),
            rows = self.side(which).rows,
            keys = Sql::join(keys, ", ")
        )
    }

    fn is_absent(&self, which: Which) -> Sql {
        // NULL keys were refused before.
        sql!("{alias}.{key} IS NULL", alias = Sql::text(which.alias()), key = self.keys[0].name)
    }

    fn column_differs(&self, pair: &Pair) -> Sql {
        sql!(
            "{a} IS DISTINCT FROM {b}",
            a = self.comparable(Which::A, pair, "a"),
            b = self.comparable(Which::B, pair, "b")
        )
    }

    /// Both sides by their keys, where one lacks the key or a column differs.
    fn joined(&self) -> Sql {
        let keys = self.keys.iter().map(|key| {
            sql!(
                "{a} = {b}",
                a = self.comparable(Which::A, key, "a"),
                b = self.comparable(Which::B, key, "b")
            )
        });
        let mut differs = vec![self.is_absent(Which::A), self.is_absent(Which::B)];
        differs.extend(self.compared.iter().map(|pair| self.column_differs(pair)));
        sql!(
            "  FROM {a} AS a\n  FULL JOIN {b} AS b ON {keys}\n WHERE {differs}",
            a = self.side(Which::A).rows,
            b = self.side(Which::B).rows,
            keys = Sql::join(keys, " AND "),
            differs = Sql::join(differs, "\n    OR ")
        )
    }

    /// In one database: rows of A, of B, only in A, only in B, differing, and differing in each compared column.
    pub fn join_counts(&self) -> Sql {
        let dialect = self.dialect(Which::A);
        let count = dialect.function("count");
        let absent = |which| self.is_absent(which);
        let both = sql!(
            "{a} IS NOT NULL AND {b} IS NOT NULL",
            a = key_of(self, Which::A),
            b = key_of(self, Which::B)
        );
        let mut list: Vec<Sql> = Which::BOTH
            .into_iter()
            .map(|which| sql!("(SELECT {count}(*) FROM {rows} AS t)", count, rows = self.side(which).rows))
            .collect();
        list.push(dialect.count_where(&absent(Which::B)));
        list.push(dialect.count_where(&absent(Which::A)));
        list.push(dialect.count_where(&both));
        list.extend(self.compared.iter().map(|pair| {
            dialect.count_where(&sql!("{both} AND {differs}", both, differs = self.column_differs(pair)))
        }));
        sql!("SELECT {list}\n{joined}", list = Sql::join(list, ",\n       "), joined = self.joined())
    }

    /// In one database: rows that differ, by their keys: the row of A and that of B as JSON, NULL where there is none.
    pub fn join_sample(&self, rows: usize) -> Sql {
        let json = |which: Which| {
            sql!(
                "CASE WHEN {present} IS NOT NULL THEN {json} END",
                present = key_of(self, which),
                json = self.json(which, which.alias())
            )
        };
        let order = self.keys.iter().map(|key| {
            let of = |which: Which| self.comparable(which, key, which.alias());
            sql!("coalesce({a}, {b})", a = of(Which::A), b = of(Which::B))
        });
        sql!(
            "SELECT {a},\n       {b}\n{joined}\n ORDER BY {order}\n LIMIT {rows}",
            a = json(Which::A),
            b = json(Which::B),
            joined = self.joined(),
            order = Sql::join(order, ", "),
            rows = Literal::Integer(rows as i64)
        )
    }

    /// The sum of the digests of the rows in each range of digests of keys: range, rows, sum. `sampled`: of the first
    /// ranges only.
    pub fn checksums(&self, which: Which, digest: Digest, sampled: bool) -> Sql {
        let dialect = self.dialect(which);
        let range = sql!(
            "{key} & {mask}",
            key = self.key_digest(which, digest),
            mask = Literal::Integer(BUCKETS - 1)
        );
        // Ranges that are spread over all: each is as large as any.
        let step = BUCKETS / SAMPLED_BUCKETS;
        let only = match sampled {
            true => sql!(
                "\n         WHERE {range} & {mask} = 0",
                range = sql!("({range})", range),
                mask = Literal::Integer(step - 1)
            ),
            false => Sql::empty(),
        };
        // Behind OFFSET 0 the planner takes the ranges for few, and sums them in parallel without a sort.
        sql!(
            "SELECT d.range, {count}(*), {sum}(d.digest)\n  FROM (SELECT {range} AS range, {row} AS digest\n          FROM {rows} AS t{only}\n        OFFSET 0) AS d\n GROUP BY d.range",
            count = dialect.function("count"),
            sum = dialect.function("sum"),
            range,
            row = self.row_digest(which, digest),
            rows = self.side(which).rows,
            only
        )
    }

    /// Every row, or some: its key, as it is or as its digest, then the values that are compared, as [`Self::sent`] says.
    pub fn whole_rows(&self, which: Which, key: Option<Digest>, at_most: Option<i64>) -> Sql {
        let mut list = match key {
            Some(digest) => vec![self.key_digest(which, digest)],
            None => self.formed(which, &self.keys),
        };
        for pair in &self.compared {
            match as_stored(pair) {
                Some(_) => list.push(sql!("t.{name}", name = pair.name)),
                None => list.extend(self.formed(which, std::slice::from_ref(pair))),
            }
        }
        let select = sql!(
            "SELECT {list}\n  FROM {rows} AS t{limit}",
            list = Sql::join(list, ",\n       "),
            rows = self.side(which).rows,
            limit = limit(at_most)
        );
        self.dialect(which).copy_out(&select)
    }

    /// The digests of key and row of every row, or of those in some ranges of digests of keys, or of so many.
    pub fn digests(&self, which: Which, digest: Digest, ranges: Option<&[i64]>, at_most: Option<i64>) -> Sql {
        let key = self.key_digest(which, digest);
        let only = match ranges {
            Some(ranges) => sql!(
                "\n WHERE {key} & {mask} = ANY ({ranges})",
                key,
                mask = Literal::Integer(BUCKETS - 1),
                ranges = numbers(ranges)
            ),
            None => Sql::empty(),
        };
        let select = sql!(
            "SELECT {key}, {row}\n  FROM {rows} AS t{only}{limit}",
            key,
            row = self.row_digest(which, digest),
            rows = self.side(which).rows,
            only,
            limit = limit(at_most)
        );
        self.dialect(which).copy_out(&select)
    }

    /// The digests of the key and of each compared value, of rows whose keys have these digests.
    pub fn value_digests(&self, which: Which, digest: Digest, keys: &[i64]) -> Sql {
        let key = self.key_digest(which, digest);
        let values = self.formed(which, &self.compared);
        let values = values.into_iter().map(|value| self.words(which).digest(&[value], digest));
        let select = sql!(
            "SELECT {list}\n  FROM {rows} AS t\n WHERE {key} = ANY ({keys})",
            list = Sql::join(std::iter::once(key.clone()).chain(values), ",\n       "),
            rows = self.side(which).rows,
            key,
            keys = numbers(keys)
        );
        self.dialect(which).copy_out(&select)
    }

    /// The digest of the key and the row as JSON, of rows whose keys have these digests.
    pub fn rows_of(&self, which: Which, digest: Digest, keys: &[i64]) -> Sql {
        let key = self.key_digest(which, digest);
        sql!(
            "SELECT {key}, {json}\n  FROM {rows} AS t\n WHERE {key} = ANY ({keys})",
            json = self.json(which, "t"),
            rows = self.side(which).rows,
            key,
            keys = numbers(keys)
        )
    }

    /// Keys and compared columns as one JSON object; instants in UTC, so that both sides write them alike.
    fn json(&self, which: Which, alias: &'static str) -> Sql {
        let dialect = self.dialect(which);
        let column = |pair: &Pair| {
            let value = sql!("{alias}.{name}", alias = Sql::text(alias), name = pair.name);
            let value = match own(pair, which) {
                _ if pair.hidden => {
                    let hidden = sql!("{hidden}", hidden = Literal::Text(HIDDEN.to_owned()));
                    sql!("CASE WHEN {value} IS NOT NULL THEN {hidden} END", value, hidden)
                }
                Normal::AsSent(sent) if sent.oid == TIMESTAMPTZ => dialect.iso_instant(&value),
                _ => value,
            };
            sql!("{value} AS {name}", value, name = pair.name)
        };
        let columns = self.keys.iter().chain(&self.compared).map(column);
        dialect.json_row(Sql::join(columns, ", "))
    }
}

/// What stands for a value that nobody is shown.
const HIDDEN: &str = "…";

fn key_of(comparison: &Comparison, which: Which) -> Sql {
    let key: &Ident = &comparison.keys[0].name;
    sql!("{alias}.{key}", alias = Sql::text(which.alias()), key)
}

/// How a value may be sent as it is stored, where it is of one type on both sides.
fn as_stored(pair: &Pair) -> Option<Sent> {
    let is_one_type = pair.a.wire.oid.is_some() && pair.a.wire.oid == pair.b.wire.oid;
    match pair.form {
        Normal::Numeric if is_one_type => Some(Sent::Numeric),
        Normal::Int8 | Normal::Text if is_one_type => Some(Sent::InForm),
        _ => None,
    }
}

fn own(pair: &Pair, which: Which) -> Normal {
    pair.data_type(which).normal.expect("only types with a form are compared")
}

fn limit(at_most: Option<i64>) -> Sql {
    at_most.map_or(Sql::empty(), |rows| sql!("\n LIMIT {rows}", rows = Literal::Integer(rows)))
}

fn numbers(numbers: &[i64]) -> Sql {
    let list: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Sql::from_dialect(format!("'{{{}}}'::pg_catalog.int8[]", list.join(",")))
}
