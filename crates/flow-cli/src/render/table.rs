//! Columns of text, aligned by what a terminal shows, not by bytes.

use super::style::{STRONG, paint};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes; styles take none.
pub fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).map(UnicodeWidthStr::width).sum()
}

/// A text with spaces up to a width.
pub fn padded(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// A text of at most so many columns; what is cut off leaves `…`. Takes text without styles.
pub fn cut(text: &str, to: usize) -> String {
    if width(text) <= to {
        return text.to_owned();
    }
    let mut room = to.saturating_sub(1);
    let mut kept = String::new();
    for character in text.chars() {
        let columns = character.width().unwrap_or(0);
        if columns > room {
            break;
        }
        room -= columns;
        kept.push(character);
    }
    if to > 0 {
        kept.push('…');
    }
    kept
}

/// Rows under headings, two spaces between columns, none at a line's end.
#[derive(Debug, Default)]
pub struct Table {
    head: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with headings; one that begins with `>` stands at the right.
    pub fn new(head: &[&'static str]) -> Table {
        Table {
            head: head.iter().map(|word| word.trim_start_matches('>')).collect(),
            right: head.iter().map(|word| word.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, a line a row.
    pub fn render(&self) -> String {
        let head: Vec<String> = self.head.iter().map(|word| paint(STRONG, word)).collect();
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.chain([&head[column]]).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let room = widths[column].saturating_sub(width(cell));
                let (before, after) = if self.right[column] { (room, 0) } else { (0, room) };
                line.push_str(&" ".repeat(before));
                line.push_str(cell);
                line.push_str(&" ".repeat(after + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;

    #[test]
    fn columns_align_by_what_is_seen() {
        let mut table = Table::new(&["NAME", ">ROWS", "CITY"]);
        table.row(["李建国".to_owned(), "5".to_owned(), "深圳".to_owned()]);
        table.row([paint(STRONG, "zoé"), "1,000".to_owned(), String::new()]);
        assert_eq!(plain(&table.render()), "NAME     ROWS  CITY\n李建国      5  深圳\nzoé     1,000\n");
    }

    #[test]
    fn long_text_is_cut_at_a_column() {
        assert_eq!(cut("London", 6), "London");
        assert_eq!(cut("London", 4), "Lon…");
        assert_eq!(cut("深圳市", 4), "深…");
        assert_eq!(cut("x", 0), "");
    }
}
