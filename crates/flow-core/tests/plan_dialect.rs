//! A second dialect is added without touching a strategy: plans of all four render for DuckDB, and no word of
//! Postgres is left. `tests/python/test_duckdb_dialect.py` executes the snapshots in DuckDB itself.

#[path = "support/planning.rs"]
#[allow(dead_code)] // each test file uses a part
mod planning;

use ematix_flow_core::dialect::duckdb::{DuckDb, facts_of};
use ematix_flow_core::dialect::{ColumnValue, Dialect};
use ematix_flow_core::engine::DUCKDB;
use ematix_flow_core::facts::ExecutionPath;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Quote};
use planning::Scene;
use serde_json::Value;

fn scene(options: &str) -> Scene<'static> {
    Scene::new(&DUCKDB, options)
}

/// Into the same table without its primary key: rows that are appended may come again.
fn append(options: &str) -> Scene<'static> {
    let table = planning::DIM_CUSTOMERS.replace("primary_key = \"customer_id\"\n", "");
    let lines = format!("{}mode = 'append'\n{options}", planning::SOURCE_AND_TARGET);
    Scene::of(&DUCKDB, &table, &lines)
}

/// Plans that together take every way through planner and strategies.
fn scenes() -> Vec<(&'static str, Scene<'static>)> {
    const LAST: &str = "2026-01-01 12:00:00+00";
    const READ_FROM: &str = "2026-01-01 11:59:58.5+00";
    const CAP: &str = "2026-01-02T02:00:00Z";
    let incremental = "incremental_column = 'updated_at'\nlookback = '10m'\nlate_commits = 'cap'";
    vec![
        ("append_first_load", append("")),
        ("append_again", append("").existing()),
        ("append_with_a_primary_key", scene("mode = 'append'").existing()),
        ("append_incremental_first_load", append(incremental).cap(CAP)),
        ("append_incremental", {
            append(incremental).cap(CAP).existing().watermark(LAST, READ_FROM).facts(|facts| {
                let stored = facts.watermark.as_mut().expect("a watermark");
                stored.covered_from = Some("2026-01-01 11:00:00+00".to_owned());
            })
        }),
        ("truncate_first_load", scene("mode = 'truncate'")),
        ("truncate", scene("mode = 'truncate'").existing()),
        (
            "truncate_by_delete",
            scene("mode = 'truncate'\nreplace_method = 'delete'\non_duplicate = 'latest'\norder_by = 'name'")
                .existing()
                .source("score", "text"),
        ),
        ("merge_first_load", scene("mode = 'merge'")),
        ("merge", scene("mode = 'merge'").existing()),
        (
            "merge_soft_deletes",
            scene("mode = 'merge'\nhandle_deletes = 'soft'")
                .existing()
                .plain_table(&["customer_id"])
                .without_live("is_deleted"),
        ),
        (
            "merge_soft_deletes_dry_run",
            scene("mode = 'merge'\nhandle_deletes = 'soft'")
                .existing()
                .plain_table(&["customer_id"])
                .dry_run(5),
        ),
        (
            "merge_hard_deletes",
            scene("mode = 'merge'\nhandle_deletes = 'hard'")
                .existing()
                .plain_table(&["customer_id"])
                .source("customer_id", "integer"),
        ),
        ("scd2_first_load", scene("mode = 'scd2'\nfirst_valid_from = 'updated_at'")),
        ("scd2", {
            scene("mode = 'scd2'\nhandle_deletes = 'soft'\noverwrite_columns = 'name'\nfirst_valid_from = 'epoch'")
                .existing()
                .plain_table(&["customer_id"])
        }),
        ("scd2_infinity", scene("mode = 'scd2'\nopen_end = 'infinity'")),
        ("scd2_with_a_hash", scene("mode = 'scd2'\nrow_hash = 'emx1'").existing()),
        ("scd2_changed_compare_set", {
            scene(&format!("mode = 'scd2'\nrow_hash = 'emx1'\n{incremental}"))
                .cap(CAP)
                .existing()
                .watermark(LAST, READ_FROM)
                .facts(|facts| {
                    facts.target.record.as_mut().expect("a record").compare_set =
                        Some(vec!["email".to_owned()]);
                })
        }),
        (
            "scd2_migrate",
            scene("mode = 'scd2'\nrow_hash = 'emx1'\nmigrate = true")
                .existing()
                .without_live("score")
                .without_live("valid_from")
                .without_live("valid_to")
                .without_live("is_current")
                .without_live("row_hash")
                .live(|live| {
                    live.indexes.clear();
                    live.checks.clear();
                    live.ours = false;
                }),
        ),
    ]
}

