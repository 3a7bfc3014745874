//! Whole plans whose source is another database: staged, or compared in the client, with the reason for either.
//!
//! `INSTA_UPDATE=always cargo test --test plan_across` rewrites `tests/snapshots`; read the diff before you commit it.

#[path = "support/planning.rs"]
#[allow(dead_code)] // each test file uses a part
mod planning;
#[path = "support/snapshots.rs"]
#[macro_use]
mod snapshots;

use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::hash::Normal;
use ematix_flow_core::plan::Action;
use ematix_flow_core::report::ExecutionPath;
use ematix_flow_core::types::{TypeFacts, Wire};
use planning::Scene;
use snapshots::{LAST, READ_FROM};

/// The source is proved to be another database.
fn across(options: &str) -> Scene<'static> {
    Scene::new(&POSTGRES, options).facts(|facts| {
        facts.path = ExecutionPath::Staging;
        facts.path_reason = "source crm is another database".to_owned();
    })
}

plans! {
    append_of_everything => across("mode = 'append'").existing();
    read_by_several_sessions => across("mode = 'merge'\nparallel = 3").plain_table(&["id"]).existing();
    append_by_a_ledger =>
        across("mode = 'append'\nincremental_column = 'updated_at'").existing().watermark(LAST, READ_FROM);
    append_by_a_ledger_that_knows_columns_left_out =>
        across("mode = 'append'\nincremental_column = 'updated_at'")
            .source("customer_id", "smallint")
            .source("score", "integer")
            .source("region", "text")
            .existing();
    truncate => across("mode = 'truncate'").existing();
    merge_with_casts => across("mode = 'merge'").source("score", "double").source("email", "text").existing();
    merge_keeps_the_latest_row =>
        across("mode = 'merge'\non_duplicate = 'latest'\norder_by = 'updated_at DESC'").existing();
    scd2_first_load_carries_the_hash => across("mode = 'scd2'");
    scd2_compared_in_the_client => across("mode = 'scd2'\nhandle_deletes = 'soft'").existing();
    scd2_compared_in_the_client_with_widening =>
        across("mode = 'scd2'").source("customer_id", "integer").source("email", "string(20)").existing();
    scd2_staged_by_force => across("mode = 'scd2'\nforce_path = 'staging'").existing();
}

/// Why the client does not compare.
fn why_staged(scene: &Scene<'_>) -> String {
    let plan = scene.plan().expect("a plan");
    assert_eq!(plan.header.path, ExecutionPath::Staging);
    assert!(!plan.steps().any(|step| matches!(step.action, Action::Compare(_))));
    plan.header
        .path_reason
        .strip_prefix("source crm is another database; staged: ")
        .expect("a reason")
        .to_owned()
}

#[test]
fn the_client_compares_only_what_it_can_compare_rightly() {
    let scd2 = |options: &str| across(&format!("mode = 'scd2'\n{options}"));
    let reasons = vec![
        (scd2(""), "the table does not exist yet"),
        (
            scd2("incremental_column = 'updated_at'").existing(),
            "incremental_column reads a part of the source only",
        ),
        (scd2("overwrite_columns = 'name'").existing(), "overwrite_columns are not in the row hash"),
        (
            scd2("on_duplicate = 'latest'\norder_by = 'updated_at'").existing(),
            "on_duplicate = \"latest\" ranks the rows of a key",
        ),
        (
            scd2("compare_columns = 'name'").existing().facts(|facts| {
                facts.target.record.as_mut().expect("a record").compare_set = Some(vec!["email".to_owned()]);
            }),
            "the stored hashes are not of these compare columns",
        ),
        (scd2("").existing().live(|live| live.spread = true), "the target's rows lie in several tables"),
        (scd2("").source("score", "double").existing(), "an INSERT casts a column"),
        (
            scd2("").existing().facts(|facts| {
                facts.client_diff_given_up = Some("a key has two current versions".to_owned());
            }),
            "a key has two current versions",
        ),
        (
            scd2("").existing().live(|live| live.estimated_rows = 2_000_000.0),
            "about 2000000 current versions are more than 1100000 that the client keeps",
        ),
        (
            scd2("keys = 'email'").existing().live(|live| {
                let column = live.columns.iter_mut().find(|column| column.name == "email").expect("a column");
                column.data_type.deterministic = false;
            }),
            "the key email of type character varying(256) may be equal in different bytes",
        ),
    ];
    for (scene, reason) in &reasons {
        assert_eq!(why_staged(scene), *reason);
    }
}

