//! SQL as values: names, literals, user queries and templates with typed holes.
//!
//! Nothing else in the system quotes. A [`Sql`] is built from literal templates and typed parts and
//! becomes text only in [`Sql::render`], by whoever knows how to [`Quote`].

use crate::error::{ErrorCode, FlowError, Result};
use crate::hash::hmac::KeyBlock;
use crate::run_value::{RunValue, Values};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Postgres cuts identifiers at 63 bytes with only a NOTICE; we refuse instead.
pub const MAX_NAME_BYTES: usize = 63;

/// How a database writes names and values.
pub trait Quote {
    /// The engine that it is written for, by the engine's name.
    fn engine(&self) -> &'static str;
    /// A name, quoted.
    fn quote(&self, name: &Ident) -> String;
    /// A value.
    fn literal(&self, value: &Literal) -> String;
    /// A name with its schema, quoted.
    fn qualified(&self, name: &QualifiedName) -> String {
        format!("{}.{}", self.quote(&name.schema), self.quote(&name.name))
    }
    /// A text as the name that it is, quoted; what cannot be one, as it is, to be shown.
    fn quote_or_show(&self, name: &str) -> String {
        Ident::new(name).map_or_else(|_| name.to_owned(), |name| self.quote(&name))
    }
}

/// A name in a database, kept exactly as written. A plan names its columns hundreds of times: a clone copies nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ident(Arc<str>);

impl Ident {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// `name_too_long` above 63 bytes, `invalid_value` for an empty name or one with a zero byte.
    pub fn new(name: impl Into<String>) -> Result<Ident> {
        let name: String = name.into();
        if name.is_empty() {
            return Err(FlowError::new(ErrorCode::InvalidValue, "a name is empty"));
        }
        if name.contains('\0') {
            return Err(FlowError::new(ErrorCode::InvalidValue, "a name contains a zero byte"));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(FlowError::new(
                ErrorCode::NameTooLong,
                format!("the name `{name}` has {} bytes; Postgres keeps {MAX_NAME_BYTES}", name.len()),
            )
            .hint("choose a shorter name: Postgres would cut it silently"));
        }
        Ok(Ident(name.into()))
    }

    /// A name of ours, known to be valid.
    pub fn fixed(name: &'static str) -> Ident {
        Ident::new(name).expect("our own names are valid")
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Ident {
    type Error = FlowError;
    fn try_from(name: String) -> Result<Ident> {
        Ident::new(name)
    }
}

impl From<Ident> for String {
    fn from(ident: Ident) -> String {
        ident.as_str().to_owned()
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table or view with its schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Ident,
    /// The table.
    pub name: Ident,
}

impl QualifiedName {
    /// Both names, checked.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Result<QualifiedName> {
        Ok(QualifiedName { schema: Ident::new(schema)?, name: Ident::new(name)? })
    }

    /// Reads `schema.table`; a dot separates, double quotes protect one. Without a schema: `None`.
    pub fn parse(text: &str) -> Result<(Option<Ident>, Ident)> {
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut characters = text.chars().peekable();
        let mut quoted = false;
        while let Some(character) = characters.next() {
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    part.push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(std::mem::take(&mut part)),
                other => part.push(other),
            }
        }
        parts.push(part);
        if quoted {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("a double quote is not closed in `{text}`"),
            ));
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, None) => Ok((None, Ident::new(name)?)),
            (Some(schema), Some(name), None) => Ok((Some(Ident::new(schema)?), Ident::new(name)?)),
            _ => Err(FlowError::new(ErrorCode::InvalidValue, format!("`{text}` has more than one dot"))
                .hint("write schema.table; double quotes protect a dot: 'schema.\"a.b\"'")),
        }
    }
}

/// `schema.table` as [`QualifiedName::parse`] reads it: double quotes only where a name has a dot or a quote,
/// so that no two tables are written alike.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in [&self.schema, &self.name].into_iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if part.as_str().contains(['.', '"']) {
                write!(f, "\"{}\"", part.as_str().replace('"', "\"\""))?;
            } else {
                f.write_str(part.as_str())?;
            }
        }
        Ok(())
    }
}

/// A value in SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A floating point number.
    Float(f64),
    /// A truth value.
    Boolean(bool),
    /// NULL.
    Null,
}

