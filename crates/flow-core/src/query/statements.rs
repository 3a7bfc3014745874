//! A text of several statements, taken apart: each goes to the server by itself.

use super::{Token, lex};
use crate::error::Result;

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the semicolon and without comments around it.
    pub text: String,
    /// Its first words, in lower case: enough to tell what it is.
    pub words: Vec<String>,
}

/// How many words tell what a statement is: `REFRESH MATERIALIZED VIEW CONCURRENTLY`, `CREATE UNIQUE INDEX CONCURRENTLY`.
const WORDS: usize = 6;

/// The statements of a text. A semicolon in a string, a quoted name, a comment, a parenthesis or the body of a function
/// ends none.
///
/// # Errors
/// `invalid_value` for a string, a quoted name or a comment that is not closed.
///
/// ```
/// use ematix_flow_core::query::statements;
/// let found = statements("ANALYZE a; -- the other;\nSELECT ';' /* ; */;;").unwrap();
/// let texts: Vec<&str> = found.iter().map(|statement| statement.text.as_str()).collect();
/// assert_eq!(texts, ["ANALYZE a", "SELECT ';'"]);
/// ```
pub fn statements(text: &str) -> Result<Vec<Statement>> {
    let lexed = lex(text)?;
    let mut found = Vec::new();
    let mut begun: Option<Begun> = None;
    let mut last = 0;
    for (index, (at, token)) in lexed.tokens.iter().enumerate() {
        let ends = *token == Token::Symbol(';') && begun.as_ref().is_none_or(|begun| !begun.is_inside());
        if ends {
            found.extend(begun.take().map(|begun| begun.statement(&text[..last])));
            continue;
        }
        begun.get_or_insert_with(|| Begun::at(*at)).add(token);
        // Where this token ends: what lies before the next one is space and comments.
        last = match lexed.tokens.get(index + 1) {
            Some((next, _)) => end_of(text, *at, *next),
            None => lexed.end,
        };
    }
    found.extend(begun.map(|begun| begun.statement(&text[..last])));
    Ok(found)
}

/// Where a token ends that begins at a place and is followed by another: the rest of what lies between is no token.
fn end_of(text: &str, at: usize, next: usize) -> usize {
    lex(&text[at..next]).map_or(next, |alone| at + alone.end)
}

/// Whether a statement is a COPY whose rows pass the client.
///
/// ```
/// use ematix_flow_core::query::copies_by_client;
/// assert!(copies_by_client("copy t (a) FROM stdin WITH (FORMAT csv)"));
/// assert!(!copies_by_client("COPY t FROM '/data/t.csv'"));
/// ```
pub fn copies_by_client(text: &str) -> bool {
    let Ok(lexed) = lex(text) else { return false };
    let mut depth = 0;
    let mut words = Vec::new();
    for (_, token) in &lexed.tokens {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Word(word) if depth == 0 => words.push(word.as_str()),
            _ => {}
        }
    }
    words.first() == Some(&"copy")
        && words.windows(2).any(|pair| matches!(pair, ["from", "stdin"] | ["to", "stdout"]))
}

/// A statement that has begun.
struct Begun {
    start: usize,
    words: Vec<String>,
    parentheses: usize,
    /// How deep in the body of a function: `BEGIN ATOMIC … END`.
    body: usize,
}

impl Begun {
    fn at(start: usize) -> Begun {
        Begun { start, words: Vec::new(), parentheses: 0, body: 0 }
    }

    fn add(&mut self, token: &Token) {
        match token {
            Token::Symbol('(') => self.parentheses += 1,
            Token::Symbol(')') => self.parentheses = self.parentheses.saturating_sub(1),
            Token::Word(word) => {
                if self.makes_a_function() {
                    match word.as_str() {
                        "begin" => self.body += 1,
                        "case" if self.body > 0 => self.body += 1,
                        "end" => self.body = self.body.saturating_sub(1),
                        _ => {}
                    }
                }
                if self.words.len() < WORDS {
                    self.words.push(word.clone());
                }
            }
            _ => {}
        }
    }

