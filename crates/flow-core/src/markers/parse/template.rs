//! A format of Postgres' `to_timestamp`, as a pattern: what the pattern takes can be looked at before it is a time.

use crate::error::{ErrorCode, FlowError, Result};

/// The fields of a time, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Zone,
    HalfDay,
}

/// A month by its name, in capitals.
pub const MONTH: &str = "(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)";
const MONTH_NAME: &str =
    "(JANUARY|FEBRUARY|MARCH|APRIL|MAY|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER)";
/// A zone.
pub const ZONE: &str = "(Z|UTC|GMT|UT|[+-][0-9]{2}(?::?[0-9]{2})?)";

/// What a format has, longest first.
const TOKENS: &[(&str, Option<Field>, &str)] = &[
    ("YYYY", Some(Field::Year), "([0-9]{4})"),
    ("MONTH", Some(Field::Month), MONTH_NAME),
    ("TZH:TZM", Some(Field::Zone), ZONE),
    ("HH24", Some(Field::Hour), "([0-9]{1,2})"),
    ("HH12", Some(Field::Hour), "([0-9]{1,2})"),
    ("MON", Some(Field::Month), MONTH),
    ("TZH", Some(Field::Zone), ZONE),
    ("FF1", Some(Field::Fraction), "([0-9]{1,9})"),
    ("FF2", Some(Field::Fraction), "([0-9]{1,9})"),
    ("FF3", Some(Field::Fraction), "([0-9]{1,9})"),
    ("FF4", Some(Field::Fraction), "([0-9]{1,9})"),
    ("FF5", Some(Field::Fraction), "([0-9]{1,9})"),
    ("FF6", Some(Field::Fraction), "([0-9]{1,9})"),
    ("DY", None, "(?:MON|TUE|WED|THU|FRI|SAT|SUN)"),
    ("MM", Some(Field::Month), "([0-9]{1,2})"),
    ("DD", Some(Field::Day), "([0-9]{1,2})"),
    ("HH", Some(Field::Hour), "([0-9]{1,2})"),
    ("MI", Some(Field::Minute), "([0-9]{1,2})"),
    ("SS", Some(Field::Second), "([0-9]{1,2})"),
    ("MS", Some(Field::Fraction), "([0-9]{1,9})"),
    ("US", Some(Field::Fraction), "([0-9]{1,9})"),
    ("AM", Some(Field::HalfDay), "([AP]M)"),
    ("PM", Some(Field::HalfDay), "([AP]M)"),
    ("TZ", Some(Field::Zone), ZONE),
    ("OF", Some(Field::Zone), ZONE),
];

/// A pattern over text in capitals, and what its groups make: year, month, day, hour, minute, second, zone and half of
/// the day, with a bar between them.
#[derive(Debug)]
pub struct Template {
    /// The pattern.
    pub pattern: String,
    /// What becomes of a match.
    pub fields: String,
}

impl Template {
    /// Reads a format.
    ///
    /// # Errors
    /// `invalid_value` for what no pattern can be made of.
    pub fn read(format: &str) -> Result<Template> {
        let wrong = |what: String| {
            FlowError::new(ErrorCode::InvalidValue, format!("the format \"{format}\" {what}"))
                .hint("it has YYYY, MM or Mon or Month, DD, HH24 or HH12 with AM, MI, SS, MS or US, TZ; text in double quotes")
        };
        let capitals = format.to_ascii_uppercase();
        let mut pattern = String::from("^");
        let mut fields: Vec<Field> = Vec::new();
        let (mut at, mut after_digits) = (0, false);
        while at < capitals.len() {
            let rest = &capitals[at..];
            if let Some((token, field, part)) = TOKENS.iter().find(|(token, ..)| rest.starts_with(token)) {
                if let Some(field) = field {
                    if fields.contains(field) {
                        return Err(wrong(format!("says `{token}` of what it has said before")));
                    }
                    fields.push(*field);
                }
                // Digits beside digits have their full length.
                let before_digits = rest[token.len()..].starts_with(|c: char| c.is_ascii_alphabetic());
                pattern.push_str(&match before_digits || after_digits {
                    true => part.replace("{1,2}", "{2}"),
                    false => (*part).to_owned(),
                });
                at += token.len();
                after_digits = true;
                continue;
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let end = quoted.find('"').ok_or_else(|| wrong("does not close its quotes".to_owned()))?;
                quoted[..end].chars().for_each(|character| literal(&mut pattern, character));
                at += end + 2;
            } else {
                let character = rest.chars().next().expect("not empty");
                if character.is_alphanumeric() && character != 'T' {
                    return Err(wrong(format!("has `{character}`, which is not read")));
                }
                literal(&mut pattern, character);
                at += character.len_utf8();
            }
            after_digits = false;
        }
        pattern.push('$');
        for needed in [Field::Year, Field::Month, Field::Day] {
            if !fields.contains(&needed) {
                return Err(wrong(format!("does not say the {}", format!("{needed:?}").to_lowercase())));
            }
        }
        let group = |field| match fields.iter().position(|known| *known == field) {
            Some(index) => format!("\\{}", index + 1),
            None => String::new(),
        };
        let fraction = match group(Field::Fraction) {
            group if group.is_empty() => group,
            group => format!(".{group}"),
        };
        let fields = [
            group(Field::Year),
            group(Field::Month),
            group(Field::Day),
            group(Field::Hour),
            group(Field::Minute),
            format!("{}{fraction}", group(Field::Second)),
            group(Field::Zone),
            group(Field::HalfDay),
        ];
        Ok(Template { pattern, fields: fields.join("|") })
    }
}

fn literal(pattern: &mut String, character: char) {
    match character {
        ' ' => pattern.push_str(" +"),
        _ if character.is_alphanumeric() => pattern.push(character),
        _ => {
            pattern.push('\\');
            pattern.push(character);
        }
    }
}
