//! Of which type the values of a column are read: the one that is wanted, else the one that its table declares.

use ematix_flow_arrow::CopyType;

/// The type that stands for what a table declares, by the name that a person would give it, else by the affinity that
/// SQLite reads out of it (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>). None where it says
/// nothing.
pub fn declared(written: &str) -> Option<CopyType> {
    let upper = written.trim().to_ascii_uppercase();
    let (name, arguments) = match upper.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.split_once(')').map(|(arguments, _)| arguments)),
        None => (upper.as_str(), None),
    };
    match name {
        "BOOL" | "BOOLEAN" => return Some(CopyType::Bool),
        "DATE" => return Some(CopyType::Date),
        "DATETIME" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => return Some(CopyType::Timestamp),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => return Some(CopyType::TimestampTz),
        "TIME" => return Some(CopyType::Time),
        "JSON" => return Some(CopyType::Jsonb),
        "UUID" | "GUID" => return Some(CopyType::Uuid),
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" => return Some(decimal(arguments)),
        _ => {}
    }
    let has = |parts: &[&str]| parts.iter().any(|part| upper.contains(part));
    match () {
        () if has(&["INT"]) => Some(CopyType::Int8),
        () if has(&["CHAR", "CLOB", "TEXT"]) => Some(CopyType::Text),
        () if has(&["BLOB"]) => Some(CopyType::Bytea),
        () if has(&["REAL", "FLOA", "DOUB"]) => Some(CopyType::Float8),
        () => None,
    }
}

fn decimal(arguments: Option<&str>) -> CopyType {
    let read = arguments.and_then(|arguments| {
        let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
        let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        let fits = (1..=76_u8).contains(&precision) && scale <= precision;
        fits.then_some(CopyType::Numeric(precision, scale))
    });
    read.unwrap_or(CopyType::NumericText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_is_read_by_its_name_and_else_by_its_affinity() {
        for (written, expected) in [
            ("INTEGER", Some(CopyType::Int8)),
            ("unsigned big int", Some(CopyType::Int8)),
            ("VARCHAR(255)", Some(CopyType::Text)),
            ("clob", Some(CopyType::Text)),
            ("BLOB", Some(CopyType::Bytea)),
            ("DOUBLE PRECISION", Some(CopyType::Float8)),
            ("boolean", Some(CopyType::Bool)),
            ("datetime", Some(CopyType::Timestamp)),
            ("DATE", Some(CopyType::Date)),
            ("decimal(10, 2)", Some(CopyType::Numeric(10, 2))),
            ("NUMERIC(8)", Some(CopyType::Numeric(8, 0))),
            ("NUMERIC", Some(CopyType::NumericText)),
            ("JSON", Some(CopyType::Jsonb)),
            ("uuid", Some(CopyType::Uuid)),
            ("POINT", Some(CopyType::Int8)),
            ("whatever", None),
            ("", None),
        ] {
            assert_eq!(declared(written), expected, "{written}");
        }
    }
}
