//! The user's query for an engine that is only read, in that engine's own SQL: it goes there as it is written, but for
//! `:watermark`, a parameter. Strings, names and comments are told apart as that engine does.

use super::SlotTimes;
use super::lex::Token;
use super::{balanced, writes};
use crate::engine::Foreign;
use crate::error::{ErrorCode, FlowError, Result};

/// The name of the value with which a query says where it begins to read.
pub const WATERMARK: &str = "watermark";

/// One statement that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignQuery {
    text: String,
    /// Where it says `:watermark`: the byte of each colon.
    watermarks: Vec<usize>,
}

impl ForeignQuery {
    /// Checks that the text is one statement that reads, and drops a trailing `;` or comment.
    ///
    /// # Errors
    /// `query_writes` for several statements, and for what is no SELECT, WITH, VALUES or TABLE; `invalid_value` for what
    /// is not closed. What is left of writing the engine refuses: the session only reads.
    ///
    /// ```
    /// use ematix_flow_core::{engine::Foreign, query::ForeignQuery};
    /// let query = ForeignQuery::parse(Foreign::MySql, "SELECT `a;b` FROM t WHERE at > :watermark; # done").unwrap();
    /// assert_eq!(query.with_parameter("?"), ("SELECT `a;b` FROM t WHERE at > ?".to_owned(), 1));
    /// ```
    pub fn parse(engine: Foreign, written: &str) -> Result<ForeignQuery> {
        let mut tokens = lex(engine, written)?;
        let mut end = tokens.last().map_or(0, |last| last.end);
        while let Some(Lexeme { token: Token::Symbol(';'), start, .. }) = tokens.last() {
            end = *start;
            tokens.pop();
        }
        let text = written[..end].trim_start();
        let begins = end - text.len();
        if tokens.is_empty() {
            return Err(FlowError::new(ErrorCode::InvalidValue, "the query is empty"));
        }
        if tokens.iter().any(|lexeme| lexeme.token == Token::Symbol(';')) {
            return Err(writes("the query has more than one statement"));
        }
        if !balanced(tokens.iter().map(|lexeme| &lexeme.token)) {
            return Err(FlowError::new(ErrorCode::InvalidValue, "the parentheses of the query do not match"));
        }
        let first = tokens.iter().find_map(|lexeme| match &lexeme.token {
            Token::Symbol('(') => None,
            Token::Word(word) => Some(word.as_str()),
            _ => Some(""),
        });
        match first {
            Some("select" | "with" | "values" | "table") => {}
            Some(word) if !word.is_empty() => {
                let word = word.to_uppercase();
                return Err(writes(format!("a source query must be a SELECT; `{word}` is not")));
            }
            _ => return Err(writes("a source query must be a SELECT")),
        }
        if let Some(word) = takes_hold(&tokens) {
            return Err(writes(format!("the query says {word}")));
        }
        let names = names(&tokens, written);
        if let Some((_, name)) = names.iter().find(|(_, name)| SlotTimes::NAMES.contains(&name.as_str())) {
            return Err(FlowError::new(
                ErrorCode::NotYetSupported,
                format!("`:{name}` in a query of {} is not in this version yet", engine.shown()),
            )
            .hint("write incremental_column = \"…\", and `:watermark` in the query"));
        }
        let watermarks = names.into_iter().filter(|(_, name)| name == WATERMARK).map(|(at, _)| at - begins);
        Ok(ForeignQuery { text: text.trim_end().to_owned(), watermarks: watermarks.collect() })
    }

    /// Whether it says `:watermark`.
    pub fn names_watermark(&self) -> bool {
        !self.watermarks.is_empty()
    }

    /// The text with a parameter in the place of every `:watermark`, and how many there are.
    pub fn with_parameter(&self, parameter: &str) -> (String, usize) {
        let (mut out, mut copied) = (String::with_capacity(self.text.len()), 0);
        for at in &self.watermarks {
            out.push_str(&self.text[copied..*at]);
            out.push_str(parameter);
            copied = at + 1 + WATERMARK.len();
        }
        out.push_str(&self.text[copied..]);
        (out, self.watermarks.len())
    }
}

struct Lexeme {
    start: usize,
    end: usize,
    token: Token,
}

/// Every `:name`, by the place of its colon.
fn names(tokens: &[Lexeme], text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        if let [colon @ Lexeme { token: Token::Symbol(':'), .. }, word @ Lexeme { token: Token::Word(_), .. }] =
            pair
            && colon.end == word.start
        {
            found.push((colon.start, text[word.start..word.end].to_owned()));
        }
    }
    found
}

