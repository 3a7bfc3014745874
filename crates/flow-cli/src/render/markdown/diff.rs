//! In which rows two sides differ, as a page.

use super::About;
use super::escape::code;
use crate::render::diff::{told, types, values};
use crate::render::number::{counted, thousands};
use ematix_flow_core::difference::DiffReport;

/// The page of `flow diff`.
pub fn diff(about: &About<'_>, reports: &[DiffReport]) -> String {
    let differences: i64 = reports.iter().map(DiffReport::differences).sum();
    let title = match differences {
        0 => "no row differs".to_owned(),
        count => counted(count, "row differs", "rows differ"),
    };
    let mut page = about.page(&title);
    for report in reports {
        page.paragraph(&format!(
            "A: {}, B: {}, by {}",
            code(&report.a.title()),
            code(&report.b.title()),
            code(&report.keys.join(", "))
        ));
        let both = |what: &str, count: i64| vec![what.to_owned(), thousands(count), thousands(count)];
        page.table(
            &["rows", "A", "B"],
            &[
                vec!["all".to_owned(), thousands(report.rows_a), thousands(report.rows_b)],
                vec!["only here".to_owned(), thousands(report.only_in_a), thousands(report.only_in_b)],
                both("differing", report.rows_differing),
                both("equal", report.rows_equal),
            ],
        );
        let columns: Vec<Vec<String>> = told(report)
            .into_iter()
            .map(|column| {
                let types = types(column);
                let types = if types.is_empty() { types } else { code(&types) };
                vec![code(&column.name), thousands(column.rows_differing), types]
            })
            .collect();
        page.table(&["column", "differing", "types"], &columns);
        for (which, names) in [("A", &report.columns_only_in_a), ("B", &report.columns_only_in_b)] {
            if !names.is_empty() {
                page.paragraph(&format!("Only {which} has {}.", code(&names.join(", "))));
            }
        }
        let sample: Vec<Vec<String>> = report
            .sample
            .iter()
            .flatten()
            .map(|row| {
                let keys: Vec<String> = row.key.values().map(crate::render::report::cell).collect();
                vec![row.change.replace('_', " "), code(&keys.join(", ")), code(&values(row).join("  "))]
            })
            .collect();
        page.table(&["row", "key", "values"], &sample);
    }
    page.finish("<code>flow diff</code> prints all of it")
}
