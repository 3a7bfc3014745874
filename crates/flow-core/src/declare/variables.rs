//! Variables of a project: what `{name}` and `:name` stand for.
//!
//! In a name, `{name}` is text; in SQL it is an identifier, and `:name` a value: both are written by the one place that
//! quotes, so that no text of a variable is ever read as SQL.

use super::for_each::{Answers, Row};
use crate::dialect::postgres::Postgres;
use crate::error::{ErrorCode, FlowError, Location, Result, did_you_mean};
use crate::query::{self, SlotTimes, WATERMARK};
use crate::sql::{Ident, Literal, Quote};
use indexmap::IndexMap;

/// A variable: its value, and who gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// What it stands for.
    pub value: Literal,
    /// Who gave it.
    pub from: Origin,
}

/// Who gave a variable its value.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// The files: `[vars]`, or an environment, as the section of the place says.
    File(Option<Location>),
    /// `--var` of the command.
    Flag,
}

/// Variables by name.
pub type Variables = IndexMap<String, Variable>;

/// What a command says of the project that it reads.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// The environment that is laid over the files.
    pub environment: Option<String>,
    /// Variables for this once, by name, as text.
    pub variables: Vec<(String, String)>,
    /// What databases have answered to the `for_each` of pipelines.
    pub answers: Answers,
}

/// Whether a text can be the name of a variable: `{name}` and `:name` must say where it ends.
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A variable as a plain text.
pub fn text_of(value: &Literal) -> String {
    match value {
        Literal::Text(text) => text.clone(),
        Literal::Integer(number) => number.to_string(),
        Literal::Float(number) => number.to_string(),
        Literal::Boolean(truth) => truth.to_string(),
        Literal::Null => String::new(),
    }
}

/// A text of the command line as a value of the kind that another has.
///
/// # Errors
/// `invalid_value` where it is none.
pub fn like(kind: &Literal, name: &str, text: &str) -> Result<Literal> {
    let (read, kind) = match kind {
        Literal::Text(_) | Literal::Null => return Ok(Literal::Text(text.to_owned())),
        Literal::Integer(_) => (text.parse().ok().map(Literal::Integer), "a whole number"),
        Literal::Float(_) => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            (number.map(Literal::Float), "a number")
        }
        Literal::Boolean(_) => (text.parse().ok().map(Literal::Boolean), "true or false"),
    };
    read.ok_or_else(|| {
        FlowError::new(ErrorCode::InvalidValue, format!("`--var {name}={text}`: the variable is {kind}"))
            .hint("[vars] says of which kind it is; `--var` keeps to it")
    })
}

/// A name or a query that could not be filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfilled {
    /// What is wrong.
    pub error: FlowError,
    /// The part of the text that is meant, as it is written there.
    pub part: String,
    /// Words beside the mark.
    pub label: Option<String>,
}

/// The variables that a text may name.
#[derive(Clone, Copy)]
pub struct Scope<'v> {
    /// Those of the project.
    pub variables: &'v Variables,
    /// What `for_each` gives one of many pipelines; it comes before the project's.
    pub row: &'v Row,
    /// Of a pipeline that stands for many: the names that `for_each` will give, any where they are not known.
    pub pending: Option<Option<&'v [String]>>,
}

/// What a name stands for.
enum Found<'v> {
    Value(&'v Literal),
    /// Nothing yet: it stays as it is written.
    Pending,
}

