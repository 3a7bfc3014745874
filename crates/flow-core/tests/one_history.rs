//! Only `history` names the tables in which runs are remembered, and it names each statement that it has.

use ematix_flow_core::history::{MIGRATIONS, kinds, names, tables};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The sources of every crate, and of the Python package, by their paths in the repository.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root.join("crates")).expect("there are crates") {
        collect(&root, &entry.expect("a crate").path().join("src"), &mut found);
    }
    collect(&root, &root.join("python"), &mut found);
    found
}

fn collect(root: &Path, path: &Path, found: &mut BTreeMap<String, String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory can be read") {
            collect(root, &entry.expect("an entry").path(), found);
        }
    } else if path
        .extension()
        .is_some_and(|extension| ["rs", "sql", "py"].iter().any(|known| extension == *known))
    {
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name} can be read: {error}"));
        found.insert(name, text);
    }
}

/// Where the tables may be named.
const HISTORY: &str = "crates/flow-core/src/history/";

/// The places outside of [`HISTORY`] that name one of the tables.
fn breaches(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| !file.starts_with(HISTORY)) {
        for (index, line) in text.lines().enumerate() {
            let code = line.replace("\\\"", "\"");
            // What documentation says of a table is no statement.
            let code = code.trim_start();
            if code.starts_with("//") || code.starts_with("\"\"\"") {
                continue;
            }
            found.extend(
                tables(MIGRATIONS)
                    .into_iter()
                    .filter(|table| names_table(code, table))
                    .map(|table| format!("{file}:{}: names {table}", index + 1)),
            );
        }
    }
    found
}

fn names_table(code: &str, table: &str) -> bool {
    [
        format!("ematix_flow.{table}"),
        format!("\"ematix_flow\".\"{table}\""),
        format!("ematix_flow.\"{table}\""),
        format!("SCHEMA}}.{table}"),
        format!("table(\"{table}\")"),
    ]
    .iter()
    .any(|pattern| {
        code.match_indices(pattern.as_str()).any(|(at, _)| {
            let next = code[at + pattern.len()..].chars().next();
            !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
        })
    })
}

#[test]
fn no_other_module_names_a_table_of_the_history() {
    assert_eq!(breaches(&sources()), [] as [&str; 0]);
    let planted =
        |text: &str| BTreeMap::from([("crates/flow-cli/src/secrets.rs".to_owned(), text.to_owned())]);
    for (text, said) in [
        ("\nlet sql = \"DELETE FROM ematix_flow.slots\";", Some("2: names slots")),
        ("let sql = \"SELECT FROM \\\"ematix_flow\\\".\\\"targets\\\"\";", Some("1: names targets")),
        ("let sql = format!(\"SELECT FROM {SCHEMA}.run_steps\");", Some("1: names run_steps")),
        ("history = table(\"run_history\"),", Some("1: names run_history")),
        ("/// A row of `ematix_flow.run_history`.", None),
        ("import ematix_flow.targets_of_mine", None),
        ("CREATE TABLE ematix_flow._ematix_stage_customers", None),
    ] {
        let said: Vec<String> =
            said.iter().map(|said| format!("crates/flow-cli/src/secrets.rs:{said}")).collect();
        assert_eq!(breaches(&planted(text)), said, "{text}");
    }
    let ours = BTreeMap::from([(format!("{HISTORY}queries.sql"), "ematix_flow.slots".to_owned())]);
    assert_eq!(breaches(&ours), [] as [&str; 0], "history itself may");
}

/// The statements that a text asks for, each with the parameters that it gives.
fn uses(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    for (at, word) in text.match_indices("statement!(") {
        let rest = &text[at + word.len()..];
        let Some(quoted) = rest.trim_start().strip_prefix('"') else { continue };
        let name = quoted.split('"').next().unwrap_or_default().to_owned();
        found.push((name, given(rest)));
    }
    found
}

/// The `name = …` at the first level of a call's arguments.
fn given(arguments: &str) -> BTreeSet<String> {
    let (mut depth, mut piece, mut pieces) = (1, String::new(), Vec::new());
    for character in arguments.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 1 => pieces.push(std::mem::take(&mut piece)),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if character != ',' || depth > 1 {
            piece.push(character);
        }
    }
    pieces.push(piece);
    let name = |piece: &String| piece.split_once('=').map(|(name, _)| name.trim().to_owned());
    pieces.iter().skip(1).filter_map(name).collect()
}

#[test]
fn every_statement_is_used_and_every_use_has_a_statement_and_its_parameters() {
    let mut unused: BTreeSet<&str> = names().into_iter().collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (name, given) in uses(&text).into_iter().filter(|_| !file.ends_with("history/statements.rs")) {
            unused.remove(name.as_str());
            let asked: Option<BTreeSet<String>> =
                kinds(&name).map(|all| all.iter().map(|(parameter, _)| (*parameter).to_owned()).collect());
            if asked.as_ref() != Some(&given) {
                wrong.push(format!("{file}: {name} takes {asked:?}, and is given {given:?}"));
            }
        }
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert_eq!(unused, BTreeSet::new(), "statements that nothing uses");
    let planted = "let sql = statement!(\n    \"runs\",\n    run = statement!(\"run_row\"),\n    limit = f(a, b = 1),\n);";
    let expected = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        uses(planted),
        [("runs".to_owned(), expected(&["limit", "run"])), ("run_row".to_owned(), expected(&[]))]
    );
}
