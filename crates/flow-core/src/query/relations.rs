//! Which tables a query names beyond doubt. A name without a schema is not told: which table it means depends on the
//! session, or it is a name of the query's own.

use super::{ReadQuery, Token, lex, name};
use crate::sql::QualifiedName;

/// What ends a FROM clause on its level.
const AFTER_FROM: &[&str] = &[
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "union",
    "intersect",
    "except",
    "select",
];

/// A level of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// A query, and not the arguments of a function: `extract(day FROM at)` has a FROM of another kind.
    query: bool,
    /// Between FROM and what ends it.
    from: bool,
    /// A relation stands next.
    next: bool,
}

impl ReadQuery {
    /// The tables that it reads for certain, in their order: those that are named with their schema.
    ///
    /// ```
    /// use ematix_flow_core::query::ReadQuery;
    /// let query = ReadQuery::parse("SELECT * FROM app.a JOIN app.b USING (id) WHERE a.x IS DISTINCT FROM b.x").unwrap();
    /// let names: Vec<String> = query.relations().iter().map(ToString::to_string).collect();
    /// assert_eq!(names, ["app.a", "app.b"]);
    /// ```
    pub fn relations(&self) -> Vec<QualifiedName> {
        let Ok(lexed) = lex(&self.text) else { return Vec::new() };
        let tokens: Vec<Token> = lexed.tokens.into_iter().map(|(_, token)| token).collect();
        let mut found: Vec<QualifiedName> = Vec::new();
        let mut levels = vec![Level { query: true, ..Level::default() }];
        for (at, token) in tokens.iter().enumerate() {
            let level = levels.last_mut().expect("the parentheses of a query match");
            let expected = std::mem::take(&mut level.next);
            match token {
                Token::Symbol('(') => {
                    let joined = expected && !begins_query(tokens.get(at + 1));
                    let query = joined || begins_query(tokens.get(at + 1));
                    levels.push(Level { query, from: joined, next: joined });
                }
                Token::Symbol(')') => {
                    levels.pop();
                }
                Token::Symbol(',') => level.next = level.from,
                Token::Word(word) => match word.as_str() {
                    "from" if level.query && !compares(&tokens[..at]) => {
                        (level.from, level.next) = (true, true);
                    }
                    "join" => level.next = level.from,
                    "only" | "lateral" if expected => level.next = true,
                    "table" if level.query && (at == 0 || follows_set(&tokens[..at])) => level.next = true,
                    ended if AFTER_FROM.contains(&ended) => level.from = false,
                    _ if expected => found.extend(relation(&tokens[at..])),
                    _ => {}
                },
                Token::QuotedName(_) if expected => found.extend(relation(&tokens[at..])),
                _ => {}
            }
        }
        let mut told: Vec<QualifiedName> = Vec::new();
        for name in found {
            if !told.contains(&name) {
                told.push(name);
            }
        }
        told
    }
}

fn begins_query(token: Option<&Token>) -> bool {
    match token {
        Some(Token::Word(word)) => matches!(word.as_str(), "select" | "with" | "values" | "table"),
        Some(Token::Symbol('(')) => true,
        _ => false,
    }
}

/// Whether what stands before a FROM makes a comparison of it: IS [NOT] DISTINCT FROM.
fn compares(before: &[Token]) -> bool {
    let word = |back: usize| match before.len().checked_sub(back).map(|at| &before[at]) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    word(1) == "distinct" && matches!(word(2), "is" | "not")
}

fn follows_set(before: &[Token]) -> bool {
    matches!(before.last(), Some(Token::Word(word)) if matches!(word.as_str(), "union" | "all" | "except" | "intersect"))
}

/// `schema.table` at the beginning, where it is no function and no name of three parts.
fn relation(tokens: &[Token]) -> Option<QualifiedName> {
    let [schema, Token::Symbol('.'), table, rest @ ..] = tokens else { return None };
    if matches!(rest.first(), Some(Token::Symbol('(' | '.'))) {
        return None;
    }
    QualifiedName::new(name(schema)?, name(table)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relations(text: &str) -> String {
        let query = ReadQuery::parse(text).unwrap();
        query.relations().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tables_with_their_schema_are_told_and_nothing_else() {
        for (text, told) in [
            ("SELECT * FROM app.a", "app.a"),
            ("SELECT * FROM a", ""),
            ("SELECT * FROM App.A x, \"app\".\"B\" AS y", "app.a app.B"),
            ("SELECT * FROM ONLY app.a LEFT JOIN LATERAL (SELECT * FROM app.b) b ON true", "app.a app.b"),
            ("WITH c AS (SELECT * FROM app.a) SELECT * FROM c JOIN app.b ON c.id = b.id", "app.a app.b"),
            ("SELECT extract(day FROM t.at), substring(t.x FROM t.y) FROM app.t t", "app.t"),
            (
                "SELECT * FROM app.t t WHERE t.a IS NOT DISTINCT FROM t.b AND t.c IS DISTINCT FROM t.d",
                "app.t",
            ),
            ("SELECT DISTINCT FROM app.t", "app.t"),
            ("SELECT * FROM app.rows(1), other.db.t", ""),
            (
                "SELECT a.x, b.y FROM (app.a JOIN app.b USING (id)), app.c ORDER BY a.x, b.y",
                "app.a app.b app.c",
            ),
            ("SELECT 'FROM no.table' -- FROM no.table\nFROM app.t UNION ALL TABLE app.u", "app.t app.u"),
            ("SELECT (SELECT max(x.n) FROM app.x x), t.* FROM app.t t GROUP BY t.a, t.b", "app.x app.t"),
            ("SELECT * FROM app.a UNION SELECT t.x, t.y FROM app.a t", "app.a"),
            ("SELECT x FROM app.t FOR SYSTEM", "app.t"),
        ] {
            assert_eq!(relations(text), told, "{text}");
        }
    }
}
