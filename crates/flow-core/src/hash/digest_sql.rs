//! The row hash as a SQL expression. Pure: text in, text out. Every function, operator and type is named with
//! its schema, so no search_path can put another in its place, and no literal holds a backslash, so
//! standard_conforming_strings does not matter.

use super::{Normal, SentType};

/// One hashed column in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlColumn {
    /// The column's name, by which columns are ordered.
    pub name: String,
    /// A quoted column reference, or an expression in parentheses.
    pub sql: String,
    /// Its normal form.
    pub normal: Normal,
}

impl Normal {
    /// An expression whose `IS DISTINCT FROM` decides as the hash does: the column itself where its `=` does,
    /// otherwise what the hash sees. `column` as for [`Normal::sql`]. `IS DISTINCT FROM` itself finds `=` by the
    /// search_path, so pg_catalog must come first there, as it does unless it is named later.
    ///
    /// ```
    /// use ematix_flow_core::hash::{Normal, TypeFacts};
    /// let jsonb = Normal::for_type(&TypeFacts::built_in(3802)).unwrap();
    /// assert_eq!(jsonb.compared_sql("s.\"data\""), "pg_catalog.jsonb_send(s.\"data\"::pg_catalog.jsonb)");
    /// ```
    pub fn compared_sql(&self, column: &str) -> String {
        match self {
            Normal::Int8 | Normal::Bool | Normal::Float8 | Normal::Numeric => column.to_owned(),
            // The collation of a column may call different texts equal. A domain over an enum has no `=`, and an
            // enum with an implicit cast to text has two.
            Normal::Text | Normal::BlankPadded | Normal::Json | Normal::Enum => {
                format!("{} COLLATE pg_catalog.\"C\"", self.sql(column))
            }
            // Cast too: range_send takes no domain.
            Normal::AsSent(SentType { compared_by: Some(send), .. }) => {
                format!("pg_catalog.{send}({})", self.sql(column))
            }
            Normal::AsSent(_) | Normal::Array { .. } | Normal::Opaque => self.sql(column),
        }
    }

    /// The SQL expression of the normal form. `column` is a quoted column reference, or an expression in
    /// parentheses; it may be of a domain over the type.
    ///
    /// ```
    /// use ematix_flow_core::hash::Normal;
    /// assert_eq!(Normal::Numeric.sql("s.\"price\""), "pg_catalog.trim_scale(s.\"price\"::pg_catalog.numeric)");
    /// ```
    pub fn sql(&self, column: &str) -> String {
        match self {
            Normal::Int8 => format!("{column}::pg_catalog.int8"),
            Normal::Text | Normal::BlankPadded | Normal::Json => format!("{column}::pg_catalog.text"),
            // Not a cast: the owner of an enum may define one to text that says something else. COALESCE turns a
            // domain over an enum into the enum, which enum_out asks for (manual, 10.5, rule 2).
            Normal::Enum => format!("pg_catalog.enum_out(COALESCE({column}, NULL))::pg_catalog.text"),
            Normal::Bool => format!("{column}::pg_catalog.bool"),
            // + 0 turns -0 into +0.
            Normal::Float8 => format!(
                "CASE WHEN {column}::pg_catalog.float8 OPERATOR(pg_catalog.=) 'NaN'::pg_catalog.float8 \
                 THEN 'NaN'::pg_catalog.float8 \
                 ELSE {column}::pg_catalog.float8 OPERATOR(pg_catalog.+) '0'::pg_catalog.float8 END"
            ),
            Normal::Numeric => format!("pg_catalog.trim_scale({column}::pg_catalog.numeric)"),
            // array_send: dimensions, null flag, element type, …: four bytes each.
            Normal::Array { element } => format!(
                "pg_catalog.overlay(pg_catalog.array_send({column}), \
                 pg_catalog.decode('00000000{element:08x}', 'hex'), 5, 8)"
            ),
            // The cast takes a domain off, whose oid would stand in the frame.
            Normal::AsSent(sent) => format!("{column}::pg_catalog.{}", sent.name),
            // The sent bytes without naming the type's send function: those of a row of this one value, after
            // count, type and length. IS DISTINCT FROM NULL, because a composite of NULLs IS NULL and is a value.
            Normal::Opaque => format!(
                "CASE WHEN {column} IS DISTINCT FROM NULL \
                 THEN pg_catalog.substr(pg_catalog.record_send(ROW({column})), 13) END"
            ),
        }
    }
}

