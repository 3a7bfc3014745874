//! An error on a terminal: what, where, why, and what to do next.

use super::style::{ERROR, FAINT, HINT, STRONG, WARNING, paint};
use super::table::width;
use ematix_flow_core::error::{Excerpt, FlowError, Location};

/// Columns of a file's line that are shown around a mark.
const EXCERPT_WIDTH: usize = 110;

/// One error.
pub fn error(error: &FlowError) -> String {
    told(&paint(ERROR, format_args!("error[{}]", error.code)), error)
}

/// What would be an error, were it certain.
pub fn doubt(doubt: &FlowError) -> String {
    told(&paint(WARNING, format_args!("warning[{}]", doubt.code)), doubt)
}

fn told(head: &str, error: &FlowError) -> String {
    let mut text = format!("{head}{STRONG}: {}{STRONG:#}\n", error.message);
    let details: Vec<&str> = error.details.iter().flat_map(|detail| detail.lines()).collect();
    // Some are indented where they are made: once is enough.
    let indent =
        details.iter().map(|line| line.len() - line.trim_start_matches(' ').len()).min().unwrap_or(0);
    for line in details {
        text.push_str(&format!("  {}\n", &line[indent..]));
    }
    if let Some(location) = &error.location {
        text.push_str(&place(location));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&below(&paint(HINT, "hint"), hint));
    }
    text
}

/// Several errors, a blank line between them.
pub fn errors(errors: &[FlowError]) -> String {
    errors.iter().map(error).collect::<Vec<_>>().join("\n")
}

/// What a person should know although it went well.
pub fn warning(message: &str) -> String {
    below(&paint(WARNING, "warning"), message)
}

/// A word and what it says; further lines are indented.
fn below(word: &str, message: &str) -> String {
    format!("{word}: {}\n", message.trim_end().replace('\n', "\n  "))
}

fn place(location: &Location) -> String {
    let Location { file, line, column, section, excerpt } = location;
    let arrow = paint(HINT, "  -->");
    // Where the head of a section is all that is meant, its name says as much as the line.
    let is_head =
        |excerpt: &Excerpt| excerpt.label.is_none() && section.as_deref() == Some(excerpt.line.trim());
    match (excerpt, section) {
        (Some(excerpt), _) if !is_head(excerpt) => {
            format!("{arrow} {file}:{line}:{column}\n{}", marked(excerpt, *line, *column))
        }
        (_, Some(section)) => format!("{arrow} {file}:{line}:{column}  {section}\n"),
        (_, None) => format!("{arrow} {file}:{line}:{column}\n"),
    }
}