/// What keeps others out, or writes a file: INTO and FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE.
fn takes_hold(tokens: &[Lexeme]) -> Option<&'static str> {
    let word = |at: usize| match tokens.get(at).map(|lexeme| &lexeme.token) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    (0..tokens.len()).find_map(|at| match (word(at), word(at + 1)) {
        ("into", _) => Some("INTO"),
        ("for", "update") => Some("FOR UPDATE"),
        ("for", "share") => Some("FOR SHARE"),
        ("lock", "in") => Some("LOCK IN SHARE MODE"),
        _ => None,
    })
}

fn lex(engine: Foreign, text: &str) -> Result<Vec<Lexeme>> {
    if text.contains('\0') {
        return Err(FlowError::new(ErrorCode::InvalidValue, "the SQL contains a zero byte"));
    }
    let is_mysql = engine == Foreign::MySql;
    let unclosed =
        |what: &str| FlowError::new(ErrorCode::InvalidValue, format!("{what} of the query is not closed"));
    let line = |rest: &str| rest.find('\n').unwrap_or(rest.len());
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (start, rest) = (at, &text[at..]);
        let token = match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            // In MySQL `1--1` is a difference.
            b'-' if rest.starts_with("--")
                && (!is_mysql || rest[2..].chars().next().is_none_or(char::is_whitespace)) =>
            {
                at += line(rest);
                continue;
            }
            b'#' if is_mysql => {
                at += line(rest);
                continue;
            }
            // MySQL executes what stands in such a comment.
            b'/' if is_mysql && (rest.starts_with("/*!") || rest.starts_with("/*M!")) => {
                return Err(writes("the query has a comment that MySQL executes: /*! … */"));
            }
            b'/' if rest.starts_with("/*") => {
                at += rest[2..].find("*/").ok_or_else(|| unclosed("a comment"))? + 4;
                continue;
            }
            quote @ (b'\'' | b'"' | b'`') => {
                let escapes = is_mysql && quote != b'`';
                at += quoted(rest, quote, escapes).ok_or_else(|| unclosed("a string or a name"))?;
                Token::Other
            }
            b'[' if !is_mysql => {
                at += rest.find(']').ok_or_else(|| unclosed("a name"))? + 1;
                Token::Other
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii());
                let length = rest.find(ends).unwrap_or(rest.len());
                at += length;
                match byte.is_ascii_digit() {
                    true => Token::Other,
                    false => Token::Word(rest[..length].to_ascii_lowercase()),
                }
            }
            byte => {
                at += 1;
                Token::Symbol(byte as char)
            }
        };
        found.push(Lexeme { start, end: at, token });
    }
    Ok(found)
}

/// How long a string or a name in quotes is.
fn quoted(text: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(engine: Foreign, text: &str) -> Result<(String, usize)> {
        ForeignQuery::parse(engine, text).map(|query| query.with_parameter("?"))
    }

    #[test]
    fn strings_names_and_comments_are_those_of_the_engine() {
        for (engine, text, filled, count) in [
            (
                Foreign::MySql,
                r"SELECT 'it\'s :watermark', a FROM t",
                r"SELECT 'it\'s :watermark', a FROM t",
                0,
            ),
            (Foreign::MySql, "SELECT 1--1 # :watermark", "SELECT 1--1", 0),
            (
                Foreign::MySql,
                "SELECT `;` -- it's\n FROM t WHERE a>:watermark",
                "SELECT `;` -- it's\n FROM t WHERE a>?",
                1,
            ),
            (Foreign::Sqlite, r"SELECT '\', :watermark", r"SELECT '\', ?", 1),
            (Foreign::Sqlite, "SELECT [a;b'], \"c'\" FROM t;;", "SELECT [a;b'], \"c'\" FROM t", 0),
            (
                Foreign::Sqlite,
                "  WITH r AS (SELECT 1) SELECT :watermark, :watermark /* ; */",
                "WITH r AS (SELECT 1) SELECT ?, ?",
                2,
            ),
        ] {
            assert_eq!(parameters(engine, text).unwrap(), (filled.to_owned(), count), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_reading_statement_is_refused() {
        for text in [
            "UPDATE t SET a = 1",
            "SELECT 1; DELETE FROM t",
            "SELECT * FROM t INTO OUTFILE '/tmp/x'",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM t LOCK IN SHARE MODE",
            "SELECT 1 /*!50000 INTO OUTFILE 'x' */",
            "CALL p()",
        ] {
            assert_eq!(parameters(Foreign::MySql, text).unwrap_err().code, ErrorCode::QueryWrites, "{text}");
        }
        for text in ["", " -- nothing", "SELECT 'a", "SELECT (1", "SELECT /* 1"] {
            assert_eq!(parameters(Foreign::MySql, text).unwrap_err().code, ErrorCode::InvalidValue, "{text}");
        }
        let slot = parameters(Foreign::Sqlite, "SELECT * FROM t WHERE a > :slot_start").unwrap_err();
        assert_eq!(slot.code, ErrorCode::NotYetSupported);
    }
}
