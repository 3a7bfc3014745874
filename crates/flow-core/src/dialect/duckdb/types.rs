//! The types of DuckDB: their names, what is known of them, and how values come into them. Pure.

use crate::dialect::{Cast, Crossing, Sent, TypeLoss};
use crate::hash::{Normal, TypeFacts as SentFacts};
use crate::types::{DataType, TypeFacts, Wire};

/// Numbers of the types of Postgres, under which values are framed in the row hash and travel.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const JSON: u32 = 114;
    pub const XML: u32 = 142;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
}

/// Types with a number, under the name that DuckDB prints and under the other names that it, Postgres or a
/// declaration has for them.
const NUMBERED: &[(&str, u32, &[&str])] = &[
    ("SMALLINT", oid::INT2, &["INT2", "SHORT"]),
    ("INTEGER", oid::INT4, &["INT", "INT4", "SIGNED"]),
    ("BIGINT", oid::INT8, &["INT8", "LONG"]),
    ("FLOAT", oid::FLOAT4, &["REAL", "FLOAT4"]),
    ("DOUBLE", oid::FLOAT8, &["DOUBLE PRECISION", "FLOAT8"]),
    ("VARCHAR", oid::TEXT, &["TEXT", "STRING", "CHARACTER VARYING", "CHAR", "BPCHAR"]),
    ("BOOLEAN", oid::BOOL, &["BOOL", "LOGICAL"]),
    ("DATE", oid::DATE, &[]),
    ("TIME", oid::TIME, &["TIME WITHOUT TIME ZONE"]),
    ("TIMESTAMP", oid::TIMESTAMP, &["TIMESTAMP WITHOUT TIME ZONE", "DATETIME"]),
    ("TIMESTAMP WITH TIME ZONE", oid::TIMESTAMPTZ, &["TIMESTAMPTZ"]),
    ("INTERVAL", oid::INTERVAL, &[]),
    ("JSON", oid::JSON, &["JSONB"]),
    ("UUID", oid::UUID, &["GUID"]),
    ("BLOB", oid::BYTEA, &["BYTEA", "BINARY", "VARBINARY"]),
];

/// Types that only DuckDB has, and their normal form. What the row hash knows no bytes of, it hashes by its text.
const OWN: &[(&str, Normal)] = &[
    ("TINYINT", Normal::Int8),
    ("UTINYINT", Normal::Int8),
    ("USMALLINT", Normal::Int8),
    ("UINTEGER", Normal::Int8),
    ("UBIGINT", Normal::Opaque),
    ("HUGEINT", Normal::Opaque),
    ("UHUGEINT", Normal::Opaque),
    ("TIMESTAMP_S", Normal::Opaque),
    ("TIMESTAMP_MS", Normal::Opaque),
    ("TIMESTAMP_NS", Normal::Opaque),
    ("TIME WITH TIME ZONE", Normal::Opaque),
    ("BIT", Normal::Opaque),
];

/// The greatest number of digits of a decimal.
const DIGITS: u16 = 38;

/// Types by number, and the numbers of their lists.
const LISTS: &[(u32, u32)] = &[
    (oid::BOOL, 1000),
    (oid::BYTEA, 1001),
    (oid::INT8, 1016),
    (oid::INT2, 1005),
    (oid::INT4, 1007),
    (oid::TEXT, 1009),
    (oid::JSON, 199),
    (oid::FLOAT4, 1021),
    (oid::FLOAT8, 1022),
    (oid::DATE, 1182),
    (oid::TIME, 1183),
    (oid::TIMESTAMP, 1115),
    (oid::TIMESTAMPTZ, 1185),
    (oid::INTERVAL, 1187),
    (oid::NUMERIC, 1231),
    (oid::UUID, 2951),
];

