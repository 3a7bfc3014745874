//! Names, literals, types, durations, queries, definitions and drift: values in, values out, for any text.

use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::query::{ReadQuery, latest_first};
use ematix_flow_core::schema::drift::{Difference, differences};
use ematix_flow_core::schema::{Column, ColumnDefault, LiveColumn, LiveTable, Table, ddl};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Literal, MAX_NAME_BYTES, QualifiedName, Quote, Sql};
use ematix_flow_core::types::DataType;
use proptest::prelude::*;

fn name(text: &str) -> Ident {
    Ident::new(text).expect("a name")
}

/// What Postgres reads of a quoted name or string: doubled quotes are one, the quotes around fall off.
fn unquoted(text: &str, quote: char) -> String {
    let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)).expect("it is quoted");
    let doubled = format!("{quote}{quote}");
    assert!(!inner.replace(&doubled, "").contains(quote), "no quote stands alone in {text}");
    inner.replace(&doubled, &quote.to_string())
}

fn any_name() -> impl Strategy<Value = Ident> {
    "[^\0]{1,15}|[ab.\"{}]{1,9}".prop_map(|text| Ident::new(text).expect("short enough"))
}

proptest! {
    #[test]
    fn a_quoted_name_reads_back_as_it_was(ident in any_name()) {
        prop_assert_eq!(unquoted(&Postgres.quote(&ident), '"'), ident.as_str());
    }

    #[test]
    fn a_qualified_name_reads_back_as_it_was(schema in any_name(), table in any_name()) {
        let name = QualifiedName { schema: schema.clone(), name: table.clone() };
        let (read_schema, read_table) = QualifiedName::parse(&name.to_string()).expect("a name that was written");
        prop_assert_eq!((read_schema, read_table), (Some(schema), table));
    }

    #[test]
    fn a_text_literal_reads_back_as_it_was(text in "[^\0]{0,20}|[a'\\\\]{0,9}") {
        let sql = Postgres.literal(&Literal::Text(text.clone()));
        let read = match sql.strip_prefix('E') {
            Some(escaped) => unquoted(escaped, '\'').replace("\\\\", "\\"),
            None => {
                prop_assert!(!sql.contains('\\'), "a backslash needs the E: {}", sql);
                unquoted(&sql, '\'')
            }
        };
        prop_assert_eq!(read, text);
    }

    /// Holes are those of our templates, never those of what fills them.
    #[test]
    fn braces_in_a_users_text_are_no_holes(text in "[a-z{}:'\" ]{0,20}", ident in "[a-z{}]{1,9}") {
        let literal = Literal::Text(text.clone());
        let sql = sql!("SELECT {literal} AS {ident} FROM {query}", literal, ident = name(&ident), query = Sql::user(&text));
        let expected = format!("SELECT {} AS \"{ident}\" FROM (\n{}\n)", Postgres.literal(&literal), text.trim_end());
        prop_assert_eq!(sql.to_text(&Postgres), expected);
    }

    #[test]
    fn no_query_panics(text in "\\PC{0,40}|[-'\"$/*;() \n\ra-zE]{0,40}") {
        let _ = ReadQuery::parse(&text);
        let _ = ReadQuery::parse(&format!("SELECT {text}"));
        let _ = latest_first(&text);
    }

    /// What stands in quotes and comments is not read.
    #[test]
    fn text_in_quotes_and_comments_changes_no_verdict(
        text in "(insert|update|delete|into|for update|;|drop table x|with|[a-z;:,() ]){0,6}",
        form in 0..7_usize,
        reads in any::<bool>(),
    ) {
        let hidden = match form {
            0 => format!("'{text}'"),
            1 => format!("\"{text}q\""),
            2 => format!("$${text}$$"),
            3 => format!("$tag${text}$tag$"),
            4 => format!("/* {text} /* nested {text} */ */ 1"),
            5 => format!("-- {text}\n 1"),
            _ => format!("E'\\'{text}'"),
        };
        let query = if reads {
            format!("SELECT a, {hidden} FROM t;")
        } else {
            format!("WITH x AS (DELETE FROM t RETURNING {hidden}) SELECT * FROM x")
        };
        let verdict = ReadQuery::parse(&query);
        prop_assert_eq!(verdict.is_ok(), reads, "{}", query);
        if let Err(error) = verdict {
            prop_assert_eq!(error.code, ErrorCode::QueryWrites);
        }
    }

    #[test]
    fn no_type_and_no_duration_panics(text in "\\PC{0,20}|[a-z0-9(), .\\[\\]?]{0,20}") {
        let _ = DataType::parse(&text);
        let _ = Duration::parse(&text);
    }

    #[test]
    fn a_type_reads_back_as_it_is_written(data_type in any_type()) {
        let text = data_type.to_string();
        let back = DataType::parse(&text).expect("a type that was written");
        prop_assert_eq!(&back, &data_type);
        prop_assert_eq!(DataType::parse(&format!(" {} ", text.to_uppercase())).expect("in upper case"), data_type);
    }

    #[test]
    fn a_duration_is_the_sum_of_its_parts(days in 0_u64..400, hours in 0_u64..100, minutes in 0_u64..100, ms in 0_u64..9999) {
        let text = format!("{days}d{hours}h{minutes}m{ms}ms");
        let read = Duration::parse(&text).expect("a duration");
        prop_assert_eq!(read.milliseconds(), ((days * 24 + hours) * 60 + minutes) * 60_000 + ms);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn a_made_name_fits_and_is_its_own(table in "[^\0]{1,15}|[a-zé数]{10,21}", other in "[^\0]{1,15}|[a-zé数]{10,21}") {
        let made = |table: &str| ddl::object_name(&name(table), "period");
        let one = made(&table);
        prop_assert!(one.as_str().len() <= MAX_NAME_BYTES);
        prop_assert!(one.as_str().ends_with("_period"));
        prop_assert_eq!(made(&table), one.clone());
        if table != other {
            prop_assert_ne!(made(&other), one);
        }
    }
}

fn any_type() -> impl Strategy<Value = DataType> {
    prop_oneof![
        proptest::sample::select(vec![
            DataType::SmallInt,
            DataType::Integer,
            DataType::BigInt,
            DataType::Float,
            DataType::Double,
            DataType::Numeric(None),
            DataType::String(None),
            DataType::Text,
            DataType::Boolean,
            DataType::Date,
            DataType::Timestamp,
            DataType::TimestampTz,
            DataType::Json,
            DataType::Jsonb,
            DataType::Uuid,
            DataType::Bytes,
        ]),
        (1_u16..=1000).prop_flat_map(|precision| {
            (0..=precision).prop_map(move |scale| DataType::Numeric(Some((precision, scale))))
        }),
        (1_u32..=10_485_760).prop_map(|length| DataType::String(Some(length))),
    ]
}

#[test]
fn names_of_63_bytes_are_kept_and_longer_ones_refused() {
    assert!(Ident::new("é".repeat(31) + "x").is_ok());
    assert_eq!(Ident::new("é".repeat(32)).expect_err("64 bytes").code, ErrorCode::NameTooLong);
    assert!(Ident::new("").is_err());
    assert!(Ident::new("a\0b").is_err());
}

#[test]
fn durations_have_units_and_an_end() {
    for text in ["", "90", "s", "1.5h", "-1s", "1 h", "1H", "1w", "99999999999999999999s", "36601d"] {
        assert_eq!(Duration::parse(text).expect_err(text).code, ErrorCode::InvalidValue, "{text}");
    }
    assert_eq!(Duration::parse(" 90s ").expect("spaces around it").milliseconds(), 90_000);
    assert!(Duration::parse("0s").expect("nothing").is_zero());
}

#[test]
fn the_latest_row_comes_first_and_null_is_never_the_latest() {
    for (list, items) in [
        ("updated_at", vec!["updated_at DESC NULLS LAST"]),
        ("updated_at DESC", vec!["updated_at DESC NULLS LAST"]),
        ("updated_at ASC, id", vec!["updated_at ASC", "id DESC NULLS LAST"]),
        ("\"a b\" NULLS FIRST", vec!["\"a b\" DESC NULLS FIRST"]),
        ("a NULLS LAST -- of all", vec!["a DESC NULLS LAST"]),
        ("coalesce(a, b), lower(c) asc", vec!["coalesce(a, b) DESC NULLS LAST", "lower(c) asc"]),
        ("\"x, y desc\"", vec!["\"x, y desc\" DESC NULLS LAST"]),
        ("a USING >", vec!["a USING >"]),
    ] {
        assert_eq!(latest_first(list).expect(list), items, "{list}");
    }
    for list in
        ["", " ", "a,", ",a", "a;b", "'open", "a,,b", "-- nothing", "lower(a", "a) DESC, (b", "f(a,)b)"]
    {
        assert!(latest_first(list).is_err(), "{list}");
    }
}

#[test]
fn a_query_does_not_break_out_of_its_parenthesis() {
    for text in ["SELECT 1) AS q, (SELECT 2", "SELECT (1", "SELECT 1)", "(SELECT 1))", "SELECT ')' || (1"] {
        assert_eq!(ReadQuery::parse(text).expect_err(text).code, ErrorCode::InvalidValue, "{text}");
    }
    for text in ["SELECT ')'", "(SELECT (1)) UNION (SELECT 2)", "SELECT \")\" FROM t -- )"] {
        assert!(ReadQuery::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn names_of_a_simple_query_are_folded_as_the_server_folds_them() {
    let relation = |text: &str| Some(ReadQuery::parse(text).expect(text).simple()?.relation.clone());
    assert_eq!(relation("SELECT * FROM App.Customers").as_deref(), Some("\"app\".\"customers\""));
    // Postgres folds no letter but those of ASCII in a name.
    assert_eq!(relation("SELECT * FROM \u{c4}PFEL").as_deref(), Some("\"\u{c4}pfel\""));
    assert_eq!(relation("SELECT * FROM ONLY customers"), None);
    assert_eq!(relation("SELECT * FROM a.b WHERE x"), None);
}

fn column(name_of: &str, data_type: DataType, nullable: bool) -> Column {
    Column { name: name(name_of), data_type, nullable, default: None, description: None }
}

/// The differences between one declared and one live column, in words, with their remedies.
fn drift(
    declared: Option<Column>,
    live: Option<(&str, DataType, bool)>,
    default: Option<&str>,
) -> Vec<String> {
    let name = QualifiedName::new("s", "t").expect("a name");
    let table = Table::of(name, declared.into_iter().collect());
    let facts = |data_type: &DataType| Postgres.type_facts(data_type).expect("a type of ours");
    let columns = live.into_iter().map(|(name, data_type, nullable)| LiveColumn {
        name: name.to_owned(),
        data_type: facts(&data_type),
        nullable,
        default: default.map(str::to_owned),
        generated: false,
        comment: None,
    });
    let live = LiveTable {
        kind: 'r',
        spread: false,
        columns: columns.collect(),
        indexes: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        ours: true,
        comment: None,
        estimated_rows: 0.0,
    };
    let found = differences(&table, &[], &live, &|column| facts(&column.data_type), &Postgres);
    let tell = |difference: &Difference| {
        let remedy =
            difference.remedy.as_ref().map_or(String::new(), |sql| format!(": {}", sql.to_text(&Postgres)));
        let kind = match (difference.is_drift(), difference.migratable()) {
            (true, true) => "drift that migrate settles",
            (true, false) => "drift",
            (false, _) => "shown",
        };
        format!("{kind}: {}{remedy}", difference.describe())
    };
    found.iter().map(tell).collect()
}

#[test]
fn each_kind_of_difference_is_told_with_its_remedy() {
    let text = |nullable| column("a", DataType::Text, nullable);
    let with_default =
        |nullable| Column { default: Some(ColumnDefault::Value(Literal::Integer(0))), ..text(nullable) };
    let nothing: [&str; 0] = [];
    assert_eq!(drift(Some(text(true)), Some(("a", DataType::Text, true)), None), nothing);
    assert_eq!(
        drift(Some(text(true)), None, None),
        [
            "drift that migrate settles: column \"a\": declared text, missing in the table: ALTER TABLE \"s\".\"t\" ADD COLUMN \"a\" text"
        ]
    );
    assert_eq!(
        drift(Some(text(false)), None, None),
        [
            "drift: column \"a\": declared text, missing in the table: ALTER TABLE \"s\".\"t\" ADD COLUMN \"a\" text NOT NULL"
        ]
    );
    assert_eq!(
        drift(Some(with_default(false)), None, None),
        [
            "drift that migrate settles: column \"a\": declared text, missing in the table: ALTER TABLE \"s\".\"t\" ADD COLUMN \"a\" text DEFAULT 0 NOT NULL"
        ]
    );
    assert_eq!(
        drift(None, Some(("b", DataType::Text, true)), None),
        ["drift: column \"b\": live only: ALTER TABLE \"s\".\"t\" DROP COLUMN \"b\""]
    );
    let string = |length| DataType::String(Some(length));
    assert_eq!(
        drift(Some(column("a", string(9), true)), Some(("a", string(4), true)), None),
        [
            "drift that migrate settles: column \"a\": declared character varying(9), live character varying(4): ALTER TABLE \"s\".\"t\" ALTER COLUMN \"a\" TYPE character varying(9)"
        ]
    );
    assert_eq!(
        drift(Some(column("a", string(4), true)), Some(("a", string(9), true)), None),
        [
            "drift: column \"a\": declared character varying(4), live character varying(9): ALTER TABLE \"s\".\"t\" ALTER COLUMN \"a\" TYPE character varying(4)"
        ]
    );
    assert_eq!(
        drift(Some(text(false)), Some(("a", DataType::Text, true)), None),
        ["shown: column \"a\": declared NOT NULL, live nullable"]
    );
    assert_eq!(
        drift(Some(text(true)), Some(("a", DataType::Text, false)), None),
        ["shown: column \"a\": declared nullable, live NOT NULL"]
    );
    assert_eq!(
        drift(Some(with_default(true)), Some(("a", DataType::Text, true)), None),
        ["shown: column \"a\": declared with a default, live without"]
    );
    assert_eq!(
        drift(Some(text(true)), Some(("a", DataType::Text, true)), Some("0")),
        ["shown: column \"a\": declared without a default, live with one"]
    );
}
