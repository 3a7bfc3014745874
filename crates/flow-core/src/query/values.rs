//! A statement with its values in it, for where a server takes none beside it: COPY has no parameters.

use super::lex::{Token, lex};
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql::{Literal, Quote};

/// A statement with values in the places of `$1`, `$2` …, each as a literal that the server reads as whatever stands
/// there, as it would a parameter of no type; `None` is NULL. A `$1` in a string, a quoted name or a comment is none.
///
/// # Errors
/// `unknown_variable` for a place without a value, `invalid_value` for values without a place.
///
/// ```
/// use ematix_flow_core::{dialect::postgres::Postgres, query::with_values};
/// let values = [Some("a'b".to_owned()), None];
/// let sql = with_values("SELECT '$1' FROM t WHERE c = $1 AND d > $2::int", &values, &Postgres).unwrap();
/// assert_eq!(sql, "SELECT '$1' FROM t WHERE c = ('a''b') AND d > (NULL)::int");
/// ```
pub fn with_values(text: &str, values: &[Option<String>], quote: &dyn Quote) -> Result<String> {
    let (mut out, mut copied, mut named) = (String::new(), 0, 0);
    for (at, token) in lex(text)?.tokens {
        let Some(digits) = (token == Token::Other).then(|| number_at(&text[at..])).flatten() else {
            continue;
        };
        let number = digits.parse::<usize>().unwrap_or(usize::MAX);
        let value = number.checked_sub(1).and_then(|place| values.get(place)).ok_or_else(|| {
            FlowError::new(ErrorCode::UnknownVariable, format!("`${digits}` has no value"))
                .hint("params has the values in their order, from $1 on")
        })?;
        let literal = match value {
            Some(text) if text.contains('\0') => {
                let message =
                    format!("the value of `${digits}` has a zero byte, which no text of Postgres has");
                return Err(FlowError::new(ErrorCode::InvalidValue, message));
            }
            Some(text) => quote.literal(&Literal::Text(text.clone())),
            None => quote.literal(&Literal::Null),
        };
        out.push_str(&text[copied..at]);
        // In a parenthesis nothing before it, as U& or another string, makes it go on.
        out.push_str(&format!("({literal})"));
        copied = at + 1 + digits.len();
        named = named.max(number);
    }
    if named < values.len() {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("{} values are given, and the query has places for {named}", values.len()),
        )
        .hint("the query says $1, $2 … where the values belong"));
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// The digits of a `$1` with which a text begins.
fn number_at(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (length > 0).then(|| &rest[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::postgres::Postgres;

    fn filled(text: &str, values: &[&str]) -> Result<String> {
        let values: Vec<_> = values.iter().map(|value| Some((*value).to_owned())).collect();
        with_values(text, &values, &Postgres)
    }

    #[test]
    fn a_place_is_one_outside_of_strings_names_and_comments() {
        let text = "SELECT $$ $1 $$, '$1', \"$1\", a$1, $1 /* $1 */ -- $1";
        assert_eq!(
            filled(text, &["x"]).expect("a statement"),
            "SELECT $$ $1 $$, '$1', \"$1\", a$1, ('x') /* $1 */ -- $1"
        );
        assert_eq!(filled("u&$1||'a'\n$2", &["x", "y"]).expect("a statement"), "u&('x')||'a'\n('y')");
        assert_eq!(filled("$10$1", &["1"; 10]).expect("a statement"), "('1')('1')");
    }

    #[test]
    fn a_value_never_ends_its_literal() {
        for value in ["'; DROP TABLE t; --", "\\'; --", "\\", "''", "$1", ")", "$$"] {
            let sql = filled("SELECT $1", &[value]).expect("a statement");
            let tokens: Vec<Token> =
                lex(&sql).expect("SQL").tokens.into_iter().map(|(_, token)| token).collect();
            let word = |word: &str| Token::Word(word.to_owned());
            let escaped = value.contains('\\');
            let literal = if escaped { vec![word("e"), Token::Other] } else { vec![Token::Other] };
            let expected: Vec<Token> = [word("select"), Token::Symbol('(')]
                .into_iter()
                .chain(literal)
                .chain([Token::Symbol(')')])
                .collect();
            assert_eq!(tokens, expected, "{sql}");
        }
    }

    #[test]
    fn places_and_values_are_as_many() {
        let code = |text, values: &[&str]| filled(text, values).map_err(|error| error.code);
        assert_eq!(code("SELECT $2", &["1"]), Err(ErrorCode::UnknownVariable));
        assert_eq!(code("SELECT $0", &["1"]), Err(ErrorCode::UnknownVariable));
        assert_eq!(code("SELECT $99999999999999999999", &["1"]), Err(ErrorCode::UnknownVariable));
        assert_eq!(code("SELECT $1", &["1", "2"]), Err(ErrorCode::InvalidValue));
        assert_eq!(code("SELECT $1", &["a\0b"]), Err(ErrorCode::InvalidValue));
    }
}
