//! A row as the database writes it in JSON. Pure.
//!
//! JSON has no number that is not finite: Postgres writes `"NaN"`, DuckDB writes `NaN`, which is read as the same.

use serde::de::DeserializeOwned;

const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Reads a row.
///
/// # Errors
/// What is no JSON even so.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&quoted(text)))
}

/// The text with quotes around numbers that are not finite.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_string) = (text, false);
    while let Some(character) = rest.chars().next() {
        let number = NOT_FINITE.iter().find(|number| !in_string && rest.starts_with(**number));
        let length = match (number, character) {
            (Some(number), _) => {
                out.extend(["\"", number, "\""]);
                rest = &rest[number.len()..];
                continue;
            }
            // What follows is part of the string, a quote too.
            (None, '\\') => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, '"') => {
                in_string = !in_string;
                1
            }
            (None, other) => other.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn numbers_that_are_not_finite_are_read_as_texts_and_texts_are_left_alone() {
        let row = r#"{"a":NaN,"b":-Infinity,"c":[Infinity,1.5],"d":"é \"NaN, \\","NaN":"Infinity"}"#;
        assert_eq!(
            read::<Value>(row).expect("a row"),
            json!({"a": "NaN", "b": "-Infinity", "c": ["Infinity", 1.5], "d": "é \"NaN, \\", "NaN": "Infinity"})
        );
        assert!(read::<Value>("{\"a\":nothing}").is_err());
    }
}