/// A declared type, as DuckDB prints it.
pub fn name_of(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::SmallInt => "SMALLINT",
        DataType::Integer => "INTEGER",
        DataType::BigInt => "BIGINT",
        DataType::Float => "FLOAT",
        DataType::Double => "DOUBLE",
        DataType::Numeric(Some((precision, scale))) if *precision <= DIGITS => {
            return format!("DECIMAL({precision},{scale})");
        }
        DataType::Numeric(_) | DataType::String(_) | DataType::Text => "VARCHAR",
        DataType::Boolean => "BOOLEAN",
        DataType::Date => "DATE",
        DataType::Timestamp => "TIMESTAMP",
        DataType::TimestampTz => "TIMESTAMP WITH TIME ZONE",
        DataType::Json | DataType::Jsonb => "JSON",
        DataType::Uuid => "UUID",
        DataType::Bytes => "BLOB",
        DataType::Native(name) => return known(name).map_or_else(|| name.clone(), |facts| facts.name),
    };
    name.to_owned()
}

/// What becomes of a declared type that DuckDB does not have as it is declared.
pub fn loss(data_type: &DataType) -> Option<TypeLoss> {
    let why = match data_type {
        DataType::Numeric(None) => "DuckDB has no decimal without a precision",
        DataType::Numeric(Some((precision, _))) if *precision > DIGITS => {
            "a decimal of DuckDB has at most 38 digits"
        }
        DataType::String(Some(_)) => "DuckDB does not hold a text to its length",
        DataType::Jsonb => "DuckDB keeps JSON as the text that arrives",
        _ => return None,
    };
    Some(TypeLoss { becomes: name_of(data_type), why })
}

/// What is known of a type that a table of DuckDB has, by the name that DuckDB prints: what is nested in others, too.
pub fn facts_of(name: &str) -> TypeFacts {
    known(name).unwrap_or_else(|| own(name.to_owned(), Normal::Opaque))
}

/// What is known of a type by any of its names; `None` for types that somebody has made.
pub fn known(name: &str) -> Option<TypeFacts> {
    let upper = name.trim().to_ascii_uppercase();
    if let Some(element) = name.trim().strip_suffix("[]") {
        let element = known(element)?;
        let list = own(format!("{}[]", element.name), Normal::Opaque);
        let oid = element.wire.oid.and_then(list_of);
        return Some(TypeFacts { wire: Wire { oid, ..list.wire }, ..list });
    }
    if let Some((precision, scale)) = decimal(&upper) {
        let name = format!("DECIMAL({precision},{scale})");
        return Some(numbered(name, oid::NUMERIC));
    }
    if upper.starts_with("ENUM(") {
        return Some(own(name.to_owned(), Normal::Enum));
    }
    let bare = without_arguments(&upper);
    let numbered_type =
        NUMBERED.iter().find(|(name, _, others)| *name == bare || others.contains(&bare.as_str()));
    if let Some((name, oid, _)) = numbered_type {
        return Some(numbered((*name).to_owned(), *oid));
    }
    let (name, normal) = OWN.iter().find(|(name, _)| *name == upper)?;
    Some(own((*name).to_owned(), *normal))
}

/// `TIMESTAMP(3) WITH TIME ZONE` is `TIMESTAMP WITH TIME ZONE`.
fn without_arguments(name: &str) -> String {
    match (name.find('('), name.find(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", name[..open].trim_end(), &name[close + 1..])
        }
        _ => name.to_owned(),
    }
}

fn numbered(name: String, oid: u32) -> TypeFacts {
    TypeFacts {
        normal: Normal::for_type(&SentFacts::built_in(oid)),
        deterministic: true,
        wire: Wire { name: name.clone(), oid: Some(oid) },
        name,
    }
}

fn own(name: String, normal: Normal) -> TypeFacts {
    TypeFacts {
        normal: Some(normal),
        deterministic: true,
        wire: Wire { name: name.clone(), oid: None },
        name,
    }
}

