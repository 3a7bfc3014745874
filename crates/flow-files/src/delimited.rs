//! CSV, record by record (RFC 4180): what stands in it, or what is wrong with it. Nothing is guessed.

use crate::fault::{bad_row, failed};
use crate::options::Marks;
use ematix_flow_core::error::{FlowError, Result};
use std::io::BufRead;

/// No row is this long, unless a quote was not closed.
pub const LONGEST_ROW: usize = 64 << 20;

/// A value of a record.
#[derive(Clone, Copy, Debug)]
struct Span {
    end: usize,
    quoted: bool,
}

/// The records of a file, one at a time.
pub struct Records<R> {
    input: R,
    path: String,
    marks: Marks,
    text: Vec<u8>,
    spans: Vec<Span>,
    /// Of the record's first character, from 1.
    line: u64,
    next_line: u64,
    /// Rows so far, the line of names not counted.
    pub row: u64,
    /// Bytes so far.
    pub read: usize,
}

/// Where in a record a character stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    Bare,
    Quoted,
    /// Behind an escape that is not the quote.
    Escaped,
    /// Behind what is the end of a value, or the first of two quotes.
    Closing,
    /// Behind a carriage return.
    Returned,
}

/// How many bytes stand before a mark.
fn length(bytes: &[u8], is_mark: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| is_mark(*byte)).unwrap_or(bytes.len())
}

impl<R: BufRead> Records<R> {
    /// The records of a file, from its beginning.
    pub fn new(input: R, path: &str, marks: Marks) -> Records<R> {
        Records {
            input,
            path: path.to_owned(),
            marks,
            text: Vec::new(),
            spans: Vec::new(),
            line: 1,
            next_line: 1,
            row: 0,
            read: 0,
        }
    }

    /// Reads the next record; false where there is none.
    pub fn advance(&mut self) -> Result<bool> {
        self.text.clear();
        self.spans.clear();
        self.line = self.next_line;
        let Marks { delimiter, quote, escape } = self.marks;
        let (mut state, mut quoted) = (State::Begin, false);
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&self.path, error)),
            };
            if chunk.is_empty() {
                return self.finished(state, quoted);
            }
            let (mut at, mut wrong, mut ended) = (0, None, false);
            while at < chunk.len() {
                // Most characters are none of the marks: they are taken together.
                let run = match state {
                    State::Quoted => {
                        length(&chunk[at..], |byte| byte == quote || byte == escape || byte == b'\n')
                    }
                    State::Begin | State::Bare => length(&chunk[at..], |byte| {
                        byte == delimiter || byte == b'\n' || byte == quote || byte == b'\r'
                    }),
                    _ => 0,
                };
                if run > 0 {
                    self.text.extend_from_slice(&chunk[at..at + run]);
                    at += run;
                    if state == State::Begin {
                        state = State::Bare;
                    }
                    continue;
                }
                let byte = chunk[at];
                at += 1;
                match state {
                    State::Quoted => {
                        if byte == escape && escape != quote {
                            state = State::Escaped;
                        } else if byte == quote {
                            state = State::Closing;
                        } else {
                            self.next_line += u64::from(byte == b'\n');
                            self.text.push(byte);
                        }
                        continue;
                    }
                    State::Escaped => {
                        // Before anything but a quote or itself it is a character like others.
                        if byte != quote && byte != escape {
                            self.text.push(escape);
                        }
                        self.next_line += u64::from(byte == b'\n');
                        self.text.push(byte);
                        state = State::Quoted;
                        continue;
                    }
                    State::Returned if byte != b'\n' => {
                        wrong = Some("a carriage return stands outside of quotes");
                        break;
                    }
                    State::Closing if byte == quote && escape == quote => {
                        self.text.push(quote);
                        state = State::Quoted;
                        continue;
                    }
                    _ => {}
                }
                if byte == delimiter && state != State::Returned {
                    self.spans.push(Span { end: self.text.len(), quoted });
                    (state, quoted) = (State::Begin, false);
                } else if byte == b'\n' {
                    // A line without anything is a record without values.
                    if !(self.spans.is_empty() && self.text.is_empty() && !quoted) {
                        self.spans.push(Span { end: self.text.len(), quoted });
                    }
                    self.next_line += 1;
                    ended = true;
                    break;
                } else if byte == b'\r' {
                    state = State::Returned;
                } else if byte == quote {
                    if state != State::Begin {
                        wrong = Some("a quote stands within a value");
                        break;
                    }
                    (state, quoted) = (State::Quoted, true);
                } else {
                    wrong = Some("something follows the quote that closes a value");
                    break;
                }
            }
            self.input.consume(at);
            self.read += at;
            if let Some(wrong) = wrong {
                return Err(self.wrong(wrong).hint(
                    "a value with delimiters, quotes or line ends stands in quotes, and a quote in it twice; other \
                     marks are options: delimiter, quote, escape",
                ));
            }
            if self.text.len() > LONGEST_ROW {
                return Err(self.wrong("the row is longer than 64 MB").hint("is a quote not closed?"));
            }
            if ended {
                return Ok(true);
            }
        }
    }

    fn finished(&mut self, state: State, quoted: bool) -> Result<bool> {
        match state {
            State::Quoted | State::Escaped => {
                Err(self.wrong("a quote is not closed until the end of the file"))
            }
            _ if self.spans.is_empty() && self.text.is_empty() && !quoted => Ok(false),
            _ => {
                self.spans.push(Span { end: self.text.len(), quoted });
                Ok(true)
            }
        }
    }

    /// How many values the record has; none where its line is empty.
    pub fn width(&self) -> usize {
        self.spans.len()
    }

    /// A value of the record, and whether it stood in quotes.
    pub fn value(&self, at: usize) -> Result<(&str, bool)> {
        let start = at.checked_sub(1).map_or(0, |before| self.spans[before].end);
        let Span { end, quoted } = self.spans[at];
        match std::str::from_utf8(&self.text[start..end]) {
            Ok(text) => Ok((text, quoted)),
            Err(_) => {
                let column = at + 1;
                Err(self
                    .wrong(format!("the text of the {column}. value is not UTF-8"))
                    .hint("write the file as UTF-8: iconv -f latin1 -t utf-8"))
            }
        }
    }

    /// What is wrong with the record that is being read.
    #[cold]
    pub fn wrong(&self, why: impl AsRef<str>) -> FlowError {
        let (row, line) = (self.row + 1, self.line);
        bad_row(&self.path, row, format!("{} (line {line})", why.as_ref())).context("line", line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn a_record_is_the_same_however_its_bytes_come() {
        let text = "a,\"b \"\"c\"\"\r\nd\",\r\n\n\"\",é,x";
        let marks = Marks { delimiter: b',', quote: b'"', escape: b'"' };
        for capacity in 1..20 {
            let input = BufReader::with_capacity(capacity, text.as_bytes());
            let mut records = Records::new(input, "a.csv", marks);
            let mut found = Vec::new();
            while records.advance().unwrap() {
                let values = (0..records.width()).map(|at| records.value(at).unwrap());
                found.push(values.map(|(text, quoted)| (text.to_owned(), quoted)).collect::<Vec<_>>());
            }
            let value = |text: &str, quoted| (text.to_owned(), quoted);
            let expected = [
                vec![value("a", false), value("b \"c\"\r\nd", true), value("", false)],
                vec![],
                vec![value("", true), value("é", false), value("x", false)],
            ];
            assert_eq!(found, expected, "{capacity}");
            assert_eq!(records.read, text.len());
        }
    }
}