/// A block of a secret key, as text of hexadecimal digits. No plan holds the key: what is printed is where it is to be
/// found, and it is asked for when the statement is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedKey {
    /// Where the key is to be found: `${env:NAME}`.
    pub written: String,
    /// Which block.
    pub block: KeyBlock,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Of a template as it stands there, else made by somebody.
    Text(Cow<'static, str>),
    Name(Ident),
    Literal(Literal),
    RunValue(RunValue),
    Sealed(SealedKey),
    /// What one engine words in its own way, and all others alike.
    Worded {
        common: Sql,
        engine: &'static str,
        own: Sql,
    },
}

/// A piece of SQL. Composes with [`sql!`](crate::sql!), prints by whoever can [`Quote`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sql {
    parts: Vec<Part>,
}

impl Sql {
    /// Nothing.
    pub fn empty() -> Sql {
        Sql::default()
    }

    /// Text of ours, without holes.
    pub fn text(text: &'static str) -> Sql {
        Sql { parts: vec![Part::Text(text.into())] }
    }

    /// Text that a dialect made: already quoted by it.
    pub fn from_dialect(text: String) -> Sql {
        Sql { parts: vec![Part::Text(text.into())] }
    }

    /// The user's own SQL, an expression or a condition, in parentheses on lines of its own, so that
    /// a trailing comment cannot break out.
    pub fn user(text: &str) -> Sql {
        Sql { parts: vec![Part::Text(format!("(\n{}\n)", text.trim_end()).into())] }
    }

    /// The user's own SQL where no parenthesis may stand (ORDER BY lists), on lines of its own.
    pub fn user_list(text: &str) -> Sql {
        Sql { parts: vec![Part::Text(format!("\n{}\n", text.trim_end()).into())] }
    }

    /// Fills the `{name}` holes of a template. A hole that is not given, or given and not there, is
    /// our own mistake and panics; every template is rendered by a test.
    pub fn template(template: &'static str, holes: &[(&str, &dyn Hole)]) -> Sql {
        let mut out = Sql { parts: Vec::with_capacity(2 * holes.len() + 1) };
        let mut rest = template;
        let mut used = 0_u64;
        while let Some(start) = rest.find('{') {
            let end = start + rest[start..].find('}').expect("every { of a template is closed");
            let name = &rest[start + 1..end];
            let index = holes
                .iter()
                .position(|(hole, _)| *hole == name)
                .unwrap_or_else(|| panic!("template hole {name} is filled: {template}"));
            used |= 1 << index;
            if start > 0 {
                out.parts.push(Part::Text(rest[..start].into()));
            }
            holes[index].1.fill(&mut out);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            out.parts.push(Part::Text(rest.into()));
        }
        if let Some((hole, _)) = holes.get(used.trailing_ones() as usize) {
            panic!("template has a hole for {hole}: {template}");
        }
        out
    }

    /// Appends another piece.
    pub fn push(&mut self, other: &dyn Hole) {
        other.fill(self);
    }

    /// Pieces with text of ours between them.
    pub fn join(pieces: impl IntoIterator<Item = Sql>, between: &'static str) -> Sql {
        let mut out = Sql::empty();
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                out.parts.push(Part::Text(between.into()));
            }
            out.parts.extend(piece.parts);
        }
        out
    }

    /// A piece that one engine words in its own way.
    pub fn worded(common: Sql, engine: &'static str, own: Sql) -> Sql {
        Sql { parts: vec![Part::Worded { common, engine, own }] }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The text of this piece, with the values of the run still open.
    pub fn render(&self, quote: &dyn Quote) -> Statement {
        let mut statement = Statement::default();
        self.render_into(quote, &mut statement);
        statement
    }

    fn render_into(&self, quote: &dyn Quote, statement: &mut Statement) {
        for part in &self.parts {
            match part {
                Part::Text(text) => statement.push_text(text),
                Part::Name(name) => statement.push_text(&quote.quote(name)),
                Part::Literal(literal) => statement.push_text(&quote.literal(literal)),
                Part::RunValue(value) => statement.pieces.push(Piece::RunValue(*value)),
                Part::Sealed(key) => statement.pieces.push(Piece::Sealed(key.clone(), None)),
                Part::Worded { engine, own, .. } if *engine == quote.engine() => {
                    own.render_into(quote, statement);
                }
                Part::Worded { common, .. } => common.render_into(quote, statement),
            }
        }
    }

    /// The text of a piece that has no values of the run.
    pub fn to_text(&self, quote: &dyn Quote) -> String {
        self.render(quote).to_string()
    }
}

