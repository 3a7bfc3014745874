//! Markers that hide what is personal: a keyed hash, by which the same value is known again, and stars.

use super::Marker;
use super::family::{Families, Family};
use super::value::Value;
use crate::arguments::Arguments;
use crate::error::Result;
use crate::hash::hmac::KeyBlock;
use crate::sql;
use crate::sql::{Literal, SealedKey};
use std::sync::Arc;

/// HMAC-SHA-256 of the value's text, as 64 hexadecimal digits.
#[derive(Debug)]
struct Hash {
    key: String,
}

impl Marker for Hash {
    fn name(&self) -> &'static str {
        "hash"
    }

    fn takes(&self) -> Option<Families> {
        None
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn hides(&self) -> bool {
        true
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let text = value.text();
        let key = |block| SealedKey { written: self.key.clone(), block };
        let call = |name| value.function(name);
        let (encode, decode, sha256, convert_to) =
            (call("encode"), call("decode"), call("sha256"), call("convert_to"));
        let inner = sql!(
            "{sha256}({decode}({key}, 'hex') || {convert_to}({text}, 'UTF8'))",
            sha256,
            decode,
            key = key(KeyBlock::Inner),
            convert_to,
            text
        );
        let hash = sql!(
            "{encode}({sha256}({decode}({key}, 'hex') || {inner}), 'hex')",
            encode,
            sha256,
            decode,
            key = key(KeyBlock::Outer),
            inner
        );
        value.set(hash, Some(Family::Text));
        Ok(())
    }
}

/// A key is named, never written: a file of pipelines is read by many.
fn is_reference(key: &str) -> bool {
    let inside = |kind: &str| key.strip_prefix(kind)?.strip_suffix('}');
    let is_variable = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    inside("${env:").is_some_and(is_variable)
        || inside("${file:").is_some_and(|path| path.starts_with('/') && !path.contains(['$', '}']))
}

pub fn hash(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let key = arguments.named(&["key"])?.needed_text("key")?;
    if !is_reference(&key) {
        // What was written may be the key itself.
        return Err(arguments
            .wrong("takes where its key is to be found, not the key")
            .hint("write { hash = { key = \"${env:NAME}\" } }, or ${file:/path}"));
    }
    Ok(Arc::new(Hash { key }))
}

/// Other characters in the place of the value's own.
#[derive(Debug)]
struct Mask {
    keep_first: i64,
    keep_last: i64,
    with: String,
    length: Option<i64>,
}

impl Marker for Mask {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn hides(&self) -> bool {
        true
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        value.text();
        let text = value.named();
        let call = |name| value.function(name);
        let (left, right, repeat, length) =
            (call("left"), call("right"), call("repeat"), call("char_length"));
        let with = Literal::Text(self.with.clone());
        let (first, last) = (Literal::Integer(self.keep_first), Literal::Integer(self.keep_last));
        let kept = Literal::Integer(self.keep_first + self.keep_last);
        let hidden = |kept: i64| match self.length {
            Some(length) => sql!("{length}", length = Literal::Integer(length)),
            None => {
                sql!("{length}({text}) - {kept}", length, text, kept = Literal::Integer(kept))
            }
        };
        let whole = sql!("{repeat}({with}, {hidden})", repeat, with, hidden = hidden(0));
        let masked = match self.keep_first + self.keep_last {
            0 => sql!("CASE WHEN {text} IS NOT NULL THEN {whole} END", text, whole),
            // Of a value that is no longer than what is kept, nothing is.
            both => sql!(
                "CASE WHEN {length}({text}) <= {kept} THEN {whole} ELSE {left}({text}, {first}) || {repeat}({with}, {hidden}) || {right}({text}, {last}) END",
                length,
                text,
                kept,
                whole,
                left,
                first,
                repeat,
                with,
                hidden = hidden(both),
                right,
                last
            ),
        };
        value.set(masked, Some(Family::Text));
        Ok(())
    }
}

pub fn mask(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["keep_last", "keep_first", "character", "length"])?;
    let count = |name: &'static str| match named.get(name).map(serde_json::Value::as_i64) {
        None => Ok(None),
        Some(Some(count)) if (0..=1000).contains(&count) => Ok(Some(count)),
        Some(_) => Err(arguments
            .wrong(format!("takes a number of characters as `{name}`"))
            .hint("write \"mask\", or { mask = { keep_last = 4 } }")),
    };
    let with = named.text("character")?.unwrap_or_else(|| "*".to_owned());
    if with.chars().count() != 1 {
        return Err(arguments
            .wrong("takes one character as `character`")
            .hint("write { mask = { character = \"x\" } }"));
    }
    Ok(Arc::new(Mask {
        keep_first: count("keep_first")?.unwrap_or(0),
        keep_last: count("keep_last")?.unwrap_or(0),
        with,
        length: count("length")?,
    }))
}
