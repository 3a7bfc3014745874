//! What stands where in an answer, by its text: no number is changed by reading it.

use serde_json::value::RawValue;
use std::collections::HashMap;

/// What stands at the end of a path; else how far it leads, and what is there.
pub fn at<'a>(text: &'a str, path: &[String]) -> Result<&'a str, (usize, &'static str)> {
    let mut value = text.trim();
    for (depth, key) in path.iter().enumerate() {
        if !value.starts_with('{') {
            return Err((depth, kind(value)));
        }
        // The whole was read as JSON before.
        let object: HashMap<String, &'a RawValue> =
            serde_json::from_str(value).map_err(|_| (depth, "no JSON"))?;
        value = object.get(key).map(|value| value.get()).ok_or((depth, "an object without it"))?;
    }
    Ok(value)
}

/// The elements of a list; null is an empty one.
pub fn elements(text: &str) -> Option<usize> {
    match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text).ok().map(|list| list.len()),
        Some(b'n') => Some(0),
        _ => None,
    }
}

/// What a text of JSON is, in words.
pub fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_text_or_says_where_it_ends() {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let text = r#" {"data": {"items": [1.10, 2], "n": 3}, "k\u0065y": null}"#;
        assert_eq!(at(text, &path("data.items")), Ok("[1.10, 2]"));
        assert_eq!(at(text, &path("key")), Ok("null"));
        assert_eq!(at(text, &path("data.rows")), Err((1, "an object without it")));
        assert_eq!(at(text, &path("data.n.x")), Err((2, "a number")));
        assert_eq!((elements("[1.10, {}]"), elements("null"), elements("{}")), (Some(2), Some(0), None));
    }
}
