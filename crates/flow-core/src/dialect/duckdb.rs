//! DuckDB 1.4 and later.
//!
//! One process writes a file at a time, so nothing is locked; what needs no statement is an empty piece, of which
//! no step is made. Functions are named with their catalogue: a macro of the user's in `main` stands before a
//! function of the same name.

mod digest;
mod types;

pub use types::{facts_of, known};

use super::{
    Cast, ColumnValue, Crossing, DeclaredIndex, Dialect, Measure, NewColumn, RowOrder, Sent, TypeLoss,
};
use crate::hash::Normal;
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Quote, Sql};
use crate::types::{DataType, TypeFacts};
use std::time::Duration;
use types::oid;

/// The dialect of DuckDB.
pub struct DuckDb;

/// The name of the engine.
pub const NAME: &str = "duckdb";

/// The relation as which rows from the client are read: a stream of Arrow that the driver puts under this name.
pub const ARRIVING_ROWS: &str = "_ematix_rows";

/// The last part of a function's name, after the only catalogue that nobody can write.
fn system(name: &'static str) -> Sql {
    sql!("system.main.{name}", name = Sql::text(name))
}

/// An instant in UTC without its zone, or such a time as an instant. Not AT TIME ZONE, which stands for a function of
/// whatever schema has it, as [] and GREATEST do.
fn in_utc(value: &Sql) -> Sql {
    sql!("{timezone}('UTC', {value})", timezone = system("timezone"), value)
}

impl Quote for DuckDb {
    fn engine(&self) -> &'static str {
        NAME
    }

    fn quote(&self, name: &Ident) -> String {
        format!("\"{}\"", name.as_str().replace('"', "\"\""))
    }

    fn literal(&self, value: &Literal) -> String {
        match value {
            // A backslash is a character like any other.
            Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Literal::Integer(number) => number.to_string(),
            // With an exponent it is a double; without, a decimal of just these digits.
            Literal::Float(number) if number.is_finite() => format!("{number:e}"),
            Literal::Float(number) if number.is_nan() => "CAST('NaN' AS DOUBLE)".to_owned(),
            Literal::Float(number) if *number > 0.0 => "CAST('Infinity' AS DOUBLE)".to_owned(),
            Literal::Float(_) => "CAST('-Infinity' AS DOUBLE)".to_owned(),
            Literal::Boolean(true) => "TRUE".to_owned(),
            Literal::Boolean(false) => "FALSE".to_owned(),
            Literal::Null => "NULL".to_owned(),
        }
    }
}

impl Dialect for DuckDb {
    fn type_name(&self, data_type: &DataType) -> String {
        types::name_of(data_type)
    }

    fn type_facts(&self, data_type: &DataType) -> Option<TypeFacts> {
        match data_type {
            DataType::Native(name) => types::known(name),
            _ => Some(facts_of(&self.type_name(data_type))),
        }
    }

    fn type_loss(&self, data_type: &DataType) -> Option<TypeLoss> {
        types::loss(data_type)
    }