/// Words that only Postgres understands, or that say how Postgres is told.
const POSTGRES_WORDS: &[&str] = &[
    "::",
    "ctid",
    "pg_",
    "UNLOGGED",
    "jsonb",
    "clock_timestamp",
    "ARRAY[",
    "SELECT FROM",
    "LOCK TABLE",
    "EXCLUSIVE",
    "SET LOCAL",
    "TRUNCATE",
    "ANALYZE",
    "COPY",
    "bytea",
    "bigint",
    "AS uuid",
    "timestamp with",
    "character varying",
    "numeric",
    "text[]",
    "AS text",
];

/// SQL without what stands in single quotes: a declaration that is recorded says "bigint" in any dialect.
fn without_strings(sql: &str) -> String {
    sql.split('\'').step_by(2).collect()
}

#[test]
fn plans_of_every_strategy_render_in_another_dialect() {
    for (name, scene) in scenes() {
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(format!("duckdb_{name}"), scene.text());
        });
    }
}

#[test]
fn no_word_of_postgres_is_left_in_another_dialect() {
    let mut leaks = Vec::new();
    for (name, scene) in scenes() {
        let plan = scene.plan().expect("a plan");
        for step in plan.steps() {
            let sql = without_strings(&step.action.to_string());
            for word in POSTGRES_WORDS {
                if sql.contains(word) {
                    leaks.push(format!("{name}, step {} ({}): {word}\n{sql}", step.n, step.purpose));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n\n"));
}

/// The type of a column of DuckDB that holds values of a golden column; `None` where their hashes are not the same.
fn duckdb_type(column: &Value) -> Option<&'static str> {
    Some(match column["facts"]["oid"].as_u64().expect("a number") {
        16 => "BOOLEAN",
        17 => "BLOB",
        19 | 25 | 1042 | 1043 => "VARCHAR",
        20 => "BIGINT",
        21 => "SMALLINT",
        23 => "INTEGER",
        114 => "JSON",
        700 => "FLOAT",
        701 => "DOUBLE",
        1082 => "DATE",
        1083 => "TIME",
        1114 => "TIMESTAMP",
        1184 => "TIMESTAMP WITH TIME ZONE",
        1186 => "INTERVAL",
        1700 if column["type"] == "numeric" => "DECIMAL(38,11)",
        1700 => "DECIMAL(10,2)",
        2950 => "UUID",
        _ => return None,
    })
}

/// Decimals whose digits lie in every way about the point.
const DECIMALS: &[&str] = &[
    "DECIMAL(4,4)",
    "DECIMAL(5,0)",
    "DECIMAL(12,2)",
    "DECIMAL(18,4)",
    "DECIMAL(38,0)",
    "DECIMAL(38,10)",
    "DECIMAL(38,38)",
];

#[test]
fn a_client_that_cannot_name_rows_of_the_target_compares_none() {
    let scene = scene("mode = 'scd2'\nrow_hash = 'emx1'")
        .existing()
        .facts(|facts| facts.path = ExecutionPath::Staging);
    let header = scene.plan().expect("a plan").header;
    assert_eq!(header.path, ExecutionPath::Staging);
    assert_eq!(
        header.path_reason,
        "source and target are one database; staged: the client cannot name a row of the target"
    );
}

/// The row hash in SQL over rows `v` of the golden file's columns, once for each list of names and types.
#[test]
fn row_hashes_are_written_in_sql() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../tests/golden/row_hash.json")).expect("JSON");
    let of_the_file = golden["vectors"].as_array().expect("vectors").iter().filter_map(|vector| {
        let columns = vector["columns"].as_array().expect("columns").iter();
        let typed: Option<Vec<(Ident, &str)>> = columns
            .map(|column| Some((Ident::new(column["name"].as_str()?).ok()?, duckdb_type(column)?)))
            .collect();
        typed.filter(|typed| typed.len() < 20)
    });
    let decimals = DECIMALS.iter().map(|data_type| vec![(Ident::fixed("c"), *data_type)]);
    let mut digests: Vec<String> = Vec::new();
    for typed in of_the_file.chain(decimals) {
        let facts: Vec<_> = typed.iter().map(|(_, data_type)| facts_of(data_type)).collect();
        let values: Vec<ColumnValue<'_>> = typed
            .iter()
            .zip(&facts)
            .map(|((name, _), data_type)| ColumnValue { name, sql: sql!("v.{name}", name), data_type })
            .collect();
        let signature: Vec<String> =
            typed.iter().map(|(name, data_type)| format!("{} {data_type}", DuckDb.quote(name))).collect();
        let digest = DuckDb.row_digest(&values).to_text(&DuckDb);
        let text = format!("-- {}\n{digest};\n", signature.join(", "));
        if !digests.contains(&text) {
            digests.push(text);
        }
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("duckdb_row_digests", digests.join("\n"));
    });
}