#[test]
fn a_comparison_that_is_forced_and_cannot_be_is_refused() {
    let error = across("mode = 'scd2'\nforce_path = 'client_diff'").plan().expect_err("no table yet");
    assert_eq!(error.code, ErrorCode::PathImpossible);
    assert_eq!(error.message, "`customers` cannot be compared in the client: the table does not exist yet");
}

#[test]
fn the_partial_index_tells_how_many_versions_are_current() {
    let scene = across("mode = 'scd2'").existing().live(|live| {
        live.estimated_rows = 9_000_000.0;
        let current = live.indexes.iter_mut().find(|index| index.predicate.is_some()).expect("an index");
        current.estimated_rows = Some(900_000.0);
    });
    assert_eq!(scene.plan().expect("a plan").header.path, ExecutionPath::ClientDiff);
}

fn of_the_user(name: &str, normal: Normal) -> TypeFacts {
    let wire = Wire { name: name.to_owned(), oid: None };
    TypeFacts { normal: Some(normal), wire, ..TypeFacts::assumed(name.to_owned()) }
}

#[test]
fn what_means_something_in_its_own_database_only_is_refused_by_name() {
    let regclass = Wire { name: "regclass".to_owned(), oid: Some(2205) };
    let none = TypeFacts { normal: None, ..TypeFacts::assumed("aclitem".to_owned()) };
    let number = TypeFacts { wire: regclass, ..TypeFacts::assumed("regclass".to_owned()) };
    for (data_type, why) in [
        (
            none,
            "the column `name` of type aclitem cannot come from another database: the type has no binary form",
        ),
        (
            number,
            "the column `name` of type regclass cannot come from another database: its values are numbers of the source's own catalogue",
        ),
    ] {
        let scene = across("mode = 'merge'").facts(|facts| {
            let column =
                facts.source.columns.iter_mut().find(|column| column.name == "name").expect("a column");
            column.data_type = data_type;
        });
        let error = scene.plan().expect_err("it cannot cross");
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidValue, why));
    }
}

#[test]
fn a_type_of_the_users_own_becomes_text_at_the_source() {
    let plan = across("mode = 'merge'")
        .facts(|facts| {
            let column =
                facts.source.columns.iter_mut().find(|column| column.name == "name").expect("a column");
            column.data_type = of_the_user("app.mood", Normal::Enum);
        })
        .plan()
        .expect("a plan");
    let copy = plan.steps().find(|step| matches!(step.action, Action::Copy(_))).expect("a copy");
    assert!(copy.action.to_string().contains("q.\"name\"::text AS \"name\""), "{}", copy.action);
}

#[test]
fn several_sessions_read_a_table_by_its_pages() {
    let reads = |pages: Option<u64>| {
        let scene = across("mode = 'merge'\nparallel = 3").plain_table(&["id"]).facts(|facts| {
            facts.source.relation.as_mut().expect("a plain table").pages = pages;
        });
        let plan = scene.plan()?;
        let copy = plan.steps().find(|step| matches!(step.action, Action::Copy(_))).expect("a copy");
        let text = copy.action.to_string();
        let ranges: Vec<String> = text
            .lines()
            .filter_map(|line| {
                line.split_once("WHERE ")
                    .map(|(_, range)| range.strip_suffix(") AS q").unwrap_or(range).to_owned())
            })
            .collect();
        Ok::<_, ematix_flow_core::error::FlowError>((ranges, plan.notes.join("; ")))
    };
    let (ranges, _) = reads(Some(1000)).expect("a plan");
    assert_eq!(
        ranges,
        [
            "q.ctid >= '(0,0)' AND q.ctid < '(334,0)'",
            "q.ctid >= '(334,0)' AND q.ctid < '(668,0)'",
            // The table may grow before it is read.
            "q.ctid >= '(668,0)'",
        ]
    );
    let (ranges, notes) = reads(Some(511)).expect("a plan");
    assert!(ranges.is_empty() && notes.contains("one session reads the source, whose table has 511 pages"));
    let refused = reads(None).expect_err("a table in parts");
    assert_eq!(refused.code, ErrorCode::PathImpossible);
}