/// Precision and scale of `DECIMAL(10,2)` or `numeric(10,2)`.
pub fn decimal(name: &str) -> Option<(u16, u16)> {
    let upper = name.to_ascii_uppercase();
    let arguments =
        upper.strip_prefix("DECIMAL(").or_else(|| upper.strip_prefix("NUMERIC("))?.strip_suffix(')')?;
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    (precision <= DIGITS && scale <= precision).then_some((precision, scale))
}

/// The number of a list of that type.
fn list_of(element: u32) -> Option<u32> {
    LISTS.iter().find(|(known, _)| *known == element).map(|(_, list)| *list)
}

/// Whether values of the type have parts with names, of which `column.name` is one.
pub fn has_fields(name: &str) -> bool {
    let upper = name.trim().to_ascii_uppercase();
    let bare = upper.split('(').next().unwrap_or_default().trim_end();
    matches!(bare, "JSON" | "STRUCT" | "MAP" | "UNION" | "VARIANT") && !upper.ends_with("[]")
}

/// How values of a type leave for another engine; `None` where only their text can.
pub fn sends(of: &TypeFacts) -> Option<Sent> {
    let as_it_is = || Sent { data_type: of.clone(), cast: None };
    if of.wire.oid.is_some() {
        return Some(as_it_is());
    }
    let (arrives, cast) = match of.name.as_str() {
        "TINYINT" | "UTINYINT" => ("SMALLINT", false),
        "USMALLINT" => ("INTEGER", false),
        "UINTEGER" => ("BIGINT", false),
        "UBIGINT" => ("DECIMAL(20,0)", true),
        // What has 39 digits ends the run.
        "HUGEINT" | "UHUGEINT" => ("DECIMAL(38,0)", true),
        "TIMESTAMP_S" | "TIMESTAMP_MS" => ("TIMESTAMP", true),
        _ if of.normal == Some(Normal::Enum) => ("VARCHAR", true),
        _ => return None,
    };
    Some(Sent { data_type: facts_of(arrives), cast: cast.then(|| arrives.to_owned()) })
}

/// How many digits every value of an integer type has at most.
fn integer_digits(name: &str) -> Option<u16> {
    match name {
        "SMALLINT" => Some(5),
        "INTEGER" => Some(10),
        "BIGINT" => Some(19),
        _ => None,
    }
}

/// How an explicit cast between types, by the names that DuckDB prints, relates to what an INSERT does.
pub fn cast(from: &str, to: &str) -> Cast {
    if from == to {
        return Cast::Same;
    }
    let wider = match (integer_digits(from), integer_digits(to), decimal(from), decimal(to)) {
        (Some(from), Some(to), ..) => from < to,
        (Some(digits), _, _, Some((precision, scale))) => digits <= precision - scale,
        (_, _, Some((from, from_scale)), Some((to, to_scale))) => {
            from_scale <= to_scale && from - from_scale <= to - to_scale
        }
        _ => (from, to) == ("FLOAT", "DOUBLE"),
    };
    if wider { Cast::Widening } else { Cast::ByInsert }
}

/// The type of DuckDB as which values of a numbered type arrive, and whether the source has to cast them to it.
fn arrives(oid: u32, name: &str) -> Option<(TypeFacts, bool)> {
    let (name, cast) = match oid {
        oid::NAME | oid::TEXT | oid::VARCHAR => ("VARCHAR", false),
        // The cast takes the blanks off that only the column's width adds.
        oid::BPCHAR | oid::XML => ("VARCHAR", true),
        oid::JSONB => ("JSON", true),
        oid::NUMERIC => match decimal(name) {
            Some(_) => (name, false),
            // More digits than a decimal has, or nobody knows how many.
            None => ("VARCHAR", true),
        },
        oid => (NUMBERED.iter().find(|(_, number, _)| *number == oid)?.0, false),
    };
    Some((facts_of(name), cast))
}