    fn hides(&self, name: &str, type_name: &str) -> Option<&'static str> {
        // In a subquery `c.x` is a field of the column before it is a column of the table outside that is called `c`:
        // no error says so, and keys that are there are not found.
        let like_a_table_of_ours = name.len() == 1;
        (like_a_table_of_ours && types::has_fields(type_name))
            .then_some("to DuckDB, what follows its name and a dot is a field of it, also where a statement means a table")
    }

    fn sends(&self, data_type: &TypeFacts) -> Option<Sent> {
        types::sends(data_type)
    }

    fn cast(&self, from: &TypeFacts, to: &TypeFacts) -> Cast {
        types::cast(&from.name, &to.name)
    }

    fn crossing(&self, from: &TypeFacts, to: &TypeFacts) -> Crossing {
        types::crossing(from, to)
    }

    fn measure(&self, data_type: &TypeFacts) -> Measure {
        match data_type.normal {
            Some(Normal::AsSent(sent)) if sent.oid == oid::TIMESTAMPTZ => Measure::Instant { unit: None },
            Some(Normal::AsSent(sent)) if sent.oid == oid::TIMESTAMP => Measure::LocalTime,
            Some(Normal::AsSent(sent)) if sent.oid == oid::DATE => Measure::Date,
            Some(Normal::Int8 | Normal::Numeric | Normal::Float8) => Measure::Number,
            _ => Measure::Unmeasured,
        }
    }

    fn cast_to(&self, value: &Sql, type_name: &str) -> Sql {
        sql!("CAST({value} AS {type_name})", value, type_name = Sql::from_dialect(type_name.to_owned()))
    }

    fn to_instant(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        match data_type.normal {
            // Without a zone a plain cast would take the session's.
            Some(Normal::AsSent(sent)) if matches!(sent.oid, oid::DATE | oid::TIMESTAMP) => {
                in_utc(&self.cast_to(value, "TIMESTAMP"))
            }
            Some(Normal::AsSent(sent)) if sent.oid == oid::TIMESTAMPTZ => value.clone(),
            _ => self.cast_to(value, "TIMESTAMP WITH TIME ZONE"),
        }
    }

    fn stable_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        match data_type.normal {
            // The text of an instant is written in the session's zone. A NULL that has no type is of several.
            Some(Normal::AsSent(sent)) if sent.oid == oid::TIMESTAMPTZ => {
                let instant = self.cast_to(value, "TIMESTAMP WITH TIME ZONE");
                sql!(
                    "CAST({local} AS VARCHAR)\n         || CASE WHEN {isfinite}({instant}) THEN '+00' ELSE '' END",
                    local = in_utc(&instant),
                    instant,
                    isfinite = system("isfinite")
                )
            }
            _ => self.cast_to(value, "VARCHAR"),
        }
    }

    fn text_settings(&self, _data_type: &TypeFacts) -> Option<Sql> {
        None
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
        self.typed_literal("infinity", "TIMESTAMP WITH TIME ZONE")
    }

    fn transaction_time(&self) -> Sql {
        sql!("{now}()", now = system("now"))
    }

    /// Five times what the rows themselves cost; values are compared.
    fn keeps_row_hash(&self) -> bool {
        false
    }

    fn clock(&self) -> Sql {
        // Every function of time says when the transaction began; a UUID of version 7 is made from the clock, of
        // which it keeps milliseconds.
        sql!(
            "{greatest}({began}, {time}({uuid}()))",
            greatest = system("greatest"),
            began = self.transaction_time(),
            time = system("uuid_extract_timestamp"),
            uuid = system("uuidv7")
        )
    }

    fn text_list(&self, texts: &[String]) -> Sql {
        let texts = texts.iter().map(|text| sql!("{text}", text = Literal::Text(text.clone())));
        sql!(
            "CAST({list_value}({texts}) AS VARCHAR[])",
            list_value = system("list_value"),
            texts = Sql::join(texts, ", ")
        )
    }

    fn json_of_row(&self, alias: &'static str) -> Sql {
        sql!("CAST({to_json}({alias}) AS VARCHAR)", to_json = system("to_json"), alias = Sql::text(alias))
    }

    fn iso_instant(&self, value: &Sql) -> Sql {
        sql!(
            "CASE WHEN {isfinite}({value}) THEN {replace}(CAST({local} AS VARCHAR), ' ', 'T') || 'Z' ELSE CAST({value} AS VARCHAR) END",
            local = in_utc(value),
            value,
            isfinite = system("isfinite"),
            replace = system("replace")
        )
    }

    fn json_row(&self, columns: Sql) -> Sql {
        sql!("(SELECT {to_json}(r) FROM (SELECT {columns}) AS r)", to_json = system("to_json"), columns)
    }

    fn function(&self, name: &'static str) -> Sql {
        system(name)
    }

    fn greatest(&self, values: [&Sql; 2]) -> Sql {
        sql!("{greatest}({one}, {other})", greatest = system("greatest"), one = values[0], other = values[1])
    }

    fn least(&self, values: [&Sql; 2]) -> Sql {
        sql!("{least}({one}, {other})", least = system("least"), one = values[0], other = values[1])
    }

    fn apart(&self, data_type: &TypeFacts, value: &Sql) -> Option<Sql> {
        match data_type.normal {
            // 30 days written over a month stay a month.
            Some(Normal::AsSent(sent)) if sent.oid == oid::INTERVAL => Some(sql!(
                "CASE WHEN {value} = INTERVAL '0 days' THEN INTERVAL '1 day' ELSE INTERVAL '0 days' END",
                value
            )),
            _ => None,
        }
    }

    fn differs(&self, data_type: &TypeFacts, left: &Sql, right: &Sql) -> Sql {
        let compared = |value: &Sql| match data_type.normal {
            Some(Normal::Text | Normal::BlankPadded) if !data_type.deterministic => {
                sql!("{encode}({value})", encode = system("encode"), value)
            }
            // A month is 30 days for `=`.
            Some(Normal::AsSent(sent)) if sent.oid == oid::INTERVAL => self.cast_to(value, "VARCHAR"),
            Some(Normal::Json) | None => self.cast_to(value, "VARCHAR"),
            // NaN equals NaN and -0 equals 0, for `=` as for the hash.
            Some(_) => value.clone(),
        };
        sql!("{left} IS DISTINCT FROM {right}", left = compared(left), right = compared(right))
    }

    fn row_digest(&self, columns: &[ColumnValue<'_>]) -> Sql {
        let mut columns: Vec<&ColumnValue<'_>> = columns.iter().collect();
        columns.sort_by_key(|column| column.name.as_str().as_bytes());
        let fields: Vec<String> =
            columns.iter().map(|column| digest::field(&column.sql.to_text(self), column.data_type)).collect();
        Sql::from_dialect(digest::row(&fields))
    }

    fn matches(&self, value: &Sql, pattern: &str) -> Sql {
        sql!(
            "{regexp_matches}({value}, {pattern})",
            regexp_matches = system("regexp_matches"),
            value,
            pattern = Literal::Text(pattern.to_owned())
        )
    }

    fn count_where(&self, condition: &Sql) -> Sql {
        sql!("{count}(*) FILTER (WHERE {condition})", count = system("count"), condition)
    }

    fn row_address(&self, alias: &'static str, _spread: bool) -> Sql {
        sql!("{alias}.rowid", alias = Sql::text(alias))
    }

    fn row_address_type(&self, _spread: bool) -> &'static str {
        "BIGINT"
    }

    fn probe(&self, _query: &Sql) -> Sql {
        // The transaction reads one snapshot, and nobody else writes.
        Sql::empty()
    }

    fn create_schema(&self, name: &Ident) -> Sql {
        sql!("CREATE SCHEMA IF NOT EXISTS {name}", name)
    }

    fn copy_out(&self, query: &Sql) -> Sql {
        // Rows leave as Arrow.
        query.clone()
    }

    fn copy_in(&self, name: &QualifiedName, columns: &[Ident]) -> Sql {
        sql!(
            "INSERT INTO {name} ({columns})\nSELECT * FROM {rows}",
            name,
            columns,
            rows = Sql::text(ARRIVING_ROWS)
        )
    }

    fn create_stage_as(&self, name: &QualifiedName, select: Sql, _order: RowOrder) -> Sql {
        // No TEMP table: it would lie in another catalogue. Made and dropped in one transaction it costs the
        // log a few kilobytes.
        sql!("CREATE TABLE {name} AS\n{select}", name, select)
    }

    fn create_stage(&self, name: &QualifiedName, columns: Vec<(Ident, Sql)>) -> Sql {
        let list = columns.into_iter().map(|(name, data_type)| sql!("  {name} {data_type}", name, data_type));
        sql!("CREATE TABLE {name} (\n{list}\n)", name, list = Sql::join(list, ",\n"))
    }

    fn lock_table(&self, _name: &QualifiedName) -> Sql {
        Sql::empty()
    }

    fn truncate(&self, name: &QualifiedName) -> Sql {
        sql!("DELETE FROM {name}", name)
    }

    fn analyze(&self, _name: &QualifiedName, _columns: &[Ident]) -> Sql {
        // Statistics are kept while rows are written.
        Sql::empty()
    }

    fn unique_index(&self, _table: &QualifiedName, _columns: &[Ident], _flag: Option<&Ident>) -> Sql {
        // There are no partial ones. A whole one makes a replacement eight times slower, and counting the
        // duplicates says the same.
        Sql::empty()
    }

    fn add_primary_key(&self, _table: &QualifiedName, _columns: &[Ident]) -> Sql {
        Sql::empty()
    }

    fn add_unique(&self, _table: &QualifiedName, _columns: &[Ident]) -> Sql {
        Sql::empty()
    }

    fn add_check(&self, _table: &QualifiedName, _name: &Ident, _condition: Sql) -> Sql {
        // ALTER TABLE cannot.
        Sql::empty()
    }

    fn create_index(&self, index: DeclaredIndex<'_>) -> Sql {
        if index.condition.is_some() || index.method.is_some() {
            return Sql::empty();
        }
        let unique = if index.unique { Sql::text("UNIQUE ") } else { Sql::empty() };
        sql!(
            "CREATE {unique}INDEX {name} ON {table} ({columns})",
            unique,
            name = index.name.unwrap_or(&index.made_name),
            table = index.table,
            columns = index.columns
        )
    }

    fn add_column(&self, table: &QualifiedName, column: NewColumn) -> Sql {
        // A constraint comes neither with the column, before 2.0, nor after it in the same transaction.
        sql!("ALTER TABLE {table} ADD COLUMN {column}", table, column = column.nullable_definition())
    }

    fn set_not_null(&self, _table: &QualifiedName, _column: &Ident) -> Sql {
        // Refused in the transaction that has filled the column.
        Sql::empty()
    }
}
