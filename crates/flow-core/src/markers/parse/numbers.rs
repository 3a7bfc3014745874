//! Text as numbers.

use super::super::arguments::Arguments;
use super::super::family::Family;
use super::super::value::Value;
use crate::error::Result;
use crate::sql;
use crate::sql::{Literal, Sql};

/// The marks in a number.
#[derive(Debug)]
pub struct Marks {
    point: String,
    thousands: Option<String>,
}

impl Marks {
    /// Marks are single characters that no number has besides.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn read(
        arguments: &Arguments<'_>,
        point: Option<String>,
        thousands: Option<String>,
        has_fraction: bool,
    ) -> Result<Marks> {
        // A number that has no fraction may have the usual point for thousands.
        let usual = if has_fraction || thousands.as_deref() != Some(".") { "." } else { "," };
        let point = point.unwrap_or_else(|| usual.to_owned());
        let one = |mark: &str| {
            let mut characters = mark.chars();
            matches!((characters.next(), characters.next()), (Some(c), None) if !c.is_alphanumeric() && !"+-".contains(c))
        };
        if !one(&point) || thousands.as_deref().is_some_and(|mark| !one(mark)) {
            return Err(arguments.wrong("takes one character as a mark, which no number has besides"));
        }
        if thousands.as_ref() == Some(&point) {
            return Err(arguments
                .wrong(format!("has `{point}` for thousands and for the fraction"))
                .hint("say decimal_separator = \",\" where thousands = \".\""));
        }
        Ok(Marks { point, thousands })
    }

    /// The pattern of the digits before the point.
    fn whole(&self) -> String {
        match &self.thousands {
            Some(mark) => format!("(?:[0-9]+|[0-9]{{1,3}}(?:{}[0-9]{{3}})+)", escaped(mark)),
            None => "[0-9]+".to_owned(),
        }
    }

    /// The number without its marks.
    fn plain(&self, value: &Value<'_>, v: &Sql) -> Sql {
        let replace = |text: Sql, old: &str, new: &str| {
            let (old, new) = (Literal::Text(old.to_owned()), Literal::Text(new.to_owned()));
            sql!("{replace}({text}, {old}, {new})", replace = value.function("replace"), text, old, new)
        };
        let mut plain = v.clone();
        if let Some(mark) = &self.thousands {
            plain = replace(plain, mark, "");
        }
        if self.point != "." {
            plain = replace(plain, &self.point, ".");
        }
        plain
    }
}

/// A mark in a pattern.
fn escaped(mark: &str) -> String {
    format!("[{mark}]").replace("[^]", "\\^").replace("[]]", "\\]").replace("[\\]", "\\\\")
}

/// More digits than any number that is meant.
const LONGEST: i64 = 1000;

/// A whole number of 64 bits. The most are up to eighteen plain digits: those are looked at byte by byte, which costs
/// less than a pattern, and fit.
pub fn integer(value: &mut Value<'_>, v: &Sql, marks: &Marks) {
    let pattern = Literal::Text(format!("^[+-]?{}$", marks.whole()));
    let plain = marks.plain(value, v);
    let few_digits = sql!(
        "{octet_length}({v}) <= 18 AND {rtrim}({textsend}({v}), '0123456789') IN ('', '+', '-') AND {v} NOT IN ('', '+', '-')",
        octet_length = value.function("octet_length"),
        rtrim = value.function("rtrim"),
        textsend = value.function("textsend"),
        v
    );
    value.set(
        sql!(
            "CASE WHEN {few_digits} THEN {v}::bigint
            WHEN {length}({v}) <= {longest} AND {v} ~ {pattern} THEN
            CASE WHEN {plain}::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN {plain}::numeric::bigint END
       END",
            few_digits,
            length = value.function("length"),
            v,
            longest = Literal::Integer(LONGEST),
            pattern,
            plain
        ),
        Some(Family::Integer),
    );
}

/// A number with a fraction, an exponent of up to four digits, NaN, or infinity.
pub fn numeric(value: &mut Value<'_>, v: &Sql, marks: &Marks) {
    let (whole, point) = (marks.whole(), escaped(&marks.point));
    let pattern = Literal::Text(format!(
        "^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]{{1,4}})?$"
    ));
    let (length, lower, plain) = (value.function("length"), value.function("lower"), marks.plain(value, v));
    value.set(
        sql!(
            "CASE WHEN {length}({v}) > {longest} THEN NULL\n            WHEN {v} ~ {pattern} THEN {plain}::numeric\n            WHEN {lower}({v}) = 'nan' THEN 'NaN'::numeric\n            WHEN {lower}({v}) IN ('inf', '+inf', 'infinity', '+infinity') THEN 'Infinity'::numeric\n            WHEN {lower}({v}) IN ('-inf', '-infinity') THEN '-Infinity'::numeric\n       END",
            length,
            v,
            longest = Literal::Integer(LONGEST),
            pattern,
            plain,
            lower
        ),
        Some(Family::Numeric),
    );
}
