//! The named statements of `queries.sql`, `rewind.sql`, `slots.sql` and `forget.sql`, split at first use.
//!
//! A statement begins with `-- name: NAME(parameter kind, …)`; other lines that begin with `--` are for readers. In its
//! text, `:parameter` is a value, `{parameter}` a piece of SQL, and a table of ours stands by its plain name, which the
//! dialect quotes as it quotes every other. Text between single quotes has none of these.

use super::SCHEMA;
use crate::dialect::duckdb;
use crate::run_value::RunValue;
use crate::sql::{Hole, Ident, Literal, QualifiedName, Sql};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const QUERIES: &str = concat!(
    include_str!("queries.sql"),
    "\n",
    include_str!("rewind.sql"),
    "\n",
    include_str!("slots.sql"),
    "\n",
    include_str!("forget.sql")
);

/// What DuckDB words in its own way.
const OF_DUCKDB: &str = concat!(
    include_str!("duckdb/queries.sql"),
    "\n",
    include_str!("duckdb/rewind.sql"),
    "\n",
    include_str!("duckdb/slots.sql"),
    "\n",
    include_str!("duckdb/forget.sql")
);

static STATEMENTS: LazyLock<BTreeMap<&str, Named>> = LazyLock::new(|| read(QUERIES, OF_DUCKDB));

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text or NULL.
    TextOrNull,
    /// Texts with commas between them; at least one.
    Texts,
    /// A whole number.
    Integer,
    /// A truth value.
    Boolean,
    /// A value that only the run knows.
    RunValue,
    /// A piece of SQL.
    Sql,
}

const KINDS: [(&str, Kind); 7] = [
    ("text", Kind::Text),
    ("text?", Kind::TextOrNull),
    ("texts", Kind::Texts),
    ("integer", Kind::Integer),
    ("boolean", Kind::Boolean),
    ("run_value", Kind::RunValue),
    ("sql", Kind::Sql),
];

/// What a parameter is given.
#[derive(Clone, Debug)]
pub enum Value {
    /// A text.
    Text(String),
    /// A text, which may be missing.
    TextOrNull(Option<String>),
    /// Texts.
    Texts(Vec<String>),
    /// A whole number.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// A value that only the run knows.
    RunValue(RunValue),
    /// A piece of SQL.
    Sql(Sql),
}

impl Value {
    fn kind(&self) -> Kind {
        match self {
            Value::Text(_) => Kind::Text,
            Value::TextOrNull(_) => Kind::TextOrNull,
            Value::Texts(_) => Kind::Texts,
            Value::Integer(_) => Kind::Integer,
            Value::Boolean(_) => Kind::Boolean,
            Value::RunValue(_) => Kind::RunValue,
            Value::Sql(_) => Kind::Sql,
        }
    }
}

impl Hole for Value {
    fn fill(&self, out: &mut Sql) {
        match self {
            Value::Text(text) => Literal::Text(text.clone()).fill(out),
            Value::TextOrNull(text) => text.clone().map_or(Literal::Null, Literal::Text).fill(out),
            Value::Texts(texts) => {
                for (index, text) in texts.iter().enumerate() {
                    if index > 0 {
                        Sql::text(", ").fill(out);
                    }
                    Literal::Text(text.clone()).fill(out);
                }
            }
            Value::Integer(number) => Literal::Integer(*number).fill(out),
            Value::Boolean(truth) => Literal::Boolean(*truth).fill(out),
            Value::RunValue(value) => value.fill(out),
            Value::Sql(sql) => sql.fill(out),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Text(text.clone())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Value {
        Value::TextOrNull(text.map(str::to_owned))
    }
}

impl<T: AsRef<str>> From<&[T]> for Value {
    fn from(texts: &[T]) -> Value {
        Value::Texts(texts.iter().map(|text| text.as_ref().to_owned()).collect())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Boolean(truth)
    }
}

impl From<RunValue> for Value {
    fn from(value: RunValue) -> Value {
        Value::RunValue(value)
    }
}

impl From<Sql> for Value {
    fn from(sql: Sql) -> Value {
        Value::Sql(sql)
    }
}

impl From<&Ident> for Value {
    fn from(name: &Ident) -> Value {
        let mut sql = Sql::empty();
        name.fill(&mut sql);
        Value::Sql(sql)
    }
}

impl From<&QualifiedName> for Value {
    fn from(name: &QualifiedName) -> Value {
        let mut sql = Sql::empty();
        name.fill(&mut sql);
        Value::Sql(sql)
    }
}

/// A named statement with its values, as [`statement!`](crate::statement!) writes it.
///
/// A name that is not there, a value that is missing, too much or of another kind is our own mistake and panics; a test
/// reads every use in the workspace.
pub fn statement(name: &str, values: &[(&str, Value)]) -> Sql {
    let named = STATEMENTS.get(name).unwrap_or_else(|| panic!("queries.sql has a statement {name}"));
    named.fill(name, values)
}

/// The names of all statements.
pub fn names() -> Vec<&'static str> {
    STATEMENTS.keys().copied().collect()
}

/// The parameters of a statement, with their kinds.
pub fn kinds(name: &str) -> Option<&'static [(&'static str, Kind)]> {
    STATEMENTS.get(name).map(|named| named.parameters.as_slice())
}

