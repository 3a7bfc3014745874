//! Postgres 15 and later.

mod casts;
mod differing;
mod texts;

use super::{
    Cast, ColumnValue, Crossing, DeclaredIndex, Dialect, Differing, Measure, NewColumn, RowOrder, Sent,
    WriteAtOnce,
};
use crate::hash::{Normal, SqlColumn, row_digest_sql};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Quote, Sql};
use crate::types::{DataType, TypeFacts, Wire};
use std::time::Duration;

/// The dialect of Postgres.
pub struct Postgres;

/// The name of the engine.
pub const NAME: &str = "postgres";

impl Quote for Postgres {
    fn engine(&self) -> &'static str {
        NAME
    }

    fn quote(&self, name: &Ident) -> String {
        format!("\"{}\"", name.as_str().replace('"', "\"\""))
    }

    fn literal(&self, value: &Literal) -> String {
        match value {
            // E'' strings mean the same under any standard_conforming_strings.
            Literal::Text(text) if text.contains('\\') => {
                format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
            }
            Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Literal::Integer(number) => number.to_string(),
            Literal::Float(number) if number.is_finite() => format!("{number:?}"),
            Literal::Float(number) if number.is_nan() => "'NaN'".to_owned(),
            Literal::Float(number) if *number > 0.0 => "'Infinity'".to_owned(),
            Literal::Float(_) => "'-Infinity'".to_owned(),
            Literal::Boolean(true) => "TRUE".to_owned(),
            Literal::Boolean(false) => "FALSE".to_owned(),
            Literal::Null => "NULL".to_owned(),
        }
    }
}

impl Dialect for Postgres {
    fn type_name(&self, data_type: &DataType) -> String {
        match data_type {
            DataType::SmallInt => "smallint".to_owned(),
            DataType::Integer => "integer".to_owned(),
            DataType::BigInt => "bigint".to_owned(),
            DataType::Float => "real".to_owned(),
            DataType::Double => "double precision".to_owned(),
            DataType::Numeric(None) => "numeric".to_owned(),
            DataType::Numeric(Some((precision, scale))) => format!("numeric({precision},{scale})"),
            DataType::String(None) => "character varying".to_owned(),
            DataType::String(Some(length)) => format!("character varying({length})"),
            DataType::Text => "text".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Date => "date".to_owned(),
            DataType::Timestamp => "timestamp without time zone".to_owned(),
            DataType::TimestampTz => "timestamp with time zone".to_owned(),
            DataType::Json => "json".to_owned(),
            DataType::Jsonb => "jsonb".to_owned(),
            DataType::Uuid => "uuid".to_owned(),
            DataType::Bytes => "bytea".to_owned(),
            DataType::Native(name) => name.clone(),
        }
    }

    fn type_facts(&self, data_type: &DataType) -> Option<TypeFacts> {
        let (oid, unmodified) = match data_type {
            DataType::SmallInt => (21, DataType::SmallInt),
            DataType::Integer => (23, DataType::Integer),
            DataType::BigInt => (20, DataType::BigInt),
            DataType::Float => (700, DataType::Float),
            DataType::Double => (701, DataType::Double),
            DataType::Numeric(_) => (1700, DataType::Numeric(None)),
            DataType::String(_) => (1043, DataType::String(None)),
            DataType::Text => (25, DataType::Text),
            DataType::Boolean => (16, DataType::Boolean),
            DataType::Date => (DATE, DataType::Date),
            DataType::Timestamp => (TIMESTAMP, DataType::Timestamp),
            DataType::TimestampTz => (TIMESTAMPTZ, DataType::TimestampTz),
            DataType::Json => (114, DataType::Json),
            DataType::Jsonb => (3802, DataType::Jsonb),
            DataType::Uuid => (2950, DataType::Uuid),
            DataType::Bytes => (17, DataType::Bytes),
            DataType::Native(_) => return None,
        };
        Some(TypeFacts {
            name: self.type_name(data_type),
            normal: Normal::for_type(&crate::hash::TypeFacts::built_in(oid)),
            deterministic: true,
            wire: Wire { name: self.type_name(&unmodified), oid: Some(oid) },
        })
    }

