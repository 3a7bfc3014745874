//! Patterns of paths: `*`, `?`, `[a-z]`, `**`, `{a,b}`. Pure.
//!
//! What begins with `_` or `.` is no data by the custom of those who write it (`_SUCCESS`, `.part.crc`); no wildcard
//! matches it.
#![cfg_attr(not(feature = "clouds"), allow(dead_code, reason = "only stores ask for some of it"))]

use ematix_flow_core::error::{ErrorCode, FlowError, Result};

/// As many patterns may be meant by one with braces.
const MOST_ALTERNATIVES: usize = 10_000;

/// A pattern of paths, by its parts between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// Its parts.
    pub parts: Vec<Part>,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// This name.
    Name(String),
    /// Every name that matches.
    Wild(Vec<Token>),
    /// `**`: any number of folders.
    Folders,
}

/// A piece of a name with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// This character.
    One(char),
    /// `?`
    Any,
    /// `*`
    Many,
    /// `[a-z]`, and `[!a-z]`.
    Class(bool, Vec<(char, char)>),
}

/// Whether a path has anything of a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The patterns that are meant by one with braces.
pub fn alternatives(pattern: &str) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        if done.len() + open.len() > MOST_ALTERNATIVES {
            return Err(wrong(pattern, "its braces mean too many paths"));
        }
        let Some(start) = text.find('{') else {
            if text.contains('}') {
                return Err(wrong(pattern, "a } closes nothing"));
            }
            done.push(text);
            continue;
        };
        let (mut depth, mut choices, mut from, mut end) = (0, Vec::new(), start + 1, None);
        for (at, letter) in text[start..].char_indices().map(|(at, letter)| (start + at, letter)) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if (letter == ',' && depth == 1) || depth == 0 {
                choices.push(&text[from..at]);
                from = at + 1;
            }
            if depth == 0 {
                end = Some(at);
                break;
            }
        }
        let Some(end) = end else { return Err(wrong(pattern, "a { is not closed")) };
        // In reverse, for the last is taken first.
        open.extend(
            choices.iter().rev().map(|choice| format!("{}{choice}{}", &text[..start], &text[end + 1..])),
        );
    }
    Ok(done)
}

impl Glob {
    /// Reads a pattern without braces.
    pub fn parse(pattern: &str) -> Result<Glob> {
        let mut parts = Vec::new();
        for part in pattern.split('/') {
            match part {
                "" | "." => {}
                "**" if parts.last() == Some(&Part::Folders) => {}
                "**" => parts.push(Part::Folders),
                name if is_pattern(name) => parts.push(Part::Wild(tokens(pattern, name)?)),
                name => parts.push(Part::Name(name.to_owned())),
            }
        }
        // `landing/**` are the files at any depth.
        if parts.last() == Some(&Part::Folders) {
            parts.push(Part::Wild(vec![Token::Many]));
        }
        Ok(Glob { parts })
    }

    /// The names before the first wildcard.
    pub fn literal(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map_while(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a path without a slash at its beginning matches.
    pub fn matches(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        matches_parts(&self.parts, &names)
    }
}

fn matches_parts(parts: &[Part], names: &[&str]) -> bool {
    match (parts, names) {
        ([], []) => true,
        ([Part::Folders, rest @ ..], _) => {
            matches_parts(rest, names)
                || names
                    .split_first()
                    .is_some_and(|(name, others)| !is_hidden(name) && matches_parts(parts, others))
        }
        ([part, rest @ ..], [name, others @ ..]) => part.matches(name) && matches_parts(rest, others),
        _ => false,
    }
}

impl Part {
    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Part::Name(own) => own == name,
            Part::Wild(tokens) => {
                let said = matches!(tokens.first(), Some(Token::One('_' | '.')));
                let letters: Vec<char> = name.chars().collect();
                (said || !is_hidden(name)) && matches_tokens(tokens, &letters)
            }
            Part::Folders => !is_hidden(name),
        }
    }
}

/// Whether no wildcard matches a name.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

