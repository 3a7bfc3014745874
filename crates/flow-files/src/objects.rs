//! The objects of a file of JSON, one at a time: one behind the other (JSON lines), or in one array. Their texts, that
//! no number is changed by reading it.

use crate::delimited::LONGEST_ROW;
use crate::fault::{bad_row, failed};
use ematix_flow_core::error::{FlowError, Result};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

/// The objects of a file.
pub struct Objects<R> {
    input: R,
    path: String,
    shape: Shape,
    text: Vec<u8>,
    /// Objects so far.
    pub row: u64,
    /// Bytes so far.
    pub read: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unknown,
    Lines,
    /// In an array, at its first element.
    First,
    /// In an array, behind an element.
    Behind,
    /// Behind the array.
    Ended,
}

impl<R: BufRead> Objects<R> {
    /// The objects of a file, from its beginning.
    pub fn new(input: R, path: &str) -> Objects<R> {
        Objects { input, path: path.to_owned(), shape: Shape::Unknown, text: Vec::new(), row: 0, read: 0 }
    }

    /// Reads the next object; false where there is none.
    pub fn advance(&mut self) -> Result<bool> {
        self.text.clear();
        let mut has_comma = false;
        loop {
            let Some(byte) = self.next_mark()? else {
                return match self.shape {
                    Shape::First | Shape::Behind => Err(self.wrong("the file ends within its array")),
                    _ => Ok(false),
                };
            };
            match (self.shape, byte) {
                (Shape::Unknown, b'[') => self.shape = Shape::First,
                (Shape::Behind, b',') if !has_comma => has_comma = true,
                (Shape::First, b']') => self.shape = Shape::Ended,
                (Shape::Behind, b']') if !has_comma => self.shape = Shape::Ended,
                (Shape::Unknown | Shape::Lines, b'{') => {
                    self.shape = Shape::Lines;
                    return self.object();
                }
                (Shape::First, b'{') => {
                    self.shape = Shape::Behind;
                    return self.object();
                }
                (Shape::Behind, b'{') if has_comma => return self.object(),
                (Shape::Behind, _) if !has_comma => return Err(self.wrong("no comma stands before it")),
                (Shape::Ended, _) => return Err(self.wrong("something follows the end of the array")),
                _ => {
                    return Err(self.wrong("it is no object").hint(
                        "a file of JSON has one object a row, in lines or in one array: {\"id\": 1, \"name\": \"…\"}",
                    ));
                }
            }
            self.input.consume(1);
            self.read += 1;
        }
    }

    /// The next byte that is no blank, which stays.
    fn next_mark(&mut self) -> Result<Option<u8>> {
        loop {
            let chunk = filled(&mut self.input, &self.path)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let blanks = chunk.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let found = chunk.get(blanks).copied();
            self.input.consume(blanks);
            self.read += blanks;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// From { to its }.
    fn object(&mut self) -> Result<bool> {
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        loop {
            let chunk = filled(&mut self.input, &self.path)?;
            if chunk.is_empty() {
                return Err(self.wrong("the file ends within it"));
            }
            let end = chunk.iter().position(|byte| {
                match (in_text, byte) {
                    (true, _) if escaped => escaped = false,
                    (true, b'\\') => escaped = true,
                    (true, b'"') => in_text = false,
                    (true, _) => {}
                    (false, b'"') => in_text = true,
                    (false, b'{' | b'[') => depth += 1,
                    (false, b'}' | b']') => depth -= 1,
                    (false, _) => {}
                }
                depth == 0
            });
            let taken = end.map_or(chunk.len(), |end| end + 1);
            self.text.extend_from_slice(&chunk[..taken]);
            self.input.consume(taken);
            self.read += taken;
            if self.text.len() > LONGEST_ROW {
                return Err(self.wrong("the row is longer than 64 MB"));
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// The keys of the object, each with the text of its value.
    pub fn pairs(&self) -> Result<Vec<(Cow<'_, str>, &RawValue)>> {
        let text = std::str::from_utf8(&self.text)
            .map_err(|_| self.wrong("the text is not UTF-8").hint("write the file as UTF-8"))?;
        let pairs: Pairs<'_> =
            serde_json::from_str(text).map_err(|error| self.wrong(format!("it is no JSON: {error}")))?;
        Ok(pairs.0)
    }

    /// What is wrong with the object that is being read.
    #[cold]
    pub fn wrong(&self, why: impl AsRef<str>) -> FlowError {
        bad_row(&self.path, self.row + 1, why)
    }
}

fn filled<'a, R: BufRead>(input: &'a mut R, path: &str) -> Result<&'a [u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(path, error)),
        }
    }
    // What is there is given again.
    input.fill_buf().map_err(|error| failed(path, error))
}

/// An object as it stands: its order, its values' texts.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(16));
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn an_object_is_the_same_however_its_bytes_come() {
        let first = r#"{"a": "}\\\"{é", "b": [{"c": 1.0}]}"#;
        for text in [format!("{first}\n\n{{}}"), format!(" [{first} , {{}} ] ")] {
            for capacity in 1..20 {
                let input = BufReader::with_capacity(capacity, text.as_bytes());
                let mut objects = Objects::new(input, "a.json");
                let mut found = Vec::new();
                while objects.advance().unwrap() {
                    found.push(String::from_utf8(objects.text.clone()).unwrap());
                    objects.pairs().unwrap();
                }
                assert_eq!(found, [first, "{}"], "{capacity}");
                assert_eq!(objects.read, text.len());
            }
        }
    }
}