    fn makes_a_function(&self) -> bool {
        let mut words =
            self.words.iter().map(String::as_str).filter(|word| !matches!(*word, "or" | "replace"));
        words.next() == Some("create") && matches!(words.next(), Some("function" | "procedure"))
    }

    fn is_inside(&self) -> bool {
        self.parentheses > 0 || self.body > 0
    }

    fn statement(self, text: &str) -> Statement {
        Statement { text: text[self.start..].to_owned(), words: self.words }
    }
}

impl Statement {
    /// Why it cannot be in a transaction of several, where Postgres refuses it there.
    pub fn needs_no_transaction(&self) -> Option<String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let concurrently = words.contains(&"concurrently");
        let alone = match words.as_slice() {
            ["vacuum", ..] => "VACUUM",
            ["create", "index", ..] | ["create", "unique", "index", ..] if concurrently => {
                "CREATE INDEX CONCURRENTLY"
            }
            ["drop", "index", ..] if concurrently => "DROP INDEX CONCURRENTLY",
            ["reindex", ..] if concurrently => "REINDEX CONCURRENTLY",
            ["reindex", "database" | "system", ..] => "REINDEX of a database",
            ["create" | "drop", "database", ..] => "a statement that makes or drops a database",
            ["create" | "drop", "tablespace", ..] => "a statement that makes or drops a tablespace",
            ["alter", "system", ..] => "ALTER SYSTEM",
            _ => return None,
        };
        Some(alone.to_owned())
    }

    /// The word by which it would begin or end a transaction of its own.
    pub fn ends_transactions(&self) -> Option<String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["rollback", "to", ..] | ["rollback", _, "to", ..] => None,
            ["start", "transaction", ..] => Some("START TRANSACTION".to_owned()),
            ["prepare", "transaction", ..] => Some("PREPARE TRANSACTION".to_owned()),
            [word @ ("begin" | "commit" | "end" | "rollback" | "abort"), ..] => Some(word.to_uppercase()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        statements(text).unwrap().into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_where_it_stands_alone() {
        for one in [
            "SELECT 'a;b', E'\\';', \"x;y\", $$ ; $$, $t$ ; $$ ; $t$",
            "INSERT INTO t VALUES (1 /* ; /* ; */ ; */)",
            "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO l VALUES (1); INSERT INTO l VALUES (2))",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
            "SELECT 1 -- one;\n  FROM t",
        ] {
            assert_eq!(texts(one), [one]);
            assert_eq!(
                texts(&format!("-- first;\n{one} -- last;\n; /* ; */ ;\n\nSELECT 2;")),
                [one, "SELECT 2"]
            );
        }
        assert_eq!(texts(" ; -- nothing\n ;"), [] as [&str; 0]);
        assert_eq!(statements("SELECT 'a").unwrap_err().message, "a string is not closed");
    }

    #[test]
    fn what_cannot_be_in_a_transaction_is_told() {
        let alone = |text: &str| statements(text).unwrap()[0].needs_no_transaction();
        for text in [
            "VACUUM",
            "vacuum (analyze) core.orders",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
            "drop index concurrently if exists i",
            "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
            "CREATE DATABASE d",
        ] {
            assert!(alone(text).is_some(), "{text}");
        }
        for text in [
            "ANALYZE",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "CREATE INDEX i ON t (a)",
            "SELECT vacuum",
        ] {
            assert_eq!(alone(text), None, "{text}");
        }
    }

    #[test]
    fn what_ends_a_transaction_is_told() {
        let ends = |text: &str| statements(text).unwrap()[0].ends_transactions();
        assert_eq!(ends("commit AND CHAIN").as_deref(), Some("COMMIT"));
        assert_eq!(ends("start transaction").as_deref(), Some("START TRANSACTION"));
        for text in ["SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "CALL commit()"] {
            assert_eq!(ends(text), None, "{text}");
        }
    }
}