    fn cast_to(&self, value: &Sql, type_name: &str) -> Sql {
        sql!("{value}::{type_name}", value, type_name = Sql::from_dialect(type_name.to_owned()))
    }

    fn to_instant(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        match data_type.normal {
            // Without a zone a plain cast would take the session's.
            Some(Normal::AsSent(sent)) if matches!(sent.oid, DATE | TIMESTAMP) => {
                sql!("({value}::timestamp AT TIME ZONE 'UTC')", value)
            }
            Some(Normal::AsSent(sent)) if sent.oid == TIMESTAMPTZ => value.clone(),
            _ => self.cast_to(value, "timestamp with time zone"),
        }
    }

    fn text_settings(&self, data_type: &TypeFacts) -> Option<Sql> {
        // The shortest text that reads back the same; below 1 it is rounded.
        let float = matches!(data_type.normal, Some(Normal::Float8));
        float.then(|| Sql::text("SET LOCAL extra_float_digits = 1"))
    }

    fn duration(&self, length: Duration) -> Sql {
        // Seconds, not days: a day may have 23 hours where clocks change.
        let text = match length.subsec_micros() {
            0 => format!("{} seconds", length.as_secs()),
            _ => format!("{} microseconds", length.as_micros()),
        };
        sql!("INTERVAL {text}", text = Literal::Text(text))
    }

    fn end_of_time(&self) -> Sql {
        self.typed_literal("infinity", "timestamp with time zone")
    }

    fn transaction_time(&self) -> Sql {
        Sql::text("pg_catalog.now()")
    }

    fn clock(&self) -> Sql {
        Sql::text("pg_catalog.clock_timestamp()")
    }

    fn text_list(&self, texts: &[String]) -> Sql {
        let texts = texts.iter().map(|text| sql!("{text}", text = Literal::Text(text.clone())));
        sql!("ARRAY[{texts}]::text[]", texts = Sql::join(texts, ", "))
    }

    fn json_of_row(&self, alias: &'static str) -> Sql {
        sql!("pg_catalog.row_to_json({alias}.*)::text", alias = Sql::text(alias))
    }

    fn iso_instant(&self, value: &Sql) -> Sql {
        sql!(
            "CASE WHEN pg_catalog.isfinite({value}) THEN (pg_catalog.to_json({value} AT TIME ZONE 'UTC') #>> {path}) || 'Z' ELSE {value}::text END",
            value,
            path = Sql::from_dialect("'{}'".to_owned())
        )
    }

    fn json_row(&self, columns: Sql) -> Sql {
        // Not as jsonb, which cannot hold all that json can.
        sql!("(SELECT pg_catalog.row_to_json(r.*) FROM (SELECT {columns}) AS r)", columns)
    }

    fn function(&self, name: &'static str) -> Sql {
        sql!("pg_catalog.{name}", name = Sql::text(name))
    }

    fn differs(&self, data_type: &TypeFacts, left: &Sql, right: &Sql) -> Sql {
        let compared = |value: &Sql| match data_type.normal {
            Some(Normal::Text | Normal::BlankPadded) if data_type.deterministic => value.clone(),
            Some(normal) => Sql::from_dialect(normal.compared_sql(&operand(value.to_text(self)))),
            None => sql!("{value}::text", value),
        };
        sql!("{left} IS DISTINCT FROM {right}", left = compared(left), right = compared(right))
    }

