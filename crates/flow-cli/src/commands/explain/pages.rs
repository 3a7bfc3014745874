//! The pages of the manual on error codes, carried in the binary.

macro_rules! pages {
    ($( $name:literal, )+) => {
        /// Every page by its code.
        pub const PAGES: &[(&str, &str)] = &[
            $( ($name, include_str!(concat!("../../../../../docs/reference/errors/", $name, ".md"))), )+
        ];
    };
}

pages! {
    "paused", "overlap", "missed",
    "invalid_toml", "invalid_value", "invalid_schedule", "missing_option", "missing_keys",
    "missing_variable", "conflicting_options", "option_not_for_mode", "duplicate_name",
    "dependency_cycle", "name_too_long", "query_writes", "read_only_target", "import_failed",
    "not_yet_supported", "path_impossible", "unsupported_server", "unsupported_by_engine",
    "metadata_newer", "unknown_option", "unknown_pipeline", "unknown_table", "unknown_column", "unknown_connection",
    "unknown_type", "unknown_variable", "duplicate_source_key", "null_key", "empty_source",
    "mass_delete", "hidden_rows", "null_watermark", "future_watermark", "drift", "expectation_failed", "future_event",
    "null_event_time", "conflicting_events", "watermark_mismatch", "missing_index",
    "cannot_rewind", "locked",
    "connect_failed", "connect_timeout", "authentication_failed", "unknown_database", "tls_failed",
    "source_failed", "target_failed", "cast_failed", "permission_denied", "timeout",
    "connection_lost", "lease_lost", "transform_failed", "cancelled", "upstream_failed",
}

/// The page on a code.
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(name, _)| *name == code).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::error::{ErrorCode, ExitCode};
    use std::path::Path;

    #[test]
    fn every_code_has_a_page_that_begins_with_its_summary_and_exit_code() {
        for code in ErrorCode::ALL {
            let page = page(code.name()).unwrap_or_else(|| panic!("{code} has a page"));
            let exit = match code.exit() {
                ExitCode::Interrupted => "Exit code 130, or 143 after SIGTERM.".to_owned(),
                other => format!("Exit code {}.", other as u8),
            };
            let head = format!("# {code}\n\n{} {exit}\n\n```text\n", code.summary());
            assert!(page.starts_with(&head), "{code} begins with\n{head}");
            let lines = page.lines().count();
            assert!((8..=24).contains(&lines), "{code} has {lines} lines");
            assert!(page.lines().all(|line| line.chars().count() <= 124), "{code} has a long line");
        }
    }

    #[test]
    fn no_page_is_without_a_code_and_each_is_embedded() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .expect("the manual is beside the crates")
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "index")
            .collect();
        files.sort_unstable();
        let mut pages: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        pages.sort_unstable();
        assert_eq!(files, pages);
        assert!(pages.iter().all(|name| ErrorCode::from_name(name).is_some()));
    }
}
