//! Postgres 15 and later.

use super::{Cast, ColumnValue, Dialect};
use crate::hash::{Normal, SentType, SqlColumn, row_digest_sql};
use crate::schema::TypeFacts;
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// The dialect of Postgres.
pub struct Postgres;

impl Dialect for Postgres {
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
        let sent = |oid| Normal::AsSent(SentType::by_oid(oid).expect("a type in the table of sent types"));
        let normal = match data_type {
            DataType::SmallInt | DataType::Integer | DataType::BigInt => Normal::Int8,
            DataType::Float | DataType::Double => Normal::Float8,
            DataType::Numeric(_) => Normal::Numeric,
            DataType::String(_) | DataType::Text => Normal::Text,
            DataType::Boolean => Normal::Bool,
            DataType::Date => sent(1082),
            DataType::Timestamp => sent(1114),
            DataType::TimestampTz => sent(1184),
            DataType::Json => Normal::Json,
            DataType::Jsonb => sent(3802),
            DataType::Uuid => sent(2950),
            DataType::Bytes => sent(17),
            DataType::Native(_) => return None,
        };
        Some(TypeFacts { name: self.type_name(data_type), normal: Some(normal), deterministic: true })
    }

    fn typed_literal(&self, text: &str, type_name: &str) -> Sql {
        Sql::from_dialect(format!("{}::{type_name}", self.literal(&Literal::Text(text.to_owned()))))
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

    fn cast(&self, from: &TypeFacts, to: &TypeFacts) -> Cast {
        if from.name == to.name {
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
        let (from_base, from_length) = modifier(&from.name);
        let (to_base, to_length) = modifier(&to.name);
        let listed = |pair: (&str, &str)| WIDENING.contains(&pair);
        match (from_length, to_length) {
            // varchar(64) to text or varchar, numeric(10,2) to numeric: no value can be too long.
            (_, None)
                if (from_base == to_base && matches!(to_base, "character varying" | "numeric"))
                    || listed((from_base, to_base)) =>
            {
                Cast::Widening
            }
            (Some(from), Some(to)) if from_base == to_base && from_base == "character varying" => {
                match (from.parse::<u32>(), to.parse::<u32>()) {
                    (Ok(from), Ok(to)) if from <= to => Cast::Widening,
                    _ => Cast::ByInsert,
                }
            }
            _ => Cast::ByInsert,
        }
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

    fn create_stage_as(&self, name: &QualifiedName, select: Sql) -> Sql {
        sql!("CREATE UNLOGGED TABLE {name} AS\n{select}", name, select)
    }

    fn create_stage(&self, name: &QualifiedName, columns: Vec<(Ident, Sql)>) -> Sql {
        let list = columns.into_iter().map(|(name, data_type)| sql!("  {name} {data_type}", name, data_type));
        sql!("CREATE UNLOGGED TABLE {name} (\n{list}\n)", name, list = Sql::join(list, ",\n"))
    }

    fn lock_table(&self, name: &QualifiedName) -> Sql {
        sql!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE", name)
    }

    fn row_address(&self, alias: &str, spread: bool) -> Sql {
        Sql::from_dialect(if spread {
            format!("({alias}.tableoid::text || {alias}.ctid::text)")
        } else {
            format!("{alias}.ctid")
        })
    }

    fn row_address_type(&self, spread: bool) -> &'static str {
        if spread { "text" } else { "tid" }
    }

    fn update_from(&self, target: &QualifiedName, assignments: Sql, from: Sql, condition: Sql) -> Sql {
        sql!(
            "UPDATE {target} AS t\n   SET {assignments}\n  FROM {from}\n WHERE {condition}",
            target,
            assignments,
            from,
            condition
        )
    }

    fn stable_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        match data_type.normal {
            Some(Normal::AsSent(sent)) if sent.oid == 1184 => sql!(
                "CASE WHEN pg_catalog.isfinite({value}) THEN (pg_catalog.to_json({value} AT TIME ZONE 'UTC') #>> {path}) || CASE WHEN {value} < TIMESTAMPTZ '0001-01-01 00:00:00+00' THEN ' UTC' ELSE 'Z' END ELSE {value}::text END",
                value,
                path = Literal::Text("{}".to_owned())
            ),
            Some(Normal::AsSent(sent)) if matches!(sent.oid, 1082 | 1114) => {
                sql!("pg_catalog.to_json({value}) #>> {path}", value, path = Literal::Text("{}".to_owned()))
            }
            _ => sql!("({value})::text", value),
        }
    }

    fn text_settings(&self, data_type: &TypeFacts) -> Option<Sql> {
        // The shortest text that reads back the same; below 1 it is rounded.
        let float = matches!(data_type.normal, Some(Normal::Float8));
        float.then(|| Sql::text("SET LOCAL extra_float_digits = 1"))
    }

    fn instant_type(&self) -> DataType {
        DataType::TimestampTz
    }

    fn planner_settings(&self, ordered_by_key: bool) -> Sql {
        // CREATE TABLE AS plans in parallel only where the planner believes that it pays; the defaults
        // price every row that passes between processes as if it went over a network.
        let merge_join = if ordered_by_key { "SET LOCAL enable_hashjoin = off;\n" } else { "" };
        Sql::from_dialect(format!(
            "SET LOCAL jit = off;\n{merge_join}SET LOCAL parallel_setup_cost = 100;\nSET LOCAL parallel_tuple_cost = 0.001;\n\
             SET LOCAL min_parallel_table_scan_size = '8MB';\nSET LOCAL min_parallel_index_scan_size = '512kB'"
        ))
    }
}

/// A column reference as it is, anything else in parentheses.
fn operand(text: String) -> String {
    if text.contains("::") { format!("({text})") } else { text }
}

/// `character varying(256)` is `character varying` and `256`.
fn modifier(name: &str) -> (&str, Option<&str>) {
    // An array's name goes on after the modifier, and is another type.
    match (name.find('('), name.strip_suffix(')')) {
        (Some(open), Some(inner)) => (&name[..open], Some(&inner[open + 1..])),
        _ => (name, None),
    }
}