impl<'v> Scope<'v> {
    /// What a name stands for.
    fn find(&self, name: &str) -> Option<Found<'v>> {
        let known = || self.variables.get(name).map(|variable| Found::Value(&variable.value));
        match self.pending {
            Some(Some(names)) if names.iter().any(|own| own == name) => Some(Found::Pending),
            Some(None) => Some(known().unwrap_or(Found::Pending)),
            _ => self.row.get(name).map(Found::Value).or_else(known),
        }
    }

    fn unknown(&self, name: &str, part: &str) -> Unfilled {
        let error = FlowError::new(ErrorCode::UnknownVariable, format!("`{part}` refers to nothing"));
        let pending = self.pending.flatten().into_iter().flatten();
        let known = self.row.keys().chain(pending).chain(self.variables.keys());
        let near = did_you_mean(name, known.map(String::as_str));
        let label = near.map(|near| format!("did you mean `{}`?", part.replacen(name, near, 1)));
        let error = match label {
            Some(_) => error,
            None => error.hint(format!("give it a value: {name} = \"…\" in [vars], or --var {name}=…")),
        };
        Unfilled { error, part: part.to_owned(), label }
    }

    /// A name with every `{name}` in its place; `{{` and `}}` stand for plain braces.
    ///
    /// # Errors
    /// A variable that there is not, and a brace that belongs to none.
    pub fn name(&self, text: &str, used: &mut Vec<String>) -> Result<String, Box<Unfilled>> {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            if rest[at + 1..].starts_with(brace) {
                out.push_str(brace);
                rest = &rest[at + 2..];
                continue;
            }
            let name = rest[at + 1..].split_once('}').map(|(name, _)| name);
            let Some(name) = name.filter(|name| brace == "{" && is_variable_name(name)) else {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("`{brace}` in a name begins or ends no variable"),
                );
                let error = error.hint("write {name} for a variable, {{ and }} for plain braces");
                return Err(Box::new(Unfilled { error, part: brace.to_owned(), label: None }));
            };
            let part = &rest[at..at + name.len() + 2];
            match self.find(name).ok_or_else(|| Box::new(self.unknown(name, part)))? {
                Found::Value(value) => out.push_str(&text_of(value)),
                Found::Pending => out.push_str(part),
            }
            used.push(name.to_owned());
            rest = &rest[at + part.len()..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// As [`Scope::name`] for a qualified name: what a variable says is part of one name, whatever stands in it. A text
    /// that is nothing but a variable may say both parts.
    ///
    /// # Errors
    /// As [`Scope::name`].
    pub fn qualified_name(&self, text: &str, used: &mut Vec<String>) -> Result<String, Box<Unfilled>> {
        let Some((schema, name)) = text.split_once('.').filter(|_| !text.contains('"')) else {
            return self.name(text, used);
        };
        let mut part = |written: &str| -> Result<String, Box<Unfilled>> {
            let filled = self.name(written, used)?;
            // What a variable brings of dots and quotes is part of a name; what is written besides may be a table's own.
            let signs = |text: &str| text.matches(['.', '"']).count();
            let is_plain = signs(&filled) == signs(written);
            Ok(if is_plain { filled } else { format!("\"{}\"", filled.replace('"', "\"\"")) })
        };
        Ok(format!("{}.{}", part(schema)?, part(name)?))
    }

    /// A query with every `{name}` an identifier and every `:name` a value.
    ///
    /// # Errors
    /// A variable that there is not, and an identifier that is none.
    pub fn query(&self, text: &str, used: &mut Vec<String>) -> Result<String, Box<Unfilled>> {
        if !text.contains([':', '{']) {
            return Ok(text.to_owned());
        }
        // The first that is wrong, with the part of the text that it is.
        let wrong = std::cell::RefCell::new(None);
        let seen = std::cell::RefCell::new(Vec::new());
        let keep = |unfilled: Unfilled| {
            let error = unfilled.error.clone();
            wrong.borrow_mut().get_or_insert(unfilled);
            error
        };
        let of = |name: &str, part: String| {
            seen.borrow_mut().push(name.to_owned());
            self.find(name).ok_or_else(|| keep(self.unknown(name, &part)))
        };
        let filled = query::filled(
            text,
            |name| {
                let part = format!(":{name}");
                // What only a run knows.
                if (SlotTimes::NAMES.contains(&name) || name == WATERMARK) && self.find(name).is_none() {
                    return Ok(part);
                }
                Ok(match of(name, part.clone())? {
                    Found::Value(value) => Postgres.literal(value),
                    Found::Pending => part,
                })
            },
            |name| {
                let part = format!("{{{name}}}");
                let ident = Ident::new(match of(name, part.clone())? {
                    Found::Value(value) => text_of(value),
                    Found::Pending => part.clone(),
                });
                let ident = ident.map_err(|error| keep(Unfilled { error, part, label: None }))?;
                Ok(Postgres.quote(&ident))
            },
        );
        used.append(&mut seen.into_inner());
        // What is not closed is told where the query is read as one.
        filled.or_else(|_| match wrong.into_inner() {
            Some(unfilled) => Err(Box::new(unfilled)),
            None => Ok(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let given = [
            ("region", Literal::Text("E'U".to_owned())),
            ("n", Literal::Integer(-5)),
            ("odd", Literal::Text("a\"b".to_owned())),
            ("on", Literal::Boolean(true)),
        ];
        given
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Variable { value, from: Origin::Flag }))
            .collect()
    }

    #[test]
    fn names_take_text_and_doubled_braces_are_braces() {
        let variables = variables();
        let row = Row::new();
        let scope = Scope { variables: &variables, row: &row, pending: None };
        let mut used = Vec::new();
        assert_eq!(scope.name("a_{region}_{n}_{on}", &mut used).unwrap(), "a_E'U_-5_true");
        assert_eq!(used, ["region", "n", "on"]);
        assert_eq!(scope.name("{{region}}", &mut used).unwrap(), "{region}");
        for wrong in ["{", "a}", "{a b}", "{}"] {
            assert_eq!(
                scope.name(wrong, &mut used).unwrap_err().error.code,
                ErrorCode::InvalidValue,
                "{wrong}"
            );
        }
        let unknown = scope.name("x{regoin}", &mut used).unwrap_err();
        assert_eq!(unknown.label.as_deref(), Some("did you mean `{region}`?"));
    }

    #[test]
    fn a_value_is_one_part_of_a_qualified_name() {
        let value = |text: &str| Variable { value: Literal::Text(text.to_owned()), from: Origin::Flag };
        let variables = Variables::from([("a".to_owned(), value("x.\"y")), ("b".to_owned(), value("s.t"))]);
        let row = Row::new();
        let scope = Scope { variables: &variables, row: &row, pending: None };
        let filled = |text: &str| scope.qualified_name(text, &mut Vec::new()).unwrap();
        assert_eq!(filled("lake.o_{a}"), "lake.\"o_x.\"\"y\"");
        assert_eq!(filled("{b}.t"), "\"s.t\".t");
        assert_eq!(filled("{b}"), "s.t");
        assert_eq!(filled("a.b.c"), "a.b.c");
    }

    #[test]
    fn a_query_takes_identifiers_and_values_and_never_text() {
        let variables = variables();
        let row = Row::new();
        let scope = Scope { variables: &variables, row: &row, pending: None };
        let filled = |text: &str| scope.query(text, &mut Vec::new()).unwrap();
        assert_eq!(
            filled("SELECT 1-:n, :n::text, x &:region FROM {odd} WHERE r = :region AND :on"),
            "SELECT 1-(-5), (-5)::text, x & 'E''U' FROM \"a\"\"b\" WHERE r = 'E''U' AND TRUE"
        );
        for left in
            ["SELECT ':n {odd}'", "SELECT \":n {odd}\"", "SELECT 1 -- :n\n", "SELECT a::n, b[1:n], $$:n$$"]
        {
            assert_eq!(filled(left), left);
        }
    }
}