/// The row hash over some columns, in any order, as a SQL expression of type bytea.
///
/// ```
/// use ematix_flow_core::hash::row_digest_sql;
/// assert_eq!(row_digest_sql(&[]), "pg_catalog.sha256(pg_catalog.record_send(ROW()))");
/// ```
pub fn row_digest_sql(columns: &[SqlColumn]) -> String {
    let mut columns: Vec<&SqlColumn> = columns.iter().collect();
    columns.sort_by_key(|column| column.name.as_bytes());
    let row: Vec<String> = columns.iter().map(|column| column.normal.sql(&column.sql)).collect();
    if row.len() < 2 {
        return format!("pg_catalog.sha256(pg_catalog.record_send(ROW({})))", row.concat());
    }
    // Laid out to stand in a SELECT list.
    let between = ",\n         ";
    format!("pg_catalog.sha256(pg_catalog.record_send(ROW(\n         {})))", row.join(between))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, normal: Normal) -> SqlColumn {
        SqlColumn { name: name.to_owned(), sql: format!("s.\"{name}\""), normal }
    }

    #[test]
    fn columns_stand_in_the_order_of_the_bytes_of_their_names() {
        let names = ["b", "é", "a", "Z", "數", "a b", "aa", "\u{fffd}", "\u{10000}"];
        let columns: Vec<SqlColumn> = names.iter().map(|name| column(name, Normal::Int8)).collect();
        assert_eq!(
            row_digest_sql(&columns),
            "pg_catalog.sha256(pg_catalog.record_send(ROW(
         s.\"Z\"::pg_catalog.int8,
         s.\"a\"::pg_catalog.int8,
         s.\"a b\"::pg_catalog.int8,
         s.\"aa\"::pg_catalog.int8,
         s.\"b\"::pg_catalog.int8,
         s.\"é\"::pg_catalog.int8,
         s.\"數\"::pg_catalog.int8,
         s.\"\u{fffd}\"::pg_catalog.int8,
         s.\"\u{10000}\"::pg_catalog.int8)))"
        );
    }

    #[test]
    fn every_form_has_its_expression_to_compare() {
        let sent = |oid| Normal::AsSent(SentType::by_oid(oid).expect("it is sent as it is"));
        let forms = [
            (Normal::Int8, "c"),
            (Normal::Bool, "c"),
            (Normal::Float8, "c"),
            (Normal::Numeric, "c"),
            (Normal::Text, "c::pg_catalog.text COLLATE pg_catalog.\"C\""),
            (Normal::BlankPadded, "c::pg_catalog.text COLLATE pg_catalog.\"C\""),
            (Normal::Json, "c::pg_catalog.text COLLATE pg_catalog.\"C\""),
            (
                Normal::Enum,
                "pg_catalog.enum_out(COALESCE(c, NULL))::pg_catalog.text COLLATE pg_catalog.\"C\"",
            ),
            (sent(1082), "c::pg_catalog.date"),
            (sent(1186), "pg_catalog.interval_send(c::pg_catalog.interval)"),
        ];
        for (normal, sql) in forms {
            assert_eq!(normal.compared_sql("c"), sql);
        }
        for normal in [Normal::Array { element: 23 }, Normal::Opaque] {
            assert_eq!(normal.compared_sql("c"), normal.sql("c"));
        }
    }

    #[test]
    fn every_form_has_its_expression() {
        let date = Normal::AsSent(SentType::by_oid(1082).expect("date is sent as it is"));
        let forms = [
            (Normal::Int8, "c::pg_catalog.int8"),
            (Normal::Text, "c::pg_catalog.text"),
            (Normal::BlankPadded, "c::pg_catalog.text"),
            (Normal::Json, "c::pg_catalog.text"),
            (Normal::Enum, "pg_catalog.enum_out(COALESCE(c, NULL))::pg_catalog.text"),
            (Normal::Bool, "c::pg_catalog.bool"),
            (
                Normal::Float8,
                "CASE WHEN c::pg_catalog.float8 OPERATOR(pg_catalog.=) 'NaN'::pg_catalog.float8 THEN \
                 'NaN'::pg_catalog.float8 ELSE c::pg_catalog.float8 OPERATOR(pg_catalog.+) '0'::pg_catalog.float8 END",
            ),
            (Normal::Numeric, "pg_catalog.trim_scale(c::pg_catalog.numeric)"),
            (
                Normal::Array { element: 23 },
                "pg_catalog.overlay(pg_catalog.array_send(c), pg_catalog.decode('0000000000000017', 'hex'), 5, 8)",
            ),
            (date, "c::pg_catalog.date"),
            (
                Normal::Opaque,
                "CASE WHEN c IS DISTINCT FROM NULL THEN pg_catalog.substr(pg_catalog.record_send(ROW(c)), 13) END",
            ),
        ];
        for (normal, sql) in forms {
            assert_eq!(normal.sql("c"), sql);
        }
    }
}