    fn row_digest(&self, columns: &[ColumnValue<'_>]) -> Sql {
        let columns: Vec<SqlColumn> = columns
            .iter()
            .map(|column| {
                let text = operand(column.sql.to_text(self));
                // What has no binary form is hashed by its text.
                let (sql, normal) = match column.data_type.normal {
                    Some(normal) => (text, normal),
                    None => (format!("({text}::text)"), Normal::Text),
                };
                SqlColumn { name: column.name.as_str().to_owned(), sql, normal }
            })
            .collect();
        Sql::from_dialect(row_digest_sql(&columns))
    }

    fn differing(&self) -> Option<&dyn Differing> {
        Some(self)
    }

    fn sends(&self, data_type: &TypeFacts) -> Option<Sent> {
        if data_type.normal != Some(Normal::BlankPadded) {
            return Some(Sent { data_type: data_type.clone(), cast: None });
        }
        // Blanks that only the column's width adds are no part of the value elsewhere.
        let text = self.type_name(&DataType::Text);
        Some(Sent { data_type: self.type_facts(&DataType::Text)?, cast: Some(text) })
    }

    fn cast(&self, from: &TypeFacts, to: &TypeFacts) -> Cast {
        casts::cast(&from.name, &to.name)
    }

    fn crossing(&self, from: &TypeFacts, to: &TypeFacts) -> Crossing {
        if from.normal.is_none() {
            return Crossing::Refused("the type has no binary form");
        }
        let Some(oid) = from.wire.oid else { return user_defined(from, to) };
        if NUMBERS_OF_THE_CATALOGUE.contains(&oid) {
            return Crossing::Refused("its values are numbers of the source's own catalogue");
        }
        match self.cast(from, to) {
            Cast::Same if to.wire.oid == Some(oid) => Crossing::AsIs,
            Cast::Widening => Crossing::CastAtSource(to.name.clone()),
            // Out of a domain or a length into the plain type: nothing is lost.
            _ if to.wire.oid == Some(oid) && to.name == from.wire.name => Crossing::AsIs,
            _ => Crossing::ByInsert { arrives: from.wire.name.clone(), cast: false },
        }
    }

    fn measure(&self, data_type: &TypeFacts) -> Measure {
        match data_type.normal {
            Some(Normal::AsSent(sent)) if sent.oid == TIMESTAMPTZ => {
                Measure::Instant { unit: coarse_unit(&data_type.name) }
            }
            Some(Normal::AsSent(sent)) if sent.oid == TIMESTAMP => Measure::LocalTime,
            Some(Normal::AsSent(sent)) if sent.oid == DATE => Measure::Date,
            Some(Normal::Int8 | Normal::Numeric | Normal::Float8) => Measure::Number,
            _ => Measure::Unmeasured,
        }
    }

    fn matches(&self, value: &Sql, pattern: &str) -> Sql {
        sql!("{value} ~ {pattern}", value, pattern = Literal::Text(pattern.to_owned()))
    }

    fn fingerprint(&self, values: &[ColumnValue<'_>]) -> Option<Sql> {
        // Of a collation that takes different texts for equal, and of types without a hash, nothing is known here.
        let has_hash = |data_type: &TypeFacts| match data_type.normal {
            Some(Normal::Text) => data_type.deterministic,
            Some(Normal::Int8 | Normal::Bool | Normal::Float8 | Normal::Numeric | Normal::Enum) => true,
            Some(Normal::AsSent(sent)) => matches!(sent.oid, DATE | TIMESTAMP | TIMESTAMPTZ),
            Some(Normal::BlankPadded | Normal::Json | Normal::Array { .. } | Normal::Opaque) | None => false,
        };
        if !values.iter().all(|value| has_hash(value.data_type)) {
            return None;
        }
        match values {
            // Sorting texts is slow, numbers are sorted as they are.
            [only] => (only.data_type.normal == Some(Normal::Text))
                .then(|| sql!("pg_catalog.hashtextextended({value}, 0)", value = only.sql)),
            several => {
                let values = Sql::join(several.iter().map(|value| value.sql.clone()), ", ");
                Some(sql!("pg_catalog.hash_record_extended(ROW({values}), 0)", values))
            }
        }
    }

    fn count_where(&self, condition: &Sql) -> Sql {
        sql!("pg_catalog.count(*) FILTER (WHERE {condition})", condition)
    }

    fn create_schema(&self, name: &Ident) -> Sql {
        // IF NOT EXISTS does not see what another transaction has not committed, and then fails on the
        // catalogue's unique index: sessions that create one schema pass one at a time.
        sql!(
            "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({lock}, 0));\nCREATE SCHEMA IF NOT EXISTS {name}",
            lock = Literal::Text(format!("ematix-flow schema {name}")),
            name
        )
    }

    fn probe(&self, query: &Sql) -> Sql {
        sql!("SELECT FROM {query} AS q LIMIT 0", query)
    }

    fn lies_on(&self, first: u64, beyond: Option<u64>) -> Option<Sql> {
        // A scan of a range of pages, since Postgres 14.
        let from = sql!("q.ctid >= '({first},0)'", first = Sql::from_dialect(first.to_string()));
        Some(match beyond {
            Some(page) => {
                sql!("{from} AND q.ctid < '({page},0)'", from, page = Sql::from_dialect(page.to_string()))
            }
            None => from,
        })
    }

    fn copy_out(&self, query: &Sql) -> Sql {
        sql!("COPY (\n{query}\n) TO STDOUT (FORMAT binary)", query)
    }

    fn copy_in(&self, name: &QualifiedName, columns: &[Ident]) -> Sql {
        sql!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)", name, columns)
    }

    fn create_stage_as(&self, name: &QualifiedName, select: Sql, order: RowOrder) -> Sql {
        // CREATE TABLE AS plans in parallel only where the planner believes that it pays; the defaults
        // price every row that passes between processes as if it went over a network.
        let merge_join = match order {
            RowOrder::ByKey => Sql::text("SET LOCAL enable_hashjoin = off;\n"),
            RowOrder::Unknown => Sql::empty(),
        };
        sql!(
            "SET LOCAL jit = off;\n{merge_join}SET LOCAL parallel_setup_cost = 100;\nSET LOCAL parallel_tuple_cost = 0.001;\nSET LOCAL min_parallel_table_scan_size = '8MB';\nSET LOCAL min_parallel_index_scan_size = '512kB';\nCREATE UNLOGGED TABLE {name} AS\n{select}",
            merge_join,
            name,
            select
        )
    }

    fn create_stage(&self, name: &QualifiedName, columns: Vec<(Ident, Sql)>) -> Sql {
        let list = columns.into_iter().map(|(name, data_type)| sql!("  {name} {data_type}", name, data_type));
        sql!("CREATE UNLOGGED TABLE {name} (\n{list}\n)", name, list = Sql::join(list, ",\n"))
    }

    fn lock_table(&self, name: &QualifiedName) -> Sql {
        sql!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE", name)
    }

    fn truncate(&self, name: &QualifiedName) -> Sql {
        sql!("TRUNCATE {name}", name)
    }

    fn row_address(&self, alias: &'static str, spread: bool) -> Sql {
        let alias = Sql::text(alias);
        if spread {
            sql!("({alias}.tableoid::text || {alias}.ctid::text)", alias)
        } else {
            sql!("{alias}.ctid", alias)
        }
    }

    fn row_address_type(&self, spread: bool) -> &'static str {
        if spread { "text" } else { "tid" }
    }