/// Greedy, with one place to come back to: the last star.
fn matches_tokens(tokens: &[Token], letters: &[char]) -> bool {
    let (mut token, mut letter, mut star) = (0, 0, None);
    while letter < letters.len() {
        match tokens.get(token) {
            Some(Token::Many) => {
                star = Some((token, letter));
                token += 1;
            }
            Some(one) if one.takes(letters[letter]) => {
                token += 1;
                letter += 1;
            }
            _ => match star {
                Some((many, from)) => {
                    star = Some((many, from + 1));
                    (token, letter) = (many + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Many)
}

impl Token {
    fn takes(&self, letter: char) -> bool {
        match self {
            Token::One(own) => *own == letter,
            Token::Any => true,
            Token::Many => false,
            Token::Class(without, ranges) => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter)) != *without
            }
        }
    }
}

fn tokens(pattern: &str, name: &str) -> Result<Vec<Token>> {
    let letters: Vec<char> = name.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let letter = letters[at];
        at += 1;
        found.push(match letter {
            '*' if letters.get(at) == Some(&'*') => {
                return Err(wrong(pattern, "** stands alone between slashes"));
            }
            '*' => Token::Many,
            '?' => Token::Any,
            '[' => {
                let without = matches!(letters.get(at), Some('!' | '^'));
                at += usize::from(without);
                // A ] at the beginning is one of the characters.
                let close = (at + 1..letters.len())
                    .find(|close| letters[*close] == ']')
                    .ok_or_else(|| wrong(pattern, "a [ is not closed"))?;
                let class = ranges(&letters[at..close]);
                at = close + 1;
                Token::Class(without, class)
            }
            letter => Token::One(letter),
        });
    }
    Ok(found)
}

fn ranges(letters: &[char]) -> Vec<(char, char)> {
    match letters {
        [] => Vec::new(),
        [first, '-', last, rest @ ..] => [vec![(*first, *last)], ranges(rest)].concat(),
        [one, rest @ ..] => [vec![(*one, *one)], ranges(rest)].concat(),
    }
}

fn wrong(pattern: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("the pattern {pattern} cannot be read: {why}"))
        .hint("wildcards are *, ?, [a-z], ** between slashes, and {a,b}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched<'a>(pattern: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let glob = Glob::parse(pattern).expect("a pattern");
        paths.iter().copied().filter(|path| glob.matches(path)).collect()
    }

    #[test]
    fn wildcards_match_within_a_name_and_two_stars_across_folders() {
        let paths = ["a.csv", "b.csv", "ab.csv", "x/a.csv", "x/y/a.csv", "a.json"];
        assert_eq!(matched("*.csv", &paths), ["a.csv", "b.csv", "ab.csv"]);
        assert_eq!(matched("?.csv", &paths), ["a.csv", "b.csv"]);
        assert_eq!(matched("[!a].csv", &paths), ["b.csv"]);
        assert_eq!(matched("[a-b]*.csv", &paths), ["a.csv", "b.csv", "ab.csv"]);
        assert_eq!(matched("**/a.csv", &paths), ["a.csv", "x/a.csv", "x/y/a.csv"]);
        assert_eq!(matched("x/**", &paths), ["x/a.csv", "x/y/a.csv"]);
        assert_eq!(matched("*/*.csv", &paths), ["x/a.csv"]);
    }

    #[test]
    fn what_is_hidden_matches_its_own_beginning_alone() {
        let paths = ["_SUCCESS", ".a.crc", "_delta/a", "a"];
        assert_eq!(matched("*", &paths), ["a"]);
        assert_eq!(matched("**", &paths), ["a"]);
        assert_eq!(matched("_*", &paths), ["_SUCCESS"]);
        assert_eq!(matched("_delta/*", &paths), ["_delta/a"]);
    }

    #[test]
    fn braces_mean_each_of_their_choices() {
        assert_eq!(
            alternatives("{a,b{c,d}}/x{,.gz}").unwrap(),
            ["a/x", "a/x.gz", "bc/x", "bc/x.gz", "bd/x", "bd/x.gz"]
        );
        assert!(alternatives("{a,b").is_err());
        assert!(alternatives("a}").is_err());
        assert!(Glob::parse("a/[b").is_err());
        assert!(Glob::parse("a**").is_err());
    }
}
