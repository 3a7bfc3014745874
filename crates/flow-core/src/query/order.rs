//! ORDER BY lists: which row comes first.

use super::{Token, balanced, lex, writes};
use crate::error::{ErrorCode, FlowError, Result};

/// `a NULLS FIRST` counts down as `a DESC NULLS FIRST`.
fn descending_before_nulls(item: &str) -> String {
    let nulls = lex(item).ok().and_then(|lexed| {
        let word = |token: &Token| matches!(token, Token::Word(word) if word == "nulls");
        lexed.tokens.iter().rev().find(|(_, token)| word(token)).map(|(at, _)| *at)
    });
    match nulls {
        Some(at) => format!("{}DESC {}", &item[..at], &item[at..]),
        None => format!("{item} DESC NULLS LAST"),
    }
}

/// The items of an ORDER BY list, each with the words that stand in it outside of parentheses.
fn items(list: &str) -> Result<Vec<(String, Vec<String>)>> {
    let lexed = lex(list)?;
    let mut items = Vec::new();
    let (mut depth, mut start) = (0, 0);
    let mut words: Vec<String> = Vec::new();
    let tokens = lexed.tokens.len();
    let comma_at_end = matches!(lexed.tokens.last(), Some((_, Token::Symbol(','))));
    let whole = !comma_at_end && balanced(lexed.tokens.iter().map(|(_, token)| token));
    for (index, (at, token)) in lexed.tokens.into_iter().enumerate() {
        match &token {
            Token::Symbol(';') => return Err(writes("the ORDER BY list has a semicolon")),
            Token::Symbol('(' | '[') => depth += 1,
            Token::Symbol(')' | ']') => depth -= 1,
            _ => {}
        }
        let comma = depth == 0 && token == Token::Symbol(',');
        if let (Token::Word(word), 0) = (&token, depth) {
            words.push(word.clone());
        }
        if comma || index + 1 == tokens {
            let end = if comma { at } else { lexed.end };
            items.push((list[start..end].trim().to_owned(), std::mem::take(&mut words)));
            start = at + 1;
        }
    }
    if items.is_empty() || items.iter().any(|(text, _)| text.is_empty()) || !whole {
        return Err(FlowError::new(ErrorCode::InvalidValue, format!("`{list}` is not an ORDER BY list")));
    }
    if let Some((position, _)) = items.iter().find(|(text, _)| is_position(text)) {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!(
                "`{position}` in an ORDER BY list of rows of one key is a number, by which nothing is sorted"
            ),
        )
        .hint("name the column: a number is a position only where a query ends"));
    }
    Ok(items)
}

/// Whether an item is a number, with a direction or without.
fn is_position(item: &str) -> bool {
    let mut words = item.split_whitespace();
    let direction = |word: &str| {
        matches!(word.to_ascii_lowercase().as_str(), "asc" | "desc" | "nulls" | "first" | "last")
    };
    words.next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_digit())) && words.all(direction)
}

/// The items of an ORDER BY list, so that the latest row comes first: a bare expression counts down,
/// one with a direction is kept, and NULL is never the latest.
///
/// ```
/// use ematix_flow_core::query::latest_first;
/// assert_eq!(latest_first("updated_at, id ASC").unwrap(), ["updated_at DESC NULLS LAST", "id ASC"]);
/// ```
///
/// # Errors
/// `invalid_value` where a string, a quoted name or a comment is not closed, or nothing is said.
pub fn latest_first(list: &str) -> Result<Vec<String>> {
    let direct = |(text, words): (String, Vec<String>)| {
        let says = |word: &str| words.iter().any(|said| said == word);
        match (says("asc") || says("using"), says("desc"), says("nulls")) {
            (true, _, _) | (_, true, true) => text,
            (_, true, false) => format!("{text} NULLS LAST"),
            (_, false, false) => format!("{text} DESC NULLS LAST"),
            (_, false, true) => descending_before_nulls(&text),
        }
    };
    Ok(items(list)?.into_iter().map(direct).collect())
}

/// The items of an ORDER BY list as SQL reads them, but that NULL comes last also where it counts down, unless it says
/// otherwise.
///
/// ```
/// use ematix_flow_core::query::nulls_last;
/// assert_eq!(nulls_last("updated_at DESC, id").unwrap(), ["updated_at DESC NULLS LAST", "id"]);
/// ```
///
/// # Errors
/// As [`latest_first`].
pub fn nulls_last(list: &str) -> Result<Vec<String>> {
    let direct = |(text, words): (String, Vec<String>)| {
        let says = |word: &str| words.iter().any(|said| said == word);
        if says("desc") && !says("nulls") { format!("{text} NULLS LAST") } else { text }
    };
    Ok(items(list)?.into_iter().map(direct).collect())
}

/// Whether an item of [`nulls_last`] puts the latest row by that column first.
///
/// ```
/// use ematix_flow_core::query::is_latest_first;
/// assert!(is_latest_first("updated_at desc NULLS LAST", "updated_at"));
/// assert!(!is_latest_first("updated_at", "updated_at"));
/// ```
pub fn is_latest_first(item: &str, column: &str) -> bool {
    let quoted = format!("\"{}\"", column.replace('"', "\"\""));
    let behind = match item.strip_prefix(quoted.as_str()) {
        Some(rest) => Some(rest),
        None => item
            .get(..column.len())
            .filter(|name| name.eq_ignore_ascii_case(column))
            .map(|_| &item[column.len()..]),
    };
    let words: Vec<String> =
        behind.unwrap_or_default().split_whitespace().map(str::to_ascii_lowercase).collect();
    behind.is_some_and(|rest| rest.starts_with(char::is_whitespace))
        && matches!(
            words.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
            ["desc"] | ["desc", "nulls", "last"]
        )
}