    fn analyze(&self, name: &QualifiedName, columns: &[Ident]) -> Sql {
        match columns {
            [] => sql!("ANALYZE {name}", name),
            columns => sql!("ANALYZE {name} ({columns})", name, columns),
        }
    }

    fn judge_deferred(&self) -> Sql {
        Sql::text("SET CONSTRAINTS ALL IMMEDIATE")
    }

    /// References are judged when the whole statement is done, and what one part has deleted stands in the way of no
    /// unique value of the next: <https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING>.
    /// That a part counts the one before it gives them their order, which they do not have by themselves.
    fn write_at_once(&self, write: WriteAtOnce) -> Option<Sql> {
        let count = self.function("count");
        let WriteAtOnce { delete, update, insert } = write;
        let after = |statement: Sql, before: &'static str| {
            let before = Sql::text(before);
            sql!(
                "{statement}\n   AND (SELECT {count}(*) FROM {before}) >= 0",
                statement,
                count = count.clone(),
                before
            )
        };
        let (changed, last) = match update {
            Some(update) => (
                sql!(",\nchanged AS (\n{update}\nRETURNING 1\n)", update = after(update, "gone")),
                after(insert, "changed"),
            ),
            None => (sql!(",\nchanged AS (SELECT FROM gone WHERE FALSE)"), after(insert, "gone")),
        };
        Some(sql!(
            "WITH gone AS (\n{delete}\nRETURNING 1\n){changed},\nnew AS (\n{last}\nRETURNING 1\n)\nSELECT (SELECT {count}(*) FROM gone) AS rows_deleted,\n       (SELECT {count}(*) FROM changed) AS rows_updated,\n       (SELECT {count}(*) FROM new) AS rows_inserted",
            delete,
            changed,
            last,
            count
        ))
    }

    fn unique_index(&self, table: &QualifiedName, columns: &[Ident], flag: Option<&Ident>) -> Sql {
        // The server names it: names of indexes are one set a schema, and those of two tables could meet.
        let condition = flag.map_or(Sql::empty(), |flag| sql!(" WHERE {flag}", flag));
        sql!("CREATE UNIQUE INDEX ON {table} ({columns}){condition}", table, columns, condition)
    }

    fn add_primary_key(&self, table: &QualifiedName, columns: &[Ident]) -> Sql {
        sql!("ALTER TABLE {table} ADD PRIMARY KEY ({columns})", table, columns)
    }

    fn add_unique(&self, table: &QualifiedName, columns: &[Ident]) -> Sql {
        sql!("ALTER TABLE {table} ADD UNIQUE ({columns})", table, columns)
    }

    fn add_check(&self, table: &QualifiedName, name: &Ident, condition: Sql) -> Sql {
        sql!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition})", table, name, condition)
    }

    fn create_index(&self, index: DeclaredIndex<'_>) -> Sql {
        let name = index.name.map_or(Sql::empty(), |name| sql!("{name} ", name));
        let method = index.method.map_or(Sql::empty(), |method| sql!(" USING {method}", method));
        let condition =
            index.condition.map_or(Sql::empty(), |condition| sql!(" WHERE {condition}", condition));
        let unique = if index.unique { Sql::text("UNIQUE ") } else { Sql::empty() };
        sql!(
            "CREATE {unique}INDEX {name}ON {table}{method} ({columns}){condition}",
            unique,
            name,
            table = index.table,
            method,
            columns = index.columns,
            condition,
        )
    }

    fn add_column(&self, table: &QualifiedName, column: NewColumn) -> Sql {
        sql!("ALTER TABLE {table} ADD COLUMN {column}", table, column = column.definition())
    }

    fn set_not_null(&self, table: &QualifiedName, column: &Ident) -> Sql {
        sql!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL", table, column)
    }

    fn by_bytes(&self, text: &Sql) -> Sql {
        sql!("({text}) COLLATE pg_catalog.\"C\"", text)
    }

    fn stable_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        texts::stable(data_type, value)
    }

    fn plain_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        texts::plain(data_type, value)
    }
}

