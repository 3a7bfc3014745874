//! Names what was forgotten: an option without a plan, an error code without a page.

use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::spec::options::{OPTIONS, Support};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{} can be read: {error}", path.display()))
}

/// Options that no plan shows, and why.
const WITHOUT_A_PLAN: &[(&str, &str)] = &[
    ("target_connection", "the executor opens it; a plan knows no connections"),
    ("description", "for people"),
    ("owner", "for people"),
    ("tags", "for selecting pipelines"),
    ("enabled", "for the scheduler"),
    ("force_path", "the path is proved before a plan is made, and stands in its facts"),
    ("parallel", "how many connections fill a stage is the executor's"),
    ("lock_timeout", "the executor sets it when the transaction begins"),
    ("statement_timeout", "the executor sets it when the transaction begins"),
    ("run_timeout", "the executor's clock"),
    ("lease", "the executor renews it on a connection of its own"),
    ("schedule", "for the scheduler"),
    ("every", "for the scheduler"),
    ("timezone", "for the scheduler"),
    ("first_run", "for the scheduler"),
];

#[test]
fn every_option_occurs_in_a_plan_or_says_why_not() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut shown = BTreeSet::new();
    for entry in fs::read_dir(snapshots).expect("there are snapshots") {
        let path = entry.expect("a snapshot").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("plan_snapshots__")) {
            continue;
        }
        for line in read(&path).lines() {
            if let Some((name, _)) = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")) {
                shown.insert(name.to_owned());
            }
        }
    }
    let excused = |name: &str| WITHOUT_A_PLAN.iter().any(|(excused, _)| *excused == name);
    for option in OPTIONS.iter().filter(|option| option.support == Support::Here) {
        assert!(
            shown.contains(option.name) || excused(option.name),
            "the option `{}` occurs in no plan: add one to plan_snapshots.rs, or a reason to WITHOUT_A_PLAN",
            option.name
        );
    }
    for (name, _) in WITHOUT_A_PLAN {
        assert!(OPTIONS.iter().any(|option| option.name == *name), "`{name}` is no option any more");
        assert!(!shown.contains(*name), "`{name}` occurs in a plan and needs no excuse");
    }
}

#[test]
fn every_error_code_has_its_page() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors");
    for code in ErrorCode::ALL {
        let page = pages.join(format!("{code}.md"));
        assert!(page.is_file(), "{code} has no page: write {}", page.display());
    }
    for entry in fs::read_dir(&pages).expect("there are pages") {
        let path = entry.expect("a page").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(name == "index" || ErrorCode::from_name(&name).is_some(), "{name}.md explains no error code");
    }
}
