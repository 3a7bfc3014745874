//! The user's query as text: one statement that only reads, ready to stand in a parenthesis.
//!
//! Reads tokens, not grammar: strings, quoted names, dollar quotes and comments are told apart, so
//! that a semicolon inside one of them is not taken for an end. What a query means is the server's.

mod foreign;
mod lex;
mod order;
mod relations;
mod slot;
mod statements;
mod values;

pub use foreign::{ForeignQuery, WATERMARK};
pub use slot::SlotTimes;
pub use statements::{Statement, copies_by_client, statements};

use crate::error::{ErrorCode, FlowError, Result};
use lex::{Token, lex};
pub use order::{is_latest_first, latest_first, nulls_last};
pub use values::with_values;

/// A query that may stand in a parenthesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadQuery {
    text: String,
    simple: Option<SimpleSelect>,
}

/// `SELECT a, b FROM schema.table` and nothing else: the same rows however often one statement asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleSelect {
    /// The relation as written.
    pub relation: String,
    /// The columns as written; `None` for `*`.
    pub columns: Option<Vec<String>>,
}

impl ReadQuery {
    /// Checks that the text is one statement that reads, and drops a trailing `;` or comment.
    ///
    /// # Errors
    /// `query_writes` for several statements, for INSERT, UPDATE, DELETE, MERGE (also inside WITH),
    /// for row locks, and for anything that is not a SELECT, WITH, VALUES or TABLE.
    ///
    /// ```
    /// use ematix_flow_core::query::ReadQuery;
    /// assert_eq!(ReadQuery::parse("SELECT 1; -- done").unwrap().text(), "SELECT 1");
    /// ```
    pub fn parse(text: &str) -> Result<ReadQuery> {
        let mut lexed = lex(text)?;
        while let Some((start, Token::Symbol(';'))) = lexed.tokens.last() {
            lexed.end = *start;
            lexed.tokens.pop();
        }
        let text = text[..lexed.end].trim().to_owned();
        let tokens: Vec<Token> = lexed.tokens.into_iter().map(|(_, token)| token).collect();
        if tokens.is_empty() {
            return Err(FlowError::new(ErrorCode::InvalidValue, "the query is empty"));
        }
        if tokens.contains(&Token::Symbol(';')) {
            return Err(writes("the query has more than one statement"));
        }
        if !balanced(&tokens) {
            return Err(FlowError::new(ErrorCode::InvalidValue, "the parentheses of the query do not match")
                .hint("each ( needs its ): the query stands in a parenthesis of its own"));
        }
        let first = tokens.iter().find_map(|token| match token {
            Token::Symbol('(') => None,
            Token::Word(word) => Some(word.as_str()),
            _ => Some(""),
        });
        match first {
            Some("select" | "with" | "values" | "table") => {}
            Some(word) => {
                let shown =
                    if word.is_empty() { "it".to_owned() } else { format!("`{}`", word.to_uppercase()) };
                return Err(writes(format!("a source query must be a SELECT; {shown} is not")));
            }
            None => return Err(writes("a source query must be a SELECT")),
        }
        if let Some(word) = writing_cte(&tokens) {
            return Err(writes(format!("a WITH clause of the query contains {}", word.to_uppercase())));
        }
        if makes_a_table(&tokens) {
            return Err(writes("the query makes a table: SELECT INTO"));
        }
        if let Some(word) = row_lock(&tokens) {
            return Err(writes(format!("the query locks rows with FOR {}", word.to_uppercase())));
        }
        let simple = simple_select(&tokens);
        Ok(ReadQuery { text, simple })
    }

    /// A query over a whole table.
    pub fn of_table(quoted: &str) -> ReadQuery {
        let simple = SimpleSelect { relation: quoted.to_owned(), columns: None };
        ReadQuery { text: format!("SELECT * FROM {quoted}"), simple: Some(simple) }
    }

    /// A query that reads all that some queries read, whatever their columns are.
    pub fn over_all(queries: &[&ReadQuery]) -> ReadQuery {
        ReadQuery::united(queries, "1 AS one")
    }

    /// The rows of several queries, `list` of the rows `q` of each.
    pub fn united(queries: &[&ReadQuery], list: &str) -> ReadQuery {
        let each = queries.iter().map(|query| format!("SELECT {list}\n  FROM (\n{}\n) AS q", query.text));
        ReadQuery { text: each.collect::<Vec<_>>().join("\n UNION ALL\n"), simple: None }
    }

    /// The text, without a trailing `;` or comment.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The relation, if the query reads the whole of just one.
    pub fn simple(&self) -> Option<&SimpleSelect> {
        self.simple.as_ref()
    }
}

/// A place in a statement that stands for something else: `:name` a value, `{name}` an identifier.
struct Blank<'t> {
    start: usize,
    end: usize,
    name: &'t str,
    is_name: bool,
}

