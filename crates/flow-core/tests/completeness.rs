//! Names what was forgotten: a module out of order, an option without a plan, an error code without a page.

use ematix_flow_core::declare::options::{OPTIONS, Support};
use ematix_flow_core::error::ErrorCode;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{} can be read: {error}", path.display()))
}

/// The modules of lib.rs in their order, those behind features too.
fn modules() -> Vec<String> {
    let text = read(&source().join("lib.rs"));
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    text.lines().filter_map(name).collect()
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.flat_map(|entry| rust_files(&entry.expect("an entry of the source").path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

/// The modules that `crate::…` names in a text, comments left out.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut out = BTreeSet::new();
    for line in code {
        for (_, rest) in line.match_indices("crate::").map(|(at, word)| line.split_at(at + word.len())) {
            // crate::{a::B, c::D} names several.
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split(['}', ';']).next().unwrap_or_default().split(',').collect(),
                None => vec![rest],
            };
            out.extend(names.iter().map(|name| {
                name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
            }));
        }
    }
    out
}

/// Modules that use each other, as the documentation of lib.rs says.
const GROUP: [&str; 2] = ["planner", "strategies"];

#[test]
fn modules_stand_in_the_order_in_which_they_use_each_other() {
    let modules = modules();
    assert!(modules.len() > 15, "lib.rs lists its modules: {modules:?}");
    assert!(read(&source().join("lib.rs")).contains("`planner` and `strategies` are one group"));
    let mut wrong = Vec::new();
    for (index, module) in modules.iter().enumerate() {
        let files = [source().join(format!("{module}.rs")), source().join(module)];
        let files: Vec<PathBuf> = files.iter().flat_map(|path| rust_files(path)).collect();
        assert!(!files.is_empty(), "{module} has files");
        for file in files {
            for name in used(&read(&file)) {
                let grouped = GROUP.contains(&module.as_str()) && GROUP.contains(&name.as_str());
                match modules.iter().position(|known| *known == name) {
                    Some(place) if place > index && !grouped => {
                        wrong.push(format!("{} uses {name}, which stands below {module}", file.display()));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
