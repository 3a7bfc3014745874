//! The counts of a report by their kinds, in the words of reports.

use ematix_flow_core::report::RunReport;

/// Each kind with its count; `in` is what the others but for versions and keys add up to.
pub fn of(report: &RunReport) -> [(&'static str, i64); 10] {
    [
        ("in", report.rows_in),
        ("inserted", report.rows_inserted),
        ("updated", report.rows_updated),
        ("unchanged", report.rows_unchanged),
        ("closed_out", report.rows_closed_out),
        ("deleted", report.rows_deleted),
        ("deduplicated", report.rows_deduplicated),
        ("skipped", report.rows_skipped),
        ("rejected", report.rows_rejected),
        ("rehashed", report.rows_rehashed),
    ]
}
