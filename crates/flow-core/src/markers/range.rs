//! What was read from text and does not fit into its column: it cannot be read either.

use super::arguments::literal;
use super::family::Family;
use super::parse::OnFailure;
use super::value::{Unread, Value};
use crate::error::Result;
use crate::sql;
use crate::sql::{Literal, Sql};
use crate::types::DataType;

/// Holds a number that was read to the range of its column: an INSERT would end the run.
///
/// # Errors
/// None but those of a default that is no value.
pub fn hold(value: &mut Value<'_>) -> Result<()> {
    let Some(last) = value.unread.last() else { return Ok(()) };
    let (on_failure, marker) = (last.on_failure.clone(), last.marker);
    let family = value.family;
    let is_number = matches!(family, Some(Family::Integer | Family::Numeric));
    if !is_number || matches!((family, value.declared), (Some(Family::Integer), DataType::BigInt)) {
        return Ok(());
    }
    let declared = value.declared.clone();
    let number = value.named();
    let Some(fits) = fits(value, &number, &declared) else { return Ok(()) };
    let failed = sql!("{number} IS NOT NULL AND NOT ({fits})", number, fits);
    value.unread.push(Unread {
        text: sql!("CASE WHEN {failed} THEN {number}::text END", failed, number),
        kind: "a number of its column",
        marker,
        on_failure: on_failure.clone(),
    });
    let instead = match &on_failure {
        OnFailure::Default(default) => literal("default", default)?,
        OnFailure::Null | OnFailure::Error => Sql::text("NULL"),
    };
    value.set(sql!("CASE WHEN {failed} THEN {instead} ELSE {number} END", failed, instead, number), family);
    Ok(())
}

/// A type of ours by the name that Postgres has for it.
fn known(declared: &DataType) -> &DataType {
    match declared {
        DataType::Native(name) => match name.to_ascii_lowercase().as_str() {
            "int2" => &DataType::SmallInt,
            "int" | "int4" => &DataType::Integer,
            "int8" => &DataType::BigInt,
            "real" | "float4" => &DataType::Float,
            "double precision" | "float8" => &DataType::Double,
            _ => declared,
        },
        _ => declared,
    }
}

/// Whether a number fits into a column; `None` where every number does.
fn fits(value: &Value<'_>, number: &Sql, declared: &DataType) -> Option<Sql> {
    let (abs, round) = (value.function("abs"), value.function("round"));
    let whole = |least: &str, most: &str| {
        let (least, most) = (Sql::from_dialect(least.to_owned()), Sql::from_dialect(most.to_owned()));
        Some(sql!("{round}({number}::numeric, 0) BETWEEN {least} AND {most}", round, number, least, most))
    };
    // As float4 and float8 take them: what is too small for a digit is refused too.
    let floating = |least: &str, most: &str| {
        let (least, most) = (Literal::Text(least.to_owned()), Literal::Text(most.to_owned()));
        Some(sql!(
            "{number}::numeric IN (0, 'NaN', 'Infinity', '-Infinity') OR {abs}({number}::numeric) BETWEEN {least} AND {most}",
            number,
            abs,
            least,
            most
        ))
    };
    match known(declared) {
        DataType::SmallInt => whole("-32768", "32767"),
        DataType::Integer => whole("-2147483648", "2147483647"),
        DataType::BigInt => whole("-9223372036854775808", "9223372036854775807"),
        DataType::Float => floating("1.2e-38", "3.4e38"),
        DataType::Double => floating("2.3e-308", "1.79e308"),
        DataType::Numeric(Some((precision, scale))) => {
            let limit = Sql::from_dialect(format!("1e{}", precision - scale));
            let scale = Literal::Integer((*scale).into());
            Some(sql!(
                "{number}::numeric = 'NaN' OR {abs}({number}::numeric) < 'Infinity' AND {abs}({round}({number}::numeric, {scale})) < {limit}",
                number,
                abs,
                round,
                scale,
                limit
            ))
        }
        _ => None,
    }
}
