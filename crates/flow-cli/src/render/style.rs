//! The few styles, each by what it says.

use anstyle::{AnsiColor, Style};
use std::fmt;

/// Something is wrong.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Something deserves a look.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// It went well, or is new.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What to do next; a mark in a file.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// The subject of a line.
pub const STRONG: Style = Style::new().bold();
/// Beside the matter.
pub const FAINT: Style = Style::new().dimmed();

/// A value in a style.
pub fn paint(style: Style, value: impl fmt::Display) -> String {
    format!("{style}{value}{style:#}")
}

/// The style of a run's status.
pub fn of_status(status: &str) -> Style {
    match status {
        "success" => GOOD,
        "running" => HINT,
        "skipped" => FAINT,
        "locked" | "cancelled" | "refused" => WARNING,
        _ => ERROR,
    }
}
