//! A page that fits a comment. What does not fit is left out from the end, and said.

use super::escape::{comment, fenced};

/// GitHub takes 65,536 characters. Bytes are never fewer, however characters are counted; what is left
/// is for a bot's own words.
const LARGEST_BYTES: usize = 65_000;
/// For the words on what was left out.
const NOTE_BYTES: usize = 2_000;

/// A page in the making.
#[derive(Debug)]
pub struct Page {
    text: String,
    left_out: Vec<String>,
}

impl Page {
    /// A page with its title. The first line, which nobody sees, is the same every time: a bot finds the
    /// comment that it wrote before.
    pub fn new(command: &str, config: &str, title: &str) -> Page {
        let marker = format!("<!-- ematix-flow {command} {} -->", comment(config));
        Page { text: format!("{marker}\n### flow {command}: {title}\n"), left_out: Vec::new() }
    }

    fn fits(&self, bytes: usize) -> bool {
        self.text.len() + bytes <= LARGEST_BYTES - NOTE_BYTES
    }

    /// A paragraph of ours, below the title.
    pub fn paragraph(&mut self, text: &str) {
        self.text.push_str(&format!("\n{text}\n"));
    }

    /// A table, unless it has no row.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        self.text.push_str(&format!("\n| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len())));
        for (index, row) in rows.iter().enumerate() {
            let line = format!("| {} |\n", row.join(" | "));
            if !self.fits(line.len()) {
                self.left_out.push(format!("{} of {} rows", rows.len() - index, rows.len()));
                return;
            }
            self.text.push_str(&line);
        }
    }

    /// Code that opens by a click, from its first piece to the last that fits. `summary` and `name` are
    /// HTML: the line to click on, and what is missing where a piece is.
    pub fn folded(&mut self, summary: &str, language: &str, pieces: &[String], name: &str) {
        let around = summary.len() + 80;
        let mut code = String::new();
        let mut shown = 0;
        for piece in pieces {
            // A fence grows with the longest run of backticks.
            let block = fenced(language, &format!("{code}{piece}")).len();
            if !self.fits(around + block) {
                break;
            }
            code.push_str(piece);
            shown += 1;
        }
        if shown < pieces.len() {
            let part = if shown == 0 { "" } else { "the rest of " };
            self.left_out.push(format!("{part}{name}"));
        }
        if shown > 0 {
            let block = fenced(language, &code);
            self.text.push_str(&format!("\n<details><summary>{summary}</summary>\n\n{block}\n</details>\n"));
        }
    }

    /// The page; `remedy` says where all of it is.
    pub fn finish(mut self, remedy: &str) -> String {
        if !self.left_out.is_empty() {
            let mut room = NOTE_BYTES - remedy.len() - 100;
            let named = self.left_out.iter().take_while(|part| {
                let fits = part.len() + 2 <= room;
                room = room.saturating_sub(part.len() + 2);
                fits
            });
            let named: Vec<&str> = named.map(String::as_str).collect();
            let mut what = named.join(", ");
            if named.len() < self.left_out.len() {
                what.push_str(&format!(" and {} more", self.left_out.len() - named.len()));
            }
            self.text.push_str(&format!("\nLeft out, to fit a comment: {what}; {remedy}.\n"));
        }
        debug_assert!(self.text.len() <= LARGEST_BYTES);
        self.text
    }
}
