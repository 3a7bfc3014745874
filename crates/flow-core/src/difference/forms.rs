//! In which form values of two types are compared: the same for both, and without loss for either.

use crate::hash::{Normal, SentType};
use crate::types::TypeFacts;

const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

/// The form in which values of two types are compared, or why there is none.
///
/// Numbers are compared as the wider of their kinds, as `=` between them does; texts, enums and char(n) as text; json
/// beside jsonb as jsonb; a date beside a timestamp as its midnight.
///
/// # Errors
/// Why the types do not go together.
pub fn common_form(a: &TypeFacts, b: &TypeFacts) -> Result<Normal, &'static str> {
    let (Some(of_a), Some(of_b)) = (a.normal, b.normal) else {
        return Err("the type has no binary form");
    };
    if of_a == of_b {
        let of_users = matches!(of_a, Normal::Opaque | Normal::Array { element: 0 });
        return match !of_users || bare_name(&a.name) == bare_name(&b.name) {
            true => Ok(of_a),
            false => Err("they are two types of somebody's own"),
        };
    }
    let both = |one: fn(&Normal) -> bool, other: fn(&Normal) -> bool| {
        (one(&of_a) && other(&of_b)) || (one(&of_b) && other(&of_a))
    };
    if both(is_number, is_number) {
        let wider = |form: &Normal| match form {
            Normal::Int8 => 0,
            Normal::Numeric => 1,
            _ => 2,
        };
        return Ok(if wider(&of_a) > wider(&of_b) { of_a } else { of_b });
    }
    if both(is_text, is_text) || both(is_text, reads_as_text) {
        return Ok(Normal::Text);
    }
    if both(|form| *form == Normal::Json, |form| is_sent(form, JSONB)) {
        return sent(JSONB);
    }
    if both(|form| is_sent(form, DATE), |form| is_sent(form, TIMESTAMP)) {
        return sent(TIMESTAMP);
    }
    Err("a value of one is no value of the other")
}

fn is_number(form: &Normal) -> bool {
    matches!(form, Normal::Int8 | Normal::Numeric | Normal::Float8)
}

fn is_text(form: &Normal) -> bool {
    matches!(form, Normal::Text | Normal::BlankPadded | Normal::Enum)
}

/// Types of whose values each has one text only, whatever the settings.
fn reads_as_text(form: &Normal) -> bool {
    matches!(form, Normal::Int8 | Normal::Json) || is_sent(form, UUID)
}

fn is_sent(form: &Normal, oid: u32) -> bool {
    matches!(form, Normal::AsSent(sent) if sent.oid == oid)
}

fn sent(oid: u32) -> Result<Normal, &'static str> {
    Ok(Normal::AsSent(SentType::by_oid(oid).expect("it is sent as it is")))
}

/// A type's name without its schema, length and precision.
fn bare_name(name: &str) -> &str {
    let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
    name.split_once('(').map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::dialect::postgres::Postgres;
    use crate::types::{DataType, Wire};

    fn form(a: DataType, b: DataType) -> Result<&'static str, &'static str> {
        let facts = |data_type| Postgres.type_facts(&data_type).expect("a type of ours");
        let (a, b) = (facts(a), facts(b));
        let form = common_form(&a, &b);
        assert_eq!(form, common_form(&b, &a), "whichever comes first");
        form.map(|form| form.name())
    }

    #[test]
    fn types_that_differ_meet_in_the_wider_one() {
        use DataType::*;
        for (a, b, met) in [
            (SmallInt, BigInt, "bigint"),
            (Integer, Numeric(Some((10, 2))), "numeric"),
            (BigInt, Double, "double precision"),
            (Numeric(None), Float, "double precision"),
            (String(Some(3)), Text, "text"),
            (Text, Integer, "text"),
            (Uuid, String(None), "text"),
            (Json, Jsonb, "jsonb"),
            (Json, Text, "text"),
            (Date, Timestamp, "timestamp"),
        ] {
            assert_eq!(form(a, b), Ok(met));
        }
    }

    #[test]
    fn types_that_mean_something_else_do_not_meet() {
        use DataType::*;
        for (a, b) in [
            (Timestamp, TimestampTz),
            (Date, TimestampTz),
            (Boolean, Integer),
            (Bytes, Text),
            (Numeric(None), Text),
        ] {
            assert!(form(a, b).is_err());
        }
    }

    #[test]
    fn types_of_somebody_s_own_meet_by_their_names() {
        let own = |name: &str| TypeFacts {
            name: name.to_owned(),
            normal: Some(Normal::Opaque),
            deterministic: true,
            wire: Wire { name: name.to_owned(), oid: None },
        };
        assert_eq!(common_form(&own("a.point3"), &own("b.point3")), Ok(Normal::Opaque));
        assert!(common_form(&own("a.point3"), &own("a.point4")).is_err());
        assert!(common_form(&own("a.point3"), &TypeFacts { normal: None, ..own("aclitem") }).is_err());
    }
}