/// The oids of the types of times.
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

/// regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary, regnamespace,
/// regrole, regcollation: what the number means is another thing in another database.
const NUMBERS_OF_THE_CATALOGUE: &[u32] = &[24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191];

/// How a type that Postgres does not bring crosses: into its namesake as it is, into text by its text.
fn user_defined(from: &TypeFacts, to: &TypeFacts) -> Crossing {
    let target_text = matches!(to.normal, Some(Normal::Text | Normal::BlankPadded)) && to.wire.oid.is_some();
    if to.wire.oid.is_none() && without_schema(&from.wire.name) == without_schema(&to.wire.name) {
        if from.normal == to.normal {
            Crossing::AsIs
        } else {
            Crossing::Refused("the target's type of that name is another one")
        }
    } else if target_text && matches!(to.name.as_str(), "text" | "character varying") {
        Crossing::CastAtSource("text".to_owned())
    } else if target_text {
        Crossing::ByInsert { arrives: "text".to_owned(), cast: true }
    } else {
        Crossing::ByInsert { arrives: from.wire.name.clone(), cast: false }
    }
}

/// A type's name as the server prints it, without its schema; a dot in quotes divides nothing.
fn without_schema(name: &str) -> &str {
    let mut quoted = false;
    let dot = name.char_indices().rev().find(|(_, letter)| {
        quoted ^= *letter == '"';
        *letter == '.' && !quoted
    });
    dot.map_or(name, |(at, _)| &name[at + 1..])
}

/// One unit of the last digit of a time type that keeps fewer than six: `timestamp(3) with time zone`.
fn coarse_unit(name: &str) -> Option<Duration> {
    let digits: u32 = name.split_once('(')?.1.split_once(')')?.0.parse().ok()?;
    (digits < 6).then(|| Duration::from_micros(10_u64.pow(6 - digits)))
}

/// A column reference as it is, anything else in parentheses.
fn operand(text: String) -> String {
    if text.contains("::") { format!("({text})") } else { text }
}
