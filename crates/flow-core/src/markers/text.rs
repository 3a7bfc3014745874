//! Markers of text: white space, case, characters, patterns.

use super::Marker;
use super::arguments::Arguments;
use super::family::{Families, Family};
use super::value::Value;
use crate::error::Result;
use crate::sql;
use crate::sql::Literal;
use std::sync::Arc;

/// The white space of Unicode (its property White_Space), as characters.
pub const WHITE_SPACE: &str = "\t\n\u{b}\u{c}\r \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";

/// Letters that are no letter with a mark, and what is written for them where there is ASCII alone.
const LETTERS: &[(&str, &str)] =
    &[("ß", "ss"), ("ẞ", "SS"), ("æ", "ae"), ("Æ", "AE"), ("œ", "oe"), ("Œ", "OE"), ("þ", "th"), ("Þ", "Th")];
const SINGLE_LETTERS: &[(char, char)] = &[
    ('ø', 'o'),
    ('Ø', 'O'),
    ('đ', 'd'),
    ('Đ', 'D'),
    ('ð', 'd'),
    ('Ð', 'D'),
    ('ł', 'l'),
    ('Ł', 'L'),
    ('ħ', 'h'),
    ('Ħ', 'H'),
    ('ı', 'i'),
    ('ŧ', 't'),
    ('Ŧ', 'T'),
    ('‘', '\''),
    ('’', '\''),
    ('“', '"'),
    ('”', '"'),
    ('„', '"'),
    ('‐', '-'),
    ('‑', '-'),
    ('–', '-'),
    ('—', '-'),
    ('−', '-'),
    ('⁄', '/'),
];

/// A marker that takes text and gives text.
#[derive(Debug)]
struct Text {
    name: &'static str,
    does: Does,
}

#[derive(Debug)]
enum Does {
    Trim(Option<String>),
    Lower,
    Upper,
    EmptyToNull,
    WhitespaceToNull,
    CollapseWhitespace,
    Replace { old: String, new: String },
    RegexReplace { pattern: String, replacement: String, flags: String },
    Truncate(i64),
    Title,
    NormalizeUnicode,
    ToAscii,
}

impl Marker for Text {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn gives(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let text = value.text();
        let call = |name| value.function(name);
        let literal = |text: &str| sql!("{text}", text = Literal::Text(text.to_owned()));
        let cleaned = match &self.does {
            Does::Trim(characters) => {
                let characters = literal(characters.as_deref().unwrap_or(WHITE_SPACE));
                sql!("{btrim}({text}, {characters})", btrim = call("btrim"), text, characters)
            }
            Does::Lower => sql!("{lower}({text})", lower = call("lower"), text),
            Does::Upper => sql!("{upper}({text})", upper = call("upper"), text),
            Does::EmptyToNull => sql!("NULLIF({text}, '')", text),
            Does::WhitespaceToNull => {
                let text = value.named();
                let btrim = value.function("btrim");
                sql!(
                    "CASE WHEN {btrim}({text}, {white}) <> '' THEN {text} END",
                    btrim,
                    text,
                    white = literal(WHITE_SPACE)
                )
            }
            Does::CollapseWhitespace => {
                let runs = literal(&format!("[{WHITE_SPACE}]+"));
                let trimmed = sql!(
                    "{btrim}({text}, {white})",
                    btrim = call("btrim"),
                    text,
                    white = literal(WHITE_SPACE)
                );
                sql!(
                    "{regexp_replace}({trimmed}, {runs}, ' ', 'g')",
                    regexp_replace = call("regexp_replace"),
                    trimmed,
                    runs
                )
            }
            Does::Replace { old, new } => sql!(
                "{replace}({text}, {old}, {new})",
                replace = call("replace"),
                text,
                old = literal(old),
                new = literal(new)
            ),
            Does::RegexReplace { pattern, replacement, flags } => sql!(
                "{regexp_replace}({text}, {pattern}, {replacement}, {flags})",
                regexp_replace = call("regexp_replace"),
                text,
                pattern = literal(pattern),
                replacement = literal(replacement),
                flags = literal(flags)
            ),
            Does::Title => sql!("{initcap}({text})", initcap = call("initcap"), text),
            Does::NormalizeUnicode => sql!("{normalize}({text}, 'NFC')", normalize = call("normalize"), text),
            Does::ToAscii => {
                let mut ascii = sql!("{normalize}({text}, 'NFKD')", normalize = call("normalize"), text);
                for (letter, letters) in LETTERS {
                    let (letter, letters) = (literal(letter), literal(letters));
                    ascii = sql!(
                        "{replace}({ascii}, {letter}, {letters})",
                        replace = call("replace"),
                        ascii,
                        letter,
                        letters
                    );
                }
                let (from, to): (String, String) = SINGLE_LETTERS.iter().copied().unzip();
                sql!(
                    "{regexp_replace}({translate}({ascii}, {from}, {to}), {marks}, '', 'g')",
                    regexp_replace = call("regexp_replace"),
                    translate = call("translate"),
                    ascii,
                    marks = literal("[\\u0300-\\u036f]"),
                    from = literal(&from),
                    to = literal(&to)
                )
            }
            Does::Truncate(length) => {
                sql!(
                    "{left}({text}, {length})",
                    left = call("left"),
                    text,
                    length = Literal::Integer(*length)
                )
            }
        };
        value.set(cleaned, Some(Family::Text));
        Ok(())
    }
}

fn marker(name: &'static str, does: Does) -> Result<Arc<dyn Marker>> {
    Ok(Arc::new(Text { name, does }))
}

fn plain(arguments: &Arguments<'_>, name: &'static str, does: Does) -> Result<Arc<dyn Marker>> {
    arguments.none()?;
    marker(name, does)
}

pub fn trim(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    marker("trim", Does::Trim(arguments.named(&["characters"])?.text("characters")?))
}

pub fn lower(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "lower", Does::Lower)
}

pub fn upper(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "upper", Does::Upper)
}

pub fn empty_to_null(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "empty_to_null", Does::EmptyToNull)
}

pub fn whitespace_to_null(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "whitespace_to_null", Does::WhitespaceToNull)
}

pub fn collapse_whitespace(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "collapse_whitespace", Does::CollapseWhitespace)
}

pub fn title(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "title", Does::Title)
}

pub fn normalize_unicode(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "normalize_unicode", Does::NormalizeUnicode)
}

pub fn to_ascii(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    plain(arguments, "to_ascii", Does::ToAscii)
}

pub fn replace(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["old", "new"])?;
    let (old, new) = (named.needed_text("old")?, named.needed_text("new")?);
    marker("replace", Does::Replace { old, new })
}

pub fn regex_replace(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["pattern", "replacement", "flags"])?;
    let flags = named.text("flags")?.unwrap_or_else(|| "g".to_owned());
    if let Some(flag) = flags.chars().find(|flag| !"bceimgnpqstwx".contains(*flag)) {
        return Err(arguments
            .wrong(format!("has no flag `{flag}`"))
            .hint("the flags are those of Postgres' regexp_replace: g for every match, i for any case …"));
    }
    let (pattern, replacement) = (named.needed_text("pattern")?, named.needed_text("replacement")?);
    marker("regex_replace", Does::RegexReplace { pattern, replacement, flags })
}

pub fn truncate(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let length = arguments.named(&["length"])?.needed("length")?.as_i64().filter(|length| *length > 0);
    match length.and_then(|length| i32::try_from(length).ok()) {
        Some(length) => marker("truncate", Does::Truncate(length.into())),
        None => Err(arguments.wrong("takes a length of at least 1").hint("write { truncate = 256 }")),
    }
}
