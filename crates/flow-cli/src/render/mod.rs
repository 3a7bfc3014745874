//! Values to text for people. Every function is pure and answers styled text; the console leaves the
//! styles out where nobody sees them, so colour never carries meaning alone.

pub mod diagnostic;
pub mod diff;
pub mod doctor;
pub mod features;
pub mod github;
pub mod graph;
pub mod history;
pub mod lists;
pub mod markdown;
pub mod number;
pub mod plan;
pub mod progress;
pub mod report;
pub mod show;
pub mod spinner;
pub mod state;
pub mod status_page;
pub mod style;
pub mod table;
pub mod timeline;

/// Text as a file or a pipe gets it, for tests that compare it whole.
#[cfg(test)]
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