/// The line of the file, and below it the mark with its words.
fn marked(excerpt: &Excerpt, line: usize, column: usize) -> String {
    let characters: Vec<char> = excerpt.line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let start = column.saturating_sub(1).min(characters.len());
    let end = (start + excerpt.length.max(1)).min(characters.len().max(start + 1));
    // A long line is shown around the mark only.
    let first = if end > EXCERPT_WIDTH { start.saturating_sub(EXCERPT_WIDTH / 4) } else { 0 };
    let last = characters.len().min(first + EXCERPT_WIDTH);
    let shown: String = characters[first..last].iter().collect();
    let (before, after) = (if first > 0 { "…" } else { "" }, if last < characters.len() { "…" } else { "" });
    let of = |range: &[char]| width(&range.iter().collect::<String>());
    let indent = of(&characters[first..start]) + before.chars().count();
    let carets = "^".repeat(of(&characters[start..end.min(last).max(start)]).max(1));
    let gutter = line.to_string();
    let blank = " ".repeat(gutter.len());
    let bar = paint(HINT, "|");
    let label = excerpt.label.as_ref().map(|label| format!(" {label}")).unwrap_or_default();
    format!(
        "{number} {bar} {before}{shown}{after}\n{blank} {bar} {space}{mark}\n",
        number = paint(HINT, gutter),
        shown = if shown.trim().is_empty() { paint(FAINT, "") } else { shown.trim_end().to_owned() },
        space = " ".repeat(indent),
        mark = paint(WARNING, format_args!("{carets}{label}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;
    use ematix_flow_core::error::ErrorCode;

    fn place_in(line: usize, section: Option<&str>, excerpt: Option<Excerpt>) -> Location {
        Location {
            file: "pipelines.toml".into(),
            line,
            column: 1,
            section: section.map(str::to_owned),
            excerpt,
        }
    }

    #[test]
    fn a_data_error_has_samples_place_and_hint() {
        let sample = FlowError::new(
            ErrorCode::DuplicateSourceKey,
            "2 keys of `customers` come more than once from the source",
        )
        .detail("  customer_id: 17 (3 rows), 42 (2 rows)")
        .at(place_in(31, Some("[pipelines.customers]"), None))
        .hint("make the query return one row per key, or set on_duplicate = \"latest\" with order_by");
        assert_eq!(
            plain(&error(&sample)),
            "\
error[duplicate_source_key]: 2 keys of `customers` come more than once from the source
  customer_id: 17 (3 rows), 42 (2 rows)
  --> pipelines.toml:31:1  [pipelines.customers]
hint: make the query return one row per key, or set on_duplicate = \"latest\" with order_by
"
        );
    }

    #[test]
    fn a_mistake_in_a_file_is_marked_in_its_line() {
        let excerpt = Excerpt {
            line: "compare_colums = [\"email\", \"name\"]".into(),
            length: 14,
            label: Some("did you mean `compare_columns`?".into()),
        };
        let sample = FlowError::new(
            ErrorCode::UnknownOption,
            "unknown option `compare_colums` in pipeline `customers`",
        )
        .at(place_in(36, Some("[pipelines.customers]"), Some(excerpt)));
        assert_eq!(
            plain(&error(&sample)),
            "\
error[unknown_option]: unknown option `compare_colums` in pipeline `customers`
  --> pipelines.toml:36:1
36 | compare_colums = [\"email\", \"name\"]
   | ^^^^^^^^^^^^^^ did you mean `compare_columns`?
"
        );
    }

    #[test]
    fn the_head_of_a_section_is_named_and_not_drawn() {
        let excerpt = Excerpt { line: "[pipelines.customers]".into(), length: 21, label: None };
        let location = place_in(31, Some("[pipelines.customers]"), Some(excerpt));
        assert_eq!(plain(&place(&location)), "  --> pipelines.toml:31:1  [pipelines.customers]\n");
    }

    #[test]
    fn marks_stand_under_wide_characters_and_past_the_end() {
        let excerpt = Excerpt { line: "城市 = \"x\"".into(), length: 3, label: None };
        let location = Location { column: 6, ..place_in(7, None, Some(excerpt)) };
        assert_eq!(plain(&place(&location)), "  --> pipelines.toml:7:6\n7 | 城市 = \"x\"\n  |        ^^^\n");
        let excerpt = Excerpt { line: "a =".into(), length: 1, label: Some("a value is missing".into()) };
        let location = Location { column: 5, ..place_in(7, None, Some(excerpt)) };
        assert_eq!(
            plain(&place(&location)),
            "  --> pipelines.toml:7:5\n7 | a =\n  |    ^ a value is missing\n"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_its_mark() {
        let line = format!("query = \"SELECT {}\"  # bad", "x, ".repeat(60));
        let column = line.chars().count() - 3;
        let excerpt = Excerpt { line, length: 3, label: None };
        let text = plain(&place(&Location { column, ..place_in(1, None, Some(excerpt)) }));
        assert_eq!(
            text,
            "  --> pipelines.toml:1:201\n1 | …, x, x, x, x, x, x, x, \"  # bad\n  |                             ^^^\n"
        );
    }

    #[test]
    fn several_lines_keep_their_indent() {
        let sample =
            FlowError::new(ErrorCode::Drift, "table differs").detail("a\nb").hint("run\nALTER TABLE t");
        assert_eq!(
            plain(&error(&sample)),
            "error[drift]: table differs\n  a\n  b\nhint: run\n  ALTER TABLE t\n"
        );
        assert_eq!(plain(&warning("one\ntwo")), "warning: one\n  two\n");
    }
}