/// What may stand in a hole of a template.
pub trait Hole {
    /// Appends itself.
    fn fill(&self, out: &mut Sql);
}

impl Hole for Sql {
    fn fill(&self, out: &mut Sql) {
        out.parts.extend(self.parts.iter().cloned());
    }
}

impl Hole for Ident {
    fn fill(&self, out: &mut Sql) {
        out.parts.push(Part::Name(self.clone()));
    }
}

impl Hole for QualifiedName {
    fn fill(&self, out: &mut Sql) {
        self.schema.fill(out);
        out.parts.push(Part::Text(".".into()));
        self.name.fill(out);
    }
}

impl Hole for Literal {
    fn fill(&self, out: &mut Sql) {
        out.parts.push(Part::Literal(self.clone()));
    }
}

impl Hole for RunValue {
    fn fill(&self, out: &mut Sql) {
        out.parts.push(Part::RunValue(*self));
    }
}

impl Hole for SealedKey {
    fn fill(&self, out: &mut Sql) {
        out.parts.push(Part::Sealed(self.clone()));
    }
}

/// Names with commas between them.
impl Hole for [Ident] {
    fn fill(&self, out: &mut Sql) {
        for (index, name) in self.iter().enumerate() {
            if index > 0 {
                out.parts.push(Part::Text(", ".into()));
            }
            name.fill(out);
        }
    }
}

impl Hole for Vec<Ident> {
    fn fill(&self, out: &mut Sql) {
        self.as_slice().fill(out);
    }
}

impl<T: Hole + ?Sized> Hole for &T {
    fn fill(&self, out: &mut Sql) {
        (**self).fill(out);
    }
}

/// A text value.
pub fn text(value: impl Into<String>) -> Literal {
    Literal::Text(value.into())
}

/// SQL from a template with typed holes: `sql!("DROP TABLE {table}", table)`.
#[macro_export]
macro_rules! sql {
    ($template:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        $crate::sql::Sql::template($template, &[ $( (stringify!($name), &$crate::sql!(@value $name $(= $value)?) as &dyn $crate::sql::Hole) ),* ])
    };
    (@value $name:ident) => { $name };
    (@value $name:ident = $value:expr) => { $value };
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    RunValue(RunValue),
    /// A key, and its block once it is known.
    Sealed(SealedKey, Option<Secret>),
}

/// The text of a statement, with the numbers that only the run knows still open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    pieces: Vec<Piece>,
}

impl Statement {
    fn push_text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// Asks for the keys that are not known yet; they are sent, and never printed.
    ///
    /// # Errors
    /// What the answers say.
    pub fn unseal(&mut self, key_of: &mut dyn FnMut(&str) -> Result<Secret>) -> Result<()> {
        for piece in &mut self.pieces {
            if let Piece::Sealed(sealed, known) = piece {
                *known = Some(sealed.block.of(key_of(&sealed.written)?.reveal().as_bytes()).into());
            }
        }
        Ok(())
    }

    /// The text to send, with every value of the run filled in.
    ///
    /// # Panics
    /// Where a key is asked for that [`Statement::unseal`] has not found.
    pub fn fill(&self, values: &Values, quote: &dyn Quote) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::RunValue(value) => quote.literal(&known(values, *value)),
                Piece::Sealed(_, block) => {
                    let block = block.as_ref().expect("keys are asked for before a statement is sent");
                    quote.literal(&Literal::Text(block.reveal().to_owned()))
                }
            })
            .collect()
    }
}

/// What stands for a value of the run; a text that is not there is NULL.
fn known(values: &Values, value: RunValue) -> Literal {
    match value.is_text() {
        true => values.text(value).map_or(Literal::Null, |text| Literal::Text(text.to_owned())),
        false => Literal::Integer(values.number(value)),
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::RunValue(value) => write!(f, ":{}", value.name())?,
                Piece::Sealed(key, _) => write!(f, "'{}'", key.written.replace('\'', "''"))?,
            }
        }
        Ok(())
    }
}

impl Serialize for Statement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => serializer.serialize_str(text),
            _ => serializer.serialize_str(&self.to_string()),
        }
    }
}
