//! In which rows two sides differ, as text.

use super::number::{counted, thousands};
use super::report::cell;
use super::style::{FAINT, GOOD, STRONG, WARNING, paint};
use super::table::Table;
use ematix_flow_core::difference::{ColumnDifference, DiffReport, DiffSample};

/// The whole answer.
pub fn text(report: &DiffReport) -> String {
    let keys = report.keys.join(", ");
    let by = paint(FAINT, format_args!("by {keys} ({})", report.keys_reason));
    let mut text = match &report.pipeline {
        Some(name) => format!("{}  {by}\n", paint(STRONG, name)),
        None => format!("{by}\n"),
    };
    text.push_str(&format!("  A  {}\n  B  {}\n", report.a.title(), report.b.title()));
    let mut counts = Table::new(&["ROWS", ">A", ">B"]);
    let both = |count: i64| [thousands(count), thousands(count)];
    counts.row(["all".to_owned(), thousands(report.rows_a), thousands(report.rows_b)]);
    counts.row(["only here".to_owned(), thousands(report.only_in_a), thousands(report.only_in_b)]);
    counts.row(std::iter::once("differing".to_owned()).chain(both(report.rows_differing)));
    counts.row(std::iter::once("equal".to_owned()).chain(both(report.rows_equal)));
    text.push_str(&indented(&counts.render()));
    let columns = columns(report);
    if !columns.is_empty() {
        text.push_str(&indented(&columns.render()));
    }
    for (which, names) in [("A", &report.columns_only_in_a), ("B", &report.columns_only_in_b)] {
        if !names.is_empty() {
            text.push_str(&format!("  only {which} has the columns {}\n", names.join(", ")));
        }
    }
    if let Some(sample) = report.sample.as_ref().filter(|sample| !sample.is_empty()) {
        text.push_str(&paint(STRONG, "  SAMPLE"));
        text.push('\n');
        sample.iter().for_each(|row| text.push_str(&shown(row)));
    }
    text.push_str(&format!("{}\n", verdict(report)));
    text
}

/// What it comes to.
fn verdict(report: &DiffReport) -> String {
    match report.equal {
        true => format!("{}  {}", paint(GOOD, "equal"), counted(report.rows_a, "row", "rows")),
        false => format!(
            "{}  {}",
            paint(WARNING, "different"),
            counted(report.differences(), "row differs", "rows differ")
        ),
    }
}

/// The columns in which rows differ, and those whose types do.
pub fn told(report: &DiffReport) -> Vec<&ColumnDifference> {
    report
        .columns
        .iter()
        .filter(|column| column.rows_differing > 0 || column.type_a != column.type_b)
        .collect()
}

/// The types of a column, where they differ.
pub fn types(column: &ColumnDifference) -> String {
    match (column.type_a == column.type_b, column.compared_as) {
        (true, _) => String::new(),
        (false, None) => format!("{} | {}", column.type_a, column.type_b),
        (false, Some(form)) => format!("{} | {}, compared as {form}", column.type_a, column.type_b),
    }
}

fn columns(report: &DiffReport) -> Table {
    let mut table = Table::new(&["COLUMN", ">DIFFERING", "TYPES"]);
    for column in told(report) {
        table.row([column.name.clone(), thousands(column.rows_differing), types(column)]);
    }
    table
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// A row: one of a side whole, one of both as A → B.
fn shown(row: &DiffSample) -> String {
    let mut parts: Vec<String> =
        row.key.iter().map(|(name, value)| format!("{name} = {}", cell(value))).collect();
    parts.extend(values(row));
    let word = match row.change {
        "only_in_a" => "only A",
        "only_in_b" => "only B",
        _ => "differs",
    };
    format!("  {}  {}\n", paint(STRONG, format_args!("{word:<7}")), parts.join("  "))
}

/// The values of a row: of both sides those that differ.
pub fn values(row: &DiffSample) -> Vec<String> {
    match (&row.a, &row.b) {
        (Some(a), Some(b)) => a
            .iter()
            .filter(|(name, value)| b.get(*name) != Some(value))
            .map(|(name, value)| {
                format!("{name}: {} → {}", cell(value), b.get(name).map_or_else(|| "–".to_owned(), cell))
            })
            .collect(),
        (one, other) => one
            .iter()
            .chain(other)
            .flatten()
            .map(|(name, value)| format!("{name}: {}", cell(value)))
            .collect(),
    }
}
