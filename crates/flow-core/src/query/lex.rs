//! Takes SQL apart as Postgres does: words, quoted names and symbols, each with its place, without strings and comments.

use crate::error::{ErrorCode, FlowError, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    QuotedName(String),
    Symbol(char),
    Other,
}

pub(super) struct Lexed {
    pub tokens: Vec<(usize, Token)>,
    /// Where the text of the last token ends.
    pub end: usize,
}

/// The tokens of a text.
///
/// # Errors
/// `invalid_value` for a zero byte, and for what is not closed.
pub(super) fn lex(text: &str) -> Result<Lexed> {
    // No server takes it, and what passes it on would end there.
    if text.contains('\0') {
        return Err(FlowError::new(ErrorCode::InvalidValue, "the SQL contains a zero byte"));
    }
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut end = 0;
    let mut at = 0;
    let unclosed = |what: &str| FlowError::new(ErrorCode::InvalidValue, format!("{what} is not closed"));
    while at < bytes.len() {
        let start = at;
        let rest = &text[at..];
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if rest.starts_with("--") => {
                at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                continue;
            }
            b'/' if rest.starts_with("/*") => {
                at += block_comment(rest).ok_or_else(|| unclosed("a comment"))?;
                continue;
            }
            b'\'' => {
                let escapes = matches!(tokens.last(), Some((_, Token::Word(word))) if word == "e")
                    && text[..at].ends_with(['e', 'E']);
                at += string(rest, escapes).ok_or_else(|| unclosed("a string"))?;
                tokens.push((start, Token::Other));
            }
            b'"' => {
                let length = quoted(rest, '"', false).ok_or_else(|| unclosed("a quoted name"))?;
                tokens.push((start, Token::QuotedName(rest[1..length - 1].replace("\"\"", "\""))));
                at += length;
            }
            b'$' => {
                at += match dollar_quote(rest) {
                    Some(Some(length)) => length,
                    Some(None) => return Err(unclosed("a dollar-quoted string")),
                    None => 1,
                };
                tokens.push((start, Token::Other));
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                let length = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()))
                    .unwrap_or(rest.len());
                // As Postgres folds names in UTF-8: letters of ASCII only.
                tokens.push((start, Token::Word(rest[..length].to_ascii_lowercase())));
                at += length;
            }
            byte if byte.is_ascii_digit() => {
                at += rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
                tokens.push((start, Token::Other));
            }
            byte => {
                tokens.push((start, Token::Symbol(byte as char)));
                at += 1;
            }
        }
        end = at;
    }
    Ok(Lexed { tokens, end })
}

/// Block comments nest in Postgres.
fn block_comment(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// A string with all its pieces: one that begins on another line goes on with the escapes of the first.
/// <https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS>
fn string(text: &str, escapes: bool) -> Option<usize> {
    let mut length = quoted(text, '\'', escapes)?;
    while let Some(gap) = continued(&text[length..]) {
        length += gap + quoted(&text[length + gap..], '\'', escapes)?;
    }
    Some(length)
}

/// Where the next piece of a string begins: behind blanks and comments of which one ends a line.
fn continued(text: &str) -> Option<usize> {
    let (mut at, mut new_line) = (0, false);
    loop {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        if first == '\'' {
            return new_line.then_some(at);
        } else if matches!(first, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') {
            new_line |= matches!(first, '\n' | '\r');
            at += 1;
        } else if rest.starts_with("--") {
            at += rest.find(['\n', '\r'])?;
        } else {
            return None;
        }
    }
}

fn quoted(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().map(|(_, next)| *next) == Some(quote) {
                characters.next();
            } else {
                return Some(at + character.len_utf8());
            }
        }
    }
    None
}

/// `None` where no dollar quote begins, `Some(None)` where one does not end.
fn dollar_quote(text: &str) -> Option<Option<usize>> {
    let close = text[1..].find('$')? + 1;
    let tag = &text[1..close];
    if !tag.chars().all(|c| c.is_alphanumeric() || c == '_') || tag.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let mark = &text[..=close];
    Some(text[mark.len()..].find(mark).map(|at| at + 2 * mark.len()))
}
