//! Globs over names.

/// Whether a glob covers a text: `*` stands for any characters, `?` for one.
///
/// ```
/// use ematix_flow_core::declare::glob::covers;
/// assert!(covers("app.*", "app.orders"));
/// assert!(!covers("app", "app.orders"));
/// ```
pub fn covers(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|character| *character == '*')
}

/// Whether a text is a glob, and no plain name.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_cover_whole_names() {
        assert!(covers("*", ""));
        assert!(covers("a*b*c", "aXXbYYc"));
        assert!(!covers("a*b*c", "aXXbYY"));
        assert!(covers("?b", "äb"));
        assert!(!covers("a", "ab"));
    }
}
