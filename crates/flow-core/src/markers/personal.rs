//! Markers of addresses and telephone numbers.

use super::Marker;
use super::arguments::Arguments;
use super::family::{Families, Family};
use super::text::WHITE_SPACE;
use super::value::Value;
use crate::error::Result;
use crate::sql;
use crate::sql::{Literal, Sql};
use std::sync::Arc;

fn pattern(text: &str) -> Literal {
    Literal::Text(text.to_owned())
}

/// The value with every match of a pattern as another text.
fn replaced(value: &Value<'_>, text: Sql, old: &str, new: &str) -> Sql {
    sql!(
        "{regexp_replace}({text}, {old}, {new}, 'g')",
        regexp_replace = value.function("regexp_replace"),
        text,
        old = pattern(old),
        new = pattern(new)
    )
}

/// What browsers take for an address (HTML, "valid e-mail address"), with letters of every script and a dot in the
/// domain, and no dot beside another.
const ADDRESS: &str = "^(?=.{3,254}$)(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]|[^\\u0001-\\u007f])+(?:\\.(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]|[^\\u0001-\\u007f])+)*@(?:(?:[a-z0-9]|[^\\u0001-\\u007f])(?:(?:[a-z0-9-]|[^\\u0001-\\u007f])*(?:[a-z0-9]|[^\\u0001-\\u007f]))?\\.)+(?:[a-z]|[^\\u0001-\\u007f])(?:[a-z0-9-]|[^\\u0001-\\u007f])*(?:[a-z0-9]|[^\\u0001-\\u007f])$";

/// An address of electronic mail.
#[derive(Debug)]
struct Email;

impl Marker for Email {
    fn name(&self) -> &'static str {
        "email_normalize"
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let text = value.text();
        let without = replaced(value, text, &format!("[{WHITE_SPACE}]+"), "");
        value.set(sql!("{lower}({without})", lower = value.function("lower"), without), Some(Family::Text));
        let address = value.named();
        value.set(
            sql!(
                "CASE WHEN {address} COLLATE pg_catalog.\"C\" ~ {pattern} THEN {address} END",
                address,
                pattern = pattern(ADDRESS)
            ),
            Some(Family::Text),
        );
        Ok(())
    }
}

pub fn email_normalize(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    arguments.none()?;
    Ok(Arc::new(Email))
}

/// Countries, their codes (ITU-T E.164), and what stands before a number within the country and falls away abroad.
const COUNTRIES: &[(&str, &str, &str)] = &[
    ("AR", "54", "0"),
    ("AT", "43", "0"),
    ("AU", "61", "0"),
    ("BE", "32", "0"),
    ("BG", "359", "0"),
    ("BR", "55", "0"),
    ("CA", "1", "1"),
    ("CH", "41", "0"),
    ("CL", "56", ""),
    ("CN", "86", "0"),
    ("CO", "57", ""),
    ("CY", "357", ""),
    ("CZ", "420", ""),
    ("DE", "49", "0"),
    ("DK", "45", ""),
    ("EE", "372", ""),
    ("EG", "20", "0"),
    ("ES", "34", ""),
    ("FI", "358", "0"),
    ("FR", "33", "0"),
    ("GB", "44", "0"),
    ("GR", "30", ""),
    ("HK", "852", ""),
    ("HR", "385", "0"),
    ("HU", "36", "06"),
    ("ID", "62", "0"),
    ("IE", "353", "0"),
    ("IL", "972", "0"),
    ("IN", "91", "0"),
    ("IS", "354", ""),
    ("IT", "39", ""),
    ("JP", "81", "0"),
    ("KR", "82", "0"),
    ("LT", "370", "0"),
    ("LU", "352", ""),
    ("LV", "371", ""),
    ("MT", "356", ""),
    ("MX", "52", ""),
    ("MY", "60", "0"),
    ("NL", "31", "0"),
    ("NO", "47", ""),
    ("NZ", "64", "0"),
    ("PE", "51", "0"),
    ("PH", "63", "0"),
    ("PL", "48", ""),
    ("PT", "351", ""),
    ("RO", "40", "0"),
    ("RS", "381", "0"),
    ("SE", "46", "0"),
    ("SG", "65", ""),
    ("SI", "386", "0"),
    ("SK", "421", "0"),
    ("TH", "66", "0"),
    ("TR", "90", "0"),
    ("TW", "886", "0"),
    ("UA", "380", "0"),
    ("US", "1", "1"),
    ("VN", "84", "0"),
    ("ZA", "27", "0"),
];

/// A telephone number.
#[derive(Debug)]
struct Phone(Option<&'static (&'static str, &'static str, &'static str)>);

impl Marker for Phone {
    fn name(&self) -> &'static str {
        "phone_normalize"
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let text = value.text();
        // "+49 (0)30 12 ext. 5": the nought in parentheses is not dialled from abroad, an extension is no part of it.
        let own = replaced(value, text, "\\(0\\)|(?:;?ext|x|#).*$", "");
        let digits = replaced(value, own, "[^0-9+]", "");
        let digits = replaced(value, digits, "^00", "+");
        value.set(digits, Some(Family::Text));
        let number = value.named();
        let left = value.function("left");
        let national = match self.0 {
            None => number.clone(),
            Some((_, code, trunk)) => sql!(
                "{prefix} || {rest}",
                prefix = Literal::Text(format!("+{code}")),
                rest = replaced(value, number.clone(), &format!("^{trunk}"), "")
            ),
        };
        value.set(
            sql!(
                "CASE WHEN {left}({number}, 1) = '+' THEN {number} ELSE {national} END",
                left,
                number,
                national
            ),
            Some(Family::Text),
        );
        let whole = value.named();
        value.set(
            sql!(
                "CASE WHEN {whole} ~ '^[+]?[0-9]{digits}$' THEN {whole} END",
                whole,
                digits = Sql::text("{4,15}")
            ),
            Some(Family::Text),
        );
        Ok(())
    }
}

pub fn phone_normalize(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let Some(country) = arguments.named(&["country"])?.text("country")? else {
        return Ok(Arc::new(Phone(None)));
    };
    match COUNTRIES.iter().find(|(name, ..)| *name == country.to_ascii_uppercase()) {
        Some(known) => Ok(Arc::new(Phone(Some(known)))),
        None => {
            let names: Vec<&str> = COUNTRIES.iter().map(|(name, ..)| *name).collect();
            Err(arguments
                .wrong(format!("knows no country `{country}`"))
                .hint(format!("the countries are {}; without one, digits and + are kept", names.join(" "))))
        }
    }
}
