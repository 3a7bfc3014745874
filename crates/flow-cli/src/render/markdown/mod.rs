//! Answers as a comment on a pull request, in GitHub's Markdown.

mod diff;
mod escape;
mod page;
mod plan;
mod runs;
mod validate;

pub use diff::diff;
pub use plan::plan;
pub use runs::runs;
pub use validate::validate;

use super::diagnostic;
use super::number::counted;
use crate::workspace::Workspace;
use ematix_flow_core::error::FlowError;
use escape::code;
use page::Page;

/// What a page is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The command: `plan`, `validate` …
    pub command: &'a str,
    /// The project's file, as the pull request names it.
    pub config: &'a str,
    /// How files are named.
    pub workspace: &'a Workspace,
}

impl About<'_> {
    fn page(&self, title: &str) -> Page {
        Page::new(self.command, self.config, title)
    }

    /// `pipelines.toml:31`; nothing where an error has no place.
    fn place(&self, error: &FlowError) -> String {
        match &error.location {
            Some(place) => code(&format!("{}:{}", self.workspace.relative(&place.file), place.line)),
            None => String::new(),
        }
    }

    /// `code: message`, and where.
    fn error(&self, error: &FlowError) -> String {
        let place = self.place(error);
        let place = if place.is_empty() { place } else { format!(" at {place}") };
        format!("{}{place}", code(&format!("{}: {}", error.code, error.message)))
    }

    /// The errors as a terminal shows them, folded.
    fn fold_errors<'a>(&self, page: &mut Page, errors: impl IntoIterator<Item = &'a FlowError>) {
        let shown: Vec<String> = errors
            .into_iter()
            .enumerate()
            .map(|(index, error)| {
                let between = if index > 0 { "\n" } else { "" };
                let text = diagnostic::error(&self.workspace.relocated(error));
                format!("{between}{}", anstream::adapter::strip_str(&text))
            })
            .collect();
        if !shown.is_empty() {
            page.folded("Errors in full", "text", &shown, "the errors in full");
        }
    }
}

/// Errors that kept a command from its work.
pub fn errors(about: &About<'_>, errors: &[FlowError]) -> String {
    let count = counted(errors.len() as i64, "error", "errors");
    let mut page = about.page(&count);
    table_of_errors(about, &mut page, errors);
    about.fold_errors(&mut page, errors);
    page.finish(&format!("<code>flow {}</code> prints all of it", about.command))
}

fn table_of_errors(about: &About<'_>, page: &mut Page, errors: &[FlowError]) {
    let rows: Vec<Vec<String>> = errors
        .iter()
        .map(|error| vec![about.place(error), error.code.to_string(), code(&error.message)])
        .collect();
    page.table(&["where", "error", "what"], &rows);
}