/// How values of a source's type come into a column.
pub fn crossing(from: &TypeFacts, to: &TypeFacts) -> Crossing {
    if from == to {
        return Crossing::AsIs;
    }
    let Some(oid) = from.wire.oid else { return without_number(from, to) };
    let Some((arrived, cast_first)) = arrives(oid, &from.name) else {
        return Crossing::Refused("DuckDB has no type that holds its values");
    };
    match cast(&arrived.name, &to.name) {
        Cast::Same if cast_first => Crossing::CastAtSource(arrived.name),
        Cast::Same => Crossing::AsIs,
        Cast::Widening if !cast_first => Crossing::CastAtSource(standard(&to.name)),
        Cast::Widening | Cast::ByInsert => Crossing::ByInsert { arrives: arrived.name, cast: cast_first },
    }
}

/// The name that every database understands.
fn standard(name: &str) -> String {
    if name == "DOUBLE" { "DOUBLE PRECISION".to_owned() } else { name.to_owned() }
}

fn without_number(from: &TypeFacts, to: &TypeFacts) -> Crossing {
    match (from.normal, to.name.as_str()) {
        (_, name) if name == from.name => Crossing::AsIs,
        (Some(Normal::Enum), "VARCHAR") => Crossing::CastAtSource("VARCHAR".to_owned()),
        (Some(Normal::Enum), _) => Crossing::ByInsert { arrives: "VARCHAR".to_owned(), cast: true },
        (Some(Normal::Int8), _) => Crossing::ByInsert { arrives: from.name.clone(), cast: false },
        _ => Crossing::Refused("the target may not have its type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::dialect::postgres::Postgres;

    #[test]
    fn declared_types_have_the_names_that_duckdb_prints() {
        let names: Vec<String> = [
            "smallint",
            "integer",
            "bigint",
            "float",
            "double",
            "numeric(10,2)",
            "numeric",
            "numeric(39,2)",
            "string",
            "string(5)",
            "text",
            "boolean",
            "date",
            "timestamp",
            "timestamptz",
            "json",
            "jsonb",
            "uuid",
            "bytes",
            "time",
            "interval[]",
            "timestamptz(3)",
            "double precision[]",
            "hugeint",
            "mood",
            "struct(a int)",
        ]
        .iter()
        .map(|name| name_of(&DataType::parse(name).expect("a type")))
        .collect();
        assert_eq!(
            names,
            [
                "SMALLINT",
                "INTEGER",
                "BIGINT",
                "FLOAT",
                "DOUBLE",
                "DECIMAL(10,2)",
                "VARCHAR",
                "VARCHAR",
                "VARCHAR",
                "VARCHAR",
                "VARCHAR",
                "BOOLEAN",
                "DATE",
                "TIMESTAMP",
                "TIMESTAMP WITH TIME ZONE",
                "JSON",
                "JSON",
                "UUID",
                "BLOB",
                "TIME",
                "INTERVAL[]",
                "TIMESTAMP WITH TIME ZONE",
                "DOUBLE[]",
                "HUGEINT",
                "mood",
                "struct(a int)",
            ]
        );
    }

    #[test]
    fn types_with_fields_are_told_from_others() {
        let with = [
            "JSON",
            "STRUCT(a INTEGER)",
            "struct(a int)",
            "MAP(VARCHAR, INTEGER)",
            "UNION(a INTEGER)",
            "VARIANT",
        ];
        assert!(with.iter().all(|name| has_fields(name)));
        let without = ["VARCHAR", "INTEGER[]", "STRUCT(a INTEGER)[]", "DECIMAL(12,2)", "BLOB", "mood"];
        assert!(!without.iter().any(|name| has_fields(name)));
    }

    #[test]
    fn what_a_type_loses_is_named() {
        let losses: Vec<(DataType, &str)> =
            ["numeric", "numeric(38,2)", "numeric(39,2)", "string", "string(5)", "jsonb"]
                .iter()
                .filter_map(|name| {
                    let data_type = DataType::parse(name).expect("a type");
                    let loss = loss(&data_type)?;
                    assert_eq!(loss.becomes, name_of(&data_type));
                    Some((data_type, loss.why))
                })
                .collect();
        assert_eq!(
            losses,
            [
                (DataType::Numeric(None), "DuckDB has no decimal without a precision"),
                (DataType::Numeric(Some((39, 2))), "a decimal of DuckDB has at most 38 digits"),
                (DataType::String(Some(5)), "DuckDB does not hold a text to its length"),
                (DataType::Jsonb, "DuckDB keeps JSON as the text that arrives"),
            ]
        );
    }

    #[test]
    fn only_casts_that_keep_every_value_are_widening() {
        let pairs = [
            ("INTEGER", "INTEGER", Cast::Same),
            ("SMALLINT", "INTEGER", Cast::Widening),
            ("INTEGER", "BIGINT", Cast::Widening),
            ("BIGINT", "INTEGER", Cast::ByInsert),
            ("INTEGER", "DECIMAL(12,2)", Cast::Widening),
            ("INTEGER", "DECIMAL(11,2)", Cast::ByInsert),
            ("DECIMAL(10,2)", "DECIMAL(12,4)", Cast::Widening),
            ("DECIMAL(10,2)", "DECIMAL(11,4)", Cast::ByInsert),
            ("DECIMAL(10,2)", "DECIMAL(12,1)", Cast::ByInsert),
            ("FLOAT", "DOUBLE", Cast::Widening),
            ("DOUBLE", "FLOAT", Cast::ByInsert),
            ("BIGINT", "DOUBLE", Cast::ByInsert),
            ("DATE", "TIMESTAMP", Cast::ByInsert),
        ];
        for (from, to, expected) in pairs {
            assert_eq!(super::cast(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn values_of_postgres_come_into_a_column_by_what_their_type_is() {
        let of_postgres = |name: &str| {
            let data_type = DataType::parse(name).expect("a type");
            Postgres.type_facts(&data_type).unwrap_or_else(|| {
                let normal = Normal::for_type(&SentFacts::built_in(869));
                TypeFacts {
                    normal,
                    wire: Wire { name: "inet".to_owned(), oid: Some(869) },
                    ..TypeFacts::assumed("inet".to_owned())
                }
            })
        };
        let cast_at_source = |name: &str| Crossing::CastAtSource(name.to_owned());
        let by_insert = |name: &str, cast| Crossing::ByInsert { arrives: name.to_owned(), cast };
        let cases = [
            ("text", "VARCHAR", Crossing::AsIs),
            ("string(5)", "VARCHAR", Crossing::AsIs),
            ("timestamptz", "TIMESTAMP WITH TIME ZONE", Crossing::AsIs),
            ("numeric(10,2)", "DECIMAL(10,2)", Crossing::AsIs),
            ("integer", "BIGINT", cast_at_source("BIGINT")),
            ("float", "DOUBLE", cast_at_source("DOUBLE PRECISION")),
            ("jsonb", "JSON", cast_at_source("JSON")),
            ("numeric", "VARCHAR", cast_at_source("VARCHAR")),
            ("bigint", "INTEGER", by_insert("BIGINT", false)),
            ("numeric", "DECIMAL(10,2)", by_insert("VARCHAR", true)),
            ("text", "DATE", by_insert("VARCHAR", false)),
            ("inet", "VARCHAR", Crossing::Refused("DuckDB has no type that holds its values")),
        ];
        for (from, to, expected) in cases {
            assert_eq!(crossing(&of_postgres(from), &facts_of(to)), expected, "{from} to {to}");
        }
        let mood = TypeFacts { normal: Some(Normal::Enum), ..TypeFacts::assumed("mood".to_owned()) };
        assert_eq!(crossing(&mood, &facts_of("VARCHAR")), cast_at_source("VARCHAR"));
        assert_eq!(crossing(&mood, &facts_of("ENUM('a')")), by_insert("VARCHAR", true));
        assert_eq!(crossing(&facts_of("HUGEINT"), &facts_of("HUGEINT")), Crossing::AsIs);
    }
}