/// The blanks of a statement; none is in a string, a quoted name, a comment, a cast or a slice.
fn blanks(text: &str) -> Result<Vec<Blank<'_>>> {
    let tokens = lex(text)?.tokens;
    let mut found = Vec::new();
    for (index, (at, token)) in tokens.iter().enumerate() {
        let Some((start, Token::Word(word))) = tokens.get(index + 1) else { continue };
        let (start, end) = (*start, start + word.len());
        let name = &text[start..end];
        match token {
            Token::Symbol(':') if start == at + 1 => {
                let after_colon = index > 0 && tokens[index - 1] == (at.wrapping_sub(1), Token::Symbol(':'));
                // A slice, a[1:n], has something before its colon that ends right there.
                let after_value = *at > 0
                    && !text[..*at].ends_with(|c: char| c.is_whitespace() || "(,=<>+-*/%|&".contains(c));
                if !after_colon && !after_value {
                    found.push(Blank { start: *at, end, name, is_name: false });
                }
            }
            // ${…} is nothing of SQL's.
            Token::Symbol('{')
                if start == at + 1 && text[end..].starts_with('}') && !text[..*at].ends_with('$') =>
            {
                found.push(Blank { start: *at, end: end + 1, name, is_name: true });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A statement whose `:name` stand for values, with `$1`, `$2` … in their places, and the names in that order. A colon
/// in a string, a quoted name, a comment, a cast or a slice is none.
///
/// # Errors
/// `invalid_value` for a string or a comment that is not closed.
///
/// ```
/// use ematix_flow_core::query::numbered;
/// let (sql, names) = numbered("SELECT ':a', b::text FROM t WHERE c = :c AND d > :d AND e = :c").unwrap();
/// assert_eq!(sql, "SELECT ':a', b::text FROM t WHERE c = $1 AND d > $2 AND e = $1");
/// assert_eq!(names, ["c", "d"]);
/// ```
pub fn numbered(text: &str) -> Result<(String, Vec<String>)> {
    let mut names: Vec<String> = Vec::new();
    let (mut out, mut copied) = (String::new(), 0);
    for blank in blanks(text)?.iter().filter(|blank| !blank.is_name) {
        let number = names.iter().position(|known| known == blank.name).unwrap_or_else(|| {
            names.push(blank.name.to_owned());
            names.len() - 1
        });
        out.push_str(&text[copied..blank.start]);
        out.push_str(&format!("${}", number + 1));
        copied = blank.end;
    }
    out.push_str(&text[copied..]);
    Ok((out, names))
}

/// A statement with its blanks filled: `:name` by what `value` writes, `{name}` by what `identifier` does.
///
/// # Errors
/// What they say, and `invalid_value` for a string or a comment that is not closed.
pub fn filled(
    text: &str,
    value: impl Fn(&str) -> Result<String>,
    identifier: impl Fn(&str) -> Result<String>,
) -> Result<String> {
    let (mut out, mut copied) = (String::new(), 0);
    for blank in blanks(text)? {
        out.push_str(&text[copied..blank.start]);
        let filled = if blank.is_name { identifier(blank.name)? } else { value(blank.name)? };
        // U&'…' is another kind of string than '…'.
        if out.ends_with('&') {
            out.push(' ');
        }
        // A sign would make a comment of the one before it, and binds less than a cast.
        out.push_str(&if filled.starts_with('-') { format!("({filled})") } else { filled });
        copied = blank.end;
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// The names in braces of a statement, `{name}`, in their order.
///
/// # Errors
/// `invalid_value` for a string or a comment that is not closed.
pub fn names_in_braces(text: &str) -> Result<Vec<String>> {
    Ok(blanks(text)?.into_iter().filter(|blank| blank.is_name).map(|blank| blank.name.to_owned()).collect())
}

/// Whether an expression says a name outside of its strings and comments.
pub fn says(expression: &str, name: &str) -> bool {
    let is_said = |token: &Token| match token {
        Token::Word(word) => word == name,
        Token::QuotedName(quoted) => quoted == name,
        Token::Symbol(_) | Token::Other => false,
    };
    lex(expression).is_ok_and(|lexed| lexed.tokens.iter().any(|(_, token)| is_said(token)))
}

/// Holds that a text is an expression that ends where it should: it stands in a parenthesis of its own.
///
/// # Errors
/// `invalid_value` for one that is empty, has a semicolon, or parentheses that do not match.
pub fn check_expression(text: &str) -> Result<()> {
    let tokens: Vec<Token> = lex(text)?.tokens.into_iter().map(|(_, token)| token).collect();
    let wrong = |what: &str| FlowError::new(ErrorCode::InvalidValue, what.to_owned());
    match &tokens {
        tokens if tokens.is_empty() => Err(wrong("the expression is empty")),
        tokens if tokens.contains(&Token::Symbol(';')) => {
            Err(wrong("the expression has a semicolon").hint("it is one expression, not a statement"))
        }
        tokens if !balanced(tokens) => Err(wrong("the parentheses of the expression do not match")),
        _ => Ok(()),
    }
}

fn writes(message: impl Into<String>) -> FlowError {
    FlowError::new(ErrorCode::QueryWrites, message)
        .hint("a source query is one statement that only reads; it may end in ; or a comment")
}

/// Whether every parenthesis is closed, and none is closed that was not opened.
fn balanced<'t>(tokens: impl IntoIterator<Item = &'t Token>) -> bool {
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') if depth == 0 => return false,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

fn writing_cte(tokens: &[Token]) -> Option<&str> {
    tokens.windows(3).find_map(|window| match window {
        [Token::Word(before), Token::Symbol('('), Token::Word(word)]
            if (before == "as" || before == "materialized")
                && matches!(word.as_str(), "insert" | "update" | "delete" | "merge") =>
        {
            Some(word.as_str())
        }
        _ => None,
    })
}

/// FOR UPDATE, NO KEY UPDATE, SHARE or KEY SHARE; `substring(code FOR key)` is something else.
fn row_lock(tokens: &[Token]) -> Option<&str> {
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    (0..tokens.len()).filter(|at| word(*at) == "for").find_map(|at| match (word(at + 1), word(at + 2)) {
        (strength @ ("update" | "share"), _) | (strength @ "no", "key") | (strength @ "key", "share") => {
            Some(strength)
        }
        _ => None,
    })
}

/// SELECT INTO makes a table. INTO is reserved: elsewhere it stands as a label after AS.
fn makes_a_table(tokens: &[Token]) -> bool {
    let word = |token: &Token, word: &str| matches!(token, Token::Word(said) if said == word);
    tokens
        .windows(2)
        .any(|pair| word(&pair[1], "into") && !word(&pair[0], "as") && pair[0] != Token::Symbol('.'))
}

fn simple_select(tokens: &[Token]) -> Option<SimpleSelect> {
    let from = tokens.iter().position(|token| *token == Token::Word("from".to_owned()))?;
    if tokens.first() != Some(&Token::Word("select".to_owned())) {
        return None;
    }
    let (relation, alias) = simple_relation(&tokens[from + 1..])?;
    let dot = Token::Symbol('.');
    let of_alias = |qualifier: &Token| name(qualifier).is_some() && name(qualifier) == alias;
    let columns = match &tokens[1..from] {
        [Token::Symbol('*')] => None,
        [qualifier, point, Token::Symbol('*')] if *point == dot && of_alias(qualifier) => None,
        list => Some(
            list.split(|token| *token == Token::Symbol(','))
                .map(|item| match item {
                    // A bare word may be a function without parentheses, or no column at all.
                    [Token::Word(word)]
                        if NO_COLUMNS.contains(&word.as_str()) || word.starts_with("current_") =>
                    {
                        None
                    }
                    [only] => name(only),
                    [qualifier, point, column] if *point == dot && of_alias(qualifier) => name(column),
                    _ => None,
                })
                .collect::<Option<Vec<String>>>()?,
        ),
    };
    Some(SimpleSelect { relation, columns })
}

const NO_COLUMNS: &[&str] = &[
    "user",
    "session_user",
    "system_user",
    "localtime",
    "localtimestamp",
    "null",
    "true",
    "false",
    "distinct",
    "all",
];

fn name(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.clone()),
        Token::QuotedName(name) => Some(name.clone()),
        _ => None,
    }
}

/// `schema.table`, `table`, either with an alias; the relation quoted, and what qualifies its columns.
fn simple_relation(tokens: &[Token]) -> Option<(String, Option<String>)> {
    let quote = |token: &Token| name(token).map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    let (relation, own_name, rest) = match tokens {
        [schema, Token::Symbol('.'), table, rest @ ..] => {
            (format!("{}.{}", quote(schema)?, quote(table)?), name(table), rest)
        }
        // ONLY a, LATERAL (…): words before a relation.
        [Token::Word(word), ..] if matches!(word.as_str(), "only" | "lateral") => return None,
        [table, rest @ ..] => (quote(table)?, name(table), rest),
        [] => return None,
    };
    let keyword = |token: &Token| matches!(token, Token::Word(word) if CLAUSES.contains(&word.as_str()));
    match rest {
        [] => Some((relation, own_name)),
        [Token::Word(word), alias] if word == "as" && !keyword(alias) => Some((relation, Some(name(alias)?))),
        [alias] if !keyword(alias) => Some((relation, Some(name(alias)?))),
        _ => None,
    }
}

const CLAUSES: &[&str] = &[
    "where",
    "group",
    "order",
    "limit",
    "offset",
    "fetch",
    "union",
    "intersect",
    "except",
    "having",
    "window",
    "for",
    "join",
    "cross",
    "natural",
    "tablesample",
    "as",
];
