//! The table of options: every default and rule is in it, and what is made from it is up to date.

use ematix_flow_core::declare::options::{
    HandleDeletes, Kind, Lookback, Mode, OPTIONS, PipelineOptions, RULES, described, option_info,
};
use std::collections::BTreeSet;
use std::path::Path;

/// Set to write the file anew instead of comparing it.
const REWRITE: &str = "EMATIX_FLOW_REWRITE";

#[test]
fn the_file_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/options.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&described()).unwrap());
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == made, "{} is old: run the test with {REWRITE}=1", path.display());
}

#[test]
fn options_laid_over_others_hold_and_leave_the_rest() {
    let written = PipelineOptions {
        mode: Some(Mode::Merge),
        max_delete_fraction: Some(0.1),
        lookback: Some(Lookback::Number(5)),
        ..PipelineOptions::default()
    };
    let once =
        PipelineOptions { max_delete_fraction: Some(0.9), migrate: Some(true), ..PipelineOptions::default() };
    let both = PipelineOptions { max_delete_fraction: Some(0.9), migrate: Some(true), ..written.clone() };
    assert_eq!(written.overlaid(&once), both);
    let names: Vec<&str> = both.written().map(|option| option.name).collect();
    assert_eq!(names, ["mode", "max_delete_fraction", "migrate", "lookback"]);
}

#[test]
fn an_unwritten_option_is_what_the_table_says() {
    let none = PipelineOptions::default();
    assert_eq!(none.max_delete_fraction(), 0.5);
    assert_eq!(none.handle_deletes(), HandleDeletes::Ignore);
    assert_eq!(none.hash_column(), "row_hash");
    assert_eq!(none.lock_timeout().milliseconds(), 60_000);
    assert!(none.tags().is_empty() && none.enabled());
    let written = PipelineOptions { max_delete_fraction: Some(1.0), ..none };
    assert_eq!(written.max_delete_fraction(), 1.0);
}

#[test]
fn every_option_of_this_version_has_a_kind_and_no_other() {
    for option in OPTIONS {
        let here = option.support == ematix_flow_core::declare::Support::Here;
        assert_eq!(option.kind().is_some(), here, "{}", option.name);
    }
    let kind = |name: &str| option_info(name).unwrap().kind().unwrap();
    assert_eq!(kind("max_delete_fraction"), Kind::Number { least: Some(0.0), most: Some(1.0) });
    assert_eq!(kind("on_drift"), Kind::Words(vec!["error", "ignore"]));
    assert_eq!(kind("lookback"), Kind::NumberOrLength);
    assert_eq!(kind("run_timeout"), Kind::Length);
    assert_eq!(kind("keys"), Kind::Names);
    assert_eq!(kind("batch_id_column"), Kind::NameOrOff);
    assert_eq!(kind("tags"), Kind::Texts);
}

#[test]
fn flags_stand_in_the_order_of_the_table_but_for_one_that_comes_after_another() {
    let flags: Vec<&str> = PipelineOptions::flags().iter().map(|(option, _)| option.name).collect();
    let mut table: Vec<&str> =
        OPTIONS.iter().filter(|option| option.flag.is_some()).map(|option| option.name).collect();
    assert_ne!(flags, table);
    let lookback = table.iter().position(|name| *name == "lookback").unwrap();
    assert_eq!(table[lookback + 1], "null_watermark");
    table.swap(lookback, lookback + 1);
    assert_eq!(flags, table);
}

#[test]
fn every_rule_is_about_an_option_that_its_modes_know() {
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.option).collect();
    for rule in RULES {
        let option = option_info(rule.option).unwrap_or_else(|| panic!("{} is an option", rule.option));
        assert!(rule.modes.iter().all(|mode| option.is_for(*mode)), "{}: {}", rule.option, rule.message);
        for &mode in Mode::ALL {
            assert_eq!(rule.judge(mode, &PipelineOptions::default()), None, "{}", rule.message);
        }
    }
    assert!(rules.len() > 5, "{rules:?}");
}
