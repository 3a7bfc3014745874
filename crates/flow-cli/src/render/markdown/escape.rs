//! Text of users in a comment: shown as it is, whatever it looks like.

/// Characters of a text that one place shows; the rest is counted.
const LONGEST: usize = 600;

/// Text in `<code>`, for a cell of a table or a line. In code GitHub makes no links of `@names` and `#1`;
/// backticks would not do, because a `|` ends a cell even between them.
pub fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text in HTML. Whatever Markdown would read as a sign is a character reference.
fn escaped(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_end_matches('\n');
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    for _ in 0..LONGEST {
        let Some(character) = characters.next() else { return out };
        match character {
            '\n' => out.push_str("<br>"),
            control if control.is_control() => out.push(' '),
            // Between letters it is no emphasis: column names stay legible.
            '_' if before.is_alphanumeric() && characters.peek().is_some_and(|c| c.is_alphanumeric()) => {
                out.push('_');
            }
            '&' | '<' | '>' | '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' | '@' => {
                out.push_str(&format!("&#{};", u32::from(character)));
            }
            other => out.push(other),
        }
        before = character;
    }
    let rest = characters.count();
    if rest > 0 {
        out.push_str(&format!(" … ({rest} more characters)"));
    }
    out
}

/// A block of code, with a fence that nothing in it can close.
pub fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{end}{fence}\n")
}

/// Text in an HTML comment, which only `>` could end.
pub fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '<' | '>') { '_' } else { c }).collect()
}
