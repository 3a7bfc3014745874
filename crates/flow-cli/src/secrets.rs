//! Keeps passwords out of what is said of words that were typed: a DSN in the wrong place is one.

use std::ffi::OsString;

/// What stands for a DSN.
const HIDDEN: &str = "<DSN>";

/// Whether a word may hold a password.
fn may_hold_password(word: &str) -> bool {
    (word.contains("://") && word.contains('@')) || word.contains("password=")
}

/// A text without those of the words that may hold a password; `None` where it has none of them.
pub fn hidden(text: &str, words: &[OsString]) -> Option<String> {
    let words = words.iter().filter_map(|word| word.to_str());
    let secrets: Vec<&str> = words.filter(|word| may_hold_password(word) && text.contains(*word)).collect();
    (!secrets.is_empty())
        .then(|| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN)))
}