/// A statement of `queries.sql` with its values: `statement!("pause_of", name = name)`.
#[macro_export]
macro_rules! statement {
    ($name:literal $(, $parameter:ident = $value:expr)* $(,)?) => {
        $crate::history::statement(
            $name,
            &[$( (stringify!($parameter), $crate::history::Value::from($value)) ),*],
        )
    };
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(&'static str),
    /// A table of ours.
    Table(QualifiedName),
    /// `:parameter`.
    Value(&'static str),
    /// `{parameter}`.
    Sql(&'static str),
}

#[derive(Debug, PartialEq)]
struct Named {
    parameters: Vec<(&'static str, Kind)>,
    pieces: Vec<Piece>,
    /// As DuckDB words it, where that is otherwise.
    of_duckdb: Option<Vec<Piece>>,
}

impl Named {
    fn fill(&self, name: &str, values: &[(&str, Value)]) -> Sql {
        for (parameter, value) in values {
            let kind = self.parameters.iter().find(|(known, _)| known == parameter).map(|(_, kind)| *kind);
            assert_eq!(kind, Some(value.kind()), "{name} takes {parameter}");
        }
        let common = worded(&self.pieces, name, values);
        match &self.of_duckdb {
            Some(pieces) => Sql::worded(common, duckdb::NAME, worded(pieces, name, values)),
            None => common,
        }
    }
}

fn worded(pieces: &[Piece], name: &str, values: &[(&str, Value)]) -> Sql {
    let mut out = Sql::empty();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push(&Sql::text(text)),
            Piece::Table(table) => out.push(table),
            Piece::Value(parameter) | Piece::Sql(parameter) => {
                let given = values.iter().find(|(given, _)| given == parameter);
                let (_, value) = given.unwrap_or_else(|| panic!("{name} is given {parameter}"));
                out.push(value);
            }
        }
    }
    out
}

/// Splits a file of statements, and one with other words for some of them.
fn read(file: &'static str, of_duckdb: &'static str) -> BTreeMap<&'static str, Named> {
    let mut statements = BTreeMap::new();
    for (head, body) in sections(file) {
        let (name, parameters) = heading(head);
        let named = Named { parameters, pieces: pieces(body), of_duckdb: None };
        assert!(statements.insert(name, named).is_none(), "{name} stands in the file once");
    }
    for (name, body) in sections(of_duckdb) {
        let named =
            statements.get_mut(name.trim_end()).unwrap_or_else(|| panic!("there is a statement {name}"));
        assert!(named.of_duckdb.replace(pieces(body)).is_none(), "{name} stands in the file once");
    }
    statements
}

/// What stands behind each `-- name: `, and below it.
fn sections(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let part = |part: &'static str| part.split_once('\n').expect("a statement stands below its name");
    file.split("-- name: ").skip(1).map(part)
}

/// `name(parameter kind, …)`.
fn heading(head: &'static str) -> (&'static str, Vec<(&'static str, Kind)>) {
    let (name, rest) = head.split_once('(').expect("a name has its parameters");
    let list = rest.trim_end().strip_suffix(')').expect("the parameters are closed");
    let parameters = list.split(", ").filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let (parameter, said) = parameter.split_once(' ').expect("a parameter has a kind");
        let kind = KINDS.iter().find(|(word, _)| *word == said).expect("a kind of parameters").1;
        (parameter, kind)
    });
    (name, parameters.collect())
}

/// A statement's text without its comments, and without the semicolon that ends it.
fn pieces(body: &'static str) -> Vec<Piece> {
    let is_text = |line: &&str| !line.trim_start().starts_with("--");
    let mut lines: Vec<&'static str> = body.split_inclusive('\n').filter(is_text).collect();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    if let Some(last) = lines.last_mut() {
        *last = last.trim_end().trim_end_matches(';');
    }
    let mut out = Vec::new();
    lines.into_iter().for_each(|line| split_line(line, &mut out));
    out
}

