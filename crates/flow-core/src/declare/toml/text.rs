//! The text of a file, and places in it: bytes become lines and columns, a line becomes an excerpt.
//! What may be a secret is blotted out of every excerpt.

use crate::error::{Excerpt, Location};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// What stands in an excerpt for each character of a possible secret.
const BLOT: char = '*';

/// The text of a file, for as long as somebody may ask for a place in it.
pub(crate) struct SourceText {
    /// The file as the user named it.
    pub(crate) file: String,
    /// Its whole text.
    pub(crate) text: String,
    line_starts: Vec<usize>,
    /// Bytes that no excerpt shows: start to end.
    secrets: BTreeMap<usize, usize>,
}

/// Its text has secrets, and is never shown but by line.
impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceText").field("file", &self.file).finish_non_exhaustive()
    }
}

impl SourceText {
    pub(crate) fn new(file: String, text: String) -> SourceText {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        SourceText { file, text, line_starts, secrets: BTreeMap::new() }
    }

    /// Blots out a value, up to its `${…}`, from every excerpt that is made later, and the comment behind it: an earlier
    /// value may have been kept there.
    pub(crate) fn hide(&mut self, value: Range<usize>) {
        let mut start = value.start;
        let inside = &self.text[value.clone()];
        let closed = |open: usize| Some((open, inside[open..].find(['}', '\n'])?));
        let asked: Vec<_> = inside.match_indices("${").filter_map(|(open, _)| closed(open)).collect();
        for (open, length) in asked {
            if value.start + open >= start {
                self.hide_bytes(start..value.start + open);
                start = value.start + open + length + 1;
            }
        }
        self.hide_bytes(start..value.end.max(start));
        let line_end = self.line_range(self.line_index(value.end)).end.max(value.end);
        if let Some(comment) = self.text[value.end..line_end].find('#') {
            self.hide_bytes(value.end + comment + 1..line_end);
        }
    }

    fn hide_bytes(&mut self, range: Range<usize>) {
        let end = self.secrets.entry(range.start).or_insert(range.end);
        *end = range.end.max(*end);
    }

    /// Blots out whatever looks like a secret on a line that is not TOML.
    pub(crate) fn hide_in_broken_line(&mut self, at: usize) {
        let line = self.line_range(self.line_index(at));
        let text = self.text[line.clone()].to_ascii_lowercase();
        let secret = ["pass", "pwd", "secret", "token", "dsn", "://"].iter().any(|word| text.contains(word));
        if secret {
            let start = text.find('=').map_or(0, |equals| equals + 1);
            self.hide(line.start + start..line.end);
        }
    }

    /// Line and column of a byte, both from 1.
    pub(crate) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let at = self.character_start(at);
        let line = self.line_index(at);
        let before = &self.text[self.line_range(line).start.min(at)..at];
        (line + 1, before.chars().count() + 1)
    }

    /// The place of some bytes, marked up to the end of their first line.
    pub(crate) fn location(&self, span: Range<usize>, section: &str) -> Location {
        let start = self.character_start(span.start);
        let line_range = self.line_range(self.line_index(start));
        let start = start.clamp(line_range.start, line_range.end);
        let end = self.character_start(span.end).clamp(start, line_range.end);
        let (line, column) = self.line_and_column(start);
        Location {
            file: self.file.clone(),
            line,
            column,
            section: (!section.is_empty()).then(|| section.to_owned()),
            excerpt: Some(Excerpt {
                line: self.visible(line_range),
                length: self.text[start..end].chars().count().max(1),
                label: None,
            }),
        }
    }

    /// The bytes of the part of a value that begins with its nth `${`.
    pub(crate) fn interpolation(&self, value: Range<usize>, index: usize) -> Range<usize> {
        let inside = &self.text[value.clone()];
        match inside.match_indices("${").nth(index) {
            Some((open, _)) => {
                let length = inside[open..].find('}').map_or(2, |close| close + 1);
                value.start + open..value.start + open + length
            }
            None => value,
        }
    }

    /// The bytes of a part of a value, where it first stands there as it is meant.
    pub(crate) fn part(&self, value: Range<usize>, part: &str) -> Range<usize> {
        let inside = &self.text[value.clone()];
        let is_whole = |at: &usize| {
            let after = inside[at + part.len()..].chars().next();
            part.ends_with('}') || !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        };
        match inside.match_indices(part).map(|(at, _)| at).find(is_whole) {
            Some(at) => value.start + at..value.start + at + part.len(),
            None => value,
        }
    }

    fn line_index(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at) - 1
    }

    /// The bytes of a line without its end, and without the mark that some editors put first.
    fn line_range(&self, line: usize) -> Range<usize> {
        let mut start = self.line_starts[line];
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        if start == 0 && self.text.starts_with('\u{feff}') {
            start = '\u{feff}'.len_utf8();
        }
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        start..end
    }

    fn visible(&self, line: Range<usize>) -> String {
        let text = &self.text[line.clone()];
        let before = self.secrets.range(..line.end).rev();
        let secrets: Vec<Range<usize>> = before
            .map(|(start, end)| *start..*end)
            .take_while(|secret| secret.start >= line.start || secret.end > line.start)
            .collect();
        if secrets.is_empty() {
            return text.to_owned();
        }
        text.char_indices()
            .map(|(at, character)| {
                let secret = secrets.iter().any(|range| range.contains(&(line.start + at)));
                if secret && !matches!(character, '"' | '\'' | ' ') { BLOT } else { character }
            })
            .collect()
    }

    fn character_start(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> SourceText {
        SourceText::new("a.toml".to_owned(), text.to_owned())
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = text("\u{feff}a = 1\r\néé = 2\n");
        let at = source.text.find('2').unwrap();
        let place = source.location(at..at + 1, "[x]");
        assert_eq!((place.line, place.column), (2, 6));
        assert_eq!(place.excerpt.unwrap(), Excerpt { line: "éé = 2".to_owned(), length: 1, label: None });
        let place = source.location(3..source.text.len(), "");
        assert_eq!((place.line, place.column), (1, 1));
        assert_eq!(place.excerpt.unwrap(), Excerpt { line: "a = 1".to_owned(), length: 5, label: None });
        let end = source.text.len();
        assert_eq!(source.location(end..end, "").line, 3);
    }

    #[test]
    fn secrets_are_blotted_out_but_not_what_they_ask_for() {
        let mut source = text("p = \"hunter2${env:X}tail\"\nq = 1");
        source.hide(4..25);
        assert_eq!(source.visible(0..25), "p = \"*******${env:X}****\"");
        let mut source = text("password = \"a ${b\nq = 1");
        source.hide_in_broken_line(12);
        assert_eq!(source.visible(0..17), "password = \"* ***");
    }
}
