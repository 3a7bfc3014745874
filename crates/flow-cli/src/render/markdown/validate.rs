//! What `validate` found, as a comment.

use super::About;
use super::escape::code;
use crate::render::number::counted;
use ematix_flow_core::error::FlowError;

/// The page of some pipelines with their errors, and what is doubtful; `unchecked` is what only a database can tell, or
/// another environment, where none was asked.
pub fn validate(
    about: &About<'_>,
    findings: &[(String, Vec<FlowError>)],
    warnings: &[FlowError],
    unchecked: &[String],
) -> String {
    let faulty = findings.iter().filter(|(_, errors)| !errors.is_empty()).count();
    let all = counted(findings.len() as i64, "pipeline", "pipelines");
    let mut page = about.page(&match faulty {
        0 => format!("{all}, all valid"),
        _ => format!("{faulty} of {all} invalid"),
    });
    for words in unchecked {
        page.paragraph(&format!("Not checked without <code>--connect</code>: {words}."));
    }
    let rows: Vec<Vec<String>> = findings
        .iter()
        .flat_map(|(name, errors)| errors.iter().map(move |error| (name, error)))
        .map(|(name, error)| {
            vec![code(name), about.place(error), error.code.to_string(), code(&error.message)]
        })
        .collect();
    page.table(&["pipeline", "where", "error", "what"], &rows);
    let doubts: Vec<Vec<String>> = warnings
        .iter()
        .map(|doubt| vec![about.place(doubt), doubt.code.to_string(), code(&doubt.message)])
        .collect();
    page.table(&["where", "warning", "what"], &doubts);
    about.fold_errors(&mut page, findings.iter().flat_map(|(_, errors)| errors));
    page.finish("<code>flow validate</code> prints all of it")
}