fn split_line(line: &'static str, out: &mut Vec<Piece>) {
    let (mut begin, mut at) = (0, 0);
    let word = |from: usize| {
        let rest = &line[from..];
        &rest[..rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len())]
    };
    while at < line.len() {
        let rest = &line[at..];
        let (piece, length) = match rest.as_bytes()[0] {
            b'\'' => {
                at += 2 + rest[1..].find('\'').expect("a string ends on its line");
                continue;
            }
            b':' if rest.starts_with("::") => {
                at += 2;
                continue;
            }
            b':' => {
                let name = word(at + 1);
                (Piece::Value(name), 1 + name.len())
            }
            b'{' => {
                let name = word(at + 1);
                assert!(rest[1 + name.len()..].starts_with('}'), "a hole is closed: {line}");
                (Piece::Sql(name), 2 + name.len())
            }
            _ if rest.starts_with("ematix_flow.") => {
                let name = word(at + SCHEMA.len() + 1);
                let table = QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::fixed(name) };
                (Piece::Table(table), SCHEMA.len() + 1 + name.len())
            }
            _ => {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            }
        };
        if begin < at {
            out.push(Piece::Text(&line[begin..at]));
        }
        out.push(piece);
        at += length;
        begin = at;
    }
    if begin < line.len() {
        out.push(Piece::Text(&line[begin..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::duckdb::DuckDb;
    use crate::dialect::postgres::Postgres;
    use crate::history::{MIGRATIONS, tables};

    fn filled(file: &'static str, values: &[(&str, Value)]) -> String {
        read(file, "")["one"].fill("one", values).to_text(&Postgres)
    }

    #[test]
    fn a_statement_is_filled_with_values_and_pieces_and_its_tables_are_quoted() {
        let file = "-- About the file.\n\n-- name: one(run_id text, at text?, of texts, which sql)\n-- For readers.\nSELECT {which} #>> '{}', ':at', :at::timestamptz\n-- Why.\n  FROM ematix_flow.slots AS s\n WHERE s.run = :run_id AND s.of IN (:of);\n\n-- What follows.\n";
        let text = filled(
            file,
            &[
                ("run_id", "it's".into()),
                ("at", None.into()),
                ("of", ["a", "b"].as_slice().into()),
                ("which", Sql::text("s.x").into()),
            ],
        );
        assert_eq!(
            text,
            "SELECT s.x #>> '{}', ':at', NULL::timestamptz\n  FROM \"ematix_flow\".\"slots\" AS s\n WHERE s.run = 'it''s' AND s.of IN ('a', 'b')"
        );
    }

    #[test]
    #[should_panic(expected = "one is given run_id")]
    fn a_value_that_is_missing_is_our_mistake() {
        filled("-- name: one(run_id text)\nSELECT :run_id", &[]);
    }

    #[test]
    #[should_panic(expected = "one takes run_id")]
    fn a_value_of_another_kind_is_our_mistake() {
        filled("-- name: one(run_id text)\nSELECT :run_id", &[("run_id", 1_i64.into())]);
    }

    /// What is wrong with the statements of a file, and with other words for them.
    fn mistakes(file: &'static str, of_duckdb: &'static str) -> Vec<String> {
        let known = tables(MIGRATIONS);
        let mut found = Vec::new();
        for (name, named) in read(file, of_duckdb) {
            let mut unused: Vec<&str> = named.parameters.iter().map(|(parameter, _)| *parameter).collect();
            for piece in named.pieces.iter().chain(named.of_duckdb.iter().flatten()) {
                match piece {
                    Piece::Text(text) if text.contains("--") => {
                        found.push(format!("{name}: a comment behind SQL"));
                    }
                    Piece::Text(_) => {}
                    Piece::Table(table) if known.contains(&table.name.as_str()) => {}
                    Piece::Table(table) => found.push(format!("{name}: no table {}", table.name)),
                    Piece::Value(parameter) | Piece::Sql(parameter) => {
                        unused.retain(|unused| unused != parameter);
                        let kind = named.parameters.iter().find(|(known, _)| known == parameter);
                        let sql = matches!(piece, Piece::Sql(_));
                        match kind {
                            None => found.push(format!("{name}: {parameter} is not declared")),
                            Some((_, kind)) if (*kind == Kind::Sql) != sql => {
                                found.push(format!("{name}: {parameter} stands as what it is not"));
                            }
                            Some(_) => {}
                        }
                    }
                }
            }
            found.extend(unused.into_iter().map(|parameter| format!("{name}: {parameter} stands nowhere")));
        }
        found
    }

    #[test]
    fn every_statement_has_its_parameters_and_names_tables_that_are_there() {
        assert_eq!(mistakes(QUERIES, OF_DUCKDB), [] as [&str; 0]);
        assert_eq!(
            mistakes(
                "-- name: a(x text, y sql)\nSELECT :y, :z FROM ematix_flow.metadatas -- b\n-- name: c(w text, v text)\nSELECT {w}",
                "-- name: c\nSELECT :v, :u\n",
            ),
            [
                "a: y stands as what it is not",
                "a: z is not declared",
                "a: no table metadatas",
                "a: a comment behind SQL",
                "a: x stands nowhere",
                "c: w stands as what it is not",
                "c: u is not declared",
            ]
        );
    }

    #[test]
    fn duckdb_says_in_its_own_words_what_it_says_otherwise() {
        let version = statement("version", &[]);
        assert_eq!(version.to_text(&DuckDb), version.to_text(&Postgres));
        let there = statement("are_there", &[]);
        assert!(there.to_text(&Postgres).contains("to_regclass"));
        assert!(there.to_text(&DuckDb).contains("duckdb_tables"));
        for (name, named) in read(QUERIES, OF_DUCKDB) {
            let words = named.of_duckdb.unwrap_or(named.pieces);
            let foreign =
                words.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains("pg_catalog")));
            // Where one process has the file, leases are not renewed, and nobody else has left anything.
            let of_others = matches!(name, "renew_leases" | "silent_runs" | "orphaned_stages");
            assert!(!foreign || of_others, "{name} asks DuckDB for what Postgres has");
        }
    }
}
